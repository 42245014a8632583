//! Phone numbers in the international form of ITU-T E.164: `+`, country code, at most 15 digits in all.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A phone number, such as `+525512345678`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Phone(String);

/// A text that is no phone number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no phone number: write + and the country code first, such as +52 55 1234 5678")]
pub struct NoPhone(String);

impl Phone {
    /// As E.164 has it, without spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Phone {
    type Err = NoPhone;

    /// Reads a number as people write it: spaces, hyphens, points and parentheses do not matter.
    fn from_str(text: &str) -> Result<Self, NoPhone> {
        let wrong = || NoPhone(text.chars().take(40).collect());
        let number = text.trim().strip_prefix('+').ok_or_else(wrong)?;
        let mut digits = String::with_capacity(16);
        for c in number.chars() {
            match c {
                '0'..='9' => digits.push(c),
                ' ' | '-' | '.' | '(' | ')' => {}
                _ => return Err(wrong()),
            }
        }
        // E.164, 6.1: no country code begins with 0; the shortest numbers in use have 7 digits.
        if !(7..=15).contains(&digits.len()) || digits.starts_with('0') {
            return Err(wrong());
        }
        Ok(Self(format!("+{digits}")))
    }
}

impl TryFrom<String> for Phone {
    type Error = NoPhone;

    fn try_from(text: String) -> Result<Self, NoPhone> {
        text.parse()
    }
}

impl From<Phone> for String {
    fn from(phone: Phone) -> Self {
        phone.0
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        for (text, number) in [
            ("+52 55 1234 5678", "+525512345678"),
            ("+1 (415) 555-2671", "+14155552671"),
            (" +44.20.7183.8750 ", "+442071838750"),
            ("+2901234", "+2901234"),
        ] {
            assert_eq!(text.parse::<Phone>().unwrap().as_str(), number);
        }
        for text in [
            "",
            "+",
            "55 1234 5678",
            "+052 55 1234",
            "+52 55 12ab",
            "+1234567890123456",
            "++525512345678",
            "+123456",
        ] {
            assert!(text.parse::<Phone>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Phone>("\"5512345678\"").is_err());
    }
}
