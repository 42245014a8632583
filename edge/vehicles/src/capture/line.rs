//! A line into identifier and data.

use isotp::CanId;
use thiserror::Error;

/// Why a line is not a frame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineFault {
    /// Half a byte at the end: digits were lost.
    #[error("an odd number of digits: some were lost")]
    HalfByte,
    /// More bytes than a frame has: two lines ran together.
    #[error("{0} data bytes: a frame has at most 8, so lines ran together")]
    TooLong(usize),
    /// Something that is not hexadecimal.
    #[error("not hexadecimal")]
    NotHex,
}

/// A line's identifier, three digits or eight, and its digits after that. `None`: it is too short or begins with
/// something else, like the messages and prompts of adapters.
pub(super) fn split(line: &str, extended: bool) -> Option<(CanId, String)> {
    let digits: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    let (id, rest) = digits.split_at_checked(if extended { 8 } else { 3 })?;
    // Identifiers have no signs and no prefixes.
    if !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some((id.parse().ok()?, rest.to_owned()))
}

/// The data of a line that is exactly one classic frame.
pub(super) fn data(digits: &str) -> Result<Vec<u8>, LineFault> {
    let bytes = whole_bytes(digits)?;
    if bytes.len() > 8 {
        Err(LineFault::TooLong(bytes.len()))
    } else {
        Ok(bytes)
    }
}

/// However many bytes there are.
pub(super) fn whole_bytes(digits: &str) -> Result<Vec<u8>, LineFault> {
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(LineFault::NotHex);
    }
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or_default() as u8;
    let pairs = digits.as_bytes().chunks_exact(2);
    if pairs.remainder().is_empty() {
        Ok(pairs
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect())
    } else {
        Err(LineFault::HalfByte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let (id, digits) = split("7EC 10 3E 62", false).unwrap();
        assert_eq!(
            (id.to_string(), data(&digits)),
            ("7EC".into(), Ok(vec![0x10, 0x3E, 0x62]))
        );
        let (id, digits) = split("18DAF1101039", true).unwrap();
        assert_eq!(
            (id.to_string(), data(&digits)),
            ("18DAF110".into(), Ok(vec![0x10, 0x39]))
        );
        for line in ["", "7E", "> 7", "NO DATA", "8FF12", "é7E8"] {
            assert_eq!(split(line, false), None, "{line}");
        }
        assert_eq!(data("123"), Err(LineFault::HalfByte));
        assert_eq!(data("1G"), Err(LineFault::NotHex));
        assert_eq!(data("é"), Err(LineFault::NotHex));
        assert_eq!(data(&"00".repeat(9)), Err(LineFault::TooLong(9)));
        assert_eq!(data(""), Ok(vec![]));
    }
}
