//! Money: whole minor units of a currency (ISO 4217), computed exactly. No float comes near it, and what is shared out
//! adds up to what there was.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A currency of ISO 4217, such as `MXN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// How many digits its minor unit stands behind the point: 2 for MXN, 0 for JPY. Currencies without a minor unit of
    /// their own (gold, testing) have 0.
    pub fn digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    /// Its code of three letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(text)
            .map(Self)
            .ok_or_else(|| MoneyError::NoCurrency(text.chars().take(20).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why an amount cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Amounts of different currencies have no sum.
    #[error("{0} and {1} are not the same currency: exchange one of them first")]
    Currencies(Currency, Currency),
    /// It has no place in 64 bits.
    #[error("the amount is larger than 9·10^18 minor units")]
    TooLarge,
    /// There is nobody to share among, or a share is of nothing.
    #[error("shares must have a sum above 0, and ratios a denominator above 0")]
    NoShares,
    /// ISO 4217 has no such code.
    #[error("`{0}` is no currency of ISO 4217: write a code such as MXN")]
    NoCurrency(String),
    /// The text is no amount.
    #[error(
        "`{text}` is no amount in {currency}: write digits, with at most {digits} behind a point"
    )]
    NoAmount {
        /// What was read.
        text: String,
        /// In which currency.
        currency: Currency,
        /// How many digits it has behind the point.
        digits: u32,
    },
}

/// An amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Whole minor units: centavos, cents, yen.
    pub minor: i64,
    /// Of which currency.
    pub currency: Currency,
}

impl Money {
    /// So many minor units.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads a decimal amount, such as `-1234.50`.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let wrong = || MoneyError::NoAmount {
            text: text.chars().take(40).collect(),
            currency,
            digits: currency.digits(),
        };
        let (negative, digits) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let places = currency.digits() as usize;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let dangling = digits.contains('.') && part.is_empty();
        if whole.is_empty() || dangling || !plain(whole) || !plain(part) || part.len() > places {
            return Err(wrong());
        }
        let minor: i128 = format!("{whole}{part:0<places$}")
            .parse()
            .map_err(|_| MoneyError::TooLarge)?;
        let signed = if negative { -minor } else { minor };
        Self::fit(signed, currency)
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        Self::fit(
            i128::from(self.minor) + i128::from(other.minor),
            self.currency,
        )
    }

    /// The difference.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        Self::fit(
            i128::from(self.minor) - i128::from(other.minor),
            self.currency,
        )
    }

    /// The ratio of it, such as 16/100 for a tax, rounded to the nearest minor unit, halves to the even one.
    pub fn ratio(self, numerator: i64, denominator: i64) -> Result<Self, MoneyError> {
        if denominator <= 0 {
            return Err(MoneyError::NoShares);
        }
        let product = i128::from(self.minor) * i128::from(numerator);
        let denominator = i128::from(denominator);
        let (below, rest) = (
            product.div_euclid(denominator),
            product.rem_euclid(denominator),
        );
        let up = match (rest * 2).cmp(&denominator) {
            Ordering::Less => 0,
            Ordering::Greater => 1,
            Ordering::Equal => below.rem_euclid(2),
        };
        Self::fit(below + up, self.currency)
    }

    /// Shared out by weight: the shares add up to the whole, and each is within one minor unit of its exact part. What
    /// is left over goes to the largest remainders, of equal ones to the first.
    pub fn allocate(self, weights: &[u32]) -> Result<Vec<Self>, MoneyError> {
        let sum: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
        if sum == 0 {
            return Err(MoneyError::NoShares);
        }
        let whole = i128::from(self.minor);
        let mut shares: Vec<i128> = Vec::with_capacity(weights.len());
        let mut rests: Vec<(i128, usize)> = Vec::with_capacity(weights.len());
        for (place, weight) in weights.iter().enumerate() {
            let exact = whole * i128::from(*weight);
            shares.push(exact.div_euclid(sum));
            rests.push((exact.rem_euclid(sum), place));
        }
        rests.sort_by_key(|(rest, place)| (-rest, *place));
        let left = whole - shares.iter().sum::<i128>();
        // Fewer than there are shares: each gave less than one away.
        for (_, place) in rests.iter().take(usize::try_from(left).unwrap_or(0)) {
            shares[*place] += 1;
        }
        shares
            .into_iter()
            .map(|share| Self::fit(share, self.currency))
            .collect()
    }

    fn same(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::Currencies(self.currency, other.currency))
    }

    fn fit(minor: i128, currency: Currency) -> Result<Self, MoneyError> {
        i64::try_from(minor)
            .map(|minor| Self { minor, currency })
            .map_err(|_| MoneyError::TooLarge)
    }
}

/// `1234.50 MXN`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.digits();
        let unit = 10u64.pow(digits);
        let sign = if self.minor < 0 { "-" } else { "" };
        let (whole, part) = (
            self.minor.unsigned_abs() / unit,
            self.minor.unsigned_abs() % unit,
        );
        match digits as usize {
            0 => write!(f, "{sign}{whole} {}", self.currency),
            width => write!(f, "{sign}{whole}.{part:0width$} {}", self.currency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mxn(minor: i64) -> Money {
        Money::new(minor, "MXN".parse().unwrap())
    }

    #[test]
    fn amounts_are_read_and_written() {
        for (text, currency, minor, written) in [
            ("1234.5", "MXN", 123_450, "1234.50 MXN"),
            ("-0.05", "MXN", -5, "-0.05 MXN"),
            ("1234", "JPY", 1234, "1234 JPY"),
            ("1.234", "BHD", 1234, "1.234 BHD"),
        ] {
            let money = Money::parse(text, currency.parse().unwrap()).unwrap();
            assert_eq!((money.minor, money.to_string().as_str()), (minor, written));
            let json = serde_json::to_string(&money).unwrap();
            assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }
        for text in ["", "-", ".5", "5.", "1.234", "1,5", "+1", "1e3", "1 "] {
            let error = Money::parse(text, "MXN".parse().unwrap()).unwrap_err();
            assert!(matches!(error, MoneyError::NoAmount { .. }), "{text}");
        }
        let huge = Money::parse("92233720368547758.08", "MXN".parse().unwrap());
        assert_eq!(huge, Err(MoneyError::TooLarge));
        assert!("mxn".parse::<Currency>().is_err() && "XYZ".parse::<Currency>().is_err());
    }

    #[test]
    fn what_cannot_be_computed_is_an_error() {
        let usd = Money::new(1, "USD".parse().unwrap());
        assert!(matches!(mxn(1).plus(usd), Err(MoneyError::Currencies(..))));
        assert_eq!(mxn(i64::MAX).plus(mxn(1)), Err(MoneyError::TooLarge));
        assert_eq!(mxn(i64::MIN).minus(mxn(1)), Err(MoneyError::TooLarge));
        assert_eq!(mxn(1).allocate(&[]), Err(MoneyError::NoShares));
        assert_eq!(mxn(1).allocate(&[0, 0]), Err(MoneyError::NoShares));
        assert_eq!(mxn(1).ratio(1, 0), Err(MoneyError::NoShares));
    }

    #[test]
    fn halves_go_to_the_even_one() {
        for (minor, half) in [(1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2), (-5, -2)] {
            assert_eq!(mxn(minor).ratio(1, 2).unwrap(), mxn(half), "{minor}");
        }
        assert_eq!(
            mxn(1000).allocate(&[1, 1, 1]).unwrap(),
            [mxn(334), mxn(333), mxn(333)]
        );
        assert_eq!(
            mxn(-1000).allocate(&[1, 1, 1]).unwrap(),
            [mxn(-333), mxn(-333), mxn(-334)]
        );
    }

    proptest! {
        #[test]
        fn not_a_centavo_is_lost(minor: i64, weights in prop::collection::vec(any::<u32>(), 1..40)) {
            let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
            prop_assume!(sum > 0);
            let shares = mxn(minor).allocate(&weights).unwrap();
            prop_assert_eq!(shares.iter().map(|share| i128::from(share.minor)).sum::<i128>(), i128::from(minor));
            for (share, weight) in shares.iter().zip(&weights) {
                let off = i128::from(share.minor) * i128::from(sum) - i128::from(minor) * i128::from(*weight);
                prop_assert!(off.abs() < i128::from(sum), "within one minor unit");
            }
        }

        #[test]
        fn ratios_are_the_nearest(minor: i64, numerator in -1000i64..1000, denominator in 1i64..1000) {
            if let Ok(part) = mxn(minor).ratio(numerator, denominator) {
                let off = i128::from(part.minor) * i128::from(denominator) - i128::from(minor) * i128::from(numerator);
                prop_assert!(off.abs() * 2 <= i128::from(denominator));
            }
        }

        #[test]
        fn written_amounts_are_read_again(minor: i64) {
            let text = mxn(minor).to_string();
            let read = Money::parse(text.trim_end_matches(" MXN"), mxn(0).currency);
            prop_assert_eq!(read, Ok(mxn(minor)));
        }
    }
}
