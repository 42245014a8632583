//! What devices have said, and what stations are to be told: between the loops that read and the one that decides.

mod told;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use depot_config::depot::{Connection, Depot, Phase};
use load_manager::{Inputs, Measured, MeterReading, Millis, Request, StationReport};
use ocpp::Transaction;
use shared_protocol::AssetKey;
use tokio::sync::{Notify, oneshot};

use super::{
    Counts, EARLIER, PATIENCE, counted,
    hear::{Role, Said, role},
    local::Refused,
    lock,
    stay::Open,
};
pub(super) use told::{Setting, Told};

/// What was said longer ago is not known any more.
const STALE: Millis = 10_000;

/// What a station is to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Its number, to be acknowledged.
    pub number: u64,
    /// Limit per phase, in A; 0: pause.
    pub amperes: f64,
    /// How many of its phases it may use.
    pub phases: usize,
    /// When it was given.
    pub at: Millis,
    /// How long it holds from then on.
    pub lease: Millis,
}

impl Order {
    /// For how long the station is told to hold it, in s: it ends before the lease does.
    pub(super) fn seconds(&self) -> i64 {
        (self.lease - EARLIER).max(0) / 1000
    }
}

/// What somebody at the depot asks of a station.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) asking: Asking,
    pub(super) answer: oneshot::Sender<Result<(), Refused>>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// Begin a transaction with this token.
    Start { token: String },
    /// End the transaction that goes on.
    Stop,
}

#[derive(Debug)]
struct Meter {
    circuit: usize,
    /// The phases of its circuit.
    phases: [bool; 3],
    said: Mutex<Said>,
    /// All that it said last.
    last: Mutex<Vec<u64>>,
}

/// By what it is known whether a station can be told anything.
#[derive(Clone, Copy, Debug, Default)]
enum Link {
    /// It is polled: what it said lately.
    #[default]
    Polled,
    /// It is connected, with so many transactions that go on.
    Connected(usize),
    /// It was connected.
    Away,
}

#[derive(Debug)]
struct Station {
    id: AssetKey,
    /// How many currents it has: one also between two phases.
    terminals: usize,
    /// It can be told to use the first of them alone.
    switches: bool,
    /// Least with which it charges, in A.
    min: f64,
    /// Power of 1 A on all its terminals, in W.
    power: f64,
    /// What it falls back to, in A.
    fallback: f64,
    /// Most that it draws from each phase, in A.
    max: f64,
    link: Mutex<Link>,
    /// What it has answered to since it has booted.
    settled: Mutex<[bool; 2]>,
    /// It has booted since the gateway's start.
    booted: AtomicBool,
    /// The newest transaction that goes on.
    transaction: Mutex<Option<Open>>,
    /// What is to be asked of it.
    asks: Mutex<VecDeque<Ask>>,
    /// It has not taken what to fall back to.
    never_falls_back: AtomicBool,
    /// Of which of its EVSEs it says that it would allow more than it was told.
    claims: Mutex<BTreeSet<i32>>,
    said: Mutex<Said>,
    /// Its serial number, if it has said one.
    serial: Mutex<Option<String>>,
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
    /// What stations have taken, and whether there is something new.
    told: Mutex<(Told, bool)>,
}

impl Board {
    /// `told` is what stations took of an earlier run.
    pub(super) fn new(depot: &Depot, told: Told) -> Self {
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
                id: station.id.clone(),
                terminals: if three { 3 } else { 1 },
                switches: station.switches_phases,
                min: station.min_current,
                power: depot.station_power(station, 1.0),
                fallback: station.fallback_current,
                max: station.max_current,
                link: Mutex::default(),
                settled: Mutex::default(),
                booted: AtomicBool::new(false),
                transaction: Mutex::default(),
                asks: Mutex::default(),
                never_falls_back: AtomicBool::new(false),
                claims: Mutex::default(),
                said: Mutex::default(),
                serial: Mutex::default(),
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
            told: Mutex::new((told, false)),
        }
    }

    /// What is known of a station.
    pub(super) fn report(&self, station: usize, now: Millis) -> StationReport {
        self.stations[station].report(now)
    }

    /// What the energy register of a station's meter said last, in Wh.
    pub(super) fn register(&self, station: usize) -> Option<f64> {
        let said = lock(&self.stations[station].said).get(Role::Energy);
        said.map(|(register, _)| register)
    }

    /// The newest transaction that goes on at a station.
    pub(super) fn transaction(&self, station: usize) -> Option<Open> {
        lock(&self.stations[station].transaction).clone()
    }

    /// Leaves at a station's place what is to be asked of it.
    pub(super) fn ask(&self, station: usize, ask: Ask) {
        let station = &self.stations[station];
        lock(&station.asks).push_back(ask);
        lock(&station.wake).notify_one();
    }

    /// What stations have taken, if that is not written down yet.
    pub(super) fn newly_told(&self) -> Option<Told> {
        let mut told = lock(&self.told);
        std::mem::take(&mut told.1).then(|| told.0.clone())
    }

    /// It could not be written down.
    pub(super) fn told_again(&self) {
        lock(&self.told).1 = true;
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

    /// The serial number of a station, if it has said one.
    pub(super) fn serial(&self, station: usize) -> Option<String> {
        lock(&self.stations[station].serial).clone()
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
        let lately = said.newest().is_some_and(|at| at >= earliest);
        let (linked, car) = match *lock(&self.link) {
            Link::Polled if lately => (true, self.car(&said, earliest)),
            Link::Polled | Link::Away => (false, None),
            Link::Connected(0) => (true, None),
            // It says what changes, and nothing else. Whatever it said, a transaction has a car.
            Link::Connected(_) => {
                let car = self.car(&said, Millis::MIN);
                (true, Some(car.unwrap_or_default()))
            }
        };
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        // Whoever would give a car more than it was told is not believed to fall back either.
        let claims_more = !lock(&self.claims).is_empty();
        StationReport {
            linked,
            car,
            measured: self.measured(&said),
            offered: said.since(Role::Offered, earliest),
            never_falls_back: claims_more || self.never_falls_back.load(Ordering::Acquire),
            claims_more,
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

    /// Says what was read at this time, by the catalogue's names and in its units. A meter whose voltages and all else stand still to the last digit has not measured
    /// anything new: that is not heard, and soon the meter counts as silent.
    pub fn hear<'a>(&self, at: Millis, readings: impl Iterator<Item = (&'a str, f64)> + Clone) {
        let said = match self.place {
            Place::Meter(place) => {
                let meter = &self.board.meters[place];
                let now: Vec<u64> = readings.clone().map(|(_, value)| value.to_bits()).collect();
                let mut names = readings.clone().map(|(name, _)| name);
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
            for (name, value) in readings {
                if let Some(role) = role(name).filter(|_| value.is_finite()) {
                    said.hear(role, value, at);
                    any = true;
                }
            }
        }
        if any && matches!(self.place, Place::Meter(_)) {
            self.board.news.notify_one();
        }
    }

    /// The station has said its serial number.
    pub fn identify(&self, serial: &str) {
        if let Some(station) = self.station() {
            let mut known = lock(&station.serial);
            if known.as_deref() != Some(serial) {
                *known = Some(serial.to_owned());
                lock(&station.claims).clear();
            }
        }
    }

    /// The station is connected, with so many transactions that go on; `None`: not any more.
    pub fn connected(&self, transactions: Option<usize>) {
        if let Some(station) = self.station() {
            *lock(&station.link) = transactions.map_or(Link::Away, Link::Connected);
            if transactions.is_none() {
                // Whoever waits for an answer hears that there is none.
                lock(&station.asks).clear();
            }
        }
    }

    /// The newest transaction that goes on at the station.
    pub(super) fn goes_on(&self, transaction: Option<Open>) {
        if let Some(station) = self.station() {
            let mut known = lock(&station.transaction);
            if *known != transaction {
                *known = transaction;
            }
        }
    }

    /// The transaction that is made here of what is read of the station, by this clock.
    pub fn observes(&self, transaction: Option<&Transaction>) {
        self.goes_on(transaction.map(|one| Open::of(one, 0)));
    }

    /// What is to be asked of the station.
    pub(super) fn asked(&self) -> Option<Ask> {
        lock(&self.station()?.asks).pop_front()
    }

    /// The station has taken what to fall back to, or has not.
    pub fn falls_back(&self, falls_back: bool) {
        if let Some(station) = self.station() {
            let never = !falls_back;
            station.never_falls_back.store(never, Ordering::Release);
        }
    }

    /// The station has said of an EVSE that it would allow more than it was told, or no more. True when that is new.
    pub(super) fn claims(&self, evse: i32, more: bool) -> bool {
        self.station().is_some_and(|station| {
            let mut claims = lock(&station.claims);
            if more {
                claims.insert(evse)
            } else {
                claims.remove(&evse)
            }
        })
    }

    /// What the station has to fall back to, in A; 0 for what is no station.
    pub fn fallback(&self) -> f64 {
        self.station().map_or(0.0, |station| station.fallback)
    }

    /// Most that the station draws from each of its phases, in A.
    pub fn max(&self) -> f64 {
        self.station().map_or(0.0, |station| station.max)
    }

    /// The station has booted: nothing is settled.
    pub(super) fn booted(&self) {
        if let Some(station) = self.station() {
            *lock(&station.settled) = [false; 2];
            station.booted.store(true, Ordering::Release);
        }
    }

    /// Least with which the station charges, in A.
    pub fn min(&self) -> f64 {
        self.station().map_or(0.0, |station| station.min)
    }

    /// What 1 A from one of its phases is, in W.
    pub fn volts(&self) -> f64 {
        let volts = |station: &Station| station.power / station.terminals as f64;
        self.station().map_or(0.0, volts)
    }

    /// How many phases a car can use of it: 1 also between two phases.
    pub fn phases(&self) -> usize {
        self.station().map_or(1, |station| station.terminals)
    }

    /// Whether the station can be told to use its first phase alone.
    pub fn switches_phases(&self) -> bool {
        self.station().is_some_and(|station| station.switches)
    }

    /// Wakes this when there is an order.
    pub fn wakes(&self, wake: &Arc<Notify>) {
        if let Some(station) = self.station() {
            *lock(&station.wake) = Arc::clone(wake);
            wake.notify_one();
        }
    }

    /// Takes the order that waits; one that has waited for too long is thrown away.
    pub fn order(&self, now: Millis) -> Option<Order> {
        let order = lock(&self.station()?.order).take()?;
        if now - order.at > PATIENCE {
            self.late();
            return None;
        }
        Some(order)
    }

    /// An order could not be told in time.
    pub(super) fn late(&self) {
        counted(&self.board.counts.late);
    }

    /// The station has taken an order.
    pub fn acknowledge(&self, number: u64) {
        self.holds(number);
        counted(&self.board.counts.kept);
    }

    /// The station has not taken an order.
    pub(super) fn failed(&self) {
        counted(&self.board.counts.failed);
    }

    /// What the station was told before is nothing that can be relied on: it has just connected.
    pub(super) fn begins(&self) {
        self.holds(0);
    }

    /// The station has forgotten what it was told.
    pub fn forgotten(&self) {
        self.begins();
        counted(&self.board.counts.forgotten);
    }

    fn holds(&self, number: u64) {
        if let Some(station) = self.station() {
            station.acknowledged.store(number, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;
