//! Recorded buses: SavvyCAN's GVRET CSV, can-utils' candump (log and text), Vector's ASC, PEAK's TRC. [`LogReader`] finds
//! out from the content which one it is.
//!
//! | file | what it is about |
//! |---|---|
//! | `reader.rs` | [`LogReader`]: lines into frames, whatever the format |
//! | `gvret.rs`, `candump.rs`, `asc.rs`, `trc.rs` | a line of each format |
//! | `text.rs` | numbers and bytes in texts |

mod asc;
mod candump;
mod gvret;
mod reader;
mod text;
mod trc;

use isotp::CanId;
use thiserror::Error;

pub use reader::LogReader;

/// One frame of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFrame {
    /// When, in microseconds as the recording counts: since its beginning, or since 1970.
    pub time_us: u64,
    /// Number of the bus as the recording gives it; of an interface its number (`can1` is 1), 0 if it has none.
    pub bus: u16,
    /// Identifier; of an error frame without meaning.
    pub id: CanId,
    /// Whether it is a CAN FD frame.
    pub fd: bool,
    /// Whether it is a remote frame: no data.
    pub remote: bool,
    /// Whether it reports an error of the bus: its data is not a vehicle's.
    pub error: bool,
    /// Data, at most 64 bytes.
    pub data: Vec<u8>,
}

/// A line of a recording that could not be read. It was skipped; the next ones are not affected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct LogError {
    /// Line, from 1.
    pub line: u64,
    /// What is wrong.
    pub kind: LogErrorKind,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogErrorKind {
    /// No format has been recognised so far.
    #[error("not a line of a GVRET, candump, ASC or TRC recording")]
    UnknownFormat,
    /// Something is missing.
    #[error("expected {expected}, the line ends")]
    Ends {
        /// What should be there.
        expected: &'static str,
    },
    /// Something has another form.
    #[error("expected {expected}, found `{found}`")]
    Form {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Fewer bytes than the line says.
    #[error("{found} bytes of data where the line says {announced}")]
    Length {
        /// Bytes the line says.
        announced: usize,
        /// Bytes there.
        found: usize,
    },
}
