//! What a device sent, as far as storing it is concerned.

use std::sync::Arc;

use jiff::Timestamp;
use shared_protocol::{Decimal, Digest, Encoding, SignalDef, SignalRef, catalogue};

use crate::Device;

/// Why a value is not stored although its record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// No list says what it means.
    Unmapped,
    /// It cannot be true.
    Impossible,
}

impl Why {
    /// The word in the database and in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unmapped => "unmapped",
            Self::Impossible => "impossible",
        }
    }
}

/// A value that is not stored, but counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The device's own name of the signal.
    pub code: String,
    /// Why.
    pub why: Why,
    /// What it was, for people.
    pub detail: String,
}

/// One record of a device.
#[derive(Clone, Debug)]
pub struct Record {
    /// By whom.
    pub device: Arc<Device>,
    /// When it was made.
    pub time: Timestamp,
    /// Names it: two records of one device are the same when their digests are. Of all that it says, its time included.
    pub digest: Digest,
    /// What was measured. Each value has the device's own name of its signal, to be counted by if it cannot be true.
    pub values: Vec<(String, Arc<SignalDef>, i64)>,
    /// What is counted instead.
    pub unread: Vec<Unread>,
    /// The record as it came, kept when it cannot be true.
    pub payload: Vec<u8>,
}

/// A signal by its name: one of the catalogue when it is there, else one of its own with this unit. `scale` and `offset` give
/// values in the catalogue's unit.
pub fn signal(
    name: &str,
    unit: &str,
    scale: Decimal,
    offset: Decimal,
) -> Result<SignalDef, String> {
    let signal = match catalogue().by_name(name) {
        Some(known) if known.unit == unit => SignalRef::Catalogue(known.id),
        Some(known) => return Err(format!("{name} is given in {}, not in {unit}", known.unit)),
        None => SignalRef::Named {
            name: name.to_owned(),
            unit: unit.to_owned(),
        },
    };
    let encoding = Encoding::Scaled { scale, offset };
    Ok(SignalDef { signal, encoding })
}
