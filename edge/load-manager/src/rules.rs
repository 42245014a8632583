//! Times, steps and limits that are no property of a depot's wires.

use crate::Millis;

/// How limits are given.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// A meter's reading that is older is none.
    pub meter_stale: Millis,
    /// Within this time a station obeys: 5 s by the cars' standard (IEC 61851-1, annex A).
    pub obey: Millis,
    /// A measured current above the limit by less than this is no disobedience, in A.
    pub tolerance: f64,
    /// After a cut nothing is raised for so long.
    pub hold: Millis,
    /// Between two raises of a station.
    pub raise_every: Millis,
    /// Most by which a limit is raised at once, in A.
    pub raise_by: f64,
    /// A car that charges is not paused before, but for safety.
    pub least_on: Millis,
    /// A car that was paused does not start before.
    pub least_off: Millis,
    /// A car that has waited longer goes before those that charge.
    pub patience: Millis,
    /// Shortest and longest lease.
    pub lease: (Millis, Millis),
    /// Time between a loss of base load and its room being used: a peak counts for so long.
    pub base_hold: Millis,
    /// Part of what heats a breaker to its trip at which everything below it is paused.
    pub hottest: f64,
    /// Between two changes of a station between one and three phases.
    pub switch_every: Millis,
    /// Most by which single-phase loads may make a phase differ from another at the supply, in A.
    pub unbalance: Option<f64>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            meter_stale: 10_000,
            obey: 5_000,
            tolerance: 1.0,
            hold: 30_000,
            raise_every: 10_000,
            raise_by: 4.0,
            least_on: 120_000,
            least_off: 60_000,
            patience: 900_000,
            lease: (60_000, 180_000),
            base_hold: 30_000,
            hottest: 0.3,
            switch_every: 600_000,
            unbalance: None,
        }
    }
}
