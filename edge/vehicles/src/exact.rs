//! Exact arithmetic on [`Decimal`]s, for composing scales. Every function gives `None` where the exact result is not
//! a [`Decimal`]; nothing is rounded.

use std::cmp::Ordering;

use shared_protocol::Decimal;

/// `a × b`.
pub(crate) fn product(a: Decimal, b: Decimal) -> Option<Decimal> {
    // Two i64 always multiply within an i128.
    normal(
        i128::from(a.mantissa()) * i128::from(b.mantissa()),
        exponent(a) + exponent(b),
    )
}

/// `a ÷ b`; `None` also where the quotient has no end (1 ÷ 3).
pub(crate) fn quotient(a: Decimal, b: Decimal) -> Option<Decimal> {
    if b.mantissa() == 0 {
        return None;
    }
    let divisor = greatest_common_divisor(i128::from(a.mantissa()), i128::from(b.mantissa()));
    let (mut numerator, mut denominator) = (
        i128::from(a.mantissa()) / divisor,
        i128::from(b.mantissa()) / divisor,
    );
    if denominator < 0 {
        (numerator, denominator) = (-numerator, -denominator);
    }
    let mut shift = 0;
    for (prime, partner) in [(10, 1), (5, 2), (2, 5)] {
        while denominator % prime == 0 {
            denominator /= prime;
            numerator = numerator.checked_mul(partner)?;
            shift += 1;
        }
    }
    if denominator != 1 {
        return None;
    }
    normal(numerator, exponent(a) - exponent(b) - shift)
}

/// `a + b`.
pub(crate) fn sum(a: Decimal, b: Decimal) -> Option<Decimal> {
    let low = lowest_exponent(&[a, b]);
    normal(steps(a, low)?.checked_add(steps(b, low)?)?, low)
}

/// How `a` compares to `b`.
pub(crate) fn compare(a: Decimal, b: Decimal) -> Ordering {
    let low = lowest_exponent(&[a, b]);
    match (steps(a, low), steps(b, low)) {
        (Some(a), Some(b)) => a.cmp(&b),
        // One of them is more than 10^20 times the other: floats tell them apart.
        _ => a.to_f64().total_cmp(&b.to_f64()),
    }
}

/// The least exponent among these numbers; zero has none.
pub(crate) fn lowest_exponent(numbers: &[Decimal]) -> i32 {
    numbers
        .iter()
        .filter(|n| n.mantissa() != 0)
        .map(|&n| exponent(n))
        .min()
        .unwrap_or(0)
}

/// `number` in steps of `10^low`; `None` when it is not a whole number of them or does not fit.
pub(crate) fn steps(number: Decimal, low: i32) -> Option<i128> {
    if number.mantissa() == 0 {
        return Some(0);
    }
    let places = u32::try_from(exponent(number) - low).ok()?;
    i128::from(number.mantissa()).checked_mul(10i128.checked_pow(places)?)
}

fn exponent(number: Decimal) -> i32 {
    i32::from(number.exponent())
}

fn normal(mut mantissa: i128, mut exponent: i32) -> Option<Decimal> {
    while mantissa != 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        exponent += 1;
    }
    Decimal::new(i64::try_from(mantissa).ok()?, exponent).ok()
}

fn greatest_common_divisor(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    // Both came from an i64 and b was not zero: 1 ..= 2^63.
    a.cast_signed().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn composing() {
        assert_eq!(product(d("0.390625"), d("8")), Some(d("3.125")));
        assert_eq!(product(d("9e18"), d("0.9")), Some(d("8.1e18")));
        assert_eq!(
            product(d("922337203685477580"), d("9223372036854775807")),
            None
        );
        assert_eq!(quotient(d("1"), d("12.5")), Some(d("0.08")));
        assert_eq!(quotient(d("100"), d("255")), None);
        assert_eq!(quotient(d("102"), d("255")), Some(d("0.4")));
        assert_eq!(quotient(d("-1"), d("-8")), Some(d("0.125")));
        assert_eq!(quotient(d("1"), d("0")), None);
        assert_eq!(sum(d("-40.9"), d("0.09")), Some(d("-40.81")));
        assert_eq!(sum(d("1e30"), d("1e-30")), None);
        assert_eq!(compare(d("0.1"), d("0.10")), Ordering::Equal);
        assert_eq!(compare(d("-1e30"), d("1e-30")), Ordering::Less);
        assert_eq!(steps(d("0.5"), -3), Some(500));
        assert_eq!(steps(d("0.5"), 0), None);
    }

    proptest! {
        #[test]
        fn quotients_multiply_back(m in 1i64..1_000_000, e in -6i32..6, n in 1i64..1_000_000, f in -6i32..6) {
            let (a, b) = (Decimal::new(m, e).unwrap(), Decimal::new(n, f).unwrap());
            if let Some(q) = quotient(a, b) {
                prop_assert_eq!(product(q, b), Some(a));
            }
            prop_assert_eq!(sum(a, b), sum(b, a));
        }
    }
}
