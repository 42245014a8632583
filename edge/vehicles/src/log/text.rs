//! Numbers and bytes in texts.

use isotp::CanId;

use super::LogErrorKind;

pub(super) fn form<T>(expected: &'static str, found: &str) -> Result<T, LogErrorKind> {
    Err(LogErrorKind::Form {
        expected,
        found: found.chars().take(40).collect(),
    })
}

/// The next word, or what should be there.
pub(super) fn word<'t>(
    words: &mut impl Iterator<Item = &'t str>,
    expected: &'static str,
) -> Result<&'t str, LogErrorKind> {
    words.next().ok_or(LogErrorKind::Ends { expected })
}

/// A decimal number in steps of `10^-places`; further places are cut off.
pub(super) fn fixed(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut steps: u64 = whole.parse().ok()?;
    for place in 0..places {
        let digit = fraction
            .as_bytes()
            .get(place)
            .map_or(0, |b| u64::from(b - b'0'));
        steps = steps.checked_mul(10)?.checked_add(digit)?;
    }
    Some(steps)
}

/// A time in seconds, in microseconds.
pub(super) fn seconds(text: &str) -> Result<u64, LogErrorKind> {
    fixed(text, 6).map_or_else(|| form("a time in seconds", text), Ok)
}

/// A time in milliseconds, in microseconds.
pub(super) fn milliseconds(text: &str) -> Result<u64, LogErrorKind> {
    fixed(text, 3).map_or_else(|| form("a time in milliseconds", text), Ok)
}

/// A number in this base; signs are not numbers.
pub(super) fn number(text: &str, base: u32) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric())
        .then(|| u32::from_str_radix(text, base).ok())
        .flatten()
}

/// An identifier in hexadecimal whose number of digits says what it is: up to three are 11 bit.
pub(super) fn id(text: &str) -> Result<CanId, LogErrorKind> {
    let plain = text.bytes().all(|b| b.is_ascii_hexdigit());
    plain
        .then(|| text.parse().ok())
        .flatten()
        .map_or_else(|| form("an identifier", text), Ok)
}

/// An identifier whose kind is known.
pub(super) fn id_of(raw: u32, extended: bool, text: &str) -> Result<CanId, LogErrorKind> {
    let id = if extended {
        CanId::extended(raw)
    } else {
        CanId::standard(raw)
    };
    id.or_else(|_| form("an identifier", text))
}

/// Exactly `length` bytes, a word each.
pub(super) fn bytes<'t>(
    words: &mut impl Iterator<Item = &'t str>,
    length: usize,
    base: u32,
) -> Result<Vec<u8>, LogErrorKind> {
    let mut data = Vec::with_capacity(length.min(64));
    for _ in 0..length {
        let Some(word) = words.next() else {
            return Err(LogErrorKind::Length {
                announced: length,
                found: data.len(),
            });
        };
        match number(word, base).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => data.push(byte),
            None => return form("a byte of data", word),
        }
    }
    Ok(data)
}

/// Bytes written without spaces between them; at most 64.
pub(super) fn packed(text: &str) -> Result<Vec<u8>, LogErrorKind> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    let data: Option<Vec<u8>> = pairs.collect();
    data.filter(|data| data.len() <= 64)
        .map_or_else(|| form("pairs of hexadecimal digits, at most 64", text), Ok)
}

/// The number of bytes behind a data length code (ISO 11898-1).
pub(super) fn length_of_code(code: u32, fd: bool) -> Option<usize> {
    match (code, fd) {
        (0..=8, _) => Some(code as usize),
        (9..=15, false) => Some(8),
        (9..=15, true) => Some([12, 16, 20, 24, 32, 48, 64][code as usize - 9]),
        _ => None,
    }
}

/// The number at the end of an interface's name.
pub(super) fn bus_of(interface: &str) -> u16 {
    let name = interface.trim_end_matches(|c: char| c.is_ascii_digit());
    interface[name.len()..].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(fixed("12.5", 6), Some(12_500_000));
        assert_eq!(fixed("17535.4", 3), Some(17_535_400));
        assert_eq!(fixed("1.23456789", 6), Some(1_234_567));
        assert_eq!(fixed("7,5", 1), Some(75));
        for text in ["", ".5", "-1", "1e3", "99999999999999999999"] {
            assert_eq!(fixed(text, 6), None, "{text}");
        }
        assert_eq!(number("1F", 16), Some(31));
        assert_eq!(number("+1", 16), None);
        assert_eq!(
            (bus_of("can12"), bus_of("can"), bus_of("can99999")),
            (12, 0, 0)
        );
        assert_eq!(
            (
                length_of_code(15, true),
                length_of_code(15, false),
                length_of_code(16, true)
            ),
            (Some(64), Some(8), None)
        );
        assert_eq!(packed("0aFF"), Ok(vec![10, 255]));
        assert!(packed("0").is_err() && packed("é").is_err());
    }
}
