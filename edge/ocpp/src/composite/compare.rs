//! What a station says that it would allow, beside what it was told.

use super::{Composite, Place, Profiles, Unit};

/// The station's clock is known to so many seconds.
const CLOCK: i64 = 5;
/// What is told is told in tenths of an ampere, and rounded again.
const ROUNDING: f64 = 0.1;
/// By which share of it power may differ from current at nominal voltage: what a supply may differ from that.
const VOLTAGE: f64 = 0.1;

/// A second at which a station says something else than it was told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// How long after the beginning of what was asked for, in s.
    pub after: i64,
    /// What it says, in its unit.
    pub says: f64,
    /// What it was told, in that unit; `None`: anything.
    pub told: Option<f64>,
    /// The unit.
    pub unit: Unit,
}

/// How the two stand to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Agreement {
    /// They agree wherever both say something.
    Same,
    /// The station would allow less: it has reasons of its own.
    Less(Difference),
    /// It would allow more.
    More(Difference),
}

impl Composite {
    /// The limit at a second since 1970: infinite where nothing limits; `None` before the beginning and from the end on.
    fn limit(&self, at: i64) -> Option<f64> {
        let since = at - self.start.as_second();
        let within = (0..self.seconds).contains(&since);
        let step = self.steps.iter().rfind(|step| step.start <= since);
        let limit = step.filter(|_| within)?.limit;
        Some(limit.unwrap_or(f64::INFINITY))
    }
}

impl Profiles {
    /// Compares what a station has `said` with what these profiles allow there, over its time from `start` on for so many
    /// seconds. All times are the station's. Phases are compared by power alone: few stations say how many they use.
    pub fn agree(
        &self,
        place: &Place,
        start: jiff::Timestamp,
        seconds: i64,
        said: &Composite,
    ) -> Agreement {
        let early = jiff::SignedDuration::from_secs(CLOCK);
        let early = start.saturating_sub(early).unwrap_or(start);
        let told = self.composite(place, early, seconds + 2 * CLOCK, said.unit);
        let rounding = |limit: f64| match said.unit {
            Unit::Amperes => ROUNDING,
            Unit::Watts => limit * VOLTAGE + ROUNDING * place.volts * f64::from(place.phases),
        };
        let mut agreement = Agreement::Same;
        for after in 0..seconds {
            let at = start.as_second() + after;
            let Some(says) = said.limit(at) else {
                continue;
            };
            let near = || (at - CLOCK..=at + CLOCK).filter_map(|at| told.limit(at));
            let most = near().fold(0.0, f64::max);
            let least = near().fold(f64::INFINITY, f64::min);
            let difference = |told: f64| Difference {
                after,
                says,
                told: Some(told).filter(|told| told.is_finite()),
                unit: said.unit,
            };
            if says > most + rounding(most) + 1e-6 {
                return Agreement::More(difference(most));
            }
            let less = says < least - rounding(says) - 1e-6;
            if less && agreement == Agreement::Same {
                agreement = Agreement::Less(difference(least));
            }
        }
        agreement
    }
}
