//! What could not be taken over from a signal set.

use thiserror::Error;

/// Something in a set that is not in the imported commands, or not as the set says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {kind}")]
pub struct Note {
    /// Where, array places from 0: `commands[3].signals[0].fmt.len`.
    pub path: String,
    /// What it is.
    pub kind: NoteKind,
}

/// What it is. Where it says *left out*, the rest of the set is not affected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoteKind {
    /// A key that this importer does not know.
    #[error("unknown key, not looked at: its meaning may change what is decoded")]
    UnknownKey,
    /// Something is missing or of another form.
    #[error("left out: expected {expected}")]
    Form {
        /// What should be there.
        expected: &'static str,
    },
    /// Not a CAN protocol.
    #[error("left out: protocol {0} is not CAN")]
    NotCan(String),
    /// Identifiers that are no CAN identifiers.
    #[error("left out: `{0}` gives no CAN identifier")]
    Identifier(String),
    /// The answer's identifier is not given and does not follow.
    #[error("no `rax`: answers can be decoded, but the gateway cannot ask: add `response`")]
    NoResponse,
    /// A signal of impossible bits.
    #[error("left out: {0} bits; 1 to 64 can be decoded")]
    Length(u64),
    /// Bits beyond the longest answer.
    #[error("left out: it lies beyond the longest answer")]
    Beyond,
    /// Little-endian bits that are not bytes.
    #[error("left out: little-endian, and does not begin and end at a byte")]
    Unaligned,
    /// A scale of 0.
    #[error("left out: a scale of 0, or a division by 0")]
    Zero,
    /// The same name twice.
    #[error("left out: `{0}` is there already")]
    Again(String),
    /// Nothing of a command could be taken over.
    #[error("left out: none of its signals could be taken over")]
    NoSignals,
    /// Signals computed from others.
    #[error("left out: signals computed from others are not supported")]
    Synthetic,
    /// A metric that stays under its own name.
    #[error("keeps its own name: metric `{metric}` in {unit} cannot be converted to the catalogue")]
    NotConverted {
        /// The metric.
        metric: String,
        /// The signal's unit.
        unit: String,
    },
}
