//! The hours of a day by tariff period.

use std::{fmt, str::FromStr};

use config_file::{Kind, Syntax};
use serde::{Deserialize, Serialize, Serializer};

/// A period of a tariff, in CFE's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Base.
    Base,
    /// Intermedia.
    Intermedia,
    /// Semipunta.
    Semipunta,
    /// Punta.
    Punta,
    /// All hours of a tariff whose price does not depend on them.
    Unica,
}

impl Period {
    /// Every text that names one.
    pub const TEXTS: &'static [&'static str] =
        &["base", "intermedia", "semipunta", "punta", "unica"];

    /// Its text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Intermedia => "intermedia",
            Self::Semipunta => "semipunta",
            Self::Punta => "punta",
            Self::Unica => "unica",
        }
    }

    fn named(text: &str) -> Option<Self> {
        Some(match text {
            "base" => Self::Base,
            "intermedia" => Self::Intermedia,
            "semipunta" => Self::Semipunta,
            "punta" => Self::Punta,
            _ => return None,
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The 24 hours of a day by period, such as `0-6 base, 6-20 intermedia, 20-22 punta, 22-24 intermedia`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours(Vec<(u8, Period)>);

impl Hours {
    /// A text of this form, for the keys of a file.
    pub const KIND: Kind = Kind::Syntax(Syntax {
        form: "the hours of a day such as \"0-6 base, 6-20 intermedia, 20-22 punta, 22-24 intermedia\"",
        check: |text| text.parse::<Self>().map(drop),
    });

    /// The period at an hour from 0 to 23.
    pub fn at(&self, hour: u8) -> Period {
        let spans = self.spans();
        spans
            .filter(|(from, _, _)| *from <= hour)
            .last()
            .map_or(Period::Base, |(_, _, period)| period)
    }

    /// Spans of hours, `from` included and `to` not, and their periods.
    pub fn spans(&self) -> impl Iterator<Item = (u8, u8, Period)> + '_ {
        let ends = self.0.iter().skip(1).map(|(from, _)| *from).chain([24]);
        self.0
            .iter()
            .zip(ends)
            .map(|((from, period), to)| (*from, to, *period))
    }

    /// The same period all day.
    pub fn all(period: Period) -> Self {
        Self(vec![(0, period)])
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut spans: Vec<(u8, Period)> = Vec::new();
        let mut end = 0;
        for span in text.split(',') {
            let span = span.trim();
            let (hours, period) = span
                .split_once(' ')
                .ok_or_else(|| format!("`{span}` is no span of hours with its period"))?;
            let (from, to) = hours
                .split_once('-')
                .ok_or_else(|| format!("`{hours}` is no span of hours such as 6-20"))?;
            let hour = |text: &str| text.parse::<u8>().ok().filter(|hour| *hour <= 24);
            let (Some(from), Some(to)) = (hour(from), hour(to)) else {
                return Err(format!("`{hours}` has an hour that is not from 0 to 24"));
            };
            let period = Period::named(period).ok_or_else(|| {
                format!("`{period}` is none of base, intermedia, semipunta, punta")
            })?;
            if from != end {
                return Err(format!("`{span}` must begin at hour {end}"));
            }
            if to <= from {
                return Err(format!("`{span}` must end after it begins"));
            }
            // Two spans of one period are one.
            if spans.last().is_none_or(|(_, last)| *last != period) {
                spans.push((from, period));
            }
            end = to;
        }
        if end == 24 {
            Ok(Self(spans))
        } else {
            Err(format!("the hours from {end} to 24 are missing"))
        }
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to, period)) in self.spans().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{from}-{to} {period}")?;
        }
        Ok(())
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_a_day() {
        let text = "0-6 base, 6-20 intermedia, 20-22 punta, 22-24 intermedia";
        let hours: Hours = text.parse().expect("it has all hours");
        assert_eq!(hours.to_string(), text);
        assert_eq!(
            [0, 5, 6, 19, 20, 21, 22, 23].map(|hour| hours.at(hour)),
            [
                Period::Base,
                Period::Base,
                Period::Intermedia,
                Period::Intermedia,
                Period::Punta,
                Period::Punta,
                Period::Intermedia,
                Period::Intermedia
            ]
        );
        for (text, says) in [
            ("", "no span of hours"),
            ("0-6 base", "the hours from 6 to 24 are missing"),
            ("1-24 base", "must begin at hour 0"),
            ("0-6 base, 7-24 punta", "must begin at hour 6"),
            ("0-0 base, 0-24 punta", "must end after it begins"),
            ("0-25 base", "not from 0 to 24"),
            ("0-24 valle", "is none of base"),
            ("0 base", "no span of hours such as"),
        ] {
            let error = text.parse::<Hours>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
