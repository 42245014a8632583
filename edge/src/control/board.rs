//! What devices have said, and what stations are to be told: between the loops that read and the one that decides.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use depot_config::depot::{Connection, Depot, Phase};
use load_manager::{Inputs, Measured, MeterReading, Millis, Request, StationReport};
use shared_protocol::{AssetKey, SignalDef};
use tokio::sync::Notify;

use super::{
    Counts,
    hear::{Role, Said, role},
};

/// What was said longer ago is not known any more.
const STALE: Millis = 10_000;

/// What a station is to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Its number, to be acknowledged.
    pub number: u64,
    /// Limit per phase, in A; 0: pause.
    pub amperes: f64,
    /// When it was given.
    pub at: Millis,
    /// How long it holds from then on.
    pub lease: Millis,
}

#[derive(Debug)]
struct Meter {
    circuit: usize,
    /// The phases of its circuit.
    phases: [bool; 3],
    said: Mutex<Said>,
    /// All that it said last.
    last: Mutex<Vec<i64>>,
}

#[derive(Debug)]
struct Station {
    /// How many currents it has: one also between two phases.
    terminals: usize,
    /// Least with which it charges, in A.
    min: f64,
    /// Power of 1 A on all its terminals, in W.
    power: f64,
    said: Mutex<Said>,
    order: Mutex<Option<Order>>,
    /// The newest order that it has acknowledged; 0: none, or it has forgotten.
    acknowledged: AtomicU64,
    /// Wakes whoever speaks with it.
    wake: Mutex<Arc<Notify>>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Meter(usize),
    Station(usize),
}

/// All meters and stations of a depot.
#[derive(Debug)]
pub(super) struct Board {
    meters: Vec<Meter>,
    stations: Vec<Station>,
    places: HashMap<AssetKey, Place>,
    /// A meter has spoken.
    pub(super) news: Notify,
    pub(super) counts: Counts,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub(super) fn new(depot: &Depot) -> Self {
        let mut places = HashMap::new();
        let circuits: HashMap<_, _> = depot
            .circuits
            .iter()
            .enumerate()
            .map(|(place, circuit)| (&circuit.id, place))
            .collect();
        let mut meters = Vec::new();
        for meter in &depot.meters {
            let Some(&circuit) = circuits.get(&meter.circuit) else {
                continue;
            };
            places.insert(meter.id.clone(), Place::Meter(meters.len()));
            let phases = depot.circuits[circuit].phases.clone();
            meters.push(Meter {
                circuit,
                phases: Phase::ALL.map(|phase| phases.contains(phase)),
                said: Mutex::default(),
                last: Mutex::default(),
            });
        }
        let mut stations = Vec::new();
        for station in &depot.stations {
            places.insert(station.id.clone(), Place::Station(stations.len()));
            let three = station.connection() == Connection::ThreePhase;
            stations.push(Station {
                terminals: if three { 3 } else { 1 },
                min: station.min_current,
                power: depot.station_power(station, 1.0),
                said: Mutex::default(),
                order: Mutex::default(),
                acknowledged: AtomicU64::new(0),
                wake: Mutex::default(),
            });
        }
        Self {
            meters,
            stations,
            places,
            news: Notify::new(),
            counts: Counts::default(),
        }
    }

    /// What is known now. `into_quarter` is how much of the utility's window has passed.
    pub(super) fn inputs(&self, now: Millis, into_quarter: Option<Millis>) -> Inputs {
        let meters = self.meters.iter().filter_map(|meter| {
            let said = *lock(&meter.said);
            let (current, at) = said.currents(meter.phases)?;
            Some(MeterReading {
                circuit: meter.circuit,
                at,
                current,
                power: said.since(Role::Power, now - STALE),
            })
        });
        Inputs {
            meters: meters.collect(),
            stations: self.stations.iter().map(|one| one.report(now)).collect(),
            into_quarter,
        }
    }

    /// Leaves an order at a station's place; one that waits there is out of date.
    pub(super) fn tell(&self, station: usize, order: Order) {
        let station = &self.stations[station];
        *lock(&station.order) = Some(order);
        lock(&station.wake).notify_one();
    }
}

impl Station {
    fn report(&self, now: Millis) -> StationReport {
        let said = *lock(&self.said);
        let earliest = now - STALE;
        let linked = said.newest().is_some_and(|at| at >= earliest);
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        StationReport {
            linked,
            car: if linked {
                self.car(&said, earliest)
            } else {
                None
            },
            measured: self.measured(&said),
            offered: said.since(Role::Offered, earliest),
            acknowledged: (acknowledged > 0).then_some(acknowledged),
        }
    }

    /// The car that wants energy, by the numbers of OCPP 1.6 §7.7. What does not say whether there is one may have one.
    fn car(&self, said: &Said, earliest: Millis) -> Option<Request> {
        let status = said.since(Role::Status, earliest);
        let state_of_charge = said.since(Role::StateOfCharge, earliest);
        let request = Request {
            state_of_charge,
            ..Request::default()
        };
        match status.map(f64::round) {
            // Available, Finishing, Reserved, Unavailable, Faulted.
            Some(0.0 | 5.0 | 6.0 | 7.0 | 8.0) => None,
            // SuspendedEV: it takes nothing, and begins with little when it wants more.
            Some(4.0) => Some(Request {
                max_current: Some(self.min),
                ..request
            }),
            _ => Some(request),
        }
    }

    /// Its currents; where it only knows its power, the current of that at nominal voltage. Of three phases nobody would know
    /// which of them carries it.
    fn measured(&self, said: &Said) -> Option<Measured> {
        let wanted = [true, self.terminals > 1, self.terminals > 1];
        let found = said.currents(wanted).or_else(|| {
            let (power, at) = said.get(Role::Power).filter(|_| self.terminals == 1)?;
            Some(([power.max(0.0) / self.power, 0.0, 0.0], at))
        });
        found.map(|(current, at)| Measured { at, current })
    }
}

/// The place of one meter or station, for the source that reads it.
#[derive(Clone, Debug)]
pub struct Post {
    board: Arc<Board>,
    place: Place,
}

impl Post {
    pub(super) fn of(board: &Arc<Board>, asset: &AssetKey) -> Option<Self> {
        let place = *board.places.get(asset)?;
        Some(Self {
            board: Arc::clone(board),
            place,
        })
    }

    fn station(&self) -> Option<&Station> {
        match self.place {
            Place::Station(place) => Some(&self.board.stations[place]),
            Place::Meter(_) => None,
        }
    }

    /// Says what was read at this time. A meter whose voltages and all else stand still to the last digit has not measured
    /// anything new: that is not heard, and soon the meter counts as silent.
    pub fn hear<'a>(
        &self,
        at: Millis,
        readings: impl Iterator<Item = (&'a SignalDef, i64)> + Clone,
    ) {
        let said = match self.place {
            Place::Meter(place) => {
                let meter = &self.board.meters[place];
                let now: Vec<i64> = readings.clone().map(|(_, raw)| raw).collect();
                let mut names = readings.clone().map(|(def, _)| def.signal.name());
                let moves = names.any(|name| name.starts_with("PhVph"));
                let mut last = lock(&meter.last);
                if moves && *last == now {
                    return;
                }
                *last = now;
                &meter.said
            }
            Place::Station(place) => &self.board.stations[place].said,
        };
        let mut any = false;
        {
            let mut said = lock(said);
            for (def, raw) in readings {
                let value = def.encoding.value(raw);
                if let Some(role) = role(def.signal.name()).filter(|_| value.is_finite()) {
                    said.hear(role, value, at);
                    any = true;
                }
            }
        }
        if any && matches!(self.place, Place::Meter(_)) {
            self.board.news.notify_one();
        }
    }

    /// Wakes this when there is an order.
    pub fn wakes(&self, wake: &Arc<Notify>) {
        if let Some(station) = self.station() {
            *lock(&station.wake) = Arc::clone(wake);
            wake.notify_one();
        }
    }

    /// Takes the order that waits.
    pub fn order(&self) -> Option<Order> {
        lock(&self.station()?.order).take()
    }

    /// The station has taken an order.
    pub fn acknowledge(&self, number: u64) {
        if let Some(station) = self.station() {
            station.acknowledged.store(number, Ordering::Release);
        }
    }

    /// The station has forgotten what it was told.
    pub fn forgotten(&self) {
        self.acknowledge(0);
    }

    /// What became of orders.
    pub(super) fn counts(&self) -> &Counts {
        &self.board.counts
    }
}
