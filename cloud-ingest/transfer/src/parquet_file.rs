//! Samples as Apache Parquet. Row groups bound the memory of whoever writes, pages that of whoever reads.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    sync::Arc,
};

use parquet::{
    basic::{Compression, LogicalType, TimeUnit, Type as Physical, ZstdLevel},
    column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath},
};
use shared_protocol::SignalDef;
use telemetry::samples::Sample;

use crate::{
    COLUMNS, Fault, Format,
    row::{Meanings, Row, Words, Wrong, disagreement, texts, time_of, wrong},
};

/// In the order of [`COLUMNS`].
const SCHEMA: &str = "message samples {
    required int64 time (TIMESTAMP(MICROS, true));
    required int32 asset;
    required binary asset_name (STRING);
    required binary source (STRING);
    required binary standard (STRING);
    required binary signal (STRING);
    required binary unit (STRING);
    required double value;
    required binary encoding (STRING);
    required binary scale (STRING);
    required binary offset (STRING);
    required int64 raw;
}";
/// Rows of a group: what is in memory before it is written.
const GROUP: usize = 100_000;
/// Rows that are read at a time.
const PAGE: usize = 4096;
const MOST_TEXTS: usize = 100_000;

/// The texts of a signal: standard, signal, unit, encoding, scale, offset.
type Texts = [ByteArray; 6];

pub(crate) struct ParquetWriter<W: Write + Send> {
    out: SerializedFileWriter<W>,
    group: Group,
    texts: HashMap<Arc<SignalDef>, Texts>,
    names: HashMap<Arc<str>, ByteArray>,
}

#[derive(Default)]
struct Group {
    times: Vec<i64>,
    assets: Vec<i32>,
    /// asset_name, source, standard, signal, unit, encoding, scale, offset.
    words: [Vec<ByteArray>; 8],
    values: Vec<f64>,
    raws: Vec<i64>,
}

fn bytes(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

impl<W: Write + Send> ParquetWriter<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let schema = parse_message_type(SCHEMA).expect("the schema is constant and right");
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("Patio".to_owned())
            .set_max_row_group_row_count(Some(GROUP));
        // Hardly any of these comes twice.
        for column in ["time", "value", "raw"] {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
        }
        let properties = Arc::new(properties.build());
        Ok(Self {
            out: SerializedFileWriter::new(out, Arc::new(schema), properties).map_err(failed)?,
            group: Group::default(),
            texts: HashMap::new(),
            names: HashMap::new(),
        })
    }

    pub(crate) fn write(&mut self, row: &Row) -> io::Result<()> {
        let sample = &row.sample;
        if self.texts.len() >= MOST_TEXTS {
            self.texts.clear();
        }
        if self.names.len() >= MOST_TEXTS {
            self.names.clear();
        }
        let texts = self
            .texts
            .entry(Arc::clone(&sample.signal))
            .or_insert_with(|| {
                let (standard, encoding, scale, offset) = texts(&sample.signal);
                let signal = &sample.signal.signal;
                [
                    standard,
                    signal.name(),
                    signal.unit(),
                    encoding,
                    &scale,
                    &offset,
                ]
                .map(bytes)
            });
        let name = self
            .names
            .entry(Arc::clone(&row.asset_name))
            .or_insert_with(|| bytes(&row.asset_name));
        let group = &mut self.group;
        group.times.push(sample.time.as_microsecond());
        group.assets.push(sample.asset);
        group.values.push(sample.signal.encoding.value(sample.raw));
        group.raws.push(sample.raw);
        let words = [name.clone(), bytes(sample.source.name())];
        for (column, word) in group
            .words
            .iter_mut()
            .zip(words.into_iter().chain(texts.iter().cloned()))
        {
            column.push(word);
        }
        if group.times.len() >= GROUP {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let group = std::mem::take(&mut self.group);
        if group.times.is_empty() {
            return Ok(());
        }
        let mut out = self.out.next_row_group().map_err(failed)?;
        let [
            name,
            source,
            standard,
            signal,
            unit,
            encoding,
            scale,
            offset,
        ] = &group.words;
        column::<_, Int64Type>(&mut out, &group.times)?;
        column::<_, Int32Type>(&mut out, &group.assets)?;
        for words in [name, source, standard, signal, unit] {
            column::<_, ByteArrayType>(&mut out, words)?;
        }
        column::<_, DoubleType>(&mut out, &group.values)?;
        for words in [encoding, scale, offset] {
            column::<_, ByteArrayType>(&mut out, words)?;
        }
        column::<_, Int64Type>(&mut out, &group.raws)?;
        out.close().map_err(failed)?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.out.into_inner().map_err(failed)
    }
}

/// Writes the next column of a group.
fn column<W: Write + Send, T: DataType>(
    out: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> io::Result<()> {
    let column = out.next_column().map_err(failed)?;
    let mut column = column.expect("the schema has as many columns as are written");
    column
        .typed::<T>()
        .write_batch(values, None, None)
        .map_err(failed)?;
    column.close().map_err(failed)
}

/// A column that is being read. Tools may have made it optional; its values may not be absent.
struct Part<T: DataType> {
    reader: ColumnReaderImpl<T>,
    optional: bool,
    values: Vec<T::T>,
}

impl<T: DataType> Part<T> {
    /// The next rows, and how many these are; `Err`: it cannot be read, or one is absent.
    fn fill(&mut self, most: usize) -> Result<usize, String> {
        self.values.clear();
        let mut levels = Vec::new();
        let levels = self.optional.then_some(&mut levels);
        let (rows, values, _) = self
            .reader
            .read_records(most, levels, None, &mut self.values)
            .map_err(|error| error.to_string())?;
        if values != rows {
            return Err("a value is absent".to_owned());
        }
        Ok(rows)
    }
}

/// The columns of a row group.
struct Parts {
    time: Part<Int64Type>,
    asset: Part<Int32Type>,
    /// asset_name, source, standard, signal, unit, encoding, scale, offset.
    words: Vec<Part<ByteArrayType>>,
    value: Part<DoubleType>,
    raw: Part<Int64Type>,
}

pub(crate) struct ParquetReader {
    file: SerializedFileReader<File>,
    /// The place of each of [`COLUMNS`] in the file's schema, and whether it is optional.
    places: Vec<(usize, bool)>,
    group: usize,
    parts: Option<Parts>,
    rows: usize,
    next: usize,
    /// Rows before this one.
    before: u64,
    meanings: Meanings,
    over: bool,
}

impl ParquetReader {
    /// Reads the end of the file, where its schema is.
    pub(crate) fn new(file: File) -> Result<Self, Fault> {
        let end = |reason: String| Format::Parquet.end(None, reason);
        let file = SerializedFileReader::new(file)
            .map_err(|error| end(format!("it is no Parquet file, or was cut off: {error}")))?;
        let schema = file.metadata().file_metadata().schema_descr();
        let wanted = parse_message_type(SCHEMA).expect("the schema is constant and right");
        let mut places = Vec::new();
        for (name, wanted) in COLUMNS.into_iter().zip(wanted.get_fields()) {
            let found = (0..schema.num_columns())
                .map(|at| (at, schema.column(at)))
                .find(|(_, column)| column.path().string() == name);
            let Some((at, column)) = found else {
                return Err(end(format!(
                    "the column `{name}` is missing; a file of samples has {}",
                    COLUMNS.join(", ")
                )));
            };
            let physical = wanted.get_physical_type();
            let micros = column.logical_type_ref().is_some_and(|logical| {
                matches!(logical, LogicalType::Timestamp(time) if time.unit == TimeUnit::MICROS)
            });
            if column.physical_type() != physical
                || (physical == Physical::INT64 && name == "time" && !micros)
                || column.max_rep_level() > 0
                || column.max_def_level() > 1
            {
                let expected = if name == "time" {
                    "a timestamp in microseconds".to_owned()
                } else {
                    physical.to_string()
                };
                return Err(end(format!("the column `{name}` is not {expected}")));
            }
            places.push((at, column.max_def_level() > 0));
        }
        Ok(Self {
            file,
            places,
            group: 0,
            parts: None,
            rows: 0,
            next: 0,
            before: 0,
            meanings: Meanings::default(),
            over: false,
        })
    }

    fn part<T: DataType>(&self, name: &str) -> Result<Part<T>, String> {
        let group = self.file.get_row_group(self.group);
        let group = group.map_err(|error| error.to_string())?;
        let (at, optional) = COLUMNS
            .iter()
            .position(|column| *column == name)
            .map(|column| self.places[column])
            .expect("it is one of the columns");
        let reader: ColumnReader = group
            .get_column_reader(at)
            .map_err(|error| error.to_string())?;
        Ok(Part {
            reader: get_typed_column_reader(reader),
            optional,
            values: Vec::new(),
        })
    }

    fn open_group(&self) -> Result<Parts, String> {
        let words = [
            "asset_name",
            "source",
            "standard",
            "signal",
            "unit",
            "encoding",
            "scale",
            "offset",
        ];
        Ok(Parts {
            time: self.part("time")?,
            asset: self.part("asset")?,
            words: words
                .iter()
                .map(|name| self.part(name))
                .collect::<Result<_, _>>()?,
            value: self.part("value")?,
            raw: self.part("raw")?,
        })
    }

    /// Reads on; false at the end of the file.
    fn fill(&mut self) -> Result<bool, String> {
        loop {
            let Some(parts) = &mut self.parts else {
                if self.group >= self.file.num_row_groups() {
                    return Ok(false);
                }
                self.parts = Some(self.open_group()?);
                continue;
            };
            let rows = parts.time.fill(PAGE)?;
            let mut same = parts.asset.fill(PAGE)? == rows;
            for words in &mut parts.words {
                same &= words.fill(PAGE)? == rows;
            }
            same &= parts.value.fill(PAGE)? == rows && parts.raw.fill(PAGE)? == rows;
            if !same {
                return Err("its columns are not of the same length".to_owned());
            }
            if rows == 0 {
                self.parts = None;
                self.group += 1;
                continue;
            }
            (self.rows, self.next) = (rows, 0);
            return Ok(true);
        }
    }

    fn row(&mut self, at: usize) -> Result<Row, Wrong> {
        let parts = self.parts.as_ref().expect("rows of a group are being read");
        let word = |index: usize, column: &'static str| {
            parts.words[index].values[at]
                .as_utf8()
                .map_err(|_| wrong(column, "it is not UTF-8"))
        };
        let time = time_of(parts.time.values[at])?;
        let (source, signal) = self.meanings.of(Words {
            source: word(1, "source")?,
            standard: word(2, "standard")?,
            signal: word(3, "signal")?,
            unit: word(4, "unit")?,
            encoding: word(5, "encoding")?,
            scale: word(6, "scale")?,
            offset: word(7, "offset")?,
        })?;
        let raw = parts.raw.values[at];
        if let Some(wrong) = disagreement(parts.value.values[at], &signal, raw) {
            return Err(wrong);
        }
        Ok(Row {
            sample: Sample {
                time,
                asset: parts.asset.values[at],
                source,
                signal,
                raw,
            },
            asset_name: self.meanings.name(word(0, "asset_name")?)?,
        })
    }
}

impl Iterator for ParquetReader {
    type Item = Result<(u64, Row), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if self.next == self.rows {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => {
                    self.over = true;
                    return None;
                }
                Err(reason) => {
                    self.over = true;
                    return Some(Err(Format::Parquet.end(Some(self.before + 1), reason)));
                }
            }
        }
        let at = self.next;
        self.next += 1;
        self.before += 1;
        let place = self.before;
        Some(
            self.row(at)
                .map(|row| (place, row))
                .map_err(|wrong| Format::Parquet.fault(place, wrong)),
        )
    }
}
