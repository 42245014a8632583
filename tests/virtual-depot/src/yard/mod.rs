//! The yard: cars, stations, meter and supply together, stepped without I/O and without a clock.
//!
//! A [`World`] is a function of its [`Setup`], the number of its steps and what was written to its stations. Two
//! worlds of the same setup that get the same writes between the same steps are equal, bit by bit. (Between machines the
//! last bits may differ: sines come from the system's mathematical library.)

mod charger;
mod grid;
mod meter;
mod report;

pub use charger::{Charger, Feed, LEAST_CURRENT, REBOOTED, Settings, Status, Wiring};
pub use grid::{Grid, NOMINAL, Phasor};
pub use meter::{FEEDER, Measured, Meter};
pub use report::{ChargerReport, MeterReport, charger_report, meter_report};

use std::time::Duration;

use crate::{
    car::{Car, Orders, Plan, Shifts},
    chance::Chance,
};

/// The hour of the day at which a world begins.
const FIRST_HOUR: f64 = 9.0;

/// How long a world lives before its start, in s: long enough for voltages, tyres and plugs to be what they are in the
/// middle of a day.
const BEFORE: f64 = 20.0;

/// The longest step, in s; longer ones are cut.
const LONGEST_STEP: f64 = 1.0;

/// What a world is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many cars.
    pub cars: usize,
    /// How many stations.
    pub chargers: usize,
    /// How many simulated seconds pass in a second of wall time.
    pub speed: f64,
    /// What the fleet does.
    pub plan: Plan,
    /// How the stations are wired; those that have none here, in turn.
    pub wiring: Vec<Wiring>,
}

/// Everything that is simulated.
#[derive(Clone, Debug)]
pub struct World {
    /// The cars.
    pub cars: Vec<Car>,
    /// The stations.
    pub chargers: Vec<Charger>,
    /// The meter of the whole depot.
    pub meter: Meter,
    grid: Grid,
    shifts: Vec<Shifts>,
    /// When each parked car will have been plugged in, in s.
    plugging: Vec<f64>,
    /// Currents to the stations in the last step: what the feeder drops.
    to_stations: [Phasor; 3],
    speed: f64,
    seconds: f64,
    chance: Chance,
}

/// Name of item `index` (from 0) of `count`: `car-01`, or with more digits when there are more.
pub fn name(kind: &str, index: usize, count: usize) -> String {
    let width = count.to_string().len().max(2);
    format!("{kind}-{:0width$}", index + 1)
}

impl World {
    /// A depot in the middle of its day: some cars are out, some charge.
    pub fn new(setup: &Setup) -> Self {
        let Setup {
            seed, cars, plan, ..
        } = *setup;
        let mut chance = Chance::new(seed, "yard");
        let names: Vec<_> = (0..cars).map(|index| name("car", index, cars)).collect();
        let shifts: Vec<_> = names.iter().map(|n| Shifts::new(plan, seed, n)).collect();
        let mut world = Self {
            cars: names
                .iter()
                .zip(&shifts)
                .map(|(name, shifts)| Car::new(seed, name, shifts.first_charge(&mut chance)))
                .collect(),
            chargers: (0..setup.chargers)
                .map(|n| {
                    let wiring = setup.wiring.get(n).copied();
                    let wiring = wiring.unwrap_or_else(|| Wiring::in_turn(n));
                    Charger::new(seed, &name("charger", n, setup.chargers), n, wiring)
                })
                .collect(),
            meter: Meter::new(seed, "meter-01"),
            grid: Grid::new(seed),
            plugging: vec![0.0; cars],
            to_stations: [Phasor::ZERO; 3],
            shifts,
            speed: setup.speed,
            seconds: -BEFORE,
            chance,
        };
        for (index, car) in world.cars.iter_mut().enumerate() {
            if world.shifts[index].on_duty(-BEFORE) {
                car.start_on_the_road();
            } else {
                world.plugging[index] = world.chance.between(-BEFORE, 5.0 - BEFORE);
            }
        }
        while world.seconds < 0.0 {
            world.step_once(1.0);
        }
        world
    }

    /// Simulated time since the start, in s.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The hour of the simulated day, 0 to 24.
    pub fn hour(&self) -> f64 {
        (FIRST_HOUR + self.seconds / 3600.0).rem_euclid(24.0)
    }

    /// `wall` passes outside, and `speed` times as much here.
    pub fn step(&mut self, wall: Duration) {
        let wall = wall.as_secs_f64();
        for charger in &mut self.chargers {
            charger.attend(wall);
        }
        self.meter.attend(wall);
        let seconds = wall * self.speed;
        let parts = (seconds / LONGEST_STEP).ceil().max(1.0);
        for _ in 0..parts as u64 {
            self.step_once(seconds / parts);
        }
    }

    fn step_once(&mut self, seconds: f64) {
        self.seconds += seconds;
        self.grid.step(seconds);
        let volts = self.grid.voltages();
        let at_stations: [Phasor; 3] =
            std::array::from_fn(|p| volts[p] - self.to_stations[p] * FEEDER);
        let frequency = self.grid.frequency();
        self.plug_in();

        let mut sum = [Phasor::ZERO; 3];
        let mut served = vec![false; self.cars.len()];
        for charger in &mut self.chargers {
            let car = charger.car.map(|index| {
                served[index] = true;
                let on_duty = self.shifts[index].on_duty(self.seconds);
                (&mut self.cars[index], on_duty)
            });
            let currents = charger.step(seconds, at_stations, frequency, car);
            for phase in 0..3 {
                sum[phase] = sum[phase] + currents[phase];
            }
        }
        for (index, car) in self.cars.iter_mut().enumerate() {
            if !served[index] {
                let on_duty = self.shifts[index].on_duty(self.seconds);
                let was_out = !car.is_parked();
                let orders = Orders {
                    on_duty,
                    ..Orders::default()
                };
                car.step(seconds, orders);
                if was_out && car.is_parked() {
                    self.plugging[index] = self.seconds + self.chance.between(10.0, 40.0);
                }
            }
        }
        self.to_stations = sum;
        let hour = self.hour();
        self.meter.step(seconds, volts, frequency, sum, hour);
    }

    /// Drivers who have parked plug in, at their own station if it is free, else at the first that is.
    fn plug_in(&mut self) {
        for index in 0..self.cars.len() {
            let car = &self.cars[index];
            let waits = car.is_parked()
                && !car.plugged
                && self.seconds >= self.plugging[index]
                && !car.wants_to_leave(self.shifts[index].on_duty(self.seconds));
            if !waits || self.station_of(index).is_some() {
                continue;
            }
            let free = |n: &usize| self.chargers.get(*n).is_some_and(Charger::is_free);
            let station = Some(index)
                .filter(free)
                .or_else(|| (0..self.chargers.len()).find(free));
            if let Some(station) = station {
                self.chargers[station].plug_in(index);
            }
        }
    }

    /// The driver at a station pulls the plug, and plugs in again a while later.
    pub fn pull_plug(&mut self, station: usize) {
        let charger = self.chargers.get_mut(station);
        if let Some(car) = charger.and_then(Charger::unplug) {
            self.plugging[car] = self.seconds + self.chance.between(10.0, 40.0);
        }
    }

    /// The station at which a car is plugged in.
    pub fn station_of(&self, car: usize) -> Option<usize> {
        self.chargers.iter().position(|c| c.car == Some(car))
    }
}

#[cfg(test)]
mod tests;
