//! Reading the truth back.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use shared_protocol::Decimal;

/// Whose column it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, Deserialize)]
pub struct ColumnId {
    /// Key of the car, charger or meter.
    pub asset: String,
    /// `can`, `obd` or `modbus`.
    pub source: String,
    /// A signal of the catalogue, or `Message.Signal`.
    pub signal: String,
}

impl ColumnId {
    /// The column of these names.
    pub fn new(asset: &str, source: &str, signal: &str) -> Self {
        Self {
            asset: asset.to_owned(),
            source: source.to_owned(),
            signal: signal.to_owned(),
        }
    }
}

impl fmt::Display for ColumnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.asset, self.source, self.signal)
    }
}

/// A value as it was given, or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Raw integer in steps of the column.
    pub raw: i64,
    /// Wall clock, in µs since 1970.
    pub wall_us: i64,
    /// Simulated time, in ms since the start.
    pub simulated_ms: i64,
    /// The fault because of which it was not given.
    pub withheld: Option<String>,
}

/// A column and its values in the order given; the index of a value is its serial number.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnTruth {
    /// Whose it is.
    pub id: ColumnId,
    /// Value of one step.
    pub step: Decimal,
    /// What was given.
    pub given: Vec<Record>,
    /// What was not.
    pub withheld: Vec<Record>,
}

/// All that was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// By number.
    pub columns: Vec<ColumnTruth>,
    /// Whether the last line is torn, as it is when the simulator was killed.
    pub torn: bool,
}

/// Why a file is not the truth.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line says something else.
    #[error("{} line {line}: {what}", path.display())]
    Line {
        /// In which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Column {
        column: usize,
        step: Decimal,
        #[serde(flatten)]
        id: ColumnId,
    },
    Value(Value),
}

#[derive(Deserialize)]
struct Value {
    c: usize,
    r: i64,
    t: i64,
    s: i64,
    #[serde(default)]
    x: Option<String>,
}

impl Truth {
    /// Reads a file of the simulator.
    pub fn read(path: &Path) -> Result<Self, TruthError> {
        let io = |error| TruthError::Io {
            path: path.to_owned(),
            error,
        };
        let mut truth = Self::default();
        let mut reader = BufReader::with_capacity(1 << 18, File::open(path).map_err(io)?);
        let (mut text, mut number) = (String::new(), 0);
        loop {
            text.clear();
            if reader.read_line(&mut text).map_err(io)? == 0 {
                return Ok(truth);
            }
            number += 1;
            // Only the last line can lack its end.
            if !text.ends_with('\n') {
                truth.torn = true;
                return Ok(truth);
            }
            truth.take(&text).map_err(|what| TruthError::Line {
                path: path.to_owned(),
                line: number,
                what,
            })?;
        }
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        // Values are nearly all of it: try them first.
        let line = serde_json::from_str(text)
            .map(Line::Value)
            .or_else(|_| serde_json::from_str(text));
        match line.map_err(|error| error.to_string())? {
            Line::Column { column, step, id } => {
                if column != self.columns.len() {
                    return Err(format!(
                        "column {column} where {} is next",
                        self.columns.len()
                    ));
                }
                self.columns.push(ColumnTruth {
                    id,
                    step,
                    given: Vec::new(),
                    withheld: Vec::new(),
                });
            }
            Line::Value(Value { c, r, t, s, x }) => {
                let column = self
                    .columns
                    .get_mut(c)
                    .ok_or_else(|| format!("a value of column {c}, which has no definition"))?;
                let record = Record {
                    raw: r,
                    wall_us: t,
                    simulated_ms: s,
                    withheld: x,
                };
                let list = if record.withheld.is_some() {
                    &mut column.withheld
                } else {
                    &mut column.given
                };
                list.push(record);
            }
        }
        Ok(())
    }

    /// The column of this name.
    pub fn column(&self, id: &ColumnId) -> Option<&ColumnTruth> {
        self.columns.iter().find(|column| column.id == *id)
    }

    /// The raw integers given, by column; columns of which nothing was given are left out.
    pub fn sequences(&self) -> HashMap<&ColumnId, Vec<i64>> {
        let given = self
            .columns
            .iter()
            .filter(|column| !column.given.is_empty());
        given
            .map(|column| {
                (
                    &column.id,
                    column.given.iter().map(|record| record.raw).collect(),
                )
            })
            .collect()
    }

    /// How many values were given.
    pub fn given(&self) -> usize {
        self.columns.iter().map(|column| column.given.len()).sum()
    }

    /// How many were withheld.
    pub fn withheld(&self) -> usize {
        self.columns
            .iter()
            .map(|column| column.withheld.len())
            .sum()
    }
}
