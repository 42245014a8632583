//! Writing the truth down.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::ColumnKind;
use crate::faults::Fault;

/// A value for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Number of the column.
    pub column: u32,
    /// Raw integer in steps of the column.
    pub raw: i64,
}

/// The file, and how much is in it.
///
/// Values are in the order in which they were given: who gives one writes it down before anybody else can give
/// another one of the same column, because each column has one giver.
#[derive(Debug)]
pub struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    buffer: Vec<u8>,
    columns: u32,
    given: u64,
    withheld: u64,
    /// The first thing that went wrong; nothing is written after it.
    failure: Option<io::Error>,
}

/// So many bytes wait before they are written.
const BUFFER: usize = 1 << 16;

impl Log {
    /// Begins a new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let inner = Inner {
            file: File::create(path)?,
            buffer: Vec::with_capacity(BUFFER + 4096),
            columns: 0,
            given: 0,
            withheld: 0,
            failure: None,
        };
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Defines the columns of an asset; the number of the first.
    pub fn define(&self, asset: &str, kinds: &[ColumnKind]) -> u32 {
        let mut inner = self.inner();
        let first = inner.columns;
        for kind in kinds {
            let line = serde_json::json!({
                "column": inner.columns,
                "asset": asset,
                "source": kind.source.name(),
                "signal": kind.signal,
                "unit": kind.unit,
                "step": kind.step,
            });
            inner.columns += 1;
            inner.line(format_args!("{line}"));
        }
        first
    }

    /// Values that were given now, at this simulated time in ms.
    pub fn given(&self, simulated_ms: i64, samples: &[Sample]) {
        self.write(simulated_ms, samples, None);
    }

    /// Values that were not given because of a fault.
    pub fn withheld(&self, simulated_ms: i64, samples: &[Sample], fault: Fault) {
        self.write(simulated_ms, samples, Some(fault));
    }

    fn write(&self, simulated_ms: i64, samples: &[Sample], fault: Option<Fault>) {
        if samples.is_empty() {
            return;
        }
        let mut inner = self.inner();
        let wall = jiff::Timestamp::now().as_microsecond();
        for &Sample { column, raw } in samples {
            if let Some(fault) = fault {
                let name = fault.name();
                inner.line(format_args!(
                    r#"{{"c":{column},"r":{raw},"t":{wall},"s":{simulated_ms},"x":"{name}"}}"#
                ));
                inner.withheld += 1;
            } else {
                inner.line(format_args!(
                    r#"{{"c":{column},"r":{raw},"t":{wall},"s":{simulated_ms}}}"#
                ));
                inner.given += 1;
            }
        }
    }

    /// Writes out what waits.
    pub fn flush(&self) {
        self.inner().flush();
    }

    /// How many values were given and how many withheld.
    pub fn counts(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.given, inner.withheld)
    }

    /// Writes out what waits; an error if anything could not be written since the start.
    pub fn finish(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.flush();
        inner.failure.take().map_or(Ok(()), Err)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a vector cannot fail.
        let _ = writeln!(self.buffer, "{line}");
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.failure.is_none()
            && let Err(error) = self.file.write_all(&self.buffer)
        {
            tracing::error!(%error, "the truth cannot be written: this run proves nothing");
            self.failure = Some(error);
        }
        self.buffer.clear();
    }
}
