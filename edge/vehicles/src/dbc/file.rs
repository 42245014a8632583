//! What a DBC file says, free of the parser's types.

use std::collections::BTreeMap;

use isotp::CanId;
use shared_protocol::Decimal;

use super::Warning;

/// A DBC file, as far as decoding needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dbc {
    /// Its messages in the order of the file; identifiers are unique.
    pub messages: Vec<Message>,
    /// What was left out or looks wrong, by line.
    pub warnings: Vec<Warning>,
}

/// One message: the frames of one identifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Identifier of its frames.
    pub id: CanId,
    /// Name, unique within the file.
    pub name: String,
    /// Length of its frames in bytes, 0 to 64.
    pub length: u16,
    /// Its signals; each fits in 64 bytes.
    pub signals: Vec<Signal>,
    /// Line of the file.
    pub line: u32,
}

/// One signal of a message. `value = raw × scale + offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Name. Two signals of a message share one only if a multiplexor keeps them apart.
    pub name: String,
    /// Start bit as DBC counts: bit `start % 8` of byte `start / 8`, bit 0 being the least significant. It is the
    /// signal's least significant bit if `order` is Intel, its most significant if Motorola.
    pub start: u16,
    /// Length in bits, 1 to 64.
    pub length: u16,
    /// Which way the signal goes from its start bit.
    pub order: ByteOrder,
    /// What its bits are.
    pub number: Number,
    /// Value of one step.
    pub scale: Decimal,
    /// Value of raw 0.
    pub offset: Decimal,
    /// Unit as the file writes it; may be empty.
    pub unit: String,
    /// Whether other signals depend on its raw value.
    pub multiplexor: bool,
    /// When it is in the frame; `None` is always.
    pub when: Option<When>,
    /// Texts of raw values (`VAL_`).
    pub texts: BTreeMap<i64, String>,
    /// Line of the file.
    pub line: u32,
}

/// The order of a signal's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Little endian, `@1`.
    Intel,
    /// Big endian, `@0`.
    Motorola,
}

/// What a signal's bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// Unsigned integer.
    Unsigned,
    /// Two's complement.
    Signed,
    /// IEEE 754 binary32 or binary64, by the signal's length (`SIG_VALTYPE_`).
    Float,
}

/// A multiplexed signal is in the frame when its multiplexor's raw value is in one of these ranges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct When {
    /// Name of the multiplexor, a signal of the same message.
    pub multiplexor: String,
    /// Ranges of its raw value, both ends included.
    pub ranges: Vec<(u64, u64)>,
}
