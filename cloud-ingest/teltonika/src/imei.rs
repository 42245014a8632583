//! The number by which a device says who it is.

use std::{fmt, str::FromStr};

use crate::CodecError;

/// An IMEI: 15 digits. Devices of a test bench have numbers whose check digit is wrong, and so it is not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Imei([u8; 15]);

impl Imei {
    /// Its digits as text.
    pub fn as_str(&self) -> &str {
        // Only digits get in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn read(digits: &[u8]) -> Result<Self, CodecError> {
        match <[u8; 15]>::try_from(digits) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(CodecError::Imei(
                String::from_utf8_lossy(&digits[..digits.len().min(40)]).into_owned(),
            )),
        }
    }

    /// From eight bytes of two digits each, the first of which is 0.
    pub(crate) fn from_bcd(bytes: &[u8]) -> Result<Self, CodecError> {
        let digits: Vec<u8> = bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| if digit < 10 { b'0' + digit } else { b'?' })
            .collect();
        Self::read(digits.strip_prefix(b"0").unwrap_or(&digits))
    }

    pub(crate) fn to_bcd(self) -> [u8; 8] {
        let digit = |at: usize| if at == 0 { 0 } else { self.0[at - 1] - b'0' };
        std::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1))
    }
}

impl FromStr for Imei {
    type Err = CodecError;

    fn from_str(text: &str) -> Result<Self, CodecError> {
        Self::read(text.as_bytes())
    }
}

impl fmt::Display for Imei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Imei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
