//! The vehicle identification number (ISO 3779).

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// Seventeen characters, digits and capital letters without I, O and Q.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vin([u8; 17]);

/// The bytes are not a VIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VinError {
    /// Wrong number of characters.
    #[error("a VIN has 17 characters, found {0}")]
    Length(usize),
    /// A character no VIN has.
    #[error(
        "a VIN has digits and capital letters without I, O and Q; byte {position} is {byte:02X}"
    )]
    Character {
        /// Its place, from 0.
        position: usize,
        /// What is there.
        byte: u8,
    },
}

impl Vin {
    /// Reads 17 bytes of ASCII. Filler (00) in front, which ECUs send before shorter numbers, is not part of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VinError> {
        let start = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len());
        let text = &bytes[start..];
        let vin: [u8; 17] = text.try_into().map_err(|_| VinError::Length(text.len()))?;
        match vin.iter().position(
            |b| !matches!(b, b'0'..=b'9' | b'A'..=b'H' | b'J'..=b'N' | b'P' | b'R'..=b'Z'),
        ) {
            Some(position) => Err(VinError::Character {
                position,
                byte: vin[position],
            }),
            None => Ok(Self(vin)),
        }
    }

    /// The characters.
    pub fn as_bytes(&self) -> &[u8; 17] {
        &self.0
    }

    /// Whether the ninth character is the check digit of the others. North America and China demand it, Europe does
    /// not, so a wrong one alone does not make a VIN wrong.
    pub fn check_digit_holds(&self) -> bool {
        const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
        let value = |b: u8| match b {
            b'0'..=b'9' => u32::from(b - b'0'),
            b'A'..=b'I' => u32::from(b - b'A') + 1,
            b'J'..=b'R' => u32::from(b - b'J') + 1,
            _ => u32::from(b - b'S') + 2,
        };
        let sum: u32 = self
            .0
            .iter()
            .zip(WEIGHTS)
            .map(|(&b, weight)| value(b) * weight)
            .sum();
        let digit = if sum % 11 == 10 {
            b'X'
        } else {
            b'0' + (sum % 11) as u8
        };
        self.0[8] == digit
    }
}

impl FromStr for Vin {
    type Err = VinError;

    fn from_str(text: &str) -> Result<Self, VinError> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|&b| write!(f, "{}", char::from(b)))
    }
}

impl fmt::Debug for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vins_are_checked() {
        let vin: Vin = "1M8GDM9AXKP042788".parse().unwrap();
        assert!(vin.check_digit_holds());
        assert_eq!(vin.to_string(), "1M8GDM9AXKP042788");
        let ones: Vin = "11111111111111111".parse().unwrap();
        assert!(ones.check_digit_holds());
        assert!(
            !"1M8GDM9A1KP042788"
                .parse::<Vin>()
                .unwrap()
                .check_digit_holds()
        );
        assert_eq!("1M8GDM9AXKP04278".parse::<Vin>(), Err(VinError::Length(16)));
        assert_eq!(
            "IM8GDM9AXKP042788".parse::<Vin>(),
            Err(VinError::Character {
                position: 0,
                byte: b'I'
            })
        );
        assert_eq!(Vin::from_bytes(&[0; 17]), Err(VinError::Length(0)));
        assert_eq!(
            Vin::from_bytes(&[0xFF; 17]),
            Err(VinError::Character {
                position: 0,
                byte: 0xFF
            })
        );
    }
}
