//! A value in some bits: the same for signals of broadcast frames and of diagnostic answers.

use shared_protocol::Decimal;

use crate::car::{Car, Report};

/// Where the bits are, and how they follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// From the least significant bit, as DBC files number them: bit 0 is the lowest of byte 0.
    Intel(usize),
    /// From the most significant bit, counted as they go over the wire: bit 0 is the highest of byte 0.
    Motorola(usize),
}

impl Bits {
    /// A start bit of a DBC file, which for Motorola names the most significant bit by its Intel number.
    pub fn of_dbc(start: usize, big_endian: bool) -> Self {
        if big_endian {
            Self::Motorola(start / 8 * 8 + 7 - start % 8)
        } else {
            Self::Intel(start)
        }
    }
}

/// What a field says.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// Something the car knows.
    Report(Report),
    /// Voltage of a cell, by its number.
    Cell(u16),
    /// How many frames of this message went before, modulo its range.
    Counter,
    /// Which group of signals is in the frame.
    Selector,
}

/// A value in some bits: `value = raw × multiply ÷ divide + add`.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where.
    pub bits: Bits,
    /// How many bits, 1 to 64.
    pub length: usize,
    /// Whether it is two's complement.
    pub signed: bool,
    /// Factor.
    pub multiply: Decimal,
    /// Divisor.
    pub divide: Decimal,
    /// Value of raw 0.
    pub add: Decimal,
    /// What it says.
    pub meaning: Meaning,
    /// Least and greatest value that can be true.
    pub range: (f64, f64),
    /// The place of its column among those of the model; `None` if no reader keeps it.
    pub column: Option<usize>,
    /// One step of the column.
    pub step: Decimal,
}

impl Field {
    /// The nearest raw integer for what the car knows.
    pub fn raw(&self, car: &Car, counter: u64, selector: u64) -> i64 {
        let value = match self.meaning {
            Meaning::Report(report) => report(car),
            Meaning::Cell(number) => car.battery.cell(number),
            Meaning::Counter => return (counter & mask(self.length)).cast_signed(),
            Meaning::Selector => return selector.cast_signed(),
        };
        let value = value.clamp(self.range.0, self.range.1);
        let raw = (value - self.add.to_f64()) * self.divide.to_f64() / self.multiply.to_f64();
        let most = mask(self.length - usize::from(self.signed)).cast_signed();
        let least = if self.signed { -most - 1 } else { 0 };
        (raw.round() as i64).clamp(least, most)
    }

    /// A raw integer in steps of the column, rounded half away from zero, exactly: what a reader gets.
    pub fn in_steps(&self, raw: i64) -> Option<i64> {
        if self.divide == Decimal::ONE {
            return Decimal::rescale(raw, self.multiply, self.add, self.step);
        }
        // raw × multiply ÷ divide ÷ step = raw × multiply ÷ (divide × step); the model's loader refuses an `add` here.
        let mantissa = self.divide.mantissa().checked_mul(self.step.mantissa())?;
        let exponent = i32::from(self.divide.exponent()) + i32::from(self.step.exponent());
        let unit = Decimal::new(mantissa, exponent).ok()?;
        Decimal::rescale(raw, self.multiply, Decimal::ZERO, unit)
    }

    /// Writes a raw integer into its bits, which are zero. Bits beyond the end are left out.
    pub fn put(&self, raw: i64, data: &mut [u8]) {
        let bits = raw.cast_unsigned() & mask(self.length);
        for index in 0..self.length {
            // From the least significant bit up.
            if bits >> index & 1 == 0 {
                continue;
            }
            let (byte, bit) = match self.bits {
                Bits::Intel(first) => ((first + index) / 8, (first + index) % 8),
                Bits::Motorola(first) => {
                    let position = first + self.length - 1 - index;
                    (position / 8, 7 - position % 8)
                }
            };
            if let Some(byte) = data.get_mut(byte) {
                *byte |= 1 << bit;
            }
        }
    }

    /// Reads the raw integer back from bytes that are long enough; 0 for bits beyond the end.
    pub fn take(&self, data: &[u8]) -> i64 {
        let mut bits = 0_u64;
        for index in 0..self.length {
            let (byte, bit) = match self.bits {
                Bits::Intel(first) => ((first + index) / 8, (first + index) % 8),
                Bits::Motorola(first) => {
                    let position = first + self.length - 1 - index;
                    (position / 8, 7 - position % 8)
                }
            };
            let one = data.get(byte).is_some_and(|byte| byte >> bit & 1 == 1);
            bits |= u64::from(one) << index;
        }
        if self.signed && self.length < 64 && bits >> (self.length - 1) & 1 == 1 {
            bits |= !mask(self.length);
        }
        bits.cast_signed()
    }

    /// How many bytes a frame needs to have for this field.
    pub fn bytes_needed(&self) -> usize {
        match self.bits {
            Bits::Intel(first) | Bits::Motorola(first) => (first + self.length).div_ceil(8),
        }
    }
}

/// The lowest `bits` ones.
const fn mask(bits: usize) -> u64 {
    if bits >= 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(bits: Bits, length: usize, signed: bool) -> Field {
        Field {
            bits,
            length,
            signed,
            multiply: Decimal::ONE,
            divide: Decimal::ONE,
            add: Decimal::ZERO,
            meaning: Meaning::Counter,
            range: (f64::MIN, f64::MAX),
            column: None,
            step: Decimal::ONE,
        }
    }

    #[test]
    fn bits_as_dbc_files_number_them() {
        let mut data = [0; 4];
        // Start bit 11, 12 bits, Motorola: the low half of byte 1, then byte 2.
        let motorola = field(Bits::of_dbc(11, true), 12, false);
        motorola.put(0xABC, &mut data);
        assert_eq!(data, [0, 0x0A, 0xBC, 0]);
        assert_eq!(motorola.bytes_needed(), 3);
        let mut data = [0; 4];
        let intel = field(Bits::of_dbc(12, false), 12, false);
        intel.put(0xABC, &mut data);
        assert_eq!(data, [0, 0xC0, 0xAB, 0]);
        assert_eq!(intel.bytes_needed(), 3);
    }

    #[test]
    fn steps_are_what_a_reader_gets() {
        let d = |text: &str| text.parse::<Decimal>().unwrap();
        let mut half_degrees = field(Bits::Intel(0), 8, false);
        (half_degrees.multiply, half_degrees.add, half_degrees.step) =
            (d("0.5"), d("-40"), d("0.1"));
        assert_eq!(half_degrees.in_steps(125), Some(225));
        let mut of_255 = field(Bits::Intel(0), 8, false);
        (of_255.multiply, of_255.divide, of_255.step) = (d("100"), d("255"), d("0.01"));
        for raw in 0..=255 {
            let expected = (raw as f64 * 100.0 / 255.0 / 0.01).round() as i64;
            assert_eq!(of_255.in_steps(raw), Some(expected));
        }
    }

    proptest! {
        #[test]
        fn what_is_put_is_taken(raw in any::<i64>(), first in 0usize..40, length in 1usize..=64, signed: bool, motorola: bool) {
            let bits = if motorola { Bits::Motorola(first) } else { Bits::Intel(first) };
            let field = field(bits, length, signed);
            let unused = 64 - length as u32;
            let raw = if signed { raw << unused >> unused } else { ((raw.cast_unsigned()) << unused >> unused).cast_signed() };
            let mut data = [0; 16];
            field.put(raw, &mut data);
            prop_assert_eq!(field.take(&data), raw);
            prop_assert!(data[field.bytes_needed()..].iter().all(|byte| *byte == 0));
            prop_assert_eq!(field.take(&data[..field.bytes_needed()]), raw);
        }
    }
}
