//! What people are shown of it.

use std::collections::BTreeSet;

use depot_config::depot::{Depot, Phase};
use load_manager::{Alarm, Decision, Inputs, Why};

use super::wish::Want;

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
    /// Stations, in the order of the depot's file.
    pub stations: Vec<StationShown>,
    /// Until when the cloud's plan holds, in microseconds since 1970; `None`: cars share what there is.
    pub plan_until_us: Option<i64>,
    /// What people should look at, in words.
    pub alarms: BTreeSet<String>,
    /// The same for programs.
    #[serde(skip)]
    pub raised: Vec<Alarm>,
}

/// A station.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StationShown {
    /// Its id.
    pub id: String,
    /// Somebody hears it.
    pub linked: bool,
    /// A car stands there that wants energy.
    pub car: bool,
    /// The transaction that goes on, where there are any.
    pub transaction: Option<String>,
    /// State of charge of the car, in percent, where stations tell.
    pub state_of_charge: Option<f64>,
    /// What it may draw, per phase, in A; 0: it pauses.
    pub limit: f64,
    /// The greatest current of its phases that was measured lately, in A.
    pub measured: Option<f64>,
    /// What keeps it from getting more.
    pub why: Reason,
    /// What somebody at the depot wants of it.
    pub wanted: Option<Want>,
    /// The plan does not know the car: it counts with what the fleet assumes.
    pub assumed: bool,
}

/// What keeps a station from getting more.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "is", content = "of", rename_all = "snake_case")]
pub enum Reason {
    /// Nobody hears it: it does what it does by itself.
    Unheard,
    /// There is no car.
    NoCar,
    /// Somebody at the depot has stopped it.
    Stopped,
    /// Nothing does: it has all that it can draw.
    Nothing,
    /// The car takes no more.
    Car,
    /// The plan.
    Plan,
    /// It is raised step by step.
    Slowly,
    /// It was paused a moment ago.
    Rests,
    /// Others come before it, or have not given up yet what it is to get.
    Others,
    /// The contract with the utility.
    Contract,
    /// A phase that carries more than others.
    Unbalance,
    /// This circuit carries all that it may.
    Circuit(String),
    /// The neutral of this circuit does.
    Neutral(String),
    /// The meter of this circuit is silent.
    Silent(String),
    /// The breaker of this circuit is hot.
    Hot(String),
    /// It does not do what it is told.
    Unreliable,
}

/// What is known of a station besides what was decided.
pub(super) struct Beside {
    pub(super) transaction: Option<String>,
    pub(super) want: Option<Want>,
    pub(super) assumed: bool,
}

fn reason(depot: &Depot, why: Why) -> Reason {
    let circuit = |place: usize| depot.circuits[place].id.to_string();
    match why {
        Why::NoCar => Reason::NoCar,
        Why::Nothing => Reason::Nothing,
        Why::Car => Reason::Car,
        Why::Plan => Reason::Plan,
        Why::Slowly => Reason::Slowly,
        Why::Rests => Reason::Rests,
        Why::Others => Reason::Others,
        Why::Contract => Reason::Contract,
        Why::Unbalance => Reason::Unbalance,
        Why::Circuit(place) => Reason::Circuit(circuit(place)),
        Why::Neutral(place) => Reason::Neutral(circuit(place)),
        Why::Silent(place) => Reason::Silent(circuit(place)),
        Why::Hot(place) => Reason::Hot(circuit(place)),
        Why::Unreliable => Reason::Unreliable,
    }
}

fn stations(
    depot: &Depot,
    inputs: &Inputs,
    decision: &Decision,
    beside: impl Fn(usize) -> Beside,
) -> Vec<StationShown> {
    let limits = decision.limits.iter().zip(&inputs.stations);
    let shown = depot.stations.iter().zip(limits).enumerate();
    let shown = shown.map(|(place, (station, (limit, report)))| {
        let Beside {
            transaction,
            want,
            assumed,
        } = beside(place);
        let why = match want {
            _ if !report.linked => Reason::Unheard,
            Some(Want::Stopped) if report.car.is_some() => Reason::Stopped,
            _ => reason(depot, limit.why),
        };
        let car = report.car.as_ref();
        let measured = report.measured.map(|measured| measured.current);
        StationShown {
            id: station.id.to_string(),
            linked: report.linked,
            car: car.is_some(),
            transaction,
            state_of_charge: car.and_then(|car| car.state_of_charge),
            limit: limit.current,
            measured: measured.map(|current| current.into_iter().fold(0.0, f64::max)),
            why,
            wanted: want,
            assumed,
        }
    });
    shown.collect()
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
        Alarm::KeepsPhases(station) => {
            format!(
                "station {station} uses all its phases when it is told to use one: its switches_phases is wrong"
            )
        }
        Alarm::ClaimsMore(station) => {
            format!(
                "station {station} says that it would allow more than it was told: it counts with its maximum when nobody hears it"
            )
        }
    }
}

pub(super) fn shown(
    depot: &Depot,
    signed: bool,
    inputs: &Inputs,
    decision: &Decision,
    beside: impl Fn(usize) -> Beside,
) -> Shown {
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
        stations: stations(depot, inputs, decision, beside),
        plan_until_us: None,
        alarms: decision.alarms.iter().map(words).collect(),
        raised: decision.alarms.clone(),
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
