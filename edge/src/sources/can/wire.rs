//! What a raw CAN socket gives: `struct can_frame` and `struct canfd_frame` of linux/can.h, and the error frames of
//! linux/can/error.h.

use std::fmt;

use isotp::{CanId, Frame};

/// Length of a `struct can_frame`.
const CLASSIC: usize = 16;
/// Length of a `struct canfd_frame`, the longest there is.
pub(super) const LONGEST: usize = 72;
const HEAD: usize = 8;

const EXTENDED: u32 = 0x8000_0000;
const REMOTE: u32 = 0x4000_0000;
const ERROR: u32 = 0x2000_0000;
/// All bits of the identifier with the flags for 29 bits and for remote frames.
pub(super) const ID_AND_FLAGS: u32 = EXTENDED | REMOTE | 0x1fff_ffff;

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A frame with data.
    Frame(Frame),
    /// A remote frame: somebody asks for one.
    Remote,
    /// The controller tells of trouble.
    Error(ErrorFrame),
}

/// What a controller tells: its error class, and what state it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorFrame {
    class: u32,
    controller: u8,
}

impl ErrorFrame {
    /// Whether the controller has left the bus after too many errors.
    pub(super) fn is_bus_off(self) -> bool {
        self.class & 0x40 != 0
    }
}

/// `CAN_ERR_…` of linux/can/error.h.
const CLASSES: &[(u32, &str)] = &[
    (0x001, "transmission timed out"),
    (0x002, "arbitration lost"),
    (0x004, "controller problem"),
    (0x008, "protocol violation"),
    (0x010, "transceiver problem"),
    (0x020, "no acknowledgement: nobody else is on the bus"),
    (0x040, "bus off"),
    (0x080, "bus error"),
    (0x100, "controller restarted"),
];

/// `CAN_ERR_CRTL_…`, the second byte of a controller problem.
const CONTROLLER: &[(u8, &str)] = &[
    (0x01, "its receive buffer has overflowed"),
    (0x02, "its send buffer has overflowed"),
    (0x04, "many receive errors"),
    (0x08, "many send errors"),
    (0x10, "passive after receive errors"),
    (0x20, "passive after send errors"),
    (0x40, "active again"),
];

impl fmt::Display for ErrorFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = CLASSES
            .iter()
            .filter(|(bit, _)| self.class & bit != 0)
            .map(|(_, words)| *words);
        let details = CONTROLLER
            .iter()
            .filter(|(bit, _)| self.class & 0x004 != 0 && self.controller & bit != 0)
            .map(|(_, words)| *words);
        let words: Vec<_> = classes.chain(details).collect();
        if words.is_empty() {
            return write!(f, "error class {:#x}", self.class);
        }
        f.write_str(&words.join(", "))
    }
}

/// Reads what the kernel gave; errors say what is impossible about it.
pub(super) fn read(bytes: &[u8]) -> Result<Read, String> {
    let (word, length) = match bytes {
        [a, b, c, d, length, ..] if bytes.len() == CLASSIC || bytes.len() == LONGEST => {
            (u32::from_ne_bytes([*a, *b, *c, *d]), usize::from(*length))
        }
        _ => return Err(format!("{} bytes", bytes.len())),
    };
    let data = bytes
        .get(HEAD..HEAD + length)
        .ok_or_else(|| format!("{length} bytes of data in {}", bytes.len()))?;
    if word & ERROR != 0 {
        return Ok(Read::Error(ErrorFrame {
            class: word & 0x1fff_ffff,
            controller: data.get(1).copied().unwrap_or_default(),
        }));
    }
    if word & REMOTE != 0 {
        return Ok(Read::Remote);
    }
    let id = if word & EXTENDED != 0 {
        CanId::extended(word & 0x1fff_ffff)
    } else {
        CanId::standard(word & 0x1fff_ffff)
    };
    let id = id.map_err(|error| error.to_string())?;
    let frame = if bytes.len() == CLASSIC {
        Frame::classic(id, data)
    } else {
        Frame::fd(id, data)
    };
    frame.map(Read::Frame).map_err(|error| error.to_string())
}

/// An identifier with its flags, as the kernel writes it.
pub(super) fn id_word(id: CanId) -> u32 {
    if id.is_extended() {
        id.raw() | EXTENDED
    } else {
        id.raw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(word: u32, length: u8, data: &[u8], size: usize) -> Vec<u8> {
        let mut bytes = word.to_ne_bytes().to_vec();
        bytes.extend([length, 0, 0, 0]);
        bytes.extend(data);
        bytes.resize(size, 0);
        bytes
    }

    #[test]
    fn frames_of_every_kind() {
        let standard = Frame::classic(CanId::standard(0x7e8).unwrap(), &[1, 2, 3]).unwrap();
        let extended = Frame::fd(CanId::extended(0x18da_f110).unwrap(), &[7; 64]).unwrap();
        for (bytes, expected) in [
            (bytes(0x7e8, 3, &[1, 2, 3], 16), Read::Frame(standard)),
            (
                bytes(0x18da_f110 | EXTENDED, 64, &[7; 64], 72),
                Read::Frame(extended),
            ),
            (bytes(0x123 | REMOTE, 8, &[0; 8], 16), Read::Remote),
        ] {
            assert_eq!(read(&bytes).unwrap(), expected);
        }
    }

    #[test]
    fn errors_say_what_they_are() {
        let Read::Error(error) = read(&bytes(ERROR | 0x44, 8, &[0, 0x30], 16)).unwrap() else {
            panic!("no error frame");
        };
        assert!(error.is_bus_off());
        assert_eq!(
            error.to_string(),
            "controller problem, bus off, passive after receive errors, passive after send errors"
        );
        let Read::Error(unknown) = read(&bytes(ERROR | 0x1000, 8, &[], 16)).unwrap() else {
            panic!("no error frame");
        };
        assert_eq!(unknown.to_string(), "error class 0x1000");
    }

    #[test]
    fn what_is_no_frame_is_none() {
        for (bytes, says) in [
            (vec![0; 15], "15 bytes"),
            (bytes(1, 9, &[], 16), "9 bytes of data in 16"),
            (bytes(1, 200, &[], 72), "200 bytes of data in 72"),
        ] {
            assert_eq!(read(&bytes).unwrap_err(), says);
        }
        assert!(read(&bytes(0x800, 1, &[], 16)).is_err());
    }
}
