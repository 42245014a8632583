//! The depot as the manager sees it: what 1 A of a station is on every circuit above it.

use std::collections::HashMap;

use depot_config::depot::{Connection, Currents, Depot, Phase, Phases, Station, VoltageSystem};
use shared_protocol::AssetKey;

/// What a depot file does not say of a station.
#[derive(Clone, Debug, PartialEq)]
pub struct StationOptions {
    /// Steps in which it takes limits, in A.
    pub step: f64,
    /// Whether it may be told to use one of its three phases.
    pub switches_phases: bool,
    /// A limit that it was told holds for the next car, too, until its lease ends (a register does, OCPP's `TxProfile` does
    /// not).
    pub limit_outlives_car: bool,
    /// It was found to go on when a lease had ended: it counts with its maximum when nobody hears it.
    pub ignores_duration: bool,
    /// How often a limit may be written per day (it keeps them in flash).
    pub writes_per_day: u32,
}

impl Default for StationOptions {
    fn default() -> Self {
        Self {
            step: 1.0,
            switches_phases: false,
            limit_outlives_car: false,
            ignores_duration: false,
            writes_per_day: 5000,
        }
    }
}

/// Why a depot cannot be managed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// A circuit or station hangs on nothing.
    #[error(
        "`{0}` hangs on circuit `{1}`, which the depot does not have: check it with depot-config"
    )]
    Hangs(AssetKey, AssetKey),
    /// Circuits feed each other.
    #[error("circuit `{0}` feeds itself: check the depot with depot-config")]
    Loop(AssetKey),
    /// Options for a station that is not there.
    #[error("there are options for {found} stations, the depot has {stations}")]
    Options {
        /// Of the depot.
        stations: usize,
        /// Of the options.
        found: usize,
    },
}

/// A depot's circuits and stations.
#[derive(Clone, Debug)]
pub struct Site {
    pub(crate) circuits: Vec<CircuitOf>,
    pub(crate) stations: Vec<StationOf>,
    /// Greatest 15-minute average that is wanted, in W.
    pub(crate) demand: Option<f64>,
}

/// A circuit.
#[derive(Clone, Debug)]
pub(crate) struct CircuitOf {
    pub(crate) id: AssetKey,
    pub(crate) parent: Option<usize>,
    pub(crate) children: Vec<usize>,
    /// What it may carry for hours, by phase, in A.
    pub(crate) continuous: [f64; 3],
    /// What its breaker or transformer is rated for, by phase, in A.
    pub(crate) rated: [f64; 3],
    /// Kept free by phase where no meter says what is used, in A.
    pub(crate) reserved: [f64; 3],
    /// What its neutral may carry, in A; infinite where that is as much as a phase.
    pub(crate) neutral: f64,
    pub(crate) metered: bool,
    /// From this circuit to its parent.
    pub(crate) transformer: Option<(depot_config::depot::Transformer, VoltageSystem)>,
    /// Phase to neutral, in V.
    pub(crate) voltage: f64,
}

/// A station.
#[derive(Clone, Debug)]
pub(crate) struct StationOf {
    pub(crate) id: AssetKey,
    pub(crate) max: f64,
    pub(crate) min: f64,
    pub(crate) fallback: f64,
    /// How many phases a car can use of it: 1 also between two phases.
    pub(crate) terminals: usize,
    /// Power of 1 A on each terminal, in W.
    pub(crate) power: f64,
    /// For 1 A on the first terminals, by their number less 1: the circuits above with what it is there.
    pub(crate) units: Vec<Vec<(usize, Currents)>>,
    /// The phase of each terminal between a phase and neutral.
    pub(crate) neutral: Vec<Phase>,
    /// The circuits above with a limited neutral through which that comes back: up to the next transformer.
    pub(crate) returns: Vec<usize>,
    pub(crate) options: StationOptions,
}

impl Site {
    /// A depot, with options by station in the order of its file; none: all as usual.
    pub fn new(depot: &Depot, options: &[StationOptions]) -> Result<Self, SiteError> {
        if !options.is_empty() && options.len() != depot.stations.len() {
            return Err(SiteError::Options {
                stations: depot.stations.len(),
                found: options.len(),
            });
        }
        let places = depot.circuits.iter().enumerate();
        let places: HashMap<_, _> = places.map(|(place, c)| (&c.id, place)).collect();
        let place = |of: &AssetKey, id: &AssetKey| {
            let place = places.get(id).copied();
            place.ok_or_else(|| SiteError::Hangs(of.clone(), id.clone()))
        };
        let mut circuits = Vec::new();
        for circuit in &depot.circuits {
            let parent = circuit.parent.as_ref();
            let parent = parent.map(|id| place(&circuit.id, id)).transpose()?;
            let above = parent.map_or(depot.site.voltage_system, |parent| {
                depot.voltage_system(&depot.circuits[parent].id)
            });
            let on = |phase: Phase, value: f64| {
                if circuit.phases.contains(phase) {
                    value
                } else {
                    0.0
                }
            };
            circuits.push(CircuitOf {
                id: circuit.id.clone(),
                parent,
                children: Vec::new(),
                continuous: Phase::ALL.map(|phase| on(phase, circuit.continuous(phase))),
                rated: Phase::ALL.map(|phase| on(phase, circuit.rated(phase))),
                reserved: Phase::ALL.map(|phase| on(phase, circuit.reserved)),
                neutral: circuit.neutral_limit.unwrap_or(f64::INFINITY),
                metered: depot.meters.iter().any(|meter| meter.circuit == circuit.id),
                transformer: circuit.transformer.clone().map(|t| (t, above)),
                voltage: depot.voltage_system(&circuit.id).between_phases() / 3.0_f64.sqrt(),
            });
        }
        for index in 0..circuits.len() {
            let mut next = circuits[index].parent;
            for _ in 0..circuits.len() {
                next = next.and_then(|parent| circuits[parent].parent);
            }
            if next.is_some() {
                return Err(SiteError::Loop(circuits[index].id.clone()));
            }
            if let Some(parent) = circuits[index].parent {
                circuits[parent].children.push(index);
            }
        }
        let mut stations = Vec::new();
        for (index, station) in depot.stations.iter().enumerate() {
            let feed = place(&station.id, &station.circuit)?;
            let options = options.get(index).cloned().unwrap_or_default();
            stations.push(station_of(depot, station, feed, &circuits, options));
        }
        let demand = depot
            .contract
            .as_ref()
            .map(|contract| contract.wanted() * 1000.0);
        Ok(Self {
            circuits,
            stations,
            demand,
        })
    }

    /// How many stations there are.
    pub fn stations(&self) -> usize {
        self.stations.len()
    }

    /// What a station is on the circuits above it when it draws these currents from its terminals, in A.
    pub fn drawn(&self, station: usize, current: [f64; 3]) -> Vec<(usize, Currents)> {
        let of = &self.stations[station];
        let mut above: Vec<_> = of.units[0]
            .iter()
            .map(|(c, _)| (*c, Currents::default()))
            .collect();
        for (terminal, current) in current.into_iter().enumerate().take(of.terminals) {
            for (place, (_, sum)) in above.iter_mut().enumerate() {
                sum.add_times(&of.units[terminal][place].1, current);
                if terminal > 0 {
                    sum.add_times(&of.units[terminal - 1][place].1, -current);
                }
            }
        }
        above
    }

    /// Rating of a circuit on a phase, in A.
    pub fn rated(&self, circuit: usize, phase: Phase) -> f64 {
        self.circuits[circuit].rated[phase as usize]
    }
}

fn station_of(
    depot: &Depot,
    station: &Station,
    feed: usize,
    circuits: &[CircuitOf],
    options: StationOptions,
) -> StationOf {
    let connection = station.connection();
    let phases = station.phases.as_slice();
    let (terminals, system) = (
        if connection == Connection::ThreePhase {
            3
        } else {
            1
        },
        depot.voltage_system(&station.circuit),
    );
    let units = (1..=terminals).map(|count| {
        let mut currents = Currents::default();
        if connection == Connection::ThreePhase {
            for phase in &phases[..count] {
                let one = Phases::try_from(phase.to_string()).expect("a phase has a name");
                currents.add(&Currents::of_station(&one, Connection::PhaseNeutral, 1.0));
            }
        } else {
            currents = Currents::of_station(&station.phases, connection, 1.0);
        }
        let mut above = Vec::new();
        let mut next = Some(feed);
        while let Some(place) = next {
            above.push((place, currents));
            if let Some((transformer, primary)) = &circuits[place].transformer {
                currents = currents.through(transformer, *primary);
            }
            next = circuits[place].parent;
        }
        above
    });
    let neutral = match connection {
        Connection::PhasePhase => Vec::new(),
        Connection::PhaseNeutral | Connection::ThreePhase => phases.to_vec(),
    };
    let mut returns = Vec::new();
    let mut next = Some(feed).filter(|_| !neutral.is_empty());
    while let Some(place) = next {
        let circuit = &circuits[place];
        returns.extend(circuit.neutral.is_finite().then_some(place));
        next = circuit.parent.filter(|_| circuit.transformer.is_none());
    }
    StationOf {
        id: station.id.clone(),
        max: station.max_current,
        min: station.min_current,
        fallback: station.fallback_current,
        terminals,
        power: system.power_per_ampere(connection) / terminals as f64,
        units: units.collect(),
        neutral,
        returns,
        options,
    }
}
