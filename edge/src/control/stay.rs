//! Since when cars stand at their stations, and what they have had since: by their transactions where there are any, told or made of
//! what is read, else by what was seen and counted in this run.

use jiff::Timestamp;
use load_manager::{Millis, StationReport};
use ocpp::Transaction;

use super::wish::GONE;

/// A transaction that goes on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Open {
    pub(super) id: String,
    pub(super) token: Option<String>,
    /// When it began, in microseconds since 1970, where that is known.
    pub(super) started_us: Option<i64>,
    /// What the car has had since, in Wh.
    pub(super) energy: f64,
}

impl Open {
    /// A transaction of a station whose clock is so much ahead of ours, in microseconds.
    pub(super) fn of(transaction: &Transaction, ahead_us: i64) -> Self {
        let started = transaction.started.map(Timestamp::as_microsecond);
        Self {
            id: transaction.id.clone(),
            token: transaction.token.clone(),
            started_us: started.map(|started_us| started_us.saturating_sub(ahead_us)),
            energy: transaction.energy.0 as f64 / 1000.0,
        }
    }
}

/// What is known of a car's stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stayed {
    /// When it began.
    pub(super) since: Millis,
    /// What the car has had since, in Wh.
    pub(super) energy: f64,
}

/// What was seen of a station's car in this run.
#[derive(Clone, Debug, Default)]
pub(super) struct Stay {
    since: Option<Millis>,
    transaction: Option<String>,
    /// The station's register as it was told last, and what it has counted since the beginning, in Wh.
    register: Option<f64>,
    counted: f64,
    /// Since when there is no car.
    empty: Option<Millis>,
}

impl Stay {
    /// Takes notice of what the station says now: its car, the transaction that goes on, and its energy register, in Wh.
    /// `None`: it says of no car.
    pub(super) fn look(
        &mut self,
        report: &StationReport,
        (open, register): (Option<&Open>, Option<f64>),
        (now, wall_us): (Millis, Option<i64>),
    ) -> Option<Stayed> {
        if report.car.is_none() {
            // One that nobody hears may have its car still.
            self.empty = report.linked.then(|| self.empty.unwrap_or(now));
            if self.empty.is_some_and(|since| now - since >= GONE) {
                *self = Self::default();
            }
            return None;
        }
        self.empty = None;
        let transaction = open.map(|open| &open.id);
        if self.transaction.as_ref() != transaction {
            *self = Self {
                transaction: transaction.cloned(),
                ..Self::default()
            };
        }
        let seen = *self.since.get_or_insert(now);
        if let Some(register) = register {
            // One that goes back has begun again.
            let before = self.register.replace(register).unwrap_or(register);
            self.counted += (register - before).max(0.0);
        }
        let told = open.and_then(|open| open.started_us).zip(wall_us);
        let told = told.map(|(started_us, wall_us)| now - (wall_us - started_us) / 1000);
        Some(Stayed {
            // A station whose clock is wrong may have begun it tomorrow.
            since: told.filter(|since| *since <= now).unwrap_or(seen),
            energy: open.map_or(self.counted, |open| open.energy),
        })
    }
}

#[cfg(test)]
mod tests {
    use load_manager::Request;

    use super::*;

    const HOUR: Millis = 3_600_000;

    fn report(linked: bool, car: bool) -> StationReport {
        StationReport {
            linked,
            car: car.then(Request::default),
            ..StationReport::default()
        }
    }

    #[test]
    fn without_a_transaction_it_is_what_was_seen_and_counted() {
        let mut stay = Stay::default();
        let car = report(true, true);
        let mut look = |report: &StationReport, register, now| {
            let stayed = stay.look(report, (None, register), (now, None));
            stayed.map(|stayed| (stayed.since, stayed.energy))
        };
        assert_eq!(look(&report(true, false), Some(500.0), 0), None);
        assert_eq!(look(&car, Some(500.0), 1_000), Some((1_000, 0.0)));
        assert_eq!(look(&car, Some(740.0), 2_000), Some((1_000, 240.0)));
        assert_eq!(look(&car, None, 3_000), Some((1_000, 240.0)));
        // The register was changed.
        assert_eq!(look(&car, Some(10.0), 4_000), Some((1_000, 240.0)));
        assert_eq!(look(&car, Some(30.0), 5_000), Some((1_000, 260.0)));
        // Nobody hears it for hours: the same car, as far as anybody knows.
        assert_eq!(look(&report(false, false), None, HOUR), None);
        assert_eq!(look(&car, Some(90.0), 2 * HOUR), Some((1_000, 320.0)));
        // It says of no car for a moment, and for longer.
        let empty = report(true, false);
        assert_eq!(look(&empty, Some(90.0), 3 * HOUR), None);
        assert_eq!(look(&empty, Some(90.0), 3 * HOUR + GONE - 1), None);
        assert_eq!(
            look(&car, Some(90.0), 3 * HOUR + GONE),
            Some((1_000, 320.0))
        );
        assert_eq!(look(&empty, Some(90.0), 4 * HOUR), None);
        assert_eq!(look(&empty, Some(90.0), 4 * HOUR + GONE), None);
        assert_eq!(look(&car, Some(91.0), 5 * HOUR), Some((5 * HOUR, 0.0)));
    }

    #[test]
    fn a_transaction_says_it_itself_over_restarts_of_the_gateway() {
        let open = |id: &str, started_us| Open {
            id: id.to_owned(),
            token: None,
            started_us,
            energy: 7_500.0,
        };
        let wall = 1_760_000_000_000_000;
        let (hour_ago, in_an_hour) = (wall - HOUR * 1000, wall + HOUR * 1000);
        // This run has begun a second ago.
        let mut stay = Stay::default();
        let mut since = |open: &Open, now, wall| {
            let said = (Some(open), Some(3.0));
            let stayed = stay.look(&report(true, true), said, (now, wall));
            let stayed = stayed.unwrap();
            assert!((stayed.energy - 7_500.0).abs() < 1e-9);
            stayed.since
        };
        assert_eq!(since(&open("a", Some(hour_ago)), 1_000, None), 1_000);
        let known = since(&open("a", Some(hour_ago)), 2_000, Some(wall));
        assert_eq!(known, 2_000 - HOUR);
        assert_eq!(
            since(&open("a", Some(in_an_hour)), 3_000, Some(wall)),
            1_000
        );
        assert_eq!(since(&open("a", None), 4_000, Some(wall)), 1_000);
        // Another one.
        assert_eq!(since(&open("b", None), 5_000, Some(wall)), 5_000);
    }
}
