//! One signal of an answer: its bits, its encoding, its range.

use std::collections::BTreeSet;

use shared_protocol::{Decimal, Encoding};

use crate::{
    exact,
    profile::{DiagnosticSignal, Order, Outside},
};

/// A signal compiled. Invariant: `length` is 1 to 64.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    bit: u32,
    length: u8,
    order: Order,
    signed: bool,
    not_available: Vec<i64>,
    /// If not empty, the only raw values that mean something.
    only: BTreeSet<i64>,
    outside: Outside,
    arithmetic: Arithmetic,
    encoding: Encoding,
}

/// What one answer holds of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Raw(i64),
    /// The answer is too short.
    Missing,
    /// The ECU says that it has no value.
    NotAvailable,
    /// It cannot be true.
    Outside,
}

#[derive(Clone, Debug)]
enum Arithmetic {
    /// Everything in whole steps of a power of ten.
    Steps {
        multiply: i128,
        add: i128,
        bounds: Bounds<i128>,
        put: Put,
    },
    Float {
        multiply: f64,
        divide: f64,
        add: f64,
        bounds: Bounds<f64>,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Bounds<T> {
    min: Option<T>,
    max: Option<T>,
    none_up_to: Option<T>,
    none_from: Option<T>,
}

/// What is put out of a value in steps.
#[derive(Clone, Copy, Debug)]
enum Put {
    /// The raw integer; these instead where it was clamped.
    Raw { least: i64, greatest: i64 },
    /// The steps.
    Steps,
}

impl Field {
    /// Compiles a signal. The caller has checked that `length` is 1 to 64 and `divide` is not 0.
    pub(crate) fn new(signal: &DiagnosticSignal) -> Self {
        let (arithmetic, encoding) = exact_arithmetic(signal).unwrap_or_else(|| {
            let float = Arithmetic::Float {
                multiply: signal.multiply.to_f64(),
                divide: signal.divide.to_f64(),
                add: signal.add.to_f64(),
                bounds: bounds(signal, |b| Some(b.to_f64())).unwrap_or_default(),
            };
            (float, Encoding::Float)
        });
        Self {
            bit: signal.bit,
            length: signal.length,
            order: signal.order,
            signed: signal.signed,
            not_available: signal.not_available.clone(),
            only: signal.texts.keys().copied().collect(),
            outside: signal.outside,
            arithmetic,
            encoding,
        }
    }

    /// What the raw integers of [`find`](Self::find) mean.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Decodes the bytes after service and identifier.
    pub(crate) fn find(&self, data: &[u8]) -> Found {
        let Some(bits) = self.bits(data) else {
            return Found::Missing;
        };
        let raw = if self.signed {
            let unused = 64 - u32::from(self.length);
            (bits << unused).cast_signed() >> unused
        } else {
            bits.cast_signed()
        };
        if self.not_available.contains(&raw) || !self.only.is_empty() && !self.only.contains(&raw) {
            return Found::NotAvailable;
        }
        let wide = if self.signed {
            i128::from(raw)
        } else {
            i128::from(bits)
        };
        match &self.arithmetic {
            Arithmetic::Steps {
                multiply,
                add,
                bounds,
                put,
            } => {
                // Compiled only if this cannot overflow.
                let value = wide * multiply + add;
                match (bounds.place(value), put) {
                    (Place::Inside, Put::Raw { .. }) => Found::Raw(raw),
                    (Place::Inside, Put::Steps) => Found::Raw(value as i64),
                    (Place::None, _) => Found::NotAvailable,
                    (Place::Below(_) | Place::Above(_), _) if self.outside == Outside::Drop => {
                        Found::Outside
                    }
                    (Place::Below(_), Put::Raw { least, .. }) => Found::Raw(*least),
                    (Place::Above(_), Put::Raw { greatest, .. }) => Found::Raw(*greatest),
                    (Place::Below(bound) | Place::Above(bound), Put::Steps) => {
                        Found::Raw(bound as i64)
                    }
                }
            }
            Arithmetic::Float {
                multiply,
                divide,
                add,
                bounds,
            } => {
                let value = wide as f64 * multiply / divide + add;
                let put = |value: f64| Found::Raw(value.to_bits().cast_signed());
                match bounds.place(value) {
                    Place::Inside => put(value),
                    Place::None => Found::NotAvailable,
                    Place::Below(_) | Place::Above(_) if self.outside == Outside::Drop => {
                        Found::Outside
                    }
                    Place::Below(bound) | Place::Above(bound) => put(bound),
                }
            }
        }
    }

    fn bits(&self, data: &[u8]) -> Option<u64> {
        let first = self.bit as usize / 8;
        let end = self.bit as usize + usize::from(self.length);
        // At most nine bytes.
        let bytes = data.get(first..end.div_ceil(8))?;
        let mask = u64::MAX >> (64 - self.length);
        Some(match self.order {
            Order::Big => {
                let wide = bytes
                    .iter()
                    .fold(0u128, |wide, &byte| wide << 8 | u128::from(byte));
                (wide >> (bytes.len() * 8 - self.bit as usize % 8 - usize::from(self.length)))
                    as u64
                    & mask
            }
            Order::Little => {
                bytes
                    .iter()
                    .rev()
                    .fold(0, |wide, &byte| wide << 8 | u64::from(byte))
                    & mask
            }
        })
    }
}

enum Place<T> {
    Inside,
    None,
    Below(T),
    Above(T),
}

impl<T: PartialOrd + Copy> Bounds<T> {
    fn place(&self, value: T) -> Place<T> {
        if self.none_up_to.is_some_and(|bound| value <= bound)
            || self.none_from.is_some_and(|bound| value >= bound)
        {
            return Place::None;
        }
        match (self.min, self.max) {
            (Some(min), _) if value < min => Place::Below(min),
            (_, Some(max)) if value > max => Place::Above(max),
            _ => Place::Inside,
        }
    }
}

/// Outer `None`: a bound cannot be converted.
fn bounds<T>(
    signal: &DiagnosticSignal,
    convert: impl Fn(Decimal) -> Option<T>,
) -> Option<Bounds<T>> {
    let one = |bound: Option<Decimal>| match bound {
        Some(bound) => convert(bound).map(Some),
        None => Some(None),
    };
    Some(Bounds {
        min: one(signal.min)?,
        max: one(signal.max)?,
        none_up_to: one(signal.none_up_to)?,
        none_from: one(signal.none_from)?,
    })
}

/// `None` where the scale is no finite decimal, or the numbers are too far apart for whole steps.
fn exact_arithmetic(signal: &DiagnosticSignal) -> Option<(Arithmetic, Encoding)> {
    let scale = exact::quotient(signal.multiply, signal.divide)?;
    let offset = signal.add;
    let given = [signal.min, signal.max, signal.none_up_to, signal.none_from];
    let mut numbers = vec![scale, offset];
    numbers.extend(given.into_iter().flatten());
    let unit = exact::lowest_exponent(&numbers);
    let (multiply, add) = (exact::steps(scale, unit)?, exact::steps(offset, unit)?);
    if multiply.unsigned_abs() >> 60 != 0 || add.unsigned_abs() >> 120 != 0 {
        return None;
    }
    let bounds = bounds(signal, |bound| exact::steps(bound, unit))?;
    let (least_raw, greatest_raw) = if signal.signed {
        (
            -(1i128 << (signal.length - 1)),
            (1i128 << (signal.length - 1)) - 1,
        )
    } else {
        (0, (1i128 << signal.length) - 1)
    };
    let ends = [least_raw * multiply + add, greatest_raw * multiply + add];
    let (lowest, highest) = (ends[0].min(ends[1]), ends[0].max(ends[1]));

    // The raw integer whose value a bound is, if clamping to it can happen at all.
    let raw_of = |bound: Option<i128>, reached: bool| match bound {
        Some(bound) if reached && signal.outside == Outside::Clamp => {
            let above = bound - add;
            (multiply != 0 && above % multiply == 0)
                .then(|| i64::try_from(above / multiply).ok())
                .flatten()
        }
        _ => Some(0),
    };
    let least = raw_of(bounds.min, bounds.min.is_some_and(|min| lowest < min));
    let greatest = raw_of(bounds.max, bounds.max.is_some_and(|max| highest > max));
    if let (Some(least), Some(greatest)) = (least, greatest) {
        let put = Put::Raw { least, greatest };
        // Only a full 64-bit field can exceed an i64.
        let encoding = if !signal.signed && signal.length == 64 {
            Encoding::Unsigned { scale, offset }
        } else {
            Encoding::Scaled { scale, offset }
        };
        return Some((
            Arithmetic::Steps {
                multiply,
                add,
                bounds,
                put,
            },
            encoding,
        ));
    }
    let fits = |steps: i128| i64::try_from(steps).is_ok();
    if !fits(bounds.min.map_or(lowest, |min| min.max(lowest)))
        || !fits(bounds.max.map_or(highest, |max| max.min(highest)))
    {
        return None;
    }
    let encoding = Encoding::Scaled {
        scale: Decimal::new(1, unit).ok()?,
        offset: Decimal::ZERO,
    };
    Some((
        Arithmetic::Steps {
            multiply,
            add,
            bounds,
            put: Put::Steps,
        },
        encoding,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signal(toml: &str) -> DiagnosticSignal {
        toml::from_str(&format!("name = \"s\"\n{toml}")).unwrap()
    }

    fn value(toml: &str, data: &[u8]) -> Option<f64> {
        let field = Field::new(&signal(toml));
        match field.find(data) {
            Found::Raw(raw) => Some(field.encoding().value(raw)),
            _ => None,
        }
    }

    #[test]
    fn bits_and_signs() {
        assert_eq!(value("length = 16", &[0x12, 0x34]), Some(f64::from(0x1234)));
        assert_eq!(
            value("length = 16\norder = \"little\"", &[0x12, 0x34]),
            Some(f64::from(0x3412))
        );
        assert_eq!(
            value("bit = 4\nlength = 8", &[0x12, 0x34]),
            Some(f64::from(0x23))
        );
        assert_eq!(value("bit = 15\nlength = 1", &[0, 1]), Some(1.0));
        assert_eq!(value("bit = 9\nlength = 8", &[0, 1]), None);
        assert_eq!(value("length = 8\nsigned = true", &[0xFF]), Some(-1.0));
        assert_eq!(
            value("bit = 3\nlength = 64", &[0xFF; 9]),
            Some(u64::MAX as f64)
        );
    }

    #[test]
    fn ranges_and_codes() {
        let soc = "length = 8\ndivide = 2\nmax = 100\n";
        assert_eq!(value(soc, &[200]), Some(100.0));
        assert_eq!(Field::new(&signal(soc)).find(&[201]), Found::Outside);
        assert_eq!(
            value(&format!("{soc}outside = \"clamp\""), &[255]),
            Some(100.0)
        );
        assert_eq!(value("length = 8\nadd = -40\nnone_up_to = -40", &[0]), None);
        assert_eq!(
            value("length = 8\nadd = -40\nnone_up_to = -40", &[1]),
            Some(-39.0)
        );
        assert_eq!(value("length = 8\nnone_from = 250", &[250]), None);
        assert_eq!(value("length = 8\nnot_available = [255]", &[255]), None);
        assert_eq!(value("length = 8\ntexts = { 1 = \"on\" }", &[2]), None);
        assert_eq!(value("length = 8\ntexts = { 1 = \"on\" }", &[1]), Some(1.0));
    }

    #[test]
    fn encodings() {
        let encoding = |toml: &str| Field::new(&signal(toml)).encoding();
        let scaled = |scale: &str, offset: &str| Encoding::Scaled {
            scale: scale.parse().unwrap(),
            offset: offset.parse().unwrap(),
        };
        assert_eq!(encoding("length = 8\ndivide = 12.5"), scaled("0.08", "0"));
        // 439.5 is not a whole number of steps of 1.7236894, so a clamped value needs finer ones.
        let pressure = "length = 8\nmultiply = 1.7236894\nmax = 439.5\n";
        assert_eq!(encoding(pressure), scaled("1.7236894", "0"));
        let clamped = format!("{pressure}outside = \"clamp\"");
        assert_eq!(encoding(&clamped), scaled("0.0000001", "0"));
        assert_eq!(value(&clamped, &[255]), Some(439.5));
        assert!((value(&clamped, &[100]).unwrap() - 172.368_94).abs() < 1e-9);
        // A bound out of reach needs nothing.
        assert_eq!(
            encoding("length = 8\nmultiply = 1.7236894\nmax = 439.541\noutside = \"clamp\""),
            scaled("1.7236894", "0")
        );
        assert_eq!(
            encoding("length = 8\nmultiply = 100\ndivide = 255"),
            Encoding::Float
        );
        assert!(matches!(encoding("length = 64"), Encoding::Unsigned { .. }));
    }

    proptest! {
        /// The exact arithmetic and the formula in floats say the same.
        #[test]
        fn exact_is_the_formula(
            data in prop::array::uniform9(any::<u8>()), bit in 0u32..8, length in 1u8..33, signed: bool,
            m in -1000i64..1000, me in -3i32..3, d in 1i64..40, a in -1000i64..1000, ae in -3i32..1,
            bounds in prop::option::of((-500i64..0, 0i64..500)), clamp: bool,
        ) {
            let mut s = signal("length = 8");
            (s.bit, s.length, s.signed) = (bit, length, signed);
            s.multiply = Decimal::new(m, me).unwrap();
            s.divide = Decimal::new(d, 0).unwrap();
            s.add = Decimal::new(a, ae).unwrap();
            s.min = bounds.map(|b| Decimal::new(b.0, -1).unwrap());
            s.max = bounds.map(|b| Decimal::new(b.1, -1).unwrap());
            s.outside = if clamp { Outside::Clamp } else { Outside::Drop };
            let field = Field::new(&s);
            let wide = data.iter().fold(0u128, |w, &b| w << 8 | u128::from(b));
            let bits = (wide >> (72 - bit - u32::from(length))) as u64 & (u64::MAX >> (64 - length));
            let raw = if signed && bits >> (length - 1) != 0 { bits as f64 - 2f64.powi(length.into()) } else { bits as f64 };
            let plain = raw * s.multiply.to_f64() / s.divide.to_f64() + s.add.to_f64();
            let (low, high) = bounds.map_or((f64::MIN, f64::MAX), |b| (b.0 as f64 / 10.0, b.1 as f64 / 10.0));
            // Within rounding of a bound either answer is right.
            prop_assume!((plain - low).abs() > 1e-9 && (plain - high).abs() > 1e-9);
            let expected = (clamp || (low..=high).contains(&plain)).then_some(plain.clamp(low, high));
            let got = match field.find(&data) {
                Found::Raw(raw) => Some(field.encoding().value(raw)),
                Found::Outside => None,
                other => panic!("{other:?}"),
            };
            match (got, expected) {
                (Some(got), Some(expected)) => prop_assert!((got - expected).abs() <= 1e-9 * (1.0 + expected.abs() + raw.abs() * s.multiply.to_f64().abs()), "{} {}", got, expected),
                (got, expected) => prop_assert_eq!(got, expected),
            }
        }
    }
}
