//! Checksums: a byte, or half of one, that follows from the others.
//!
//! Cars mix the identifier and secret start values in. For a given identifier and length these are one constant: of a sum
//! a summand, of an exclusive or and of a CRC (which is linear) an operand. So only the rule is looked for, and the
//! constant falls out.

use std::collections::BTreeSet;

use isotp::CanId;

use crate::recording::Recording;

/// How it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Constant exclusive or.
    Xor,
    /// Constant difference to the sum.
    Sum,
    /// Constant sum with the sum: its complement.
    NegativeSum,
    /// CRC-8 with this polynomial: 1D is SAE J1850, 2F that of AUTOSAR.
    Crc8(u8),
}

/// A checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// Whose.
    pub id: CanId,
    /// Its first bit: of byte 7, 56.
    pub start: u8,
    /// Its length: 8 bits, or 4.
    pub length: u8,
    /// How it follows from the other bytes, or half bytes.
    pub rule: Rule,
    /// The constant of this identifier.
    pub constant: u8,
}

impl Checksum {
    /// The bits that it covers, as a mask over the bytes in Intel order.
    pub fn mask(&self) -> u64 {
        ((1u64 << self.length) - 1) << self.start
    }
}

/// Different frames that are needed to tell: a wrong rule of four bits holds for one frame of sixteen.
const DIFFERENT: usize = 10;
/// As many do where the constant is 0: nobody put anything in, and a copy of something else would need one.
const PLAIN: usize = 4;
/// As many are needed where a half byte does not count: there are more ways to be right by chance.
const LEFT_OUT: usize = 16;
/// Frames that are looked at.
const MOST: usize = 400;
const POLYNOMIALS: [u8; 6] = [0x1D, 0x2F, 0x07, 0x31, 0x9B, 0xD5];

/// The checksums of all identifiers, at most one each.
pub(crate) fn checksums(recording: &Recording) -> Vec<Checksum> {
    recording
        .ids()
        .filter_map(|id| {
            let length = recording.length(id);
            let different: BTreeSet<u64> = recording
                .frames(id)
                .iter()
                .map(|(_, bytes)| *bytes)
                .collect();
            if length < 3 || different.len() < PLAIN {
                return None;
            }
            // Spread over the whole recording: neighbours are alike.
            let stride = different.len().div_ceil(MOST);
            let frames: Vec<[u8; 8]> = different
                .iter()
                .step_by(stride)
                .map(|bytes| bytes.to_le_bytes())
                .collect();
            whole(id, &frames, length).or_else(|| half(id, &frames, length))
        })
        .collect()
}

fn whole(id: CanId, frames: &[[u8; 8]], length: usize) -> Option<Checksum> {
    let crcs = POLYNOMIALS.map(Rule::Crc8);
    let rules = crcs
        .into_iter()
        .chain([Rule::Xor, Rule::Sum, Rule::NegativeSum]);
    let rules: Vec<_> = rules.collect();
    (0..length).rev().find_map(|at| {
        let others: Vec<Vec<u8>> = frames
            .iter()
            .map(|frame| [&frame[..at], &frame[at + 1..length]].concat())
            .collect();
        let own: Vec<u8> = frames.iter().map(|frame| frame[at]).collect();
        let (rule, constant) = follows(&rules, &own, &others, 0xFF)?;
        tells(&own, &others, 6, constant).then_some(Checksum {
            id,
            start: at as u8 * 8,
            length: 8,
            rule,
            constant,
        })
    })
}

fn half(id: CanId, frames: &[[u8; 8]], length: usize) -> Option<Checksum> {
    let nibbles = |frame: &[u8; 8]| -> Vec<u8> {
        frame[..length]
            .iter()
            .flat_map(|byte| [byte & 0xF, byte >> 4])
            .collect()
    };
    let rules = [Rule::Xor, Rule::Sum, Rule::NegativeSum];
    let all: Vec<Vec<u8>> = frames.iter().map(nibbles).collect();
    let without = |at: usize, left_out: Option<usize>| {
        let own: Vec<u8> = all.iter().map(|nibbles| nibbles[at]).collect();
        let others: Vec<Vec<u8>> = all
            .iter()
            .map(|nibbles| {
                let others = nibbles.iter().enumerate();
                let counts = |place: usize| place != at && Some(place) != left_out;
                others
                    .filter(|(place, _)| counts(*place))
                    .map(|(_, nibble)| *nibble)
                    .collect()
            })
            .collect();
        let (rule, constant) = follows(&rules, &own, &others, 0xF)?;
        let values = if left_out.is_some() { 8 } else { 4 };
        tells(&own, &others, values, constant).then_some(Checksum {
            id,
            start: at as u8 * 4,
            length: 4,
            rule,
            constant,
        })
    };
    let places = length * 2;
    let found = (0..places).rev().find_map(|at| without(at, None));
    found.or_else(|| {
        (frames.len() >= LEFT_OUT).then_some(())?;
        let pairs = (0..places)
            .rev()
            .flat_map(|at| (0..places).map(move |out| (at, out)));
        pairs
            .filter(|(at, out)| at != out)
            .find_map(|(at, out)| without(at, Some(out)))
    })
}

/// Whether a rule that holds can be more than chance: it takes several values, in enough frames, and more than one of the
/// others changes: what goes with one other alone is a copy of it, or nearly, unless the constant is 0.
fn tells(own: &[u8], others: &[Vec<u8>], values: usize, constant: u8) -> bool {
    let different: BTreeSet<u8> = own.iter().copied().collect();
    let changing = (0..others[0].len())
        .filter(|&at| others.iter().any(|other| other[at] != others[0][at]))
        .count();
    if constant == 0 && different.len() >= PLAIN && changing > 0 {
        return true;
    }
    own.len() >= DIFFERENT && different.len() >= values && changing > 1
}

fn follows(rules: &[Rule], own: &[u8], others: &[Vec<u8>], mask: u8) -> Option<(Rule, u8)> {
    rules.iter().find_map(|&rule| {
        let constant = |(own, others): (&u8, &Vec<u8>)| {
            let sum = || others.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            mask & match rule {
                Rule::Xor => others.iter().fold(*own, |all, byte| all ^ byte),
                Rule::Sum => own.wrapping_sub(sum()),
                Rule::NegativeSum => own.wrapping_add(sum()),
                Rule::Crc8(polynomial) => own ^ crc8(polynomial, others),
            }
        };
        let mut constants = own.iter().zip(others).map(constant);
        let first = constants.next()?;
        constants.all(|each| each == first).then_some((rule, first))
    })
}

fn crc8(polynomial: u8, bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| {
            if crc & 0x80 == 0 {
                crc << 1
            } else {
                crc << 1 ^ polynomial
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_check_values() {
        // The published check values of CRC-8/SAE-J1850 (init FF, xorout FF) and AUTOSAR follow from the plain ones by one
        // constant per length; the plain CRC-8 with polynomial 07 has its check value as it is.
        assert_eq!(crc8(0x07, b"123456789"), 0xF4);
        let constant = crc8(
            0x1D,
            &[0xFF ^ b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', b'9'],
        );
        assert_eq!(constant ^ 0xFF, 0x4B);
        let constant = crc8(
            0x2F,
            &[0xFF ^ b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', b'9'],
        );
        assert_eq!(constant ^ 0xFF, 0xDF);
    }
}
