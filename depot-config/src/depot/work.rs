//! When vehicles are away.

use config_file::{Kind, Syntax};
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

/// Vehicles that leave and come back together, on certain days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    /// What people call it.
    pub name: String,
    /// The days on which it begins.
    pub days: Vec<Weekday>,
    /// When its vehicles leave, local time.
    #[serde(with = "clock_time")]
    pub leaves: Time,
    /// When they are back, local time; not later than `leaves` is the next day.
    #[serde(with = "clock_time")]
    pub returns: Time,
    /// How many vehicles.
    pub vehicles: u32,
    /// Whether it works on holidays.
    pub on_holidays: bool,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    /// Every text that names one.
    pub const TEXTS: &'static [&'static str] = &[
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
}

/// A time of day such as `05:30`.
pub(super) const TIME: Kind = Kind::Syntax(Syntax {
    form: "a time of day from \"00:00\" to \"23:59\"",
    check: |text| time(text).map(drop).ok_or_else(String::new),
});

/// A date such as `2026-12-12`.
pub(crate) const DATE: Kind = Kind::Syntax(Syntax {
    form: "a date such as \"2026-12-12\"",
    check: |text| {
        let exact = text.len() == 10 && text.parse::<Date>().is_ok();
        if exact { Ok(()) } else { Err(String::new()) }
    },
});

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let plain = |digits: &str| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
    let number = |digits: &str| digits.parse::<i8>().ok().filter(|_| plain(digits));
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

mod clock_time {
    use jiff::civil::Time;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        let text = String::deserialize(from)?;
        super::time(&text).ok_or_else(|| D::Error::custom("it is no time of day"))
    }

    pub(super) fn serialize<S: Serializer>(time: &Time, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(&format_args!("{:02}:{:02}", time.hour(), time.minute()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        assert_eq!(time("05:30"), Time::new(5, 30, 0, 0).ok());
        for text in ["5:30", "24:00", "05:60", "0530", "+5:30", "05:30:00", ""] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
