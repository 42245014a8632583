//! A simulated electric car: battery, driving, charging, and what else its computers report.
//!
//! [`Car::step`] is a function of the time that passes, the [`Orders`] and the car's own stream of chance; it knows
//! no clock. Steps of up to a second keep driving and charging smooth; [`crate::yard::World`] cuts longer ones.

mod battery;
mod motion;
mod plan;
mod report;

pub use battery::{Battery, CELLS, Extremes};
pub use motion::{DEPOT, Errand, Motion};
pub use plan::{Plan, Shifts};
pub use report::{Report, report};

use crate::chance::{Chance, Drift};

/// Efficiency of the on-board charger from alternating to direct current, and the most it takes, in W.
pub const CHARGER_EFFICIENCY: f64 = 0.93;
const CHARGER_LIMIT: f64 = 11_000.0;

/// What the car's electronics take while it is awake, in W.
const ELECTRONICS: f64 = 180.0;

/// How fast the on-board charger takes more, in W/s. Less is taken at once.
const CHARGER_RAMP: f64 = 4_000.0;

/// A parked car falls asleep after this time without charging, in s.
const AWAKE_FOR: f64 = 300.0;

/// Consumption that range and charging speed are reckoned with, in Wh/km.
const RECKONED_CONSUMPTION: f64 = 145.0;

/// Below this state of charge a driver goes back to the depot, and above this one leaves it again.
const EMPTY_BELOW: f64 = 0.12;
const READY_ABOVE: f64 = 0.55;

/// A full battery is charged again below this state of charge.
const FULL_UNTIL: f64 = 0.97;

/// What the car is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Parked, its bus silent.
    Asleep,
    /// Parked, its bus alive.
    Awake,
    /// Its battery is being charged.
    Charging,
    /// On the road, standing at traffic lights included.
    Driving,
}

/// What comes from outside in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Orders {
    /// The shift plan wants the car on the road.
    pub on_duty: bool,
    /// A charging cable is plugged in.
    pub plugged: bool,
    /// What the station offers, in W of alternating current; 0 offers nothing.
    pub offered: f64,
}

/// A car.
#[derive(Clone, Debug)]
pub struct Car {
    /// Vehicle identification number.
    pub vin: String,
    /// What it is doing.
    pub activity: Activity,
    /// Whether a charging cable is plugged in.
    pub plugged: bool,
    /// What it takes from the station, in W of alternating current.
    pub drawn: f64,
    /// The traction battery.
    pub battery: Battery,
    /// Where it is and how it moves.
    pub motion: Motion,
    /// Temperature outside and in the cabin, in °C.
    pub outside: Drift,
    cabin: Drift,
    /// Voltage of the 12 V battery.
    pub low_voltage: f64,
    /// Pressure of the tyres, in kPa: front left, front right, rear left, rear right.
    pub tyres: [Drift; 4],
    /// Temperature of the motor, in °C.
    pub motor_temperature: f64,
    /// Time since the car was started, in s.
    pub run_time: f64,
    /// What the battery management system believes its health to be, less what it is.
    health_error: Drift,
    /// What sensors add to voltage, current, temperature and position; new in every step.
    noise: [f64; 5],
    returning: bool,
    /// Charging has ended by itself; it begins again only when some charge is missing.
    full: bool,
    resting: f64,
    chance: Chance,
}

impl Car {
    /// A car that stands at the depot.
    pub fn new(seed: u64, name: &str, state_of_charge: f64) -> Self {
        let mut chance = Chance::new(seed, name);
        let health = chance.between(0.86, 0.99);
        let outside = chance.between(14.0, 24.0);
        let battery = Battery::new(state_of_charge, health, outside + 4.0, &mut chance);
        let odometer = battery.consumed / RECKONED_CONSUMPTION * 1000.0;
        Self {
            vin: vin(&mut chance),
            activity: Activity::Awake,
            plugged: false,
            drawn: 0.0,
            motion: Motion::parked(odometer, &mut chance),
            battery,
            outside: Drift::at(outside, 2.0, 4_000.0),
            cabin: Drift::at(22.0, 0.6, 120.0),
            low_voltage: 12.6,
            tyres: std::array::from_fn(|_| Drift::at(chance.between(225.0, 255.0), 0.8, 30.0)),
            motor_temperature: outside,
            run_time: 0.0,
            health_error: Drift::at(0.0, 0.000_8, 60.0),
            noise: [0.0; 5],
            returning: false,
            full: false,
            resting: 0.0,
            chance,
        }
    }

    /// Puts a car that is to be on duty onto the road.
    pub fn start_on_the_road(&mut self) {
        let bearing = self.chance.between(0.0, std::f64::consts::TAU);
        let distance = self.chance.between(300.0, 5_000.0);
        self.motion.place = (distance * bearing.cos(), distance * bearing.sin());
        self.activity = Activity::Driving;
        self.run_time = self.chance.between(60.0, 9_000.0);
    }

    /// Whether it stands at the depot.
    pub fn is_parked(&self) -> bool {
        self.activity != Activity::Driving
    }

    /// Whether it would leave the depot if its cable were unplugged.
    pub fn wants_to_leave(&self, on_duty: bool) -> bool {
        on_duty && self.is_parked() && self.battery.state_of_charge > READY_ABOVE
    }

    /// Lives on for `seconds`.
    pub fn step(&mut self, seconds: f64, orders: Orders) {
        self.plugged = orders.plugged && self.is_parked();
        if self.activity == Activity::Driving {
            self.drive(seconds, orders.on_duty);
        } else {
            self.park(seconds, orders);
        }
        self.live(seconds);
    }

    fn drive(&mut self, seconds: f64, on_duty: bool) {
        self.drawn = 0.0;
        self.returning |= !on_duty || self.battery.state_of_charge < EMPTY_BELOW;
        let errand = if self.returning {
            Errand::Return
        } else {
            Errand::Roam
        };
        let comfort = 350.0 + 60.0 * (self.outside.value - 20.0).abs();
        let traction = self.motion.step(seconds, errand, &mut self.chance);
        let power = traction + comfort + ELECTRONICS;
        self.battery.step(seconds, -power, self.outside.value);
        self.run_time += seconds;
        if self.returning && self.motion.distance_to_depot() == 0.0 && self.motion.speed == 0.0 {
            self.returning = false;
            self.resting = 0.0;
            self.activity = Activity::Awake;
            self.motion.step(seconds, Errand::Stay, &mut self.chance);
        }
    }

    fn park(&mut self, seconds: f64, orders: Orders) {
        if !self.plugged && self.wants_to_leave(orders.on_duty) {
            self.activity = Activity::Driving;
            self.run_time = 0.0;
            self.drawn = 0.0;
            return;
        }
        let electronics = if self.activity == Activity::Asleep {
            0.0
        } else {
            ELECTRONICS
        };
        if self.battery.acceptance() == 0.0 {
            self.full = true;
        } else if self.battery.state_of_charge < FULL_UNTIL {
            self.full = false;
        }
        let takes = (self.battery.acceptance() + ELECTRONICS) / CHARGER_EFFICIENCY;
        let wants = self.plugged && !self.full;
        let most = if wants {
            orders.offered.min(CHARGER_LIMIT).min(takes)
        } else {
            0.0
        };
        // IEC 61851-1: no charging below 6 A; stations offer nothing then, and so little is not worth waking up for.
        let most = if most < 600.0 { 0.0 } else { most };
        self.drawn = most.min(self.drawn + CHARGER_RAMP * seconds);
        let (charger, electronics) = if self.drawn > 0.0 {
            (self.drawn * CHARGER_EFFICIENCY, ELECTRONICS)
        } else {
            (0.0, electronics)
        };
        self.battery
            .step(seconds, charger - electronics, self.outside.value);
        self.resting = if self.drawn > 0.0 {
            0.0
        } else {
            self.resting + seconds
        };
        self.activity = match () {
            () if self.drawn > 0.0 => Activity::Charging,
            () if self.resting < AWAKE_FOR => Activity::Awake,
            () => Activity::Asleep,
        };
    }

    fn live(&mut self, seconds: f64) {
        let awake = self.activity != Activity::Asleep;
        let chance = &mut self.chance;
        self.outside.step(seconds, chance);
        self.cabin.mean = if self.activity == Activity::Driving {
            22.0
        } else {
            self.outside.value + 3.0
        };
        self.cabin.step(seconds, chance);
        self.health_error.step(seconds, chance);
        for tyre in &mut self.tyres {
            tyre.step(seconds, chance);
        }
        for noise in &mut self.noise {
            *noise = chance.normal();
        }
        let supply = if awake { 13.9 } else { 12.7 };
        let settle = (seconds / 20.0).min(1.0);
        self.low_voltage += (supply - self.low_voltage) * settle + 0.02 * chance.normal();
        let heat = self.motion.force.abs() * self.motion.speed * 0.06;
        let loss = 9.0 * (self.motor_temperature - self.outside.value);
        self.motor_temperature += (heat - loss) * seconds / 22_000.0;
    }

    /// Voltage as its sensor tells, in V.
    pub fn measured_voltage(&self) -> f64 {
        self.battery.voltage + 0.08 * self.noise[0]
    }

    /// Current as its sensor tells, in A.
    pub fn measured_current(&self) -> f64 {
        self.battery.current + 0.09 * self.noise[1]
    }

    /// Temperature of the coldest, the average and the warmest cell, in °C.
    pub fn cell_temperatures(&self) -> [f64; 3] {
        let spread = 1.2 + 0.02 * self.battery.current.abs();
        let mean = self.battery.temperature + 0.15 * self.noise[2];
        [
            mean - spread - 0.2 * self.noise[0],
            mean,
            mean + spread + 0.2 * self.noise[1],
        ]
    }

    /// Latitude and longitude as the receiver tells them, in degrees: good to about a metre.
    pub fn position(&self) -> (f64, f64) {
        (
            self.motion.latitude() + 6e-6 * self.noise[3],
            self.motion.longitude() + 6e-6 * self.noise[4],
        )
    }

    /// Altitude as the receiver tells it, in m.
    pub fn measured_altitude(&self) -> f64 {
        self.motion.altitude() + 1.5 * self.noise[2]
    }

    /// State of charge as the dashboard shows it: 4 % to 97 % of the battery are its 0 to 1.
    pub fn displayed_charge(&self) -> f64 {
        ((self.battery.state_of_charge - 0.04) / 0.93).clamp(0.0, 1.0)
    }

    /// State of health as the battery management system reports it: the truth and an estimator that never rests.
    pub fn reported_health(&self) -> f64 {
        (self.battery.state_of_health + self.health_error.value).clamp(0.0, 1.5)
    }

    /// Remaining range, in m.
    pub fn range(&self) -> f64 {
        let energy = self.battery.state_of_charge * self.battery.energy_when_full();
        energy / RECKONED_CONSUMPTION * 1000.0
    }

    /// Range gained per hour of charging, in km/h.
    pub fn charge_rate(&self) -> f64 {
        (self.battery.current * self.battery.voltage).max(0.0) / RECKONED_CONSUMPTION
            * f64::from(u8::from(self.activity == Activity::Charging))
    }

    /// Time until the battery is full at the present power, in s; 0 when it is not being charged.
    pub fn time_to_complete(&self) -> f64 {
        let power = self.battery.current * self.battery.voltage;
        if self.activity != Activity::Charging || power < 1.0 {
            return 0.0;
        }
        let missing = (1.0 - self.battery.state_of_charge) * self.battery.energy_when_full();
        missing / power * 3600.0
    }

    /// Temperature in the cabin, in °C.
    pub fn cabin_temperature(&self) -> f64 {
        self.cabin.value
    }

    /// 1 forward, 0 parked.
    pub fn gear(&self) -> f64 {
        f64::from(u8::from(self.activity == Activity::Driving))
    }
}

/// A vehicle identification number of a maker that does not exist, with the check digit of ISO 3779 as North America
/// (49 CFR 565.15) prescribes it at the ninth place.
fn vin(chance: &mut Chance) -> String {
    const DIGITS: &[u8] = b"0123456789X";
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let serial = (chance.unit() * 1e6) as u32;
    let mut vin = format!("3ZZPAT1E0TM{serial:06}").into_bytes();
    let value = |letter: u8| match letter {
        b'0'..=b'9' => u32::from(letter - b'0'),
        b'A'..=b'H' => u32::from(letter - b'A') + 1,
        b'J'..=b'R' => u32::from(letter - b'J') + 1,
        _ => u32::from(letter.saturating_sub(b'S')) + 2,
    };
    let sum: u32 = vin.iter().zip(WEIGHTS).map(|(&c, w)| value(c) * w).sum();
    vin[8] = DIGITS[(sum % 11) as usize];
    String::from_utf8(vin).expect("letters and digits")
}

#[cfg(test)]
mod tests;
