//! What was left out of a DBC file, and where.

use thiserror::Error;

/// Something a file says that could not be used, or that looks wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct Warning {
    /// Line of the file, from 1.
    pub line: u32,
    /// What it is.
    pub kind: WarningKind,
}

/// What is wrong. Where it says *left out*, the rest of the file is not affected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WarningKind {
    /// The file's bytes are not UTF-8.
    #[error(
        "the file is not UTF-8; it was read as Windows-1252: check units with special characters"
    )]
    NotUtf8,
    /// A statement that does not follow the grammar.
    #[error("{keyword} statement left out: {reason}")]
    Unreadable {
        /// Its keyword.
        keyword: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A quotation mark was never closed.
    #[error("a quotation mark is not closed on this line; it was taken to end here")]
    OpenString,
    /// An identifier outside 11 or 29 bits.
    #[error(
        "message `{name}` left out: {id} is not an identifier (11 bit, or 29 bit with bit 31 set)"
    )]
    Identifier {
        /// The message.
        name: String,
        /// The number in the file.
        id: u64,
    },
    /// A message longer than a CAN FD frame (J1939 transport messages are written so).
    #[error("message `{name}` left out: {length} bytes are more than a CAN FD frame holds")]
    MessageLength {
        /// The message.
        name: String,
        /// The length in the file.
        length: u64,
    },
    /// Two messages with one identifier.
    #[error("message `{name}` left out: line {by} defines the same identifier again")]
    MessageAgain {
        /// The message left out.
        name: String,
        /// Where the one kept stands.
        by: u32,
    },
    /// Two messages with one name.
    #[error("message `{name}` is a second one of this name; it was renamed to `{renamed}`")]
    MessageName {
        /// The name in the file.
        name: String,
        /// The name it has now.
        renamed: String,
    },
    /// A signal outside any message.
    #[error("signal left out: no BO_ statement before it could be read")]
    NoMessage,
    /// A signal without bits, or with more than 64.
    #[error("signal `{name}` left out: {length} bits; 1 to 64 can be decoded")]
    SignalLength {
        /// The signal.
        name: String,
        /// Its length in the file.
        length: u64,
    },
    /// A signal that no frame can hold.
    #[error("signal `{name}` left out: it reaches beyond 64 bytes")]
    BeyondFrame {
        /// The signal.
        name: String,
    },
    /// A signal longer than its message says it is. It is decoded from frames that are long enough.
    #[error(
        "signal `{name}` needs {needs} bytes, its message has {has}; it is read from frames that are long enough"
    )]
    BeyondMessage {
        /// The signal.
        name: String,
        /// Bytes it needs.
        needs: u16,
        /// Bytes its message has.
        has: u16,
    },
    /// A factor or offset that is not a number of this world.
    #[error(
        "signal `{name}` left out: its factor or offset has more than 18 digits or is beyond 10^40"
    )]
    Scale {
        /// The signal.
        name: String,
    },
    /// A factor of 0.
    #[error("signal `{name}` has factor 0: its value never changes")]
    ScaleZero {
        /// The signal.
        name: String,
    },
    /// The same signal twice.
    #[error(
        "signal `{name}` left out: the message has it already, and nothing keeps the two apart"
    )]
    SignalAgain {
        /// The signal.
        name: String,
    },
    /// Two signals that share bits and can be in one frame. Both are decoded.
    #[error("signals `{name}` and `{other}` share bits")]
    Overlap {
        /// One.
        name: String,
        /// The other.
        other: String,
    },
    /// `m3` without a multiplexor, or with several and no `SG_MUL_VAL_`, or a circle of them.
    #[error(
        "signal `{name}` left out: it is multiplexed, and which signal selects it is not known"
    )]
    NoMultiplexor {
        /// The signal.
        name: String,
    },
    /// A float of another length than 32 or 64 bits.
    #[error("signal `{name}` left out: a float of {length} bits; 32 and 64 exist")]
    FloatLength {
        /// The signal.
        name: String,
        /// Its length.
        length: u16,
    },
    /// A statement about something that is not in the file.
    #[error("{keyword} statement left out: there is no signal `{signal}` in message {message}")]
    Unknown {
        /// Its keyword.
        keyword: &'static str,
        /// The message's number in the file.
        message: u64,
        /// The signal.
        signal: String,
    },
}
