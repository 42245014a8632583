//! A charging station with one socket, and the statuses of OCPP 1.6 §7.7.

use std::str::FromStr;

use super::grid::Phasor;
use crate::{
    car::{Car, Orders},
    chance::{Chance, Drift},
};

/// Least current a vehicle can be asked to draw, in A (IEC 61851-1 A.3).
pub const LEAST_CURRENT: f64 = 6.0;

/// From a new limit to the pilot signal that tells the car, in s.
const LIMIT_DELAY: f64 = 0.5;

/// From plugging in to the first offer, and from the end of charging to the unplugged cable, in s.
const PREPARATION: f64 = 6.0;
const FINISHING: f64 = 8.0;

/// How far the current of a charging car lags, in turns: a power factor of 0.99.
const LAG: f64 = 0.0225;

/// The error code that says: the station has been rebooted. It stands for a while after the reboot.
pub const REBOOTED: u16 = 17;
const REMEMBERS_REBOOT: f64 = 10.0;

/// Status of the connector, with the numbers of OCPP's list in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is plugged in.
    Available = 0,
    /// A car is plugged in, energy is not yet offered.
    Preparing = 1,
    /// Energy flows.
    Charging = 2,
    /// The station offers nothing.
    SuspendedEvse = 3,
    /// The car takes nothing.
    SuspendedEv = 4,
    /// The session is over, the cable still plugged in.
    Finishing = 5,
}

/// Between which of its terminals a station feeds its car.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// L1 to neutral, with 127 V.
    PhaseNeutral,
    /// L1 to L2, with 220 V.
    PhasePhase,
    /// All three to neutral.
    ThreePhase,
}

/// To which phases a station is wired: its L1, L2 and L3 as 0 (A), 1 (B) or 2 (C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// The phase of L1, L2 and L3.
    pub phases: [usize; 3],
    /// Which of them feed the car.
    pub feed: Feed,
}

impl Wiring {
    /// Stations are wired in turn, so that loads spread.
    pub fn in_turn(index: usize) -> Self {
        let first = index % 3;
        Self {
            phases: [first, (first + 1) % 3, (first + 2) % 3],
            feed: if index % 4 == 3 {
                Feed::ThreePhase
            } else {
                Feed::PhasePhase
            },
        }
    }
}

impl FromStr for Wiring {
    type Err = String;

    /// As depot files write it: `L1`, `L3-L1`, `L2-L3-L1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` are no phases such as L1, L3-L1 or L2-L3-L1");
        let mut phases = Vec::new();
        for name in text.split('-') {
            let names = ["L1", "L2", "L3"];
            let phase = names
                .iter()
                .position(|one| *one == name)
                .ok_or_else(wrong)?;
            if phases.contains(&phase) {
                return Err(wrong());
            }
            phases.push(phase);
        }
        let feed = match phases.len() {
            1 => Feed::PhaseNeutral,
            2 => Feed::PhasePhase,
            _ => Feed::ThreePhase,
        };
        phases.extend(
            (0..3)
                .filter(|phase| !phases.contains(phase))
                .collect::<Vec<_>>(),
        );
        let phases = phases.try_into().map_err(|_| wrong())?;
        Ok(Self { phases, feed })
    }
}

/// What is set from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Largest current per phase, in A.
    pub current_limit: f64,
    /// Largest current when nobody has written a limit in time, in A.
    pub fail_safe_current: f64,
    /// The time in which somebody must write a limit, in s; 0 waits for ever.
    pub watchdog: f64,
}

impl Settings {
    /// What a station begins with.
    fn of(rated_current: f64) -> Self {
        Self {
            current_limit: rated_current,
            fail_safe_current: 8.0,
            watchdog: 0.0,
        }
    }
}

/// A station.
#[derive(Clone, Debug)]
pub struct Charger {
    /// Serial number.
    pub serial: u32,
    /// To which phases it is wired.
    pub wiring: Wiring,
    /// What its breaker and cable carry, in A.
    pub rated_current: f64,
    /// What is set from outside.
    pub settings: Settings,
    /// Status of the connector.
    pub status: Status,
    /// The car that is plugged in, by its index.
    pub car: Option<usize>,
    /// Energy delivered in its life, in Wh.
    pub energy: f64,
    /// The vendor's error code: [`REBOOTED`] for some time after a reboot, else 0.
    pub error: u16,
    /// Power delivered, in W.
    pub power: f64,
    /// State of charge that the car told it, 0 to 100.
    pub state_of_charge: f64,
    /// Temperature inside, in °C.
    pub temperature: f64,
    /// Its socket stays free between two cars, and a car stays that could leave by itself, for at least so long, in s of wall time.
    pub swap: f64,
    /// How often its registers were read.
    pub read: u64,
    /// Voltages from L1, L2 and L3 to neutral, and currents in them, as measured.
    pub voltages: [f64; 3],
    /// Currents in L1, L2 and L3, as measured.
    pub currents: [f64; 3],
    /// Frequency, in Hz.
    pub frequency: f64,
    /// The limit that the pilot signal tells.
    pilot: f64,
    /// The limit on its way to the pilot signal, and when it gets there.
    coming: Option<(f64, f64)>,
    /// Since the last write of a limit, in s of wall time.
    unattended: f64,
    /// Since a car came or left, in s of wall time.
    settled: f64,
    /// In this status for, in s.
    since: f64,
    /// Out of order for, in s of wall time.
    rebooting: f64,
    /// Remembers the reboot for, in s of wall time.
    rebooted: f64,
    ambient: Drift,
    chance: Chance,
}

impl Charger {
    /// Station number `index` (from 0) with nothing plugged in.
    pub fn new(seed: u64, name: &str, index: usize, wiring: Wiring) -> Self {
        let mut chance = Chance::new(seed, name);
        let rated_current = 32.0;
        let energy = chance.between(1.0e6, 4.0e7);
        Self {
            serial: 7_000_000 + index as u32,
            wiring,
            rated_current,
            settings: Settings::of(rated_current),
            status: Status::Available,
            car: None,
            energy,
            error: 0,
            power: 0.0,
            state_of_charge: 0.0,
            temperature: 25.0,
            swap: 0.0,
            read: 0,
            voltages: [0.0; 3],
            currents: [0.0; 3],
            frequency: 60.0,
            pilot: rated_current,
            coming: None,
            unattended: 0.0,
            settled: f64::MAX,
            since: 0.0,
            rebooting: 0.0,
            rebooted: 0.0,
            ambient: Drift::at(chance.between(20.0, 27.0), 1.5, 600.0),
            chance,
        }
    }

    /// Somebody writes a limit, in A. It holds within two seconds, and the watchdog starts again.
    pub fn write_limit(&mut self, amperes: f64) {
        self.settings.current_limit = amperes;
        self.unattended = 0.0;
        self.coming = Some((amperes, LIMIT_DELAY));
    }

    /// A car is plugged in.
    pub fn plug_in(&mut self, car: usize) {
        (self.car, self.settled) = (Some(car), 0.0);
        self.enter(Status::Preparing);
    }

    /// Whether a car can be plugged in.
    pub fn is_free(&self) -> bool {
        self.car.is_none() && self.settled >= self.swap
    }

    /// The cable is pulled; the car that it was plugged into.
    pub fn unplug(&mut self) -> Option<usize> {
        let car = self.car.take();
        if car.is_some() {
            self.settled = 0.0;
        }
        self.enter(Status::Available);
        car
    }

    /// Loses its settings and is out of order for `seconds` of wall time. The energy register is not volatile.
    pub fn reboot(&mut self, seconds: f64) {
        self.settings = Settings::of(self.rated_current);
        (self.pilot, self.coming, self.unattended) = (self.rated_current, None, 0.0);
        self.rebooting = seconds;
        self.rebooted = seconds + REMEMBERS_REBOOT;
        if self.car.is_some() {
            self.enter(Status::Preparing);
        }
    }

    /// Whether it is rebooting.
    pub fn is_rebooting(&self) -> bool {
        self.rebooting > 0.0
    }

    /// The largest current it offers now, in A; 0 pauses charging.
    pub fn offered_current(&self) -> f64 {
        let safe = self.settings.watchdog > 0.0 && self.unattended >= self.settings.watchdog;
        let limit = if safe {
            self.settings.fail_safe_current
        } else {
            self.pilot
        };
        if limit < LEAST_CURRENT || self.is_rebooting() {
            0.0
        } else {
            limit.min(self.rated_current)
        }
    }

    /// The largest power it offers now, in W, at the voltages it measures.
    pub fn offered_power(&self) -> f64 {
        self.offered_current() * self.volts_per_ampere()
    }

    /// Time passes for what is wired to the wall's time: limits, watchdog, reboots.
    pub fn attend(&mut self, wall_seconds: f64) {
        self.rebooting = (self.rebooting - wall_seconds).max(0.0);
        self.rebooted = (self.rebooted - wall_seconds).max(0.0);
        self.error = if self.rebooted > 0.0 { REBOOTED } else { 0 };
        self.unattended += wall_seconds;
        self.settled += wall_seconds;
        if let Some((limit, delay)) = self.coming {
            let delay = delay - wall_seconds;
            self.coming = (delay > 0.0).then_some((limit, delay));
            if self.coming.is_none() {
                self.pilot = limit;
            }
        }
    }

    /// Charges for `seconds`. `car` is the one that is plugged in; `on_duty` says whether it is wanted on the road.
    /// Returns the currents it takes from phases A, B and C.
    pub fn step(
        &mut self,
        seconds: f64,
        volts: [Phasor; 3],
        frequency: f64,
        car: Option<(&mut Car, bool)>,
    ) -> [Phasor; 3] {
        self.since += seconds;
        let lines = self.wiring.phases.map(|phase| volts[phase]);
        self.voltages = lines.map(|v| v.size() + 0.05 * self.chance.normal());
        self.frequency = frequency + 0.001 * self.chance.normal();
        let drawn = car.map_or(0.0, |(car, on_duty)| self.serve(seconds, car, on_duty));
        self.measure(seconds, lines, drawn)
    }

    fn serve(&mut self, seconds: f64, car: &mut Car, on_duty: bool) -> f64 {
        let offers = !matches!(self.status, Status::Preparing | Status::Finishing)
            || (self.status == Status::Preparing && self.since >= PREPARATION);
        let offered = if offers && !self.is_rebooting() {
            self.offered_power()
        } else {
            0.0
        };
        car.step(
            seconds,
            Orders {
                on_duty,
                plugged: true,
                offered,
            },
        );
        self.state_of_charge = car.battery.state_of_charge * 100.0;
        let next = match self.status {
            Status::Finishing if self.since >= FINISHING => {
                (self.car, self.settled) = (None, 0.0);
                Status::Available
            }
            Status::Preparing if self.since < PREPARATION => Status::Preparing,
            Status::Finishing => Status::Finishing,
            _ if car.wants_to_leave(on_duty) && self.settled >= self.swap => Status::Finishing,
            _ if self.is_rebooting() => Status::Preparing,
            _ if car.drawn > 0.0 => Status::Charging,
            _ if self.offered_current() == 0.0 => Status::SuspendedEvse,
            _ => Status::SuspendedEv,
        };
        if next != self.status {
            self.enter(next);
        }
        car.drawn
    }

    fn measure(&mut self, seconds: f64, lines: [Phasor; 3], drawn: f64) -> [Phasor; 3] {
        self.power = drawn;
        self.energy += drawn * seconds / 3600.0;
        self.ambient.step(seconds, &mut self.chance);
        let settle = (seconds / 400.0).min(1.0);
        let warm = self.ambient.value + drawn * 0.0025;
        self.temperature += (warm - self.temperature) * settle + 0.05 * self.chance.normal();

        let apparent = drawn / (LAG * std::f64::consts::TAU).cos();
        let taken = match self.wiring.feed {
            Feed::ThreePhase => lines.map(|line| line.current_for(apparent / 3.0, LAG)),
            Feed::PhasePhase => {
                let current = (lines[0] - lines[1]).current_for(apparent, LAG);
                [current, current * -1.0, Phasor::ZERO]
            }
            Feed::PhaseNeutral => [
                lines[0].current_for(apparent, LAG),
                Phasor::ZERO,
                Phasor::ZERO,
            ],
        };
        // A current transformer shows a little even when nothing flows.
        self.currents = taken.map(|i| i.size() + 0.03 * self.chance.unit());
        let mut of_phases = [Phasor::ZERO; 3];
        for (line, current) in taken.into_iter().enumerate() {
            of_phases[self.wiring.phases[line]] = current;
        }
        of_phases
    }

    fn volts_per_ampere(&self) -> f64 {
        let factor = (LAG * std::f64::consts::TAU).cos();
        let volts = match self.wiring.feed {
            Feed::ThreePhase => self.voltages.iter().sum(),
            // A third of a turn apart.
            Feed::PhasePhase => f64::midpoint(self.voltages[0], self.voltages[1]) * 3.0_f64.sqrt(),
            Feed::PhaseNeutral => self.voltages[0],
        };
        volts * factor
    }

    fn enter(&mut self, status: Status) {
        self.status = status;
        self.since = 0.0;
    }
}
