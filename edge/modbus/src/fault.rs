//! What can go wrong between a request and its answer. After any of these nothing on the line is trusted
//! until it has been silent, and nothing of the unit until it has proved to be in step.

use std::time::Duration;

/// Why an exchange gave no answer that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The answer was not complete in time.
    #[error(
        "no answer within {after:?} ({received} bytes came): check wiring, address and speed, or raise the time-out"
    )]
    Timeout {
        /// How long was waited.
        after: Duration,
        /// How many bytes had come.
        received: usize,
    },
    /// Bytes nobody asked for were on the line before the request.
    #[error("bytes nobody asked for were on the line: another master, or an answer that came late")]
    Stray,
    /// Bytes followed the answer where there has to be silence.
    #[error(
        "bytes followed the answer: another master, a unit address used twice, or an echo on the line"
    )]
    Trailing,
    /// Another unit answered.
    #[error(
        "unit {found} answered instead of unit {expected}: it answers late, or its address is used twice"
    )]
    Unit {
        /// Who was asked.
        expected: u8,
        /// Who answered.
        found: u8,
    },
    /// The answer is one to another function.
    #[error("function {found} answered instead of {expected}: the unit answers late")]
    Function {
        /// What was asked.
        expected: u8,
        /// What was answered.
        found: u8,
    },
    /// The answer has another length than the request allows.
    #[error(
        "{found} bytes announced or received instead of {expected}: the unit answers late, or its map asks for registers it does not have"
    )]
    Length {
        /// What the request allows.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// The checksum is wrong.
    #[error(
        "wrong checksum: noise on the line, missing termination, or two units answered at once"
    )]
    Crc,
    /// The answer carries the number of another request.
    #[error("answer to request {found} instead of {expected}: the device answers late")]
    Transaction {
        /// Number of the request.
        expected: u16,
        /// Number of the answer.
        found: u16,
    },
    /// Not Modbus.
    #[error("protocol {found} instead of 0: this is not a Modbus TCP device")]
    Protocol {
        /// What the header says.
        found: u16,
    },
    /// A write was answered with another address or value.
    #[error("the unit confirmed another write than the one sent")]
    Echo,
    /// The line never became silent.
    #[error("the line did not become silent within {within:?}: something on it sends all the time")]
    Babble {
        /// How long was waited.
        within: Duration,
    },
    /// After an earlier fault this connection must not be used again.
    #[error("the connection had a fault and has to be opened again")]
    Spoilt,
    /// The other side closed the connection.
    #[error("the connection was closed by the other side")]
    Closed,
    /// The operating system reported an error.
    #[error("the line failed: {0}")]
    Io(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}
