//! What flows when every station falls back by itself.

use std::collections::HashMap;

use shared_protocol::AssetKey;

use super::{Connection, Currents, Depot, Phase, circuits::upward};

/// What flows when every station falls back by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// By circuit, in the order of the file.
    pub circuits: Vec<CircuitSum>,
    /// Stations at which a vehicle still charges.
    pub charging: usize,
    /// Least power of one of those, in W.
    pub least_power: f64,
    /// Power of all stations and of everything reserved, in W.
    pub power: f64,
}

/// What a circuit carries then.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitSum {
    /// Its id.
    pub circuit: AssetKey,
    /// By phase, what stations and the loads reserved below it can draw together, in A; what is reserved on the
    /// circuit itself has already been taken from `usable`.
    pub current: [f64; 3],
    /// By phase, what the circuit may carry, in A.
    pub usable: [f64; 3],
}

impl Fallback {
    pub(super) fn of(depot: &Depot) -> Self {
        // Of two with the same id, the first one.
        let places = depot.circuits.iter().enumerate().rev();
        let places: HashMap<_, _> = places.map(|(place, c)| (&c.id, place)).collect();
        let parents: Vec<_> = depot
            .circuits
            .iter()
            .map(|circuit| {
                circuit
                    .parent
                    .as_ref()
                    .and_then(|id| places.get(id).copied())
            })
            .collect();
        let feeds: Vec<_> = depot
            .stations
            .iter()
            .map(|station| places.get(&station.circuit).copied())
            .collect();
        let sums = sums(depot, &parents, &feeds);
        let circuits = depot
            .circuits
            .iter()
            .zip(&sums)
            .map(|(circuit, sum)| CircuitSum {
                circuit: circuit.id.clone(),
                current: Phase::ALL.map(|phase| sum.on(phase)),
                usable: Phase::ALL.map(|phase| circuit.usable(phase)),
            });
        let charging = depot.stations.iter().filter(|s| s.charges_alone());
        let power =
            |station: &super::Station| depot.station_power(station, station.fallback_current);
        let reserved: f64 = depot
            .circuits
            .iter()
            .map(|circuit| {
                let voltage = depot.voltage_system(&circuit.id).between_phases() / 3.0_f64.sqrt();
                circuit.reserved * voltage * circuit.phases.as_slice().len() as f64
            })
            .sum();
        Self {
            circuits: circuits.collect(),
            charging: charging.clone().count(),
            least_power: charging.map(power).fold(f64::INFINITY, f64::min),
            power: depot.stations.iter().map(power).sum::<f64>() + reserved,
        }
    }
}

/// What each circuit carries when every station falls back; of those in a loop, their own stations.
pub(super) fn sums(
    depot: &Depot,
    parents: &[Option<usize>],
    feeds: &[Option<usize>],
) -> Vec<Currents> {
    let mut sums = vec![Currents::default(); depot.circuits.len()];
    for (station, feed) in depot.stations.iter().zip(feeds) {
        let Some(feed) = feed else { continue };
        sums[*feed].add(&Currents::of_station(
            &station.phases,
            station.connection(),
            station.fallback_current,
        ));
    }
    let systems = systems(depot, parents);
    for index in upward(parents) {
        let circuit = &depot.circuits[index];
        let Some(parent) = parents[index] else {
            continue;
        };
        let mut sum = sums[index];
        sum.add_other(&circuit.phases, circuit.reserved);
        if let Some(transformer) = &circuit.transformer {
            sum = sum.through(transformer, systems[parent]);
        }
        sums[parent].add(&sum);
    }
    sums
}

/// By circuit and phase, what comes back through the neutral of loads on this phase when every station falls back, with what is
/// reserved below, in A. A vehicle at a station on three phases may use any one of them. No neutral goes through a
/// transformer.
pub(super) fn neutrals(
    depot: &Depot,
    parents: &[Option<usize>],
    feeds: &[Option<usize>],
) -> Vec<[f64; 3]> {
    let mut loads = vec![[0.0; 3]; depot.circuits.len()];
    for (station, feed) in depot.stations.iter().zip(feeds) {
        let Some(feed) = feed else { continue };
        if station.connection() != Connection::PhasePhase {
            for phase in station.phases.as_slice() {
                loads[*feed][*phase as usize] += station.fallback_current;
            }
        }
    }
    for index in upward(parents) {
        let circuit = &depot.circuits[index];
        let Some(parent) = parents[index].filter(|_| circuit.transformer.is_none()) else {
            continue;
        };
        let below = loads[index];
        for phase in circuit.phases.as_slice() {
            loads[parent][*phase as usize] += below[*phase as usize] + circuit.reserved;
        }
    }
    loads
}

/// The voltages of each circuit.
pub(super) fn systems(depot: &Depot, parents: &[Option<usize>]) -> Vec<super::VoltageSystem> {
    let mut systems = vec![depot.site.voltage_system; depot.circuits.len()];
    let order = upward(parents);
    for &index in order.iter().rev() {
        systems[index] = match (&depot.circuits[index].transformer, parents[index]) {
            (Some(transformer), _) => transformer.voltage_system,
            (None, Some(parent)) => systems[parent],
            (None, None) => depot.site.voltage_system,
        };
    }
    systems
}
