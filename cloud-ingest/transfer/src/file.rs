//! A file of samples: its format, and where something is wrong in it.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
    str::FromStr,
};

use crate::{
    csv_file::{CsvReader, CsvWriter},
    parquet_file::{ParquetReader, ParquetWriter},
    row::{Row, Wrong},
};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180) in UTF-8, with a line of titles.
    Csv,
    /// Apache Parquet, compressed by zstd.
    Parquet,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            _ => Err("there are csv and parquet".to_owned()),
        }
    }
}

impl Format {
    /// The format that the end of a name says.
    pub fn of(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.parse().ok()
    }
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: the line of a CSV file, the row of a Parquet file, both from 1; `None`: the file as a whole.
    pub at: Option<u64>,
    /// Which column, if one.
    pub column: Option<&'static str>,
    /// What was found, what was expected.
    pub reason: String,
    /// Nothing behind it can be read.
    pub(crate) last: bool,
    unit: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{} {at}: ", self.unit)?;
        }
        if let Some(column) = self.column {
            write!(f, "{column}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl Format {
    /// Something wrong with one column of a row.
    pub(crate) fn fault(self, at: u64, wrong: Wrong) -> Fault {
        Fault {
            at: Some(at),
            column: Some(wrong.column),
            reason: wrong.reason,
            last: false,
            unit: self.unit(),
        }
    }

    /// Something behind which nothing can be read.
    pub(crate) fn end(self, at: Option<u64>, reason: impl Into<String>) -> Fault {
        Fault {
            at,
            column: None,
            reason: reason.into(),
            last: true,
            unit: self.unit(),
        }
    }

    /// Something wrong with a whole row.
    pub(crate) fn row_fault(self, at: u64, reason: impl Into<String>) -> Fault {
        Fault {
            last: false,
            ..self.end(Some(at), reason)
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Csv => "line",
            Self::Parquet => "row",
        }
    }
}

/// Writes rows. What was not finished is no file.
pub(crate) enum Writer<W: Write + Send> {
    Csv(Box<CsvWriter<W>>),
    Parquet(Box<ParquetWriter<W>>),
}

impl<W: Write + Send> Writer<W> {
    pub(crate) fn new(format: Format, out: W) -> io::Result<Self> {
        Ok(match format {
            Format::Csv => Self::Csv(Box::new(CsvWriter::new(out)?)),
            Format::Parquet => Self::Parquet(Box::new(ParquetWriter::new(out)?)),
        })
    }

    pub(crate) fn write(&mut self, row: &Row) -> io::Result<()> {
        match self {
            Self::Csv(writer) => writer.write(row),
            Self::Parquet(writer) => writer.write(row),
        }
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Csv(writer) => writer.finish(),
            Self::Parquet(writer) => writer.finish(),
        }
    }
}

/// Reads rows, each with its place. A fault may be followed by further rows.
pub(crate) enum Reader {
    Csv(Box<CsvReader>),
    Parquet(Box<ParquetReader>),
}

impl Reader {
    pub(crate) fn open(path: &Path, format: Format) -> Result<Self, Fault> {
        let file = File::open(path).map_err(|error| format.end(None, error.to_string()))?;
        Ok(match format {
            Format::Csv => Self::Csv(Box::new(CsvReader::new(file)?)),
            Format::Parquet => Self::Parquet(Box::new(ParquetReader::new(file)?)),
        })
    }
}

impl Iterator for Reader {
    type Item = Result<(u64, Row), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Csv(reader) => reader.next(),
            Self::Parquet(reader) => reader.next(),
        }
    }
}
