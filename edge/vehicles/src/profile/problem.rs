//! What can be wrong with a profile.

use std::{collections::HashMap, fmt, time::Duration};

use shared_protocol::Decimal;
use thiserror::Error;

/// Something wrong, and the key it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Path of the key, array places from 0: `command[3].signal[0].divide`.
    pub path: String,
    /// How bad it is.
    pub level: Level,
    /// What it is.
    pub fault: Fault,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It works, and may not be what was meant.
    Warning,
    /// The profile cannot be used.
    Error,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Fault {
    /// A text or a list that needs something in it.
    #[error("must not be empty")]
    Empty,
    /// A name that something else has.
    #[error("`{name}` is used already by {by}")]
    Duplicate {
        /// The name.
        name: String,
        /// Path of the key that has it.
        by: String,
    },
    /// A pattern no VIN can fit.
    #[error(
        "`{0}` is not a pattern of a VIN: at most 17 of A-Z, 0-9 and `?`, and `*` only at the end"
    )]
    VinPattern(String),
    /// A bit rate that no bus has.
    #[error("{found} bit/s: a bus has {least} to {greatest}")]
    Bitrate {
        /// As given.
        found: u32,
        /// Least.
        least: u32,
        /// Greatest.
        greatest: u32,
    },
    /// A bus that is not in the profile.
    #[error("there is no bus `{0}`")]
    NoBus(String),
    /// Several buses and no choice.
    #[error("the profile has several buses: say which")]
    WhichBus,
    /// A request on a bus where nothing is sent.
    #[error("bus `{0}` is listen_only: nothing can be asked on it")]
    ListenOnly(String),
    /// The identifier of the answer is not known.
    #[error("must be given: which identifier answers does not follow from this request")]
    NoResponse,
    /// An 11-bit request with a 29-bit answer or the other way round.
    #[error("request and response must both have 11 bit or both 29 bit")]
    MixedIdentifiers,
    /// A service that does more than reading.
    #[error("{0:02X} is not a service that only reads: 01, 02, 09, 1A, 21 and 22 are")]
    Service(u8),
    /// An identifier that does not go with its service.
    #[error("service {service:02X} takes {expected} identifier bytes, here are {found}")]
    IdentifierLength {
        /// The service.
        service: u8,
        /// What it takes.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// A session other than the default one.
    #[error(
        "every request takes the ECU out of its default session; many ECUs refuse that while driving"
    )]
    Session,
    /// The same request twice.
    #[error("asks the same as {0}")]
    SameRequest(String),
    /// No interval at all.
    #[error("no interval is given: it is never asked")]
    NeverAsked,
    /// An interval that a bus or a battery does not bear.
    #[error("shorter than {}", config_file::duration_text(*least))]
    Interval {
        /// What is bearable.
        least: Duration,
    },
    /// Years that are none.
    #[error("contains no year")]
    NoYear,
    /// A length that no integer has.
    #[error("{0} bits: a signal has 1 to 64")]
    Length(u8),
    /// Bits that no answer has.
    #[error("ends at bit {end}; the longest answer has {longest} after service and identifier")]
    BeyondAnswer {
        /// First bit after the signal.
        end: u64,
        /// Bits of the longest answer.
        longest: u64,
    },
    /// Little-endian bits that are not bytes.
    #[error("a little-endian signal must begin and end at a byte")]
    Unaligned,
    /// A scale of 0.
    #[error("must not be 0")]
    Zero,
    /// Bounds the wrong way round.
    #[error("must be greater than {0}")]
    Bounds(Decimal),
    /// A signal the catalogue does not have.
    #[error("the catalogue has no signal `{0}`")]
    NotInCatalogue(String),
    /// Another unit than the catalogue's.
    #[error(
        "values must be in {expected} (the catalogue's unit), not in {found}: convert with multiply, divide and add"
    )]
    Unit {
        /// The catalogue's unit.
        expected: String,
        /// The unit given.
        found: String,
    },
    /// A raw integer that the bits cannot hold.
    #[error("{0} is not a raw integer that this signal can have")]
    Raw(i64),
    /// Two signals share bits.
    #[error("shares bits with {0}")]
    Overlap(String),
    /// Not a signal of a DBC file.
    #[error("`{0}` is not a signal of a DBC file: write Message.Signal")]
    NotDotted(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.fault)
    }
}

/// Problems as they are found.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) list: Vec<Problem>,
}

impl Problems {
    pub(super) fn error(&mut self, path: impl Into<String>, fault: Fault) {
        self.list.push(Problem {
            path: path.into(),
            level: Level::Error,
            fault,
        });
    }

    pub(super) fn warning(&mut self, path: impl Into<String>, fault: Fault) {
        self.list.push(Problem {
            path: path.into(),
            level: Level::Warning,
            fault,
        });
    }

    pub(super) fn filled(&mut self, path: impl Into<String>, text: &str) {
        if text.trim().is_empty() {
            self.error(path, Fault::Empty);
        }
    }

    pub(super) fn unique(
        &mut self,
        names: &mut HashMap<String, String>,
        name: &str,
        path: String,
        level: Level,
    ) {
        if let Some(by) = names.get(name) {
            let fault = Fault::Duplicate {
                name: name.to_owned(),
                by: by.clone(),
            };
            self.list.push(Problem { path, level, fault });
        } else {
            names.insert(name.to_owned(), path);
        }
    }

    pub(super) fn bitrate(&mut self, path: String, found: u32, least: u32, greatest: u32) {
        if !(least..=greatest).contains(&found) {
            self.error(
                path,
                Fault::Bitrate {
                    found,
                    least,
                    greatest,
                },
            );
        }
    }
}
