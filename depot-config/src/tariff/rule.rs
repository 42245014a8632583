//! Days of a year by rule.

use std::{fmt, str::FromStr};

use config_file::{Kind, Syntax};
use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize, Serializer};

/// A day of every year, such as `16 september`, `first monday of february` or `last sunday of october`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DateRule {
    /// The same day of the same month.
    Fixed {
        /// 1 to 31.
        day: i8,
        /// 1 to 12.
        month: i8,
    },
    /// A weekday of a month, counted from its begin.
    Nth {
        /// 1 to 4; −1 is the last one.
        nth: i8,
        /// The weekday.
        weekday: Weekday,
        /// 1 to 12.
        month: i8,
    },
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];
const NTH: [(&str, i8); 5] = [
    ("first", 1),
    ("second", 2),
    ("third", 3),
    ("fourth", 4),
    ("last", -1),
];

impl DateRule {
    /// A text of this form, for the keys of a file.
    pub const KIND: Kind = Kind::Syntax(Syntax {
        form: "a day of the year such as \"16 september\", \"first monday of february\" or \"last sunday of october\"",
        check: |text| text.parse::<Self>().map(drop),
    });

    /// The day in a year; `None` on 29 February of a year that has none, and beyond the years of a calendar.
    pub fn in_year(self, year: i16) -> Option<Date> {
        match self {
            Self::Fixed { day, month } => Date::new(year, month, day).ok(),
            Self::Nth {
                nth,
                weekday,
                month,
            } => Date::new(year, month, 1)
                .ok()?
                .nth_weekday_of_month(nth, weekday)
                .ok(),
        }
    }
}

impl FromStr for DateRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split(' ').collect();
        let month = |name: &str| {
            let place = MONTHS.iter().position(|month| *month == name);
            place
                .map(|place| place as i8 + 1)
                .ok_or_else(|| format!("`{name}` is no month in English"))
        };
        match words[..] {
            [day, name] => {
                let month = month(name)?;
                let day = day
                    .parse::<i8>()
                    .ok()
                    .filter(|day| Date::new(2024, month, *day).is_ok())
                    .ok_or_else(|| format!("{name} has no day `{day}`"))?;
                Ok(Self::Fixed { day, month })
            }
            [nth, weekday, "of", name] => {
                let find = |(name, _): &&(&str, i8)| *name == nth;
                let (_, nth) = NTH
                    .iter()
                    .find(find)
                    .ok_or("it begins with first, second, third, fourth or last")?;
                let (_, weekday) = WEEKDAYS
                    .iter()
                    .find(|(name, _)| *name == weekday)
                    .ok_or_else(|| format!("`{weekday}` is no weekday in English"))?;
                Ok(Self::Nth {
                    nth: *nth,
                    weekday: *weekday,
                    month: month(name)?,
                })
            }
            _ => Err(String::new()),
        }
    }
}

impl TryFrom<String> for DateRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for DateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = |month: &i8| MONTHS[(*month as usize - 1).min(11)];
        match self {
            Self::Fixed { day, month: m } => write!(f, "{day} {}", month(m)),
            Self::Nth {
                nth,
                weekday,
                month: m,
            } => {
                let name = NTH
                    .iter()
                    .find(|(_, n)| n == nth)
                    .map_or("", |(name, _)| *name);
                let day = WEEKDAYS[weekday.to_monday_zero_offset() as usize].0;
                write!(f, "{name} {day} of {}", month(m))
            }
        }
    }
}

impl Serialize for DateRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn rules_and_their_days() {
        for (text, day) in [
            ("16 september", date(2026, 9, 16)),
            ("first monday of february", date(2026, 2, 2)),
            ("third monday of march", date(2026, 3, 16)),
            ("first sunday of april", date(2026, 4, 5)),
            ("last sunday of october", date(2026, 10, 25)),
        ] {
            let rule: DateRule = text.parse().expect(text);
            assert_eq!(rule.in_year(2026), Some(day), "{text}");
            assert_eq!(rule.to_string(), text);
        }
        let leap: DateRule = "29 february".parse().expect("2024 has one");
        assert_eq!(
            (leap.in_year(2024).is_some(), leap.in_year(2026)),
            (true, None)
        );
        for text in [
            "",
            "september",
            "31 june",
            "0 may",
            "1 mayo",
            "fifth monday of may",
            "first lunes of may",
            "first monday in may",
        ] {
            assert!(text.parse::<DateRule>().is_err(), "{text}");
        }
    }
}
