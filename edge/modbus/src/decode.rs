//! Registers that were read become readings: raw integers in the encoding of their point, or a typed error.

use shared_protocol::Decimal;

use crate::{
    device::{Device, Place, ResolvedPoint, Rule},
    map::{RegisterType, Sign, Table},
    value::{self, Number},
};

/// Why a point has no value although its registers were read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// The device says that it has no value.
    #[error("the device has no value here")]
    NotAvailable,
    /// The value cannot be true.
    #[error(
        "the value is outside of what can be true ({bits:#x} in the registers): check type, scale and orders in the map"
    )]
    OutOfRange {
        /// What stands in the registers.
        bits: u64,
    },
    /// The registers do not hold what the type says.
    #[error("{bits:#x} is not a number of the map's type: check type and orders in the map")]
    Malformed {
        /// What stands in the registers.
        bits: u64,
    },
    /// A number that the map's table of states does not name.
    #[error("the map names no state {found}: add it to `states`")]
    UnknownState {
        /// The device's number.
        found: i64,
    },
}

/// A value that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which point: its index in [`crate::map::DeviceMap::points`].
    pub point: usize,
    /// The stored integer, in the encoding of [`Device::signal_def`].
    pub raw: i64,
}

/// Registers, coils and discrete inputs that were read in one cycle.
#[derive(Clone, Debug, Default)]
pub struct Image {
    parts: Vec<(Place, Vec<u16>)>,
}

impl Image {
    /// Adds what one request read; a coil or discrete input is 0 or 1.
    pub fn insert(&mut self, table: Table, address: u16, words: Vec<u16>) {
        let count = words.len() as u16;
        self.parts.push((
            Place {
                table,
                address,
                count,
            },
            words,
        ));
    }

    /// The words of a place, when one request read all of them.
    pub fn get(&self, place: Place) -> Option<&[u16]> {
        let (part, words) = self.parts.iter().find(|(part, _)| part.covers(place))?;
        let from = usize::from(place.address - part.address);
        words.get(from..from + usize::from(place.count))
    }
}

/// Decodes the given points (indices into the map) from what was read; points whose registers were not read are left out.
pub fn decode(
    device: &Device,
    points: &[usize],
    image: &Image,
) -> (Vec<Reading>, Vec<(usize, PointError)>) {
    let (mut readings, mut errors) = (Vec::new(), Vec::new());
    for &index in points {
        let Some(point) = device.points.get(index) else {
            continue;
        };
        let Some(words) = image.get(point.place) else {
            continue;
        };
        let factor = match factor_of(point) {
            None => None,
            Some(place) => match image.get(place) {
                Some(words) => Some(words[0]),
                None => continue,
            },
        };
        match decode_point(point, words, factor) {
            Ok(raw) => readings.push(Reading { point: index, raw }),
            Err(error) => errors.push((index, error)),
        }
    }
    (readings, errors)
}

/// Where the scale factor of a point stands, when it has one.
pub(crate) fn factor_of(point: &ResolvedPoint) -> Option<Place> {
    match &point.rule {
        Rule::Steps { factor, .. } => *factor,
        _ => None,
    }
}

fn decode_point(
    point: &ResolvedPoint,
    words: &[u16],
    factor: Option<u16>,
) -> Result<i64, PointError> {
    let bits = value::pattern(point.layout, words);
    if point.invalid.contains(&bits) {
        return Err(PointError::NotAvailable);
    }
    let out_of_range = PointError::OutOfRange { bits };
    let number = match point.bits {
        Some(wanted) => Number::Integer(value::extract(bits, wanted)),
        None => value::number(point.layout.register_type, bits, point.sign)?,
    };
    let raw = match (&point.rule, number) {
        (Rule::FloatBits, Number::Float(v)) if v.is_finite() => v.to_bits().cast_signed(),
        (_, Number::Float(v)) if !v.is_finite() => return Err(PointError::NotAvailable),
        (
            Rule::Steps {
                scale,
                offset,
                resolution,
                ..
            },
            Number::Float(v),
        ) => steps_of_float(v, *scale, *offset, *resolution).ok_or(out_of_range.clone())?,
        (
            Rule::Steps {
                scale,
                offset,
                resolution,
                ..
            },
            Number::Integer(v),
        ) => {
            let factor = match factor {
                None => 0,
                // SunSpec sunssf: 0x8000 is "not implemented", and so is then every point that uses it.
                Some(0x8000) => return Err(PointError::NotAvailable),
                Some(word) => word.cast_signed(),
            };
            if !(-10..=10).contains(&factor) {
                return Err(PointError::Malformed {
                    bits: u64::from(factor.cast_unsigned()),
                });
            }
            let raw = i64::try_from(v).map_err(|_| out_of_range.clone())?;
            let scale = Decimal::new(
                scale.mantissa(),
                i32::from(scale.exponent()) + i32::from(factor),
            );
            let steps = scale
                .ok()
                .and_then(|scale| Decimal::rescale(raw, scale, *offset, *resolution));
            steps.ok_or(out_of_range.clone())?
        }
        (Rule::States(states), Number::Integer(v)) => {
            let found = i64::try_from(v).map_err(|_| out_of_range.clone())?;
            let state = states.iter().find(|(number, _)| *number == found);
            state
                .map(|(_, value)| *value)
                .ok_or(PointError::UnknownState { found })?
        }
        // The 64 bits as they are: the encoding of a u64 point is `Unsigned`.
        (Rule::Integer, Number::Integer(_))
            if point.layout.register_type == RegisterType::U64 && point.bits.is_none() =>
        {
            bits.cast_signed()
        }
        (Rule::Integer, Number::Integer(v)) => {
            i64::try_from(v).map_err(|_| out_of_range.clone())?
        }
        (Rule::Integer | Rule::States(_) | Rule::FloatBits, _) => {
            return Err(PointError::Malformed { bits });
        }
    };
    if let Some(range) = &point.range {
        let steps = point.def.encoding.in_steps_of(raw, range.resolution);
        if !steps.is_some_and(|steps| (range.least..=range.greatest).contains(&steps)) {
            return Err(out_of_range);
        }
    }
    Ok(raw)
}

/// `value × scale + offset` in steps of the resolution; the exact rule is in the documentation of [`crate::map::Point`].
fn steps_of_float(value: f64, scale: Decimal, offset: Decimal, resolution: Decimal) -> Option<i64> {
    let quotient = |decimal: Decimal| {
        let exponent = i32::from(decimal.exponent()) - i32::from(resolution.exponent());
        let up = decimal.mantissa() as f64 * 10f64.powi(exponent.max(0));
        let down = resolution.mantissa() as f64 * 10f64.powi((-exponent).max(0));
        (up, down)
    };
    let (up, down) = quotient(scale);
    let mut steps = value * up / down;
    if offset != Decimal::ZERO {
        let (up, down) = quotient(offset);
        steps += up / down;
    }
    let steps = steps.round();
    // 2^63 is the first float that an i64 does not hold; NaN is in no range.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
        .contains(&steps)
        .then_some(steps as i64)
}

/// The identity as text: an integer in decimal digits, text without padding.
pub(crate) fn identity_text(
    layout: crate::device::Layout,
    words: &[u16],
) -> Result<String, PointError> {
    if layout.register_type == RegisterType::String {
        return Ok(value::text(layout.byte_order, words));
    }
    match value::number(
        layout.register_type,
        value::pattern(layout, words),
        Sign::Normal,
    )? {
        Number::Integer(integer) => Ok(integer.to_string()),
        Number::Float(float) => Ok(float.to_string()),
    }
}
