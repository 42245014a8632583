//! Names and numbers: who speaks, and the number of a block `(gateway, epoch, stream, seq)`.

use std::{fmt, str::FromStr};

use bincode::{Decode, Encode, error::DecodeError};

use crate::Class;

/// A name that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {what}: use 1 to {longest} of the characters {allowed}")]
pub struct BadName {
    what: &'static str,
    found: String,
    longest: usize,
    allowed: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $longest:literal, $allowed:literal, $test:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                let allowed: fn(u8) -> bool = $test;
                if (1..=$longest).contains(&text.len()) && text.bytes().all(allowed) {
                    return Ok(Self(text));
                }
                let found = text.chars().take(80).collect();
                Err(BadName { what: $what, found, longest: $longest, allowed: $allowed })
            }
        }

        impl FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<C> Decode<C> for $type {
            fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Self::try_from(String::decode(decoder)?).map_err(|_| DecodeError::Other(concat!("not a ", $what)))
            }
        }
        bincode::impl_borrow_decode!($type);
    };
}

name!(
    /// Name of a gateway: a level of its MQTT topics and the common name of its certificate.
    GatewayId, "gateway id", 32, "a-z 0-9 -", |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
);
name!(
    /// A gateway's local key of an asset (a vehicle, a charger, a meter); the cloud maps it to the asset.
    AssetKey, "asset key", 64, "a-z 0-9 . - _",
    |b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_')
);

/// One life of a gateway's database. A new one begins at every unclean start, loss or restore of the database and
/// key rotation; the random nonce makes sure that a disk that lied cannot use a number twice for other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Epoch {
    /// Grows with every epoch of the gateway, as far as its disk remembers.
    pub counter: u32,
    /// Random.
    pub nonce: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.counter, self.nonce)
    }
}

/// A numbered sequence of blocks within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum Stream {
    /// Definitions of columns, before the samples that use them.
    Columns,
    /// Samples of class `critical`, and records (answers to commands).
    Critical,
    /// Samples of class `live`.
    Live,
    /// Samples of class `bulk`.
    Bulk,
    /// Charging transactions, oldest first.
    Transactions,
}

impl Stream {
    /// Every stream, dearest first.
    pub const ALL: [Self; 5] = [
        Self::Columns,
        Self::Transactions,
        Self::Critical,
        Self::Live,
        Self::Bulk,
    ];

    /// The number stored in databases; never reused.
    pub const fn number(self) -> u8 {
        match self {
            Self::Columns => 0,
            Self::Critical => 1,
            Self::Live => 2,
            Self::Bulk => 3,
            Self::Transactions => 4,
        }
    }

    /// The stream with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|stream| stream.number() == number)
    }

    /// The stream of samples of this class.
    pub const fn of(class: Class) -> Self {
        match class {
            Class::Critical => Self::Critical,
            Class::Live => Self::Live,
            Class::Bulk => Self::Bulk,
        }
    }

    /// The class whose topic and priority its blocks have.
    pub const fn class(self) -> Class {
        match self {
            Self::Columns | Self::Critical | Self::Transactions => Class::Critical,
            Self::Live => Class::Live,
            Self::Bulk => Class::Bulk,
        }
    }

    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Critical => "critical",
            Self::Live => "live",
            Self::Bulk => "bulk",
            Self::Transactions => "transactions",
        }
    }
}

/// The number of a block; together with its gateway it is given to one content only, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct BlockNumber {
    /// The epoch it was made in.
    pub epoch: Epoch,
    /// Its stream.
    pub stream: Stream,
    /// Its place in the stream, from 0 without gaps.
    pub seq: u64,
}

impl fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.epoch, self.stream.name(), self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!("depot-1".parse::<GatewayId>().is_ok());
        for bad in ["", "a/b", "+", "#", "Depot", "ä", &"x".repeat(33)] {
            assert!(bad.parse::<GatewayId>().is_err(), "{bad}");
        }
        assert!("car.07_a-1".parse::<AssetKey>().is_ok());
    }

    #[test]
    fn stream_numbers_are_stable() {
        for (number, stream) in [
            Stream::Columns,
            Stream::Critical,
            Stream::Live,
            Stream::Bulk,
            Stream::Transactions,
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(usize::from(stream.number()), number);
            assert_eq!(Stream::from_number(stream.number()), Some(stream));
        }
        assert_eq!(Stream::from_number(5), None);
    }
}
