//! Time zones by their name in the IANA database, so that a day of a depot is the depot's day, whatever its clocks do.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// A time zone, such as `America/Mexico_City`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone, String);

/// A name that the IANA database does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time zone of the IANA database: write a name such as America/Mexico_City")]
pub struct NoZone(String);

impl Zone {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.1
    }

    /// The day on which an instant falls there.
    pub fn day(&self, at: Timestamp) -> Date {
        at.to_zoned(self.0.clone()).date()
    }

    /// When a day begins there and when it ends: 23 and 25 hours apart on the days on which clocks change. `None` at
    /// the edges of the calendar.
    pub fn bounds(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let begin = |day: Date| Some(day.to_zoned(self.0.clone()).ok()?.timestamp());
        Some((begin(day)?, begin(day.tomorrow().ok()?)?))
    }
}

impl FromStr for Zone {
    type Err = NoZone;

    fn from_str(name: &str) -> Result<Self, NoZone> {
        TimeZone::get(name)
            .map(|zone| Self(zone, name.to_owned()))
            .map_err(|_| NoZone(name.chars().take(60).collect()))
    }
}

impl TryFrom<String> for Zone {
    type Error = NoZone;

    fn try_from(name: String) -> Result<Self, NoZone> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.1
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_place() {
        let mexico: Zone = "America/Mexico_City".parse().unwrap();
        let late: Timestamp = "2026-03-01T05:59:59Z".parse().unwrap();
        assert_eq!(mexico.day(late), "2026-02-28".parse::<Date>().unwrap());
        // Tijuana keeps the clocks of California.
        let tijuana: Zone = "America/Tijuana".parse().unwrap();
        for (day, hours) in [("2026-03-07", 24), ("2026-03-08", 23), ("2026-11-01", 25)] {
            let (begin, end) = tijuana.bounds(day.parse().unwrap()).unwrap();
            assert_eq!(end.duration_since(begin).as_hours(), hours, "{day}");
        }
        assert!("Mexico".parse::<Zone>().is_err() || "Mexico/Nowhere".parse::<Zone>().is_err());
        assert_eq!(
            serde_json::to_string(&mexico).unwrap(),
            "\"America/Mexico_City\""
        );
    }
}
