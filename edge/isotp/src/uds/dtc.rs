//! Diagnostic trouble codes: their text (SAE J2012 / ISO 15031-6), their status byte (ISO 14229-1:2020 §D.2) and the
//! lists ECUs give.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// A trouble code: two bytes in OBD, a third for the failure type in UDS.
///
/// Written as workshops do: `P0420`, or with the failure type `P0420-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dtc {
    code: u16,
    failure_type: Option<u8>,
}

impl Dtc {
    /// The two-byte code of services 03, 07 and 0A.
    pub const fn obd(bytes: [u8; 2]) -> Self {
        Self {
            code: u16::from_be_bytes(bytes),
            failure_type: None,
        }
    }

    /// The three-byte code of service 19.
    pub const fn uds(bytes: [u8; 3]) -> Self {
        Self {
            code: u16::from_be_bytes([bytes[0], bytes[1]]),
            failure_type: Some(bytes[2]),
        }
    }

    /// The first two bytes.
    pub const fn code(self) -> u16 {
        self.code
    }

    /// The third byte: how the part fails (SAE J2012-DA). `None` in OBD.
    pub const fn failure_type(self) -> Option<u8> {
        self.failure_type
    }

    /// Three bytes as service 19 writes them; the failure type of an OBD code is 0.
    pub const fn to_uds(self) -> [u8; 3] {
        let [high, low] = self.code.to_be_bytes();
        let failure_type = match self.failure_type {
            Some(byte) => byte,
            None => 0,
        };
        [high, low, failure_type]
    }
}

impl fmt::Display for Dtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = match self.code >> 14 {
            0 => 'P',
            1 => 'C',
            2 => 'B',
            _ => 'U',
        };
        write!(f, "{system}{:04X}", self.code & 0x3FFF)?;
        self.failure_type
            .map_or(Ok(()), |failure_type| write!(f, "-{failure_type:02X}"))
    }
}

/// The text is not a trouble code.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a trouble code: write P0420 or, with the failure type, P0420-11")]
pub struct DtcError(String);

impl FromStr for Dtc {
    type Err = DtcError;

    fn from_str(text: &str) -> Result<Self, DtcError> {
        let parse = || {
            let (code, failure_type) = match text.split_once('-') {
                Some((code, failure_type)) => (code, Some(hex::<2>(failure_type)? as u8)),
                None => (text, None),
            };
            let mut letters = code.chars();
            let system = "PCBU".find(letters.next()?.to_ascii_uppercase())? as u16;
            let number = hex::<4>(letters.as_str())?;
            (number <= 0x3FFF).then_some(Self {
                code: system << 14 | number,
                failure_type,
            })
        };
        parse().ok_or_else(|| DtcError(text.to_owned()))
    }
}

fn hex<const DIGITS: usize>(text: &str) -> Option<u16> {
    let right = text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    right.then(|| u16::from_str_radix(text, 16).ok()).flatten()
}

/// The status byte of a trouble code (`statusOfDTC`, ISO 14229-1:2020 §D.2). Also used as a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DtcStatus(pub u8);

impl DtcStatus {
    /// The names of bits 0 to 7.
    pub const NAMES: [&'static str; 8] = [
        "testFailed",
        "testFailedThisOperationCycle",
        "pendingDTC",
        "confirmedDTC",
        "testNotCompletedSinceLastClear",
        "testFailedSinceLastClear",
        "testNotCompletedThisOperationCycle",
        "warningIndicatorRequested",
    ];

    /// Bit 0: the fault is there now.
    pub const fn test_failed(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Bit 2: it failed in this or the last driving cycle.
    pub const fn pending(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Bit 3: it failed often enough to be stored.
    pub const fn confirmed(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// Bit 7: the ECU asks for a warning lamp.
    pub const fn warning_indicator_requested(self) -> bool {
        self.0 & 0x80 != 0
    }
}

impl fmt::Display for DtcStatus {
    /// The names of the bits set, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Self::NAMES
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 >> bit & 1 != 0);
        set.enumerate()
            .try_for_each(|(n, (_, name))| write!(f, "{}{name}", if n > 0 { ", " } else { "" }))
    }
}

/// A trouble code with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtcRecord {
    /// The code.
    pub dtc: Dtc,
    /// Its status.
    pub status: DtcStatus,
}

/// The answer to service 19, sub-functions 02 and 0A.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtcReport {
    /// The status bits this ECU keeps at all.
    pub availability: DtcStatus,
    /// The codes.
    pub records: Vec<DtcRecord>,
}

impl DtcReport {
    /// Reads what follows the sub-function. `None` if the records are not whole. Records of zeros at the end are
    /// padding some ECUs send.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&availability, mut list) = bytes.split_first()?;
        if list.len() % 4 != 0 {
            let whole = list.len() - list.len() % 4;
            if list[whole..].iter().any(|&b| b != 0) {
                return None;
            }
            list = &list[..whole];
        }
        while let Some((rest, [0, 0, 0, 0])) = list.split_last_chunk::<4>() {
            list = rest;
        }
        let (chunks, _) = list.as_chunks::<4>();
        let records = chunks.iter().map(|&[a, b, c, status]| DtcRecord {
            dtc: Dtc::uds([a, b, c]),
            status: DtcStatus(status),
        });
        Some(Self {
            availability: DtcStatus(availability),
            records: records.collect(),
        })
    }
}

/// The answer to service 19, sub-function 01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtcCount {
    /// The status bits this ECU keeps at all.
    pub availability: DtcStatus,
    /// `DTCFormatIdentifier`: 0 SAE J2012-DA two bytes, 1 ISO 14229-1, 2 SAE J1939-73, 3 ISO 11992-4, 4 SAE J2012-DA.
    pub format: u8,
    /// How many codes match.
    pub count: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_workshops_write_them() {
        for (bytes, text) in [
            ([0x04, 0x20], "P0420"),
            ([0x41, 0x23], "C0123"),
            ([0x9A, 0xBC], "B1ABC"),
            ([0xD2, 0x34], "U1234"),
        ] {
            assert_eq!(Dtc::obd(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(Dtc::obd(bytes)));
        }
        assert_eq!(Dtc::uds([0x12, 0x34, 0x56]).to_string(), "P1234-56");
        assert_eq!("u0100-87".parse(), Ok(Dtc::uds([0xC1, 0x00, 0x87])));
        for text in [
            "",
            "P",
            "X0420",
            "P042",
            "P04200",
            "P4420",
            "P0420-",
            "P0420-1",
            "P0420-111",
            "P+420",
            "é0420",
        ] {
            assert!(text.parse::<Dtc>().is_err(), "{text}");
        }
    }

    #[test]
    fn status_names_its_bits() {
        assert_eq!(DtcStatus(0x09).to_string(), "testFailed, confirmedDTC");
        assert_eq!(DtcStatus(0).to_string(), "");
    }

    #[test]
    fn reports_take_padding_and_nothing_else() {
        let whole = DtcReport::parse(&[0xFF, 1, 2, 3, 9, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(
            whole.records,
            [DtcRecord {
                dtc: Dtc::uds([1, 2, 3]),
                status: DtcStatus(9)
            }]
        );
        assert_eq!(DtcReport::parse(&[0xFF, 1, 2, 3]), None);
        assert_eq!(DtcReport::parse(&[]), None);
    }
}
