//! Texts with a unit: `"250ms"`, `"2GiB"`. One whole number and one unit, nothing else, so that nobody has to
//! guess what `"1.5h30"` means.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Units of time and their length in microseconds, shortest first.
pub(crate) const TIME: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Units of data and their size in bytes; the binary ones are last, because texts are written with them.
pub(crate) const DATA: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `"250ms"`, `"10s"`, `"5min"`; the error says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, &TIME).map(Duration::from_micros)
}

/// Reads `"512MiB"`, `"2GB"`; the error says what is wrong with the text.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    parse(text, &DATA)
}

/// The shortest text that reads back as this duration, rounded down to microseconds.
pub fn duration_text(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    text(
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        &TIME,
    )
}

/// The shortest text that reads back as this amount of bytes.
pub fn bytes_text(bytes: u64) -> String {
    text(bytes, &DATA)
}

/// For `#[serde(deserialize_with = "config_file::duration")]` on a [`Duration`].
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(D::Error::custom)
}

/// For `#[serde(default, deserialize_with = "config_file::optional_duration")]` on an `Option<Duration>`.
pub fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// For `#[serde(deserialize_with = "config_file::bytes")]` on a `u64`.
pub fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_bytes(&text).map_err(D::Error::custom)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let names = || {
        units
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err("it must begin with a whole number".to_owned());
    }
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    if unit.is_empty() {
        return Err(format!("the unit is missing: one of {}", names()));
    }
    let Some((_, size)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("the unit must be one of {}", names()));
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*size))
        .ok_or_else(|| "it is too large".to_owned())
}

fn text(amount: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .filter(|(_, size)| amount.is_multiple_of(*size) && (amount > 0 || *size == 1))
        .map(|(name, size)| format!("{}{name}", amount / size))
        .min_by_key(String::len)
        .expect("the smallest unit divides every amount")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("5 min"), Ok(Duration::from_mins(5)));
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(duration_text(Duration::from_hours(1)), "1h");
        assert_eq!(duration_text(Duration::ZERO), "0s");
        assert_eq!(duration_text(Duration::from_millis(1500)), "1500ms");
        assert_eq!(bytes_text(1 << 30), "1GiB");
        assert_eq!(bytes_text(5_000_000), "5MB");
    }

    #[test]
    fn wrong_texts() {
        for (text, says) in [
            ("", "whole number"),
            ("s", "whole number"),
            ("-1s", "whole number"),
            ("10", "the unit is missing: one of us, ms, s, min, h, d"),
            ("10 ", "the unit is missing"),
            ("1.5s", "the unit must be one of"),
            ("10sec", "the unit must be one of"),
            ("99999999999999999999s", "too large"),
            ("300000000d", "too large"),
        ] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn print_parse(amount: u64) {
            prop_assert_eq!(parse_bytes(&bytes_text(amount)), Ok(amount));
            let time = Duration::from_micros(amount);
            prop_assert_eq!(parse_duration(&duration_text(time)), Ok(time));
        }
    }
}
