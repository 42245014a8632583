//! Until when a request has to be answered: twenty working days (*días hábiles*) from the day on which it came.
//!
//! Ley Federal de Protección de Datos Personales en Posesión de los Particulares, article 31 (article 32 in the law of
//! 2010): the answer comes within twenty days, and what it grants is made effective within fifteen days more. Days are
//! working days (definitions of the same law). Holidays are not counted out here: they would only make the day later, so
//! the one that is computed is never too late.

use jiff::{Timestamp, ToSpan as _, civil::Date, civil::Weekday, tz::TimeZone};

/// Working days until the answer.
pub const ANSWER: u32 = 20;
/// Where days begin and end.
pub const ZONE: &str = "America/Mexico_City";

/// The day that it is there; UTC's when the machine knows no time zones.
pub fn today(now: Timestamp) -> Date {
    let zone = TimeZone::get(ZONE).unwrap_or(TimeZone::UTC);
    now.to_zoned(zone).date()
}

/// The last day for the answer to what came on this day.
pub fn answer_by(came: Date) -> Date {
    let mut day = came;
    let mut left = ANSWER;
    while left > 0 {
        let Ok(next) = day.checked_add(1.day()) else {
            return day;
        };
        day = next;
        if !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
            left -= 1;
        }
    }
    day
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn twenty_working_days_are_four_weeks() {
        for (came, due) in [
            // A Monday, a Friday, a Saturday and a Sunday.
            (date(2026, 3, 2), date(2026, 3, 30)),
            (date(2026, 3, 6), date(2026, 4, 3)),
            (date(2026, 3, 7), date(2026, 4, 3)),
            (date(2026, 3, 8), date(2026, 4, 3)),
        ] {
            assert_eq!(answer_by(came), due, "{came}");
        }
    }

    #[test]
    fn a_day_is_one_of_mexico_city() {
        let night: Timestamp = "2026-03-03T04:00:00Z".parse().unwrap();
        assert_eq!(today(night), date(2026, 3, 2));
    }
}
