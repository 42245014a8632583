//! The numbers that can stand in the registers of a point, and what each has to be read as.

use modbus::map::{Point, RegisterType, Sign};
use shared_protocol::{Decimal, catalogue};

use crate::{described::word, support::Random};

/// Which values of those that can be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    Least,
    Greatest,
    /// Any, of small and large ones.
    Any,
}

/// What a point has to be read as.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) value: f64,
    /// Half a step where the map makes steps of what the device says; the rounding of binary64 elsewhere.
    pub(crate) within: f64,
}

/// What the peer calls the type of a point.
pub(crate) fn kind(point: &Point) -> String {
    let name = word(point.register_type);
    match point.sign {
        Sign::Magnitude => name.replace('i', "magnitude"),
        Sign::Normal | Sign::Inverted => name,
    }
}

/// A serial number that a register can hold.
pub(crate) fn serial(
    register_type: RegisterType,
    registers: Option<u16>,
    random: &mut Random,
) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ0123456789";
    if register_type == RegisterType::String {
        let most = u64::from(registers.unwrap()) * 2;
        let length = 1 + random.below(most);
        let letter = |_| char::from(LETTERS[random.below(LETTERS.len() as u64) as usize]);
        return (0..length).map(letter).collect();
    }
    let (least, greatest) = bounds(register_type);
    integer_between(least, greatest, random).to_string()
}

/// Least and greatest integer of a type.
fn bounds(register_type: RegisterType) -> (i128, i128) {
    use RegisterType::{
        Bcd16, Bcd32, Bool, F16, F32, F64, I16, I32, I64, Mod10k32, Mod10k48, Mod10k64, String,
        U16, U32, U64,
    };
    match register_type {
        Bool => (0, 1),
        U16 => (0, 0xffff),
        U32 => (0, 0xffff_ffff),
        U64 => (0, i128::from(u64::MAX)),
        I16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        I32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        I64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        Bcd16 => (0, 9999),
        Bcd32 => (0, 99_999_999),
        Mod10k32 => (-99_999_999, 99_999_999),
        Mod10k48 => (-999_999_999_999, 999_999_999_999),
        Mod10k64 => (-9_999_999_999_999_999, 9_999_999_999_999_999),
        // What binary16 holds exactly.
        F16 => (-2048, 2048),
        // Well within what the type holds.
        F32 | F64 => (-(1 << 60), 1 << 60),
        String => panic!("text is no number"),
    }
}

/// Large and small ones alike.
fn integer_between(least: i128, greatest: i128, random: &mut Random) -> i128 {
    let bits = random.below(65) as u32;
    let size = (u128::from(random.next()) >> (64 - bits)) as i128;
    let signed = if least < 0 && random.one_in(2) {
        -size
    } else {
        size
    };
    signed.clamp(least, greatest)
}

/// The numbers that can stand in the registers of a point.
pub(crate) enum Numbers {
    Integers(i128, i128),
    Floats(f64, f64),
    /// The device's numbers, and what they mean.
    States(Vec<(i128, i64)>),
}

/// A number in the registers of a point.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Integer(i128),
    Float(f64),
    State(i128, i64),
}

/// One step of the device in the unit of the signal, and the value of 0.
fn step(point: &Point, factor: i32) -> (f64, f64) {
    let scale = point.scale.map_or(1.0, Decimal::to_f64) * 10f64.powi(factor);
    let scale = if point.sign == Sign::Inverted {
        -scale
    } else {
        scale
    };
    (scale, point.offset.map_or(0.0, Decimal::to_f64))
}

/// What the signal and the type leave.
pub(crate) fn numbers(point: &Point, factor: i32) -> Numbers {
    if let Some(states) = &point.states {
        let state = |(key, value): (&String, &i64)| (key.parse().unwrap(), *value);
        return Numbers::States(states.iter().map(state).collect());
    }
    let (mut least, mut greatest) = bounds(point.register_type);
    if let Some(bits) = point.bits {
        (least, greatest) = (0, (1 << bits.count) - 1);
    }
    if point.sign == Sign::Magnitude {
        least = -greatest;
    }
    let signal = catalogue().by_name(&point.signal);
    if point.register_type.is_float() {
        let (scale, offset) = step(point, factor);
        let bound = |value: Decimal| (value.to_f64() - offset) / scale;
        let ends = signal.map(|signal| [bound(signal.range.0), bound(signal.range.1)]);
        let [one, other] = ends.unwrap_or([least as f64, greatest as f64]);
        return Numbers::Floats(one.min(other), one.max(other));
    }
    if let Some(signal) = signal {
        let [one, other] = [signal.range.0, signal.range.1].map(|end| steps(end, point, factor));
        least = least.max(one.0.min(other.0));
        greatest = greatest.min(one.1.max(other.1));
    }
    assert!(least <= greatest, "{}", point.signal);
    Numbers::Integers(least, greatest)
}

/// The first whole number at or above, and the last at or below, that is this much of the signal.
fn steps(value: Decimal, point: &Point, factor: i32) -> (i128, i128) {
    let scale = point.scale.unwrap_or(Decimal::ONE);
    let offset = point.offset.unwrap_or(Decimal::ZERO);
    let exponents = [value, offset, scale].map(|decimal| i32::from(decimal.exponent()));
    let exponents = [exponents[0], exponents[1], exponents[2] + factor];
    let least = exponents[0].min(exponents[1]).min(exponents[2]);
    let whole = |decimal: Decimal, exponent: i32| {
        i128::from(decimal.mantissa()) * 10i128.pow((exponent - least).unsigned_abs())
    };
    let above = whole(value, exponents[0]) - whole(offset, exponents[1]);
    let one = whole(scale, exponents[2]);
    // Where the device counts the other way round, the ends change places.
    let upwards = (point.sign == Sign::Inverted) == (one < 0);
    let above = if upwards { above } else { -above };
    let one = one.abs();
    (-(-above).div_euclid(one), above.div_euclid(one))
}

impl Numbers {
    pub(crate) fn pick(&self, pick: Pick, turn: usize, random: &mut Random) -> Number {
        match (self, pick) {
            (Self::States(states), _) => {
                let (number, state) = states[turn % states.len()];
                Number::State(number, state)
            }
            (Self::Integers(least, _), Pick::Least) => Number::Integer(*least),
            (Self::Integers(_, greatest), Pick::Greatest) => Number::Integer(*greatest),
            (Self::Integers(least, greatest), Pick::Any) => {
                Number::Integer(integer_between(*least, *greatest, random))
            }
            (Self::Floats(least, _), Pick::Least) => Number::Float(*least),
            (Self::Floats(_, greatest), Pick::Greatest) => Number::Float(*greatest),
            (Self::Floats(least, greatest), Pick::Any) => {
                let size = 2f64.powi(random.below(60) as i32 - 20);
                let value = random.below(1 << 53) as f64 / (1u64 << 53) as f64 * size;
                let signed = if *least < 0.0 && random.one_in(2) {
                    -value
                } else {
                    value
                };
                Number::Float(signed.clamp(*least, *greatest))
            }
        }
    }
}

impl Number {
    /// The nearest that the type holds, towards zero.
    fn held(value: f64, register_type: RegisterType) -> f64 {
        match register_type {
            RegisterType::F32 => {
                let nearest = value as f32;
                let beyond = f64::from(nearest).abs() > value.abs();
                f64::from(match (beyond, nearest > 0.0) {
                    (false, _) => nearest,
                    (true, true) => nearest.next_down(),
                    (true, false) => nearest.next_up(),
                })
            }
            RegisterType::F16 => value.trunc(),
            _ => value,
        }
    }

    /// The bits of an integer, as wide as its type; floats have none that mean that there is no value.
    pub(crate) fn bits(self, register_type: RegisterType) -> u64 {
        let (Self::Integer(number) | Self::State(number, _)) = self else {
            return u64::MAX;
        };
        let width = 16 * u32::from(register_type.registers().unwrap_or(1));
        number as u64 & (u64::MAX >> (64 - width))
    }

    pub(crate) fn inwards(self) -> Self {
        match self {
            Self::Integer(number) if number > 0 => Self::Integer(number - 1),
            Self::Integer(number) => Self::Integer(number + 1),
            Self::Float(_) | Self::State(..) => panic!("a number that is none"),
        }
    }

    /// As the peer is told; of a point that is some bits of a register, with noise in the others.
    pub(crate) fn text(self, point: &Point, random: &mut Random) -> String {
        match self {
            Self::Float(value) => format!("{:?}", Self::held(value, point.register_type)),
            Self::Integer(number) | Self::State(number, _) => match point.bits {
                None => number.to_string(),
                Some(bits) => {
                    let mask = ((1i128 << bits.count) - 1) << bits.first;
                    let noise = i128::from(random.next()) & bounds(point.register_type).1 & !mask;
                    (number << bits.first | noise).to_string()
                }
            },
        }
    }

    pub(crate) fn wanted(self, point: &Point, factor: i32) -> Wanted {
        let (scale, offset) = step(point, factor);
        let (value, steps) = match self {
            Self::State(_, state) => (state as f64, false),
            Self::Integer(number) => {
                let value = number as f64 * scale + offset;
                (value, point.scale_factor.is_some())
            }
            Self::Float(value) => {
                let held = Self::held(value, point.register_type);
                (held * scale + offset, true)
            }
        };
        let catalogued = catalogue().by_name(&point.signal);
        let resolution = catalogued
            .map(|signal| signal.resolution)
            .or(point.resolution)
            .filter(|_| steps)
            .map_or(0.0, Decimal::to_f64);
        Wanted {
            value,
            within: resolution * 0.500_001 + value.abs() * 1e-12,
        }
    }
}
