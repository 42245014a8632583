//! Exact decimal numbers for scales and offsets: `mantissa × 10^exponent`.
//!
//! A DBC factor (`0.390625`) or a register's scale (`0.1`) is a decimal text; kept as one it multiplies raw
//! integers without rounding, and its nearest `f64` is the one every other reader of that text gets.

use std::{fmt, str::FromStr};

use bincode::{Decode, Encode};

/// An exact decimal number, normalised: the mantissa has no trailing zero, and zero is `0 × 10^0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode)]
pub struct Decimal {
    mantissa: i64,
    exponent: i8,
}

/// Why a text or a pair is not a [`Decimal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a decimal number of at most 18 significant digits such as 0.1, -40 or 1e-3"
)]
pub struct NotDecimal {
    found: String,
}

impl Decimal {
    /// 0.
    pub const ZERO: Self = Self {
        mantissa: 0,
        exponent: 0,
    };
    /// 1.
    pub const ONE: Self = Self {
        mantissa: 1,
        exponent: 0,
    };

    /// `mantissa × 10^exponent`; errors when the normalised exponent is outside −40..=40.
    pub fn new(mantissa: i64, exponent: i32) -> Result<Self, NotDecimal> {
        let (mut m, mut e) = (mantissa, exponent);
        if m == 0 {
            return Ok(Self::ZERO);
        }
        while m % 10 == 0 {
            m /= 10;
            e = e.saturating_add(1);
        }
        match i8::try_from(e) {
            Ok(exponent) if (-40..=40).contains(&exponent) => Ok(Self {
                mantissa: m,
                exponent,
            }),
            _ => Err(NotDecimal {
                found: format!("{mantissa}e{exponent}"),
            }),
        }
    }

    /// The digits, without trailing zeros.
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// The power of ten.
    pub const fn exponent(self) -> i8 {
        self.exponent
    }

    /// The nearest `f64` (correctly rounded, as any parser of the text gives it).
    pub fn to_f64(self) -> f64 {
        format!("{}e{}", self.mantissa, self.exponent)
            .parse()
            .expect("digits, an e and an exponent are a float")
    }

    /// `raw × scale + offset`: the nearest `f64` to the exact result, as if its decimal text had been parsed.
    ///
    /// `raw` is a 64-bit integer, signed or unsigned. What SQL computes in `numeric` and casts to `double precision`
    /// at the end is the same to the last bit.
    pub fn value(raw: i128, scale: Self, offset: Self) -> f64 {
        // 64 bits times 63 bits and a sign.
        let scaled = raw * i128::from(scale.mantissa);
        let (scaled_exponent, shift) = (i32::from(scale.exponent), i128::from(offset.mantissa));
        let shift_exponent = i32::from(offset.exponent);
        if shift == 0 {
            return nearest(scaled, scaled_exponent);
        }
        if scaled == 0 {
            return nearest(shift, shift_exponent);
        }
        let low = scaled_exponent.min(shift_exponent);
        let exact = || {
            let scaled = scaled.checked_mul(pow10(scaled_exponent - low)?)?;
            scaled.checked_add(shift.checked_mul(pow10(shift_exponent - low)?)?)
        };
        exact().map_or_else(
            || far_apart((scaled, scaled_exponent), (shift, shift_exponent)),
            |sum| nearest(sum, low),
        )
    }

    /// `(raw × scale + offset) / unit`, rounded half away from zero, in exact integer arithmetic.
    ///
    /// `None` when the result does not fit an `i64` or the numbers are too far apart to be computed in 128 bits.
    #[inline]
    pub fn rescale(raw: i64, scale: Self, offset: Self, unit: Self) -> Option<i64> {
        if unit.mantissa == 0 {
            return None;
        }
        // Sources mostly have the catalogue's resolution.
        if scale == unit && offset.mantissa == 0 {
            return Some(raw);
        }
        Self::rescaled(raw, scale, offset, unit)
    }

    fn rescaled(raw: i64, scale: Self, offset: Self, unit: Self) -> Option<i64> {
        let scaled = i128::from(raw).checked_mul(i128::from(scale.mantissa))?;
        let low = scale.exponent.min(if offset.mantissa == 0 {
            scale.exponent
        } else {
            offset.exponent
        });
        let sum = scaled
            .checked_mul(pow10(i32::from(scale.exponent) - i32::from(low))?)?
            .checked_add(
                i128::from(offset.mantissa).checked_mul(if offset.mantissa == 0 {
                    1
                } else {
                    pow10(i32::from(offset.exponent) - i32::from(low))?
                })?,
            )?;
        // sum × 10^low / (unit.mantissa × 10^unit.exponent)
        let shift = i32::from(low) - i32::from(unit.exponent);
        let (numerator, denominator) = if shift >= 0 {
            (sum.checked_mul(pow10(shift)?)?, i128::from(unit.mantissa))
        } else {
            (sum, i128::from(unit.mantissa).checked_mul(pow10(-shift)?)?)
        };
        let (numerator, denominator) = if denominator < 0 {
            (numerator.checked_neg()?, denominator.checked_neg()?)
        } else {
            (numerator, denominator)
        };
        let half = denominator / 2;
        let rounded = if numerator >= 0 {
            numerator.checked_add(half)? / denominator
        } else {
            numerator.checked_sub(half)? / denominator
        };
        i64::try_from(rounded).ok()
    }
}

/// The `f64` nearest to `mantissa × 10^exponent`.
fn nearest(mantissa: i128, exponent: i32) -> f64 {
    // Both exact in an f64: one operation rounds once.
    const POWERS: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
        1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ];
    let power = POWERS.get(exponent.unsigned_abs() as usize);
    if mantissa.unsigned_abs() <= 1 << 53
        && let Some(power) = power
    {
        return if exponent < 0 {
            mantissa as f64 / power
        } else {
            mantissa as f64 * power
        };
    }
    format!("{mantissa}e{exponent}")
        .parse()
        .expect("digits, an e and an exponent are a float")
}

/// The `f64` nearest to the sum of two numbers, as mantissa and exponent, that are too far apart for 128 bits: added
/// digit by digit. Neither is zero.
fn far_apart(a: (i128, i32), b: (i128, i32)) -> f64 {
    let low = a.1.min(b.1);
    let digits = |(mantissa, exponent): (i128, i32)| {
        let zeros = (exponent - low).unsigned_abs() as usize;
        let text = mantissa.unsigned_abs().to_string() + &"0".repeat(zeros);
        text.bytes()
            .rev()
            .map(|digit| digit - b'0')
            .collect::<Vec<_>>()
    };
    let (mut more, mut less) = (digits(a), digits(b));
    let mut negative = a.0 < 0;
    if (less.len(), less.iter().rev().collect::<Vec<_>>())
        > (more.len(), more.iter().rev().collect::<Vec<_>>())
    {
        std::mem::swap(&mut more, &mut less);
        negative = b.0 < 0;
    }
    let subtract = (a.0 < 0) != (b.0 < 0);
    let mut carry = 0i8;
    for (index, digit) in more.iter_mut().enumerate() {
        let other = less.get(index).map_or(0, |other| *other as i8);
        let sum = *digit as i8 + carry + if subtract { -other } else { other };
        carry = sum.div_euclid(10);
        *digit = sum.rem_euclid(10).unsigned_abs();
    }
    let mut text = String::from(if negative { "-" } else { "" });
    text.push(char::from(b'0' + carry.unsigned_abs()));
    text.extend(more.iter().rev().map(|digit| char::from(b'0' + digit)));
    format!("{text}e{low}")
        .parse()
        .expect("digits, an e and an exponent are a float")
}

fn pow10(n: i32) -> Option<i128> {
    10i128.checked_pow(u32::try_from(n).ok()?)
}

impl FromStr for Decimal {
    type Err = NotDecimal;

    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        let fail = || NotDecimal {
            found: text.chars().take(64).collect(),
        };
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().map_err(|_| fail())?),
            None => (text, 0),
        };
        let (sign, digits) = match number.strip_prefix(['-', '+']) {
            Some(rest) => (if number.starts_with('-') { -1 } else { 1 }, rest),
            None => (1, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty()
            || !whole
                .bytes()
                .chain(fraction.bytes())
                .all(|b| b.is_ascii_digit())
        {
            return Err(fail());
        }
        // Zeros at the end are no digits of the mantissa, wherever the point is.
        let mut mantissa: i64 = 0;
        let mut zeros = 0i32;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if digit == b'0' {
                zeros = zeros.saturating_add(1);
                continue;
            }
            let shift = u32::try_from(if mantissa == 0 { 0 } else { zeros + 1 });
            mantissa = shift
                .ok()
                .and_then(|shift| 10i64.checked_pow(shift))
                .and_then(|power| mantissa.checked_mul(power))
                .and_then(|m| m.checked_add(sign * i64::from(digit - b'0')))
                .ok_or_else(fail)?;
            zeros = 0;
        }
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        let places = i32::try_from(fraction.len()).map_err(|_| fail())?;
        let exponent = exponent
            .checked_sub(places)
            .and_then(|exponent| exponent.checked_add(zeros))
            .ok_or_else(fail)?;
        Self::new(mantissa, exponent).map_err(|_| fail())
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exponent == 0 {
            write!(f, "{}", self.mantissa)
        } else if (1..=15).contains(&self.exponent) {
            write!(
                f,
                "{}{}",
                self.mantissa,
                "0".repeat(usize::from(self.exponent.unsigned_abs()))
            )
        } else if (-15..0).contains(&self.exponent) {
            let places = usize::from(self.exponent.unsigned_abs());
            let digits = format!(
                "{:0>width$}",
                self.mantissa.unsigned_abs(),
                width = places + 1
            );
            let (whole, fraction) = digits.split_at(digits.len() - places);
            write!(
                f,
                "{}{whole}.{fraction}",
                if self.mantissa < 0 { "-" } else { "" }
            )
        } else {
            write!(f, "{}e{}", self.mantissa, self.exponent)
        }
    }
}

impl serde::Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a text (`"0.1"`), an integer, or a float by its shortest decimal text (`0.1` in a TOML file is 0.1).
impl<'de> serde::Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number")
            }
            fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Decimal, E> {
                Decimal::new(v, 0).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Decimal, E> {
                i64::try_from(v)
                    .map_err(E::custom)
                    .and_then(|v| self.visit_i64(v))
            }
            fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Decimal, E> {
                format!("{v:e}").parse().map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Decimal, E> {
                v.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Decoding re-normalises, so that two equal numbers always have equal fields, whatever was sent.
impl<C> Decode<C> for Decimal {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let mantissa = i64::decode(decoder)?;
        let exponent = i8::decode(decoder)?;
        Self::new(mantissa, i32::from(exponent))
            .map_err(|_| bincode::error::DecodeError::Other("decimal exponent outside -40..=40"))
    }
}
bincode::impl_borrow_decode!(Decimal);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn texts() {
        for (text, back) in [
            ("0.390625", "0.390625"),
            ("-40", "-40"),
            ("1e-3", "0.001"),
            ("100", "100"),
            ("+2.50", "2.5"),
            (".5", "0.5"),
        ] {
            assert_eq!(d(text).to_string(), back);
        }
        for text in [
            "",
            "-",
            ".",
            "1.2.3",
            "0x10",
            "nan",
            "99999999999999999999",
            "1e99",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    #[test]
    fn rescaling_rounds_half_away_from_zero() {
        assert_eq!(Decimal::rescale(5, d("0.1"), d("0"), d("1")), Some(1));
        assert_eq!(Decimal::rescale(-5, d("0.1"), d("0"), d("1")), Some(-1));
        assert_eq!(Decimal::rescale(4, d("0.1"), d("0"), d("1")), Some(0));
        assert_eq!(Decimal::rescale(100, d("1"), d("-40"), d("0.1")), Some(600));
        assert_eq!(
            Decimal::rescale(i64::MAX, d("1000"), d("0"), d("0.001")),
            None
        );
        assert_eq!(Decimal::rescale(1, d("1"), d("0"), Decimal::ZERO), None);
    }

    #[test]
    fn values_are_rounded_once() {
        assert_eq!(Decimal::value(14, d("0.1"), d("0")), 1.4);
        assert_eq!(Decimal::value(3, d("0.1"), d("0.2")), 0.5);
        assert_eq!(Decimal::value(-7, d("0.1"), d("0.7")), 0.0);
        assert_eq!(Decimal::value(1, d("0.390625"), d("-40")), -39.609_375);
        // Half-way between two floats, but for a one far behind the point.
        let half = (1i128 << 53) + 1;
        assert_eq!(
            Decimal::value(half, d("1"), d("0")),
            9_007_199_254_740_992.0
        );
        assert_eq!(
            Decimal::value(half, d("1"), d("1e-40")),
            9_007_199_254_740_994.0
        );
        assert_eq!(
            Decimal::value(-half, d("1"), d("-1e-40")),
            -9_007_199_254_740_994.0
        );
        assert_eq!(
            Decimal::value(half, d("1"), d("-1e-40")),
            9_007_199_254_740_992.0
        );
        assert_eq!(Decimal::value(1, d("1e-40"), d("1e40")), 1e40);
        assert_eq!(Decimal::value(-1, d("1e40"), d("9e39")), -1e39);
        assert_eq!(
            Decimal::value(u64::MAX.into(), d("-9223372036854775807"), d("0")),
            -1.701_411_834_604_692_3e38
        );
    }

    proptest! {
        /// Both ways of adding give what the decimal text gives.
        #[test]
        fn any_sum_is_rounded_once(raw in any::<i64>(), s in any::<i64>(), o in any::<i64>(), (se, oe) in (-8i32..8, -8i32..8)) {
            let (scale, offset) = (Decimal::new(s, se).unwrap(), Decimal::new(o, oe).unwrap());
            let product = i128::from(raw) * i128::from(scale.mantissa);
            let value = Decimal::value(raw.into(), scale, offset);
            if product != 0 && offset.mantissa != 0 {
                let terms = ((product, scale.exponent.into()), (offset.mantissa.into(), offset.exponent.into()));
                prop_assert_eq!(far_apart(terms.0, terms.1), value);
            }
            let float = raw as f64 * scale.to_f64() + offset.to_f64();
            prop_assert!((value - float).abs() <= (raw as f64 * scale.to_f64()).abs().max(offset.to_f64().abs()) * 1e-15);
        }

        #[test]
        fn print_parse(m in any::<i64>(), e in -40i32..22) {
            let x = Decimal::new(m, e).unwrap();
            prop_assert_eq!(x.to_string().parse::<Decimal>(), Ok(x));
            prop_assert_eq!(x.to_f64(), x.to_string().parse::<f64>().unwrap());
        }

        #[test]
        fn rescale_agrees_with_floats(raw in -1_000_000i64..1_000_000, s in 1i64..5000, se in -4i32..1, o in -500i64..500, ue in -3i32..1) {
            let (scale, offset, unit) = (Decimal::new(s, se).unwrap(), Decimal::new(o, 0).unwrap(), Decimal::new(1, ue).unwrap());
            let exact = Decimal::rescale(raw, scale, offset, unit).unwrap();
            let float = (raw as f64 * scale.to_f64() + offset.to_f64()) / unit.to_f64();
            prop_assert!((exact as f64 - float).abs() <= 0.5 + float.abs() * 1e-12, "{} {}", exact, float);
        }
    }
}
