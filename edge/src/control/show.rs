//! What people are shown of it.

use std::collections::BTreeSet;

use depot_config::depot::{Depot, Phase};
use load_manager::{Alarm, Decision, Inputs};

/// The depot as it stands.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Shown {
    /// What it takes from the utility now, in W; `None` while no meter says.
    pub demand: Option<f64>,
    /// The average of this quarter of an hour so far, in W; `None` while the time of day or the demand is not known.
    pub average: Option<f64>,
    /// The greatest average that is wanted, in W; `None` without a contract.
    pub wanted: Option<f64>,
    /// Stations that may charge a car now.
    pub charging: usize,
    /// Cars that wait.
    pub waiting: usize,
    /// Stations that nobody hears.
    pub unheard: usize,
    /// An installer has signed what breakers, transformers and stations are.
    pub signed: bool,
    /// Circuits with a meter that speaks.
    pub circuits: Vec<CircuitShown>,
    /// What people should look at, in words.
    pub alarms: BTreeSet<String>,
}

/// A circuit with a meter.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CircuitShown {
    /// Its id.
    pub id: String,
    /// What it carries, by phase, in A.
    pub current: [f64; 3],
    /// What it may carry for hours, by phase, in A.
    pub continuous: [f64; 3],
}

fn words(alarm: &Alarm) -> String {
    match alarm {
        Alarm::MeterSilent(circuit) => {
            format!(
                "the meter of circuit {circuit} is silent: stations below it are at their fall-back"
            )
        }
        Alarm::Overload(circuit, phase) => {
            format!("circuit {circuit} carries more than its rating on {phase}")
        }
        Alarm::Disobeys(station) => format!("station {station} draws more than it may"),
        Alarm::Unheard(station) => format!("station {station} does not take what it is told"),
    }
}

pub(super) fn shown(depot: &Depot, signed: bool, inputs: &Inputs, decision: &Decision) -> Shown {
    let mut circuits = Vec::new();
    for reading in &inputs.meters {
        let circuit = &depot.circuits[reading.circuit];
        circuits.push(CircuitShown {
            id: circuit.id.to_string(),
            current: reading.current,
            continuous: Phase::ALL.map(|phase| {
                if circuit.phases.contains(phase) {
                    circuit.continuous(phase)
                } else {
                    0.0
                }
            }),
        });
    }
    let limits = decision.limits.iter().zip(&inputs.stations);
    let count = |is_so: fn(&load_manager::Limit, &load_manager::StationReport) -> bool| {
        limits
            .clone()
            .filter(|(limit, report)| is_so(limit, report))
            .count()
    };
    Shown {
        demand: decision.demand,
        average: decision.average,
        wanted: depot
            .contract
            .as_ref()
            .map(|contract| contract.wanted() * 1000.0),
        charging: count(|limit, report| report.car.is_some() && limit.current > 0.0),
        waiting: count(|limit, _| limit.waits),
        unheard: count(|_, report| !report.linked),
        signed,
        circuits,
        alarms: decision.alarms.iter().map(words).collect(),
    }
}

/// Says what is new.
pub(super) fn say(before: &Shown, now: &Shown) {
    for alarm in now.alarms.difference(&before.alarms) {
        tracing::warn!(%alarm, "the depot's limits");
    }
    for alarm in before.alarms.difference(&now.alarms) {
        tracing::info!(was = %alarm, "the depot's limits: it is over");
    }
}
