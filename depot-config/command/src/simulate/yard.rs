//! A depot second by second: cars take what they may, meters see what flows, the manager decides.

use std::collections::HashMap;

use depot_config::depot::{Connection, Currents, Depot, Phase, Phases, VoltageSystem};
use load_manager::{
    Inputs, Manager, Measured, MeterReading, Millis, Request, Rules, Site, SiteError,
    StationOptions, StationReport,
};

use super::{
    day::{Car, DAY, Day, terminals},
    report::{Report, Tally},
};

/// A car takes what its station offers so many seconds later.
pub(crate) const OBEYS_AFTER: usize = 2;
/// In this last part of its energy a car takes less and less, in proportion to what it still wants.
pub(crate) const TAPER: f64 = 0.05;
/// When the clock of the manager stands at the beginning.
const BEGIN: Millis = 1_000_000;
/// The utility's quarter of an hour, in s.
pub(crate) const QUARTER: u32 = 900;

/// A station with its car.
#[derive(Clone, Debug)]
struct Place {
    terminals: usize,
    min: f64,
    fallback: f64,
    /// Power of 1 A on one terminal, in W.
    power: f64,
    /// The car, by its place in the day, and the energy that it still wants, in Wh.
    car: Option<(usize, f64)>,
    /// What it was told: the limit, how many phases, and until when it holds.
    told: Option<(f64, usize, Millis)>,
    acknowledged: Option<u64>,
    /// What it offered in the last seconds, the oldest first.
    offered: [f64; OBEYS_AFTER + 1],
    /// By terminal, in A.
    current: [f64; 3],
}

impl Place {
    fn plug(&mut self, car: usize, energy: f64) {
        self.car = Some((car, energy));
        self.told = None;
        // The car is asked nothing before it sees what is offered.
        self.offered = [0.0; OBEYS_AFTER + 1];
    }

    fn unplug(&mut self) {
        (self.car, self.told, self.current) = (None, None, [0.0; 3]);
    }

    /// A second passes: what it offers, what the car takes of it, and what that gives it.
    fn flow(&mut self, cars: &[Car], now: Millis) {
        self.told = self.told.filter(|(_, _, until)| now <= *until);
        let (offers, most) = self
            .told
            .map_or((self.fallback, self.terminals), |(limit, phases, _)| {
                (limit, phases)
            });
        self.offered.rotate_left(1);
        self.offered[OBEYS_AFTER] = offers;
        self.current = [0.0; 3];
        let Some((car, wants)) = &mut self.car else {
            return;
        };
        let of = &cars[*car];
        let last = of.energy * TAPER;
        let taper = (of.current * *wants / last).max(self.min);
        let takes = of.current.min(self.offered[0]).min(taper);
        if *wants <= 0.0 || takes + 1e-9 < self.min {
            return;
        }
        let uses = of.phases.min(most);
        self.current[..uses].fill(takes);
        *wants = (*wants - takes * uses as f64 * self.power / 3600.0).max(0.0);
    }

    fn report(&self, cars: &[Car], departures: bool, now: Millis) -> StationReport {
        let request = self.car.map(|(car, wants)| {
            let of = &cars[car];
            // One that is full takes nothing, and begins with little when it wants more.
            let full = (wants <= 0.0).then_some(self.min);
            let known = Request {
                max_current: full,
                ..Request::default()
            };
            if !departures {
                return known;
            }
            Request {
                departure: Some(BEGIN + Millis::from(of.leaves) * 1000),
                energy: Some(wants),
                phases: Some(of.phases),
                max_current: full.or(Some(of.current)),
                ..known
            }
        });
        StationReport {
            linked: true,
            car: request,
            measured: Some(Measured {
                at: now,
                current: self.current,
            }),
            acknowledged: self.acknowledged,
            ..StationReport::default()
        }
    }
}

/// What flows in a depot's circuits.
struct Wires<'a> {
    depot: &'a Depot,
    parents: Vec<Option<usize>>,
    /// Phase to neutral, in V.
    voltages: Vec<f64>,
    /// Voltages above each circuit.
    above: Vec<VoltageSystem>,
    /// What is not stations, with what is below.
    base: Vec<Currents>,
    loads: Vec<[f64; 3]>,
}

impl<'a> Wires<'a> {
    fn new(depot: &'a Depot) -> Self {
        let places = depot.circuits.iter().enumerate();
        let places: HashMap<_, _> = places.map(|(place, one)| (&one.id, place)).collect();
        let parent = |one: &depot_config::depot::Circuit| {
            let parent = one.parent.as_ref()?;
            places.get(parent).copied()
        };
        let parents: Vec<_> = depot.circuits.iter().map(parent).collect();
        let system = |place: usize| depot.voltage_system(&depot.circuits[place].id);
        let count = depot.circuits.len();
        let voltages = (0..count).map(|place| system(place).between_phases() / 3.0_f64.sqrt());
        let above = parents
            .iter()
            .map(|parent| parent.map_or(depot.site.voltage_system, system));
        Self {
            voltages: voltages.collect(),
            above: above.collect(),
            base: vec![Currents::default(); count],
            loads: vec![[0.0; 3]; count],
            parents,
            depot,
        }
    }

    /// From now on this flows into a circuit besides.
    fn load(&mut self, circuit: usize, current: [f64; 3]) {
        self.loads[circuit] = current;
        self.base = vec![Currents::default(); self.loads.len()];
        for (place, load) in self.loads.iter().enumerate() {
            let mut currents = Currents::default();
            for (phase, current) in Phase::ALL.into_iter().zip(load) {
                let one = Phases::try_from(phase.to_string()).expect("a phase has a name");
                currents.add(&Currents::of_station(
                    &one,
                    Connection::PhaseNeutral,
                    *current,
                ));
            }
            let mut next = Some(place);
            while let Some(at) = next {
                self.base[at].add(&currents);
                if let Some(transformer) = &self.depot.circuits[at].transformer {
                    currents = currents.through(transformer, self.above[at]);
                }
                next = self.parents[at];
            }
        }
    }

    /// By circuit, the currents by phase in A and the power in W.
    fn flows(&self, site: &Site, stations: &[Place]) -> Vec<([f64; 3], f64)> {
        let mut sums = self.base.clone();
        for (place, station) in stations.iter().enumerate() {
            if station.current[0] > 0.0 {
                for (circuit, currents) in site.drawn(place, station.current) {
                    sums[circuit].add(&currents);
                }
            }
        }
        let flows = sums.iter().zip(&self.voltages).map(|(sum, voltage)| {
            let phasors = Phase::ALL.map(|phase| sum.together(phase));
            let power = phasors.iter().map(|(along, _)| along * voltage).sum();
            (phasors.map(|(x, y)| f64::hypot(x, y)), power)
        });
        flows.collect()
    }
}

/// Tries a depot against a day. `departures`: the manager knows when cars leave and what they want.
pub(crate) fn simulate(depot: &Depot, day: &Day, departures: bool) -> Result<Report, SiteError> {
    let options = depot.stations.iter().map(|station| StationOptions {
        limit_outlives_car: station.modbus.is_some(),
        writes_per_day: station
            .writes_per_day
            .unwrap_or(StationOptions::default().writes_per_day),
        switches_phases: station.switches_phases,
        ..StationOptions::default()
    });
    let rules = Rules {
        unbalance: depot.site.unbalance,
        ..Rules::default()
    };
    let site = Site::new(depot, &options.collect::<Vec<_>>())?;
    let mut manager = Manager::new(site.clone(), rules, BEGIN);
    let mut wires = Wires::new(depot);
    let mut stations: Vec<_> = depot
        .stations
        .iter()
        .map(|station| Place {
            terminals: terminals(station),
            min: station.min_current,
            fallback: station.fallback_current,
            power: depot.station_power(station, 1.0) / terminals(station) as f64,
            car: None,
            told: None,
            acknowledged: None,
            offered: [0.0; OBEYS_AFTER + 1],
            current: [0.0; 3],
        })
        .collect();
    let metered: Vec<_> = (0..depot.circuits.len())
        .filter(|place| {
            let id = &depot.circuits[*place].id;
            depot.meters.iter().any(|meter| meter.circuit == *id)
        })
        .collect();
    let mut tally = Tally::new(depot, day);
    let (mut loads, mut cars) = (day.loads.iter().peekable(), (0..day.cars.len()).peekable());
    for second in 0..DAY {
        let now = BEGIN + Millis::from(second) * 1000;
        while let Some(load) = loads.next_if(|load| load.at <= second) {
            wires.load(load.circuit, load.current);
        }
        for station in &mut stations {
            let gone = |(car, _): &(usize, f64)| day.cars[*car].leaves <= second;
            if let Some((car, wants)) = station.car.filter(gone) {
                tally.left(car, wants);
                station.unplug();
            }
        }
        while let Some(car) = cars.next_if(|car| day.cars[*car].at <= second) {
            let of = &day.cars[car];
            stations[of.station].plug(car, of.energy);
        }
        for station in &mut stations {
            station.flow(&day.cars, now);
        }
        let flows = wires.flows(&site, &stations);
        tally.second(second, &flows);
        let meters = metered.iter().map(|&circuit| MeterReading {
            circuit,
            at: now,
            current: flows[circuit].0,
            power: Some(flows[circuit].1),
        });
        let reports = stations.iter();
        let reports = reports.map(|station| station.report(&day.cars, departures, now));
        let inputs = Inputs {
            meters: meters.collect(),
            stations: reports.collect(),
            into_quarter: Some(Millis::from((day.begins + second) % QUARTER) * 1000),
        };
        for write in manager.step(&inputs, now).writes {
            let station = &mut stations[write.station];
            station.told = Some((write.limit, write.phases, now + write.lease));
            station.acknowledged = Some(write.number);
        }
    }
    for station in &stations {
        if let Some((car, wants)) = station.car {
            tally.stays(car, wants);
        }
    }
    Ok(tally.report())
}
