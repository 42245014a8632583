//! CAN frames and identifiers as ISO 15765-2 needs them (ISO 11898-1).

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The data lengths a CAN FD frame can have beyond eight bytes (ISO 11898-1, DLC 9 to 15).
const FD_LENGTHS: [u8; 7] = [12, 16, 20, 24, 32, 48, 64];

/// The smallest length a frame can have that holds `len` bytes, or `None` above 64.
pub(crate) fn round_up_to_dlc(len: usize) -> Option<usize> {
    if len <= 8 {
        return Some(len);
    }
    FD_LENGTHS
        .iter()
        .map(|&l| usize::from(l))
        .find(|&l| l >= len)
}

/// Why bytes are not a frame, or a number is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// An 11-bit identifier is at most 7FF.
    #[error("{0:X} is not an 11-bit identifier: at most 7FF")]
    Standard(u32),
    /// A 29-bit identifier is at most 1FFFFFFF.
    #[error("{0:X} is not a 29-bit identifier: at most 1FFFFFFF")]
    Extended(u32),
    /// The text is not hexadecimal.
    #[error(
        "`{0}` is not an identifier: write 7E8 (11 bit, up to three digits) or 18DAF110 (29 bit)"
    )]
    Text(String),
    /// No frame of this kind has this length.
    #[error("no {} frame holds exactly {len} bytes", if *.fd { "CAN FD" } else { "classic CAN" })]
    Length {
        /// The number of data bytes given.
        len: usize,
        /// Whether a CAN FD frame was asked for.
        fd: bool,
    },
}

/// A CAN identifier, 11 or 29 bit. The two are different even when the numbers are equal.
///
/// Written as candump does: three hexadecimal digits for 11 bit, eight for 29 bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanId {
    extended: bool,
    raw: u32,
}

impl CanId {
    /// An 11-bit identifier.
    pub const fn standard(raw: u32) -> Result<Self, FrameError> {
        if raw > 0x7FF {
            return Err(FrameError::Standard(raw));
        }
        Ok(Self {
            extended: false,
            raw,
        })
    }

    /// A 29-bit identifier.
    pub const fn extended(raw: u32) -> Result<Self, FrameError> {
        if raw > 0x1FFF_FFFF {
            return Err(FrameError::Extended(raw));
        }
        Ok(Self {
            extended: true,
            raw,
        })
    }

    /// An 11-bit identifier known to be in range.
    pub(crate) const fn known_standard(raw: u16) -> Self {
        Self {
            extended: false,
            raw: raw as u32 & 0x7FF,
        }
    }

    /// A 29-bit identifier known to be in range.
    pub(crate) const fn known_extended(raw: u32) -> Self {
        Self {
            extended: true,
            raw: raw & 0x1FFF_FFFF,
        }
    }

    /// The number, without the flag for 29 bit.
    pub const fn raw(self) -> u32 {
        self.raw
    }

    /// Whether this is a 29-bit identifier.
    pub const fn is_extended(self) -> bool {
        self.extended
    }
}

impl fmt::Display for CanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.extended {
            write!(f, "{:08X}", self.raw)
        } else {
            write!(f, "{:03X}", self.raw)
        }
    }
}

impl FromStr for CanId {
    type Err = FrameError;

    /// Reads `7E8` or `0x7E8` as 11 bit, anything longer than three digits as 29 bit.
    fn from_str(text: &str) -> Result<Self, FrameError> {
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .unwrap_or(text);
        let wrong = || FrameError::Text(text.to_owned());
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let raw = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
        if digits.len() <= 3 {
            Self::standard(raw)
        } else {
            Self::extended(raw)
        }
    }
}

/// A CAN data frame, classic (0 to 8 bytes) or FD (0 to 8, 12, 16, 20, 24, 32, 48 or 64 bytes).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    id: CanId,
    fd: bool,
    len: u8,
    bytes: [u8; 64],
}

impl Frame {
    /// A classic frame.
    pub fn classic(id: CanId, data: &[u8]) -> Result<Self, FrameError> {
        if data.len() > 8 {
            return Err(FrameError::Length {
                len: data.len(),
                fd: false,
            });
        }
        Ok(Self::filled(id, false, data, data.len(), 0))
    }

    /// A CAN FD frame; `data` must already have a length a frame can have.
    pub fn fd(id: CanId, data: &[u8]) -> Result<Self, FrameError> {
        if round_up_to_dlc(data.len()) != Some(data.len()) {
            return Err(FrameError::Length {
                len: data.len(),
                fd: true,
            });
        }
        Ok(Self::filled(id, true, data, data.len(), 0))
    }

    /// `data` followed by `pad` up to `len` bytes. The caller knows that `data` fits in `len` and `len` in a frame.
    pub(crate) fn filled(id: CanId, fd: bool, data: &[u8], len: usize, pad: u8) -> Self {
        let mut bytes = [0; 64];
        bytes[..data.len()].copy_from_slice(data);
        bytes[data.len()..len].fill(pad);
        Self {
            id,
            fd,
            len: len as u8,
            bytes,
        }
    }

    /// The identifier.
    pub fn id(&self) -> CanId {
        self.id
    }

    /// Whether this is a CAN FD frame.
    pub fn is_fd(&self) -> bool {
        self.fd
    }

    /// The data bytes; their number is the standard's `CAN_DL`.
    pub fn data(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Frame {
    /// As candump writes it: `7E8#0341000B`, with `##` for CAN FD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id, if self.fd { "##" } else { "#" })?;
        self.data().iter().try_for_each(|b| write!(f, "{b:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_keep_their_kind() {
        let short: CanId = "7E8".parse().unwrap();
        let long: CanId = "0x000007E8".parse().unwrap();
        assert_eq!((short.raw(), short.is_extended()), (0x7E8, false));
        assert_eq!((long.raw(), long.is_extended()), (0x7E8, true));
        assert_ne!(short, long);
        assert_eq!(
            (short.to_string(), long.to_string()),
            ("7E8".into(), "000007E8".into())
        );
        assert!("800".parse::<CanId>().is_err());
        assert!("20000000".parse::<CanId>().is_err());
        for text in ["", "0x", "7G8", "+7E", "123456789"] {
            assert!(text.parse::<CanId>().is_err(), "{text}");
        }
    }

    #[test]
    fn frames_have_the_lengths_of_their_kind() {
        let id = CanId::known_standard(0x7E0);
        for len in 0..=70 {
            let data = vec![1; len];
            assert_eq!(Frame::classic(id, &data).is_ok(), len <= 8);
            let fd = matches!(len, 0..=8 | 12 | 16 | 20 | 24 | 32 | 48 | 64);
            assert_eq!(Frame::fd(id, &data).is_ok(), fd, "{len}");
        }
    }
}
