//! A depot whose stations and meters do what they are told, or what they like.

use std::collections::VecDeque;

use depot_config::depot::{Connection, Currents, Depot, Phase, Phases};
use load_manager::{
    Decision, Heat, Inputs, Manager, Measured, MeterReading, Millis, Request, Rules, Site,
    StationOptions, StationReport,
};

/// A station with its car.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub(crate) struct Device {
    pub(crate) car: Option<Request>,
    /// Most that the car takes, in A.
    pub(crate) takes: f64,
    /// Terminals that the car really uses.
    pub(crate) uses: usize,
    pub(crate) linked: bool,
    pub(crate) measured: bool,
    /// Commands do not come through.
    pub(crate) lost: bool,
    /// Commands come through, their acknowledgements do not.
    pub(crate) mute: bool,
    /// What it draws whatever it is told.
    pub(crate) draws: Option<f64>,
    /// It uses all its phases, whatever it is told.
    pub(crate) keeps_phases: bool,
    /// Time after which the car has obeyed a cut.
    pub(crate) delay: Millis,
    pub(crate) ignores_duration: bool,
    /// What it was told holds for the next car, too.
    outlives: bool,
    /// What it says that it offers.
    pub(crate) offers: Option<f64>,
    profile: Option<(f64, usize, Millis)>,
    /// Limits that still hold for the car until then, and on how many phases.
    easing: VecDeque<(Millis, f64, usize)>,
    acknowledged: Option<u64>,
    pub(crate) current: f64,
    pub(crate) starts: usize,
    pub(crate) writes: usize,
}

pub(crate) struct Sim {
    pub(crate) depot: Depot,
    pub(crate) site: Site,
    rules: Rules,
    pub(crate) manager: Manager,
    pub(crate) now: Millis,
    pub(crate) devices: Vec<Device>,
    /// Loads that are no stations, by circuit and phase, in A.
    pub(crate) base: Vec<[f64; 3]>,
    /// Circuits whose meter answers, with the time of its newest reading.
    pub(crate) meters: Vec<Option<(bool, MeterReading)>>,
    pub(crate) into_quarter: Option<Millis>,
    /// What flows, by circuit and phase, in A.
    pub(crate) flows: Vec<[f64; 3]>,
    pub(crate) most: Vec<[f64; 3]>,
    /// What flows through the neutral, by circuit, in A.
    pub(crate) neutrals: Vec<f64>,
    pub(crate) heat: Vec<[Heat; 3]>,
    /// Energy of the quarter of an hour that runs, and the greatest of those that are whole, in Wh.
    pub(crate) quarter: f64,
    pub(crate) greatest: f64,
    pub(crate) decision: Decision,
}

impl Sim {
    pub(crate) fn new(depot: Depot, options: &[StationOptions], rules: Rules) -> Self {
        let site = Site::new(&depot, options).unwrap();
        let now = 1_000_000;
        let devices = depot.stations.iter().enumerate().map(|(place, _)| Device {
            car: None,
            takes: 0.0,
            uses: 3,
            linked: true,
            measured: true,
            lost: false,
            mute: false,
            draws: None,
            keeps_phases: false,
            delay: 2_000,
            ignores_duration: options.get(place).is_some_and(|o| o.ignores_duration),
            outlives: options.get(place).is_some_and(|o| o.limit_outlives_car),
            offers: None,
            profile: None,
            easing: VecDeque::new(),
            acknowledged: None,
            current: 0.0,
            starts: 0,
            writes: 0,
        });
        let circuits = depot.circuits.len();
        let meters = depot.circuits.iter().enumerate().map(|(place, circuit)| {
            let metered = depot.meters.iter().any(|meter| meter.circuit == circuit.id);
            let reading = MeterReading {
                circuit: place,
                at: now,
                current: [0.0; 3],
                power: None,
            };
            metered.then_some((true, reading))
        });
        Self {
            devices: devices.collect(),
            meters: meters.collect(),
            manager: Manager::new(site.clone(), rules.clone(), now),
            rules,
            now,
            base: vec![[0.0; 3]; circuits],
            into_quarter: None,
            flows: vec![[0.0; 3]; circuits],
            most: vec![[0.0; 3]; circuits],
            neutrals: vec![0.0; circuits],
            heat: vec![[Heat::default(); 3]; circuits],
            quarter: 0.0,
            greatest: 0.0,
            decision: Decision::default(),
            depot,
            site,
        }
    }

    /// The manager forgets everything.
    pub(crate) fn restart(&mut self) {
        self.manager = Manager::new(self.site.clone(), self.rules.clone(), self.now);
    }

    /// A second passes.
    pub(crate) fn step(&mut self) {
        self.now += 1000;
        let now = self.now;
        for (device, station) in self.devices.iter_mut().zip(&self.depot.stations) {
            device.flow(station.fallback_current, station.min_current, now);
        }
        self.measure();
        let reports = self.devices.iter().zip(&self.depot.stations);
        let reports = reports.map(|(device, station)| {
            let terminals = terminals(station.connection());
            let mut current = [0.0; 3];
            for terminal in &mut current[..device.uses.min(terminals)] {
                *terminal = device.current;
            }
            StationReport {
                linked: device.linked,
                car: device.car.clone(),
                measured: (device.measured && device.linked)
                    .then_some(Measured { at: now, current }),
                offered: device.offers,
                acknowledged: device.acknowledged,
                ..StationReport::default()
            }
        });
        let inputs = Inputs {
            meters: self
                .meters
                .iter()
                .flatten()
                .map(|(_, reading)| *reading)
                .collect(),
            stations: reports.collect(),
            into_quarter: self.into_quarter,
        };
        self.decision = self.manager.step(&inputs, now);
        for write in &self.decision.writes {
            let device = &mut self.devices[write.station];
            device.writes += 1;
            if !device.linked || device.lost {
                continue;
            }
            device.told(write.limit, write.phases, now + write.lease, now);
            if !device.mute {
                device.acknowledged = Some(write.number);
            }
        }
    }

    fn measure(&mut self) {
        let circuits = self.depot.circuits.len();
        let mut sums = vec![Currents::default(); circuits];
        for (place, (device, station)) in self.devices.iter().zip(&self.depot.stations).enumerate()
        {
            let mut current = [0.0; 3];
            for terminal in &mut current[..device.uses.min(terminals(station.connection()))] {
                *terminal = device.current;
            }
            for (circuit, currents) in self.site.drawn(place, current) {
                sums[circuit].add(&currents);
            }
        }
        for (place, base) in self.base.iter().enumerate() {
            let mut currents = Currents::default();
            for phase in Phase::ALL {
                let one = Phases::try_from(phase.to_string()).unwrap();
                currents.add(&Currents::of_station(
                    &one,
                    Connection::PhaseNeutral,
                    base[phase as usize],
                ));
            }
            let mut next = Some(place);
            while let Some(at) = next {
                sums[at].add(&currents);
                let circuit = &self.depot.circuits[at];
                let parent = circuit.parent.as_ref();
                next = parent.map(|id| {
                    self.depot
                        .circuits
                        .iter()
                        .position(|c| c.id == *id)
                        .unwrap()
                });
                if let Some(transformer) = &circuit.transformer {
                    let above = next.map_or(self.depot.site.voltage_system, |place| {
                        self.depot.voltage_system(&self.depot.circuits[place].id)
                    });
                    currents = currents.through(transformer, above);
                }
            }
        }
        let mut power = 0.0;
        for (place, sum) in sums.iter().enumerate() {
            let voltage = self.depot.voltage_system(&self.depot.circuits[place].id);
            let voltage = voltage.between_phases() / 3.0_f64.sqrt();
            let (mut own, mut back) = (0.0, (0.0, 0.0));
            for phase in Phase::ALL {
                let (at, (x, y)) = (phase as usize, sum.together(phase));
                let current = f64::hypot(x, y);
                own += x * voltage;
                // Turned by what this phase is behind the first.
                let (sine, cosine) = (-120.0 * at as f64).to_radians().sin_cos();
                back = (
                    back.0 + x * cosine - y * sine,
                    back.1 + x * sine + y * cosine,
                );
                self.flows[place][at] = current;
                self.most[place][at] = self.most[place][at].max(current);
                let rated = self.site.rated(place, phase);
                if rated > 0.0 {
                    self.heat[place][at].pass(current / rated, 1.0);
                }
            }
            self.neutrals[place] = f64::hypot(back.0, back.1);
            if self.depot.circuits[place].parent.is_none() {
                power += own;
            }
            if let Some((answers, reading)) = &mut self.meters[place]
                && *answers
            {
                reading.at = self.now;
                reading.current = self.flows[place];
                reading.power = Some(own);
            }
        }
        if let Some(into) = &mut self.into_quarter {
            self.quarter += power / 3600.0;
            *into += 1000;
            if *into >= 900_000 {
                *into = 0;
                self.greatest = self.greatest.max(self.quarter);
                self.quarter = 0.0;
            }
        }
    }
}

pub(crate) fn terminals(connection: Connection) -> usize {
    if connection == Connection::ThreePhase {
        3
    } else {
        1
    }
}

impl Device {
    pub(crate) fn plug(&mut self, car: Request, takes: f64) {
        (self.car, self.takes) = (Some(car), takes);
        self.profile = self.profile.filter(|_| self.outlives);
    }

    pub(crate) fn unplug(&mut self) {
        self.car = None;
        self.profile = self.profile.filter(|_| self.outlives);
        self.easing.clear();
    }

    /// It is rebooted.
    pub(crate) fn forget(&mut self) {
        (self.profile, self.acknowledged) = (None, None);
    }

    fn told(&mut self, limit: f64, phases: usize, until: Millis, now: Millis) {
        let before = self.current;
        if limit < before || phases < self.uses {
            self.easing.push_back((now + self.delay, before, self.uses));
        }
        self.profile = Some((limit, phases, until));
    }

    fn flow(&mut self, fallback: f64, min: f64, now: Millis) {
        while self.easing.front().is_some_and(|(until, ..)| *until < now) {
            self.easing.pop_front();
        }
        if self.profile.is_some_and(|(_, _, until)| now > until) && !self.ignores_duration {
            self.profile = None;
        }
        let (limit, phases, _) = self.profile.unwrap_or((fallback, 3, now));
        let easing = || self.easing.iter();
        let eased = easing().map(|(_, limit, _)| *limit).fold(limit, f64::max);
        let phases = easing().map(|(.., uses)| *uses).fold(phases, usize::max);
        let uses = self.car.as_ref().and_then(|car| car.phases).unwrap_or(3);
        self.uses = if self.keeps_phases {
            uses
        } else {
            uses.min(phases)
        };
        let mut current = if self.car.is_some() {
            self.takes.min(eased)
        } else {
            0.0
        };
        if current + 1e-9 < min {
            current = 0.0;
        }
        if let Some(draws) = self.draws.filter(|_| self.car.is_some()) {
            current = draws;
        }
        if current > 0.0 && self.current <= 0.0 {
            self.starts += 1;
        }
        self.current = current;
    }
}
