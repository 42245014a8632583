//! What meters and stations say. What is not known is `None`, and counts as the worst that it can be.

use crate::Millis;

/// Everything that is known at a step.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The newest reading of each meter.
    pub meters: Vec<MeterReading>,
    /// By station, in the order of the depot.
    pub stations: Vec<StationReport>,
    /// How much of the utility's quarter of an hour has passed; `None` while the time of day is not known.
    pub into_quarter: Option<Millis>,
}

/// What a meter measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeterReading {
    /// Place of its circuit in the depot.
    pub circuit: usize,
    /// When.
    pub at: Millis,
    /// Current by phase, in A.
    pub current: [f64; 3],
    /// Power of all phases, in W; `None`: from currents at nominal voltage.
    pub power: Option<f64>,
}

/// What is known of a station.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StationReport {
    /// It can be told something.
    pub linked: bool,
    /// The car at it that wants energy; `None`: none that draws, as far as the station is linked.
    pub car: Option<Request>,
    /// What it draws.
    pub measured: Option<Measured>,
    /// What it offers the car now, or the next one, per phase, in A; `None` where it does not say.
    pub offered: Option<f64>,
    /// It is known not to fall back by itself: it has not taken, or cannot be told, what to fall back to.
    pub never_falls_back: bool,
    /// Asked what it would allow, it has said more than it was told.
    pub claims_more: bool,
    /// The newest order that it has acknowledged and not forgotten since (a station that was rebooted has).
    pub acknowledged: Option<u64>,
}

/// What a station draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// When.
    pub at: Millis,
    /// By terminal in the order of the station's phases, in A; between two phases the first one counts.
    pub current: [f64; 3],
}

/// A car that wants energy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// It comes before all others, with all that it wants.
    pub critical: bool,
    /// Somebody at the depot wants it before all but critical ones, with all that it wants.
    pub first: bool,
    /// What the plan gives it now, in W; `None` without a plan: its fair share.
    pub planned: Option<f64>,
    /// When it leaves.
    pub departure: Option<Millis>,
    /// Energy that it still needs, in Wh.
    pub energy: Option<f64>,
    /// State of charge, in percent.
    pub state_of_charge: Option<f64>,
    /// How many of the station's phases it uses; `None`: perhaps all.
    pub phases: Option<usize>,
    /// Most that it takes per phase, in A.
    pub max_current: Option<f64>,
}
