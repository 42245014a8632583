//! Bytes written as hexadecimal text.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

/// Bytes, written as pairs of hexadecimal digits: `"0101"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hex(pub Vec<u8>);

/// Why a text is not bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not bytes: write pairs of hexadecimal digits such as 22 or F190")]
pub struct NotHex(String);

impl FromStr for Hex {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let digits = text.as_bytes();
        let digit = |b: u8| char::from(b).to_digit(16);
        let byte = |pair: &[u8]| match pair {
            &[high, low] => Some((digit(high)? * 16 + digit(low)?) as u8),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        bytes
            .map(Self)
            .ok_or_else(|| NotHex(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// A single byte as two hexadecimal digits.
pub(super) mod byte {
    use super::{Deserialize, Deserializer, Hex, Serializer};
    use serde::de::Error as _;

    pub(in crate::profile) fn serialize<S: Serializer>(
        byte: &u8,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{byte:02X}"))
    }

    pub(in crate::profile) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u8, D::Error> {
        match Hex::deserialize(deserializer)?.0.as_slice() {
            &[byte] => Ok(byte),
            _ => Err(D::Error::custom(
                "expected one byte: two hexadecimal digits such as 22",
            )),
        }
    }
}

/// The same where there may be none.
pub(super) mod optional_byte {
    use super::{Deserializer, Serializer, byte};

    // serde asks so.
    #[expect(clippy::ref_option)]
    pub(in crate::profile) fn serialize<S: Serializer>(
        byte: &Option<u8>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match byte {
            Some(byte) => super::byte::serialize(byte, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::profile) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u8>, D::Error> {
        // Called only where the key is there.
        byte::deserialize(deserializer).map(Some)
    }
}

/// A CAN identifier as text: three digits are 11 bit, eight are 29 bit.
pub(super) mod can_id {
    use super::{Deserialize, Deserializer, Serializer};
    use isotp::CanId;
    use serde::de::Error as _;

    pub(in crate::profile) fn serialize<S: Serializer>(
        id: &CanId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(in crate::profile) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<CanId, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// The same where there may be none.
pub(super) mod optional_can_id {
    use super::{Deserializer, Serializer, can_id};
    use isotp::CanId;

    // serde asks so.
    #[expect(clippy::ref_option)]
    pub(in crate::profile) fn serialize<S: Serializer>(
        id: &Option<CanId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => can_id::serialize(id, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::profile) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<CanId>, D::Error> {
        can_id::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!("F190".parse::<Hex>().unwrap(), Hex(vec![0xF1, 0x90]));
        assert_eq!(Hex(vec![0, 0x0A]).to_string(), "000A");
        for text in ["F", "0x22", "2 2", "é", "GG"] {
            assert!(text.parse::<Hex>().is_err(), "{text}");
        }
    }
}
