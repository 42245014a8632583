//! Registers as numbers: every type a map can name, in every order of registers and bytes.

use crate::{
    decode::PointError,
    device::Layout,
    map::{Bits, Order, RegisterType, Sign},
};

/// What stands in the registers of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer of at most 64 bits, signed or unsigned.
    Integer(i128),
    /// A binary float, widened exactly.
    Float(f64),
}

/// The bits of a value of at most four registers, its registers and bytes put in order.
pub fn pattern(layout: Layout, words: &[u16]) -> u64 {
    // A coil or discrete input is one bit: there is nothing to put in order.
    let swapped = layout.byte_order == Order::Little && layout.register_type != RegisterType::Bool;
    let put = |bits: u64, word: &u16| {
        let word = if swapped { word.swap_bytes() } else { *word };
        bits << 16 | u64::from(word)
    };
    match layout.word_order {
        Order::Big => words.iter().fold(0, put),
        Order::Little => words.iter().rev().fold(0, put),
    }
}

/// The number that the bits are.
pub fn number(register_type: RegisterType, bits: u64, sign: Sign) -> Result<Number, PointError> {
    let signed = |width: u32| {
        let top = 1u64 << (width - 1);
        let integer = match sign {
            Sign::Magnitude if bits & top != 0 => -i128::from(bits & (top - 1)),
            Sign::Magnitude => i128::from(bits),
            Sign::Normal | Sign::Inverted => {
                i128::from((bits << (64 - width)).cast_signed() >> (64 - width))
            }
        };
        Ok(Number::Integer(integer))
    };
    match register_type {
        RegisterType::Bool | RegisterType::U16 | RegisterType::U32 | RegisterType::U64 => {
            Ok(Number::Integer(i128::from(bits)))
        }
        RegisterType::I16 => signed(16),
        RegisterType::I32 => signed(32),
        RegisterType::I64 => signed(64),
        RegisterType::F16 => Ok(Number::Float(f16_to_f64(bits as u16))),
        RegisterType::F32 => Ok(Number::Float(f64::from(f32::from_bits(bits as u32)))),
        RegisterType::F64 => Ok(Number::Float(f64::from_bits(bits))),
        RegisterType::Bcd16 => bcd(bits, 4),
        RegisterType::Bcd32 => bcd(bits, 8),
        RegisterType::Mod10k32 => mod10k(bits, 2),
        RegisterType::Mod10k48 => mod10k(bits, 3),
        RegisterType::Mod10k64 => mod10k(bits, 4),
        RegisterType::String => Err(PointError::Malformed { bits }),
    }
}

/// Some bits of an unsigned integer.
pub fn extract(bits: u64, wanted: Bits) -> i128 {
    let mask = if wanted.count >= 64 {
        u64::MAX
    } else {
        (1 << wanted.count) - 1
    };
    i128::from(bits >> wanted.first & mask)
}

/// Text of two characters to a register, without padding of NUL and space; what is not printable ASCII becomes `?`.
pub fn text(byte_order: Order, words: &[u16]) -> String {
    let bytes = words.iter().flat_map(|word| match byte_order {
        Order::Big => word.to_be_bytes(),
        Order::Little => word.to_le_bytes(),
    });
    let characters = bytes.take_while(|&byte| byte != 0).map(|byte| {
        if (0x20..0x7f).contains(&byte) {
            char::from(byte)
        } else {
            '?'
        }
    });
    characters.collect::<String>().trim().to_owned()
}

fn bcd(bits: u64, digits: u32) -> Result<Number, PointError> {
    (0..digits)
        .rev()
        .try_fold(0, |value, digit| match bits >> (4 * digit) & 0xf {
            nibble @ 0..=9 => Ok(value * 10 + i128::from(nibble)),
            _ => Err(PointError::Malformed { bits }),
        })
        .map(Number::Integer)
}

fn mod10k(bits: u64, registers: u32) -> Result<Number, PointError> {
    (0..registers)
        .rev()
        .try_fold(0, |value, register| {
            match (bits >> (16 * register)) as u16 as i16 {
                part @ -9999..=9999 => Ok(value * 10_000 + i128::from(part)),
                _ => Err(PointError::Malformed { bits }),
            }
        })
        .map(Number::Integer)
}

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits.
fn f16_to_f64(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match bits >> 10 & 0x1f {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(register_type: RegisterType, word_order: Order, byte_order: Order) -> Layout {
        Layout {
            register_type,
            word_order,
            byte_order,
        }
    }

    #[test]
    fn four_orders() {
        use Order::{Big, Little};
        for (words, bytes, registers) in [
            (Big, Big, [0x0102, 0x0304]),
            (Little, Big, [0x0304, 0x0102]),
            (Big, Little, [0x0201, 0x0403]),
            (Little, Little, [0x0403, 0x0201]),
        ] {
            assert_eq!(
                pattern(layout(RegisterType::U32, words, bytes), &registers),
                0x0102_0304
            );
        }
    }

    #[test]
    fn numbers_of_every_type() {
        use RegisterType::{
            Bcd16, Bcd32, F16, F32, F64, I16, I32, I64, Mod10k32, Mod10k48, Mod10k64, U16, U32, U64,
        };
        let integers = [
            (U16, 0xffff, 65535),
            (I16, 0xffff, -1),
            (U32, 0xffff_ffff, 4_294_967_295),
            (I32, 0x8000_0000, -2_147_483_648),
            (U64, u64::MAX, i128::from(u64::MAX)),
            (I64, u64::MAX, -1),
            (Bcd16, 0x1234, 1234),
            (Bcd32, 0x9876_5432, 98_765_432),
            (Mod10k32, 0x0001_270f, 19_999),
            (Mod10k48, 0x0001_0002_0003, 100_020_003),
            (Mod10k64, 0xffff_0000_0000_0000, -1_000_000_000_000),
        ];
        for (register_type, bits, expected) in integers {
            assert_eq!(
                number(register_type, bits, Sign::Normal),
                Ok(Number::Integer(expected)),
                "{register_type:?}"
            );
        }
        for (register_type, bits, expected) in [
            (F16, 0x4a2c, 12.34375),
            (F16, 0x0001, 5.960_464_477_539_063e-8),
            (F16, 0xfc00, f64::NEG_INFINITY),
            (F32, 0x4366_8000, 230.5),
            (F64, 0x405e_dccc_cccc_cccd, 123.45),
        ] {
            assert_eq!(
                number(register_type, bits, Sign::Normal),
                Ok(Number::Float(expected)),
                "{register_type:?}"
            );
        }
        assert_eq!(
            number(I16, 0x8005, Sign::Magnitude),
            Ok(Number::Integer(-5))
        );
        assert!(number(Bcd16, 0x12a4, Sign::Normal).is_err());
        assert!(number(Mod10k32, 0x0001_2710, Sign::Normal).is_err());
    }

    #[test]
    fn bits_and_text() {
        assert_eq!(extract(0b1101_0000, Bits { first: 4, count: 3 }), 0b101);
        assert_eq!(
            extract(
                u64::MAX,
                Bits {
                    first: 0,
                    count: 64
                }
            ),
            i128::from(u64::MAX)
        );
        assert_eq!(text(Order::Big, &[0x4142, 0x4320, 0x0041]), "ABC");
        assert_eq!(text(Order::Little, &[0x4241, 0x0743]), "ABC?");
    }
}
