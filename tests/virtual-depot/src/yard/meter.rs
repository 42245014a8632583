//! The depot's meter: the sum of all stations and the building, phase by phase, as it is measured at the supply.
//!
//! Stations between two phases draw a current that is shifted by a twelfth of a turn against each phase's voltage;
//! so currents are added as complex numbers and each phase's power is the product of its own voltage and current.
//! The feeder between meter and stations has a resistance, whose loss the meter sees as well.

use super::grid::Phasor;
use crate::chance::{Chance, Drift};

/// Resistance of the feeder, in Ω per phase.
pub const FEEDER: f64 = 0.008;

/// How far the building's current lags, in turns: a power factor of 0.92.
const LAG: f64 = 0.064;

/// What the meter measures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Complex power of phases A, B and C: W and var.
    pub power: [Phasor; 3],
    /// Currents of A, B and C, in A.
    pub currents: [Phasor; 3],
    /// Voltages of A, B and C to neutral, in V.
    pub voltages: [Phasor; 3],
    /// Current of the neutral, in A.
    pub neutral: f64,
    /// Frequency, in Hz.
    pub frequency: f64,
    /// Energy taken from the grid, in Wh.
    pub energy: f64,
    /// Energy given to the grid, in Wh.
    pub exported: f64,
    /// Reactive energy taken from the grid, in varh.
    pub reactive_energy: f64,
}

impl Measured {
    /// Active power, in W, and reactive power, in var.
    pub fn total(&self) -> Phasor {
        self.power[0] + self.power[1] + self.power[2]
    }
}

/// A meter.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Serial number.
    pub serial: u32,
    /// What its registers show.
    pub shown: Measured,
    /// What flows.
    live: Measured,
    /// Power of the building on each phase at an average hour, in W.
    building: [Drift; 3],
    /// The same now, at this hour.
    building_power: [f64; 3],
    /// What else was switched on, in W.
    switched_on: [f64; 3],
    /// Its registers stand still for, in s of wall time.
    frozen: f64,
    chance: Chance,
}

impl Meter {
    /// A meter that has counted before.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut chance = Chance::new(seed, name);
        let energy = chance.between(2.0e8, 9.0e8);
        let live = Measured {
            energy,
            exported: energy * 0.01,
            reactive_energy: energy * 0.22,
            ..Measured::default()
        };
        Self {
            serial: 9_000_000 + (chance.unit() * 1e5) as u32,
            shown: live.clone(),
            live,
            building: [1_900.0, 1_400.0, 1_650.0].map(|mean| Drift::at(mean, 260.0, 45.0)),
            building_power: [0.0; 3],
            switched_on: [0.0; 3],
            frozen: 0.0,
            chance,
        }
    }

    /// Something else in the building takes so much from A, B and C, in W, from now on.
    pub fn switch_on(&mut self, watts: [f64; 3]) {
        self.switched_on = watts;
    }

    /// Its registers stand still for `seconds` of wall time.
    pub fn freeze(&mut self, seconds: f64) {
        self.frozen = seconds;
    }

    /// Time passes for what is wired to the wall's time.
    pub fn attend(&mut self, wall_seconds: f64) {
        self.frozen = (self.frozen - wall_seconds).max(0.0);
    }

    /// What flows, even while the registers stand still.
    pub fn live(&self) -> &Measured {
        &self.live
    }

    /// Power of the building, in W.
    pub fn drawn_by_building(&self) -> f64 {
        self.building_power.iter().sum()
    }

    /// Measures for `seconds`: `stations` is what flows to all stations on A, B and C; `hour` the hour of the day.
    pub fn step(
        &mut self,
        seconds: f64,
        volts: [Phasor; 3],
        frequency: f64,
        stations: [Phasor; 3],
        hour: f64,
    ) {
        // More by day than by night, most in the early afternoon.
        let day = 0.65
            + 0.5
                * (std::f64::consts::TAU * (hour - 8.0) / 24.0)
                    .sin()
                    .max(-0.5);
        let live = &mut self.live;
        let mut to_neutral = Phasor::ZERO;
        for phase in 0..3 {
            let building = &mut self.building[phase];
            building.step(seconds, &mut self.chance);
            building.value = building.value.max(150.0);
            self.building_power[phase] = building.value * day + self.switched_on[phase];
            let apparent = self.building_power[phase] / (LAG * std::f64::consts::TAU).cos();
            let current = volts[phase].current_for(apparent, LAG);
            live.currents[phase] = stations[phase] + current;
            to_neutral = to_neutral + live.currents[phase];
            live.voltages[phase] = volts[phase];
            live.power[phase] = volts[phase].power_with(live.currents[phase]);
        }
        live.neutral = to_neutral.size();
        live.frequency = frequency;
        let total = live.total();
        live.energy += total.re.max(0.0) * seconds / 3600.0;
        live.exported -= total.re.min(0.0) * seconds / 3600.0;
        live.reactive_energy += total.im.max(0.0) * seconds / 3600.0;
        if self.frozen == 0.0 {
            self.shown.clone_from(&self.live);
        }
    }
}
