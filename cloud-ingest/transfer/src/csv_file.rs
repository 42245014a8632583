//! Samples as comma-separated values: a line of titles, then a line for each sample.

use std::{
    cell::Cell,
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    sync::Arc,
};

use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use jiff::Timestamp;
use shared_protocol::SignalDef;
use telemetry::samples::Sample;

use crate::{
    COLUMNS, Fault, Format,
    row::{Meanings, Row, Words, Wrong, disagreement, float_text, shown, texts, wrong},
};

/// Most bytes that are read for one line: a quotation mark that is never closed would else take in the whole file.
const LONGEST_LINE: u64 = 256 * 1024;
/// Texts of signals that are remembered.
const MOST_TEXTS: usize = 100_000;

pub(crate) struct CsvWriter<W: Write> {
    out: csv::Writer<W>,
    texts: HashMap<Arc<SignalDef>, (&'static str, &'static str, String, String)>,
}

impl<W: Write> CsvWriter<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let mut out = WriterBuilder::new().from_writer(out);
        out.write_record(COLUMNS)?;
        Ok(Self {
            out,
            texts: HashMap::new(),
        })
    }

    pub(crate) fn write(&mut self, row: &Row) -> io::Result<()> {
        let sample = &row.sample;
        if self.texts.len() >= MOST_TEXTS {
            self.texts.clear();
        }
        let (standard, encoding, scale, offset) = self
            .texts
            .entry(Arc::clone(&sample.signal))
            .or_insert_with(|| texts(&sample.signal));
        self.out.write_record([
            sample.time.to_string().as_str(),
            sample.asset.to_string().as_str(),
            &row.asset_name,
            sample.source.name(),
            standard,
            sample.signal.signal.name(),
            sample.signal.signal.unit(),
            &float_text(sample.signal.encoding.value(sample.raw)),
            encoding,
            scale,
            offset,
            &sample.raw.to_string(),
        ])?;
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        self.out
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)
    }
}

/// A file that knows how much was read for the current line, and how it ended.
struct Watched {
    file: File,
    since: Cell<u64>,
    ended: bool,
    last: u8,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since.get() > LONGEST_LINE {
            return Err(io::Error::other(format!(
                "it is longer than {LONGEST_LINE} bytes: is a quotation mark not closed?"
            )));
        }
        let read = self.file.read(buffer)?;
        self.since.set(self.since.get() + read as u64);
        match buffer[..read].last() {
            Some(last) => self.last = *last,
            None => self.ended = true,
        }
        Ok(read)
    }
}

pub(crate) struct CsvReader {
    lines: csv::Reader<Watched>,
    /// The place of each of [`COLUMNS`] in a line.
    places: [usize; COLUMNS.len()],
    fields: usize,
    record: StringRecord,
    meanings: Meanings,
    over: bool,
}

impl CsvReader {
    /// Reads the titles; they may stand in any order.
    pub(crate) fn new(file: File) -> Result<Self, Fault> {
        let watched = Watched {
            file,
            since: Cell::new(0),
            ended: false,
            last: b'\n',
        };
        let mut lines = ReaderBuilder::new().flexible(true).from_reader(watched);
        let titles = lines
            .headers()
            .map_err(|error| Format::Csv.end(Some(1), said(&error)))?
            .clone();
        let mut places = [0; COLUMNS.len()];
        for (place, column) in places.iter_mut().zip(COLUMNS) {
            let mut found = titles
                .iter()
                .enumerate()
                .filter(|(_, title)| *title == column);
            *place = match (found.next(), found.next()) {
                (Some((at, _)), None) => at,
                (found, _) => {
                    let what = if found.is_some() {
                        "stands there twice"
                    } else {
                        "is missing"
                    };
                    return Err(Format::Csv.end(
                        Some(1),
                        format!(
                            "the title `{column}` {what}; a file of samples begins with `{}`",
                            COLUMNS.join(",")
                        ),
                    ));
                }
            };
        }
        Ok(Self {
            lines,
            places,
            fields: titles.len(),
            record: StringRecord::new(),
            meanings: Meanings::default(),
            over: false,
        })
    }

    fn row(&mut self) -> Result<Row, Wrong> {
        let field = |name: &str| {
            let place = COLUMNS.iter().position(|column| *column == name);
            place
                .and_then(|place| self.record.get(self.places[place]))
                .unwrap_or_default()
        };
        let time: Timestamp = field("time").parse().map_err(|_| {
            let found = shown(field("time"));
            wrong(
                "time",
                format!("{found} is no time such as 2026-01-31T08:00:00.25Z"),
            )
        })?;
        if time.subsec_nanosecond() % 1000 != 0 {
            return Err(wrong("time", format!("{time} is finer than microseconds")));
        }
        let (source, signal) = self.meanings.of(Words {
            source: field("source"),
            standard: field("standard"),
            signal: field("signal"),
            unit: field("unit"),
            encoding: field("encoding"),
            scale: field("scale"),
            offset: field("offset"),
        })?;
        let raw = number("raw", field("raw"))?;
        let value: f64 = field("value").parse().map_err(|_| {
            let found = shown(field("value"));
            wrong("value", format!("{found} is no number"))
        })?;
        if let Some(wrong) = disagreement(value, &signal, raw) {
            return Err(wrong);
        }
        Ok(Row {
            sample: Sample {
                time,
                asset: number("asset", field("asset"))?,
                source,
                signal,
                raw,
            },
            asset_name: self.meanings.name(field("asset_name"))?,
        })
    }
}

fn number<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, Wrong> {
    text.parse()
        .map_err(|_| wrong(column, format!("{} is no integer that fits", shown(text))))
}

/// What the reader of lines says, without the place, which is told anyway.
fn said(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        csv::ErrorKind::Utf8 { err, .. } => format!("it is not UTF-8: {err}"),
        _ => error.to_string(),
    }
}

impl Iterator for CsvReader {
    type Item = Result<(u64, Row), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        self.lines.get_ref().since.set(0);
        let before = self.lines.position().line();
        match self.lines.read_record(&mut self.record) {
            Ok(false) => {
                self.over = true;
                return None;
            }
            Err(error) => {
                let at = error.position().map_or(before, csv::Position::line);
                // Behind bytes that are not UTF-8 the next line can be read.
                self.over = !matches!(error.kind(), csv::ErrorKind::Utf8 { .. });
                return Some(Err(if self.over {
                    Format::Csv.end(Some(at), said(&error))
                } else {
                    Format::Csv.row_fault(at, said(&error))
                }));
            }
            Ok(true) => {}
        }
        let line = self.record.position().map_or(before, csv::Position::line);
        let watched = self.lines.get_ref();
        if watched.ended && watched.last != b'\n' {
            self.over = true;
            let reason = "the file ends in the middle of a line: it was cut off. A whole one ends with a line break";
            return Some(Err(Format::Csv.end(Some(line), reason)));
        }
        if self.record.len() != self.fields {
            let reason = format!(
                "it has {} fields, the titles are {}",
                self.record.len(),
                self.fields
            );
            return Some(Err(Format::Csv.row_fault(line, reason)));
        }
        Some(
            self.row()
                .map(|row| (line, row))
                .map_err(|wrong| Format::Csv.fault(line, wrong)),
        )
    }
}
