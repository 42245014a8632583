//! The test at commissioning: does a station end by itself what it was told for a time? Its lease is not renewed, and what
//! its car draws is measured. Stations are known that go on for as long as a transaction lasts, whatever `duration` said.
//!
//! While it goes on, whoever runs it says of the station that it never falls back ([`StationReport::never_falls_back`]): so
//! the others have made room for its maximum before its lease ends.

use crate::{Millis, input::StationReport};

/// How long a car is waited for that takes more than the fall-back.
const PATIENCE: Millis = 900_000;
/// So much above its fall-back a station is told, and its car draws, for the test to mean something, in A.
const CLEARLY: f64 = 2.0;
/// A station is at its fall-back when it draws no more above it, in A.
const TOLERANCE: f64 = 1.0;
/// A measurement that is older is none.
const STALE: Millis = 10_000;
/// A station may end a lease so long before: it is told a shorter one, by its own clock.
const EARLIER: Millis = 20_000;
/// A station that draws more for so long after its lease goes on.
const GRACE: Millis = 30_000;
/// Without a measurement for so long after the lease nothing is found.
const UNSEEN: Millis = 60_000;

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// When its lease had ended it fell back.
    FallsBack,
    /// It went on with what it had been told.
    GoesOn,
    /// Nothing was found.
    Nothing(Reason),
}

/// Why nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The station cannot be told anything.
    Away,
    /// No car wants energy.
    NoCar,
    /// The station does not say what the car draws.
    NotMeasured,
    /// The station has not taken a limit clearly above its fall-back: there was no room for it, or it refused.
    NotTold,
    /// The car draws no more than at the fall-back.
    DrawsTooLittle,
}

impl Reason {
    /// In words, with what to do.
    pub fn words(self) -> &'static str {
        match self {
            Self::Away => "the station is not connected: see to its line, and test again",
            Self::NoCar => {
                "no car wants energy at the station: plug in one that is far from full, and test again"
            }
            Self::NotMeasured => {
                "the station does not say what the car draws: a station without a meter cannot be tested"
            }
            Self::NotTold => {
                "the station was not told a limit clearly above its fall-back, or has not taken one: test again when there is room for it"
            }
            Self::DrawsTooLittle => {
                "the car draws no more than at the fall-back: test again with one that takes more"
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// The car has to draw clearly more than the fall-back first.
    Begins,
    /// It did; nothing is told any more, and the lease ends then.
    Withheld { ends: Millis },
}

/// A test that goes on.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What the station has to fall back to, in A.
    fallback: f64,
    began: Millis,
    /// The newest order: its number, its limit in A, and when its lease ends.
    told: Option<(u64, f64, Millis)>,
    stage: Stage,
}

impl Trial {
    /// Of a station that has to fall back to this, in A.
    pub fn new(fallback: f64, now: Millis) -> Self {
        Self {
            fallback,
            began: now,
            told: None,
            stage: Stage::Begins,
        }
    }

    /// Whether the station must not be told anything.
    pub fn withholds(&self) -> bool {
        matches!(self.stage, Stage::Withheld { .. })
    }

    /// The station is being told an order: its number, limit in A, and when its lease ends.
    pub fn told(&mut self, number: u64, limit: f64, ends: Millis) {
        self.told = Some((number, limit, ends));
    }

    /// Takes notice of what is known now; `Some` when the test is over.
    pub fn pass(&mut self, report: &StationReport, now: Millis) -> Option<Outcome> {
        match self.stage {
            Stage::Begins => match self.begins(report, now) {
                Ok(ends) => {
                    self.stage = Stage::Withheld { ends };
                    None
                }
                Err(reason) => (now - self.began > PATIENCE).then_some(Outcome::Nothing(reason)),
            },
            Stage::Withheld { ends } => self.withheld(report, ends, now),
        }
    }

    /// When the lease ends that is not renewed; or why it is renewed still.
    fn begins(&self, report: &StationReport, now: Millis) -> Result<Millis, Reason> {
        let draws = draws(report, now)?;
        let told = self.told.filter(|(number, limit, _)| {
            report.acknowledged == Some(*number) && *limit >= self.fallback + CLEARLY
        });
        let (_, _, ends) = told.ok_or(Reason::NotTold)?;
        // The lease must last for a while yet: that the car went on is to be seen, too.
        if draws < self.fallback + CLEARLY || now + EARLIER >= ends {
            return Err(Reason::DrawsTooLittle);
        }
        Ok(ends)
    }

    fn withheld(&self, report: &StationReport, ends: Millis, now: Millis) -> Option<Outcome> {
        let drawn = match draws(report, now) {
            // What was measured before the lease ended says nothing of after.
            Ok(draws) => report.measured.map(|measured| (draws, measured.at)),
            Err(Reason::NotMeasured) => None,
            Err(reason) => return Some(Outcome::Nothing(reason)),
        };
        if now + EARLIER < ends {
            let less = drawn.is_some_and(|(draws, _)| draws < self.fallback + CLEARLY);
            return less.then_some(Outcome::Nothing(Reason::DrawsTooLittle));
        }
        let Some((draws, at)) = drawn else {
            return (now > ends + UNSEEN).then_some(Outcome::Nothing(Reason::NotMeasured));
        };
        if at <= ends {
            return None;
        }
        if draws > self.fallback + TOLERANCE {
            return (at > ends + GRACE).then_some(Outcome::GoesOn);
        }
        // A car that has just stopped by itself looks like a station that fell back.
        if draws <= 0.0 && self.fallback > 0.0 {
            return Some(Outcome::Nothing(Reason::DrawsTooLittle));
        }
        Some(Outcome::FallsBack)
    }
}

/// What the car draws from the terminal that carries most, in A.
fn draws(report: &StationReport, now: Millis) -> Result<f64, Reason> {
    if !report.linked {
        return Err(Reason::Away);
    }
    if report.car.is_none() {
        return Err(Reason::NoCar);
    }
    let fresh = report
        .measured
        .filter(|measured| now - measured.at <= STALE);
    let measured = fresh.ok_or(Reason::NotMeasured)?;
    Ok(measured.current.into_iter().fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measured, Request};

    /// What a station and its car do.
    #[derive(Clone, Copy)]
    struct Station {
        fallback: f64,
        /// It ends what it was told so long after, or never.
        ends: Option<Millis>,
        /// What the car takes, until it stops by itself.
        takes: f64,
        stops: Millis,
        /// Until then it says what the car draws.
        measured: Millis,
        leaves: Millis,
        acknowledges: bool,
        /// What it is told, in A.
        limit: f64,
    }

    const STATION: Station = Station {
        fallback: 6.0,
        ends: Some(50_000),
        takes: 32.0,
        stops: Millis::MAX,
        measured: Millis::MAX,
        leaves: Millis::MAX,
        acknowledges: true,
        limit: 16.0,
    };

    /// Leases of a minute, renewed at half of it; the outcome, and when.
    fn run(station: Station) -> (Outcome, Millis) {
        let mut trial = Trial::new(station.fallback, 0);
        let (mut told, mut number) = (None, 0);
        for second in 0..2000 {
            let now = second * 1000;
            if told.is_none_or(|at| now - at >= 30_000) && !trial.withholds() {
                (told, number) = (Some(now), number + 1);
                trial.told(number, station.limit, now + 60_000);
            }
            let since = now - told.unwrap_or(0);
            let holds = station.acknowledges && station.ends.is_none_or(|ends| since < ends);
            let offers = if holds {
                station.limit
            } else {
                station.fallback
            };
            let draws = if now < station.stops {
                station.takes.min(offers)
            } else {
                0.0
            };
            let report = StationReport {
                linked: true,
                car: (now < station.leaves).then(Request::default),
                measured: Some(Measured {
                    at: now.min(station.measured),
                    current: [draws, 0.0, 0.0],
                }),
                acknowledged: station.acknowledges.then_some(number),
                ..StationReport::default()
            };
            if let Some(outcome) = trial.pass(&report, now) {
                return (outcome, now);
            }
        }
        panic!("the test never ends");
    }

    #[test]
    fn one_that_obeys_and_one_that_does_not_are_told_apart() {
        assert_eq!(run(STATION), (Outcome::FallsBack, 61_000));
        let slow = Station {
            ends: Some(75_000),
            ..STATION
        };
        assert_eq!(run(slow).0, Outcome::FallsBack);
        let never = Station {
            ends: None,
            ..STATION
        };
        assert_eq!(run(never), (Outcome::GoesOn, 91_000));
        let stops = Station {
            fallback: 0.0,
            ..STATION
        };
        assert_eq!(run(stops).0, Outcome::FallsBack);
    }

    #[test]
    fn what_proves_nothing_is_no_verdict() {
        for (station, reason) in [
            // A car that ends by itself looks like a station that falls back.
            (
                Station {
                    ends: None,
                    stops: 55_000,
                    ..STATION
                },
                Reason::DrawsTooLittle,
            ),
            (
                Station {
                    ends: None,
                    stops: 20_000,
                    ..STATION
                },
                Reason::DrawsTooLittle,
            ),
            (
                Station {
                    takes: 7.0,
                    ..STATION
                },
                Reason::DrawsTooLittle,
            ),
            (
                Station {
                    leaves: 45_000,
                    ..STATION
                },
                Reason::NoCar,
            ),
            (
                Station {
                    measured: 30_000,
                    ..STATION
                },
                Reason::NotMeasured,
            ),
            (
                Station {
                    acknowledges: false,
                    ..STATION
                },
                Reason::NotTold,
            ),
            (
                Station {
                    limit: 7.0,
                    ..STATION
                },
                Reason::NotTold,
            ),
        ] {
            assert_eq!(run(station).0, Outcome::Nothing(reason));
        }
        let away = Trial::new(6.0, 0).pass(&StationReport::default(), PATIENCE + 1);
        assert_eq!(away, Some(Outcome::Nothing(Reason::Away)));
    }
}
