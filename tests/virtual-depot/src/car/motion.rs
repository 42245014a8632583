//! Driving: speed, place and what it takes from the battery.

use std::f64::consts::{PI, TAU};

use crate::chance::Chance;

/// The depot, in the middle of Mexico City: degrees WGS 84.
pub const DEPOT: (f64, f64) = (19.432_600, -99.133_200);

/// Altitude of the depot, in m.
const ALTITUDE: f64 = 2_240.0;

/// How far from the depot cars work, in m.
const TERRITORY: f64 = 8_000.0;

/// Metres in a degree of latitude, and of longitude at the depot's latitude.
const METRES_PER_DEGREE: (f64, f64) = (110_680.0, 104_990.0);

/// Mass in kg, rolling resistance, and half of air density (at this altitude) × drag coefficient × front in kg/m.
const MASS: f64 = 1_780.0;
const ROLLING: f64 = 0.009;
const DRAG: f64 = 0.5 * 0.96 * 0.68;
const GRAVITY: f64 = 9.79;

/// From battery to wheel, from wheel to battery, and the most that braking gives back, in W.
const DRIVE_EFFICIENCY: f64 = 0.88;
const BRAKE_EFFICIENCY: f64 = 0.68;
const MOST_RECUPERATION: f64 = 45_000.0;

/// Radius of a wheel in m, and turns of the motor for one of the wheel.
const WHEEL: f64 = 0.32;
const GEAR: f64 = 9.3;

/// Acceleration and braking, in m/s².
const ACCELERATE: f64 = 1.3;
const BRAKE: f64 = 2.0;

/// What the driver is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Stands still.
    Stay,
    /// Carries passengers about the city.
    Roam,
    /// Goes back to the depot.
    Return,
}

/// Where a car is and how it moves.
#[derive(Clone, Debug)]
pub struct Motion {
    /// Speed, in m/s, never negative.
    pub speed: f64,
    /// Acceleration, in m/s².
    pub acceleration: f64,
    /// Heading, in degrees from north, 0 to 360.
    pub heading: f64,
    /// Metres north and east of the depot.
    pub place: (f64, f64),
    /// Distance in its life, in m.
    pub odometer: f64,
    /// Force at the wheels, in N.
    pub force: f64,
    /// The speed that the driver wants, and how long still, in s.
    wanted: f64,
    hold: f64,
}

impl Motion {
    /// A car that stands at the depot.
    pub fn parked(odometer: f64, chance: &mut Chance) -> Self {
        Self {
            speed: 0.0,
            acceleration: 0.0,
            heading: chance.between(0.0, 360.0),
            place: (0.0, 0.0),
            odometer,
            force: 0.0,
            wanted: 0.0,
            hold: 0.0,
        }
    }

    /// Degrees of latitude.
    pub fn latitude(&self) -> f64 {
        DEPOT.0 + self.place.0 / METRES_PER_DEGREE.0
    }

    /// Degrees of longitude.
    pub fn longitude(&self) -> f64 {
        DEPOT.1 + self.place.1 / METRES_PER_DEGREE.1
    }

    /// Altitude, in m: gentle hills.
    pub fn altitude(&self) -> f64 {
        ALTITUDE + 24.0 * (self.place.0 / 2_900.0).sin() + 13.0 * (self.place.1 / 1_700.0).sin()
    }

    /// Distance to the depot as the crow flies, in m.
    pub fn distance_to_depot(&self) -> f64 {
        self.place.0.hypot(self.place.1)
    }

    /// Turns of the motor per minute.
    pub fn motor_speed(&self) -> f64 {
        self.speed / (TAU * WHEEL) * 60.0 * GEAR
    }

    /// Torque of the motor, in Nm.
    pub fn motor_torque(&self) -> f64 {
        self.force * WHEEL / GEAR
    }

    /// Drives on for `seconds`; what driving takes from the battery on average, in W (negative: gives back).
    pub fn step(&mut self, seconds: f64, errand: Errand, chance: &mut Chance) -> f64 {
        let before = (self.speed, self.altitude());
        self.hold -= seconds;
        match errand {
            Errand::Stay => self.wanted = 0.0,
            Errand::Roam if self.hold <= 0.0 => self.next_leg(chance),
            Errand::Return if self.hold <= 0.0 => {
                let stop = self.wanted > 0.0 && chance.happens(0.3);
                (self.wanted, self.hold) = if stop {
                    (0.0, chance.between(4.0, 30.0))
                } else {
                    (chance.between(8.0, 15.0), chance.between(20.0, 70.0))
                };
            }
            Errand::Roam | Errand::Return => {}
        }
        let mut wanted = self.wanted;
        if errand == Errand::Return {
            self.turn_to_depot();
            // Fast enough to arrive, slow enough to stop there.
            wanted = wanted.min((2.0 * 0.8 * self.distance_to_depot()).sqrt() + 0.3);
        }
        let jitter = if wanted > 1.0 {
            0.25 * chance.normal()
        } else {
            0.0
        };
        let change = (wanted + jitter - self.speed).clamp(-BRAKE * seconds, ACCELERATE * seconds);
        self.speed = (self.speed + change).max(0.0);
        self.acceleration = (self.speed - before.0) / seconds;
        self.advance(f64::midpoint(self.speed, before.0) * seconds, errand);
        self.power(seconds, before)
    }

    fn next_leg(&mut self, chance: &mut Chance) {
        if self.wanted > 0.0 && chance.happens(0.4) {
            self.wanted = 0.0;
            self.hold = if chance.happens(0.06) {
                chance.between(40.0, 120.0)
            } else {
                chance.between(6.0, 35.0)
            };
            return;
        }
        self.wanted = chance.between(4.0, 17.0);
        self.hold = chance.between(12.0, 60.0);
        let turn = (chance.unit() * 3.0).floor() * 90.0 - 90.0;
        self.heading += turn + 6.0 * chance.normal();
        if self.distance_to_depot() > TERRITORY {
            self.turn_to_depot();
            self.heading += chance.between(-50.0, 50.0);
        }
        self.heading = self.heading.rem_euclid(360.0);
    }

    fn turn_to_depot(&mut self) {
        if self.distance_to_depot() > 1.0 {
            let bearing = (-self.place.1).atan2(-self.place.0);
            self.heading = (bearing * 180.0 / PI).rem_euclid(360.0);
        }
    }

    fn advance(&mut self, metres: f64, errand: Errand) {
        self.odometer += metres;
        if errand == Errand::Return && metres >= self.distance_to_depot() {
            self.place = (0.0, 0.0);
            self.speed = 0.0;
            return;
        }
        let bearing = self.heading * PI / 180.0;
        self.place.0 += metres * bearing.cos();
        self.place.1 += metres * bearing.sin();
    }

    fn power(&mut self, seconds: f64, (speed, altitude): (f64, f64)) -> f64 {
        let mean = f64::midpoint(speed, self.speed);
        if mean == 0.0 {
            self.force = 0.0;
            return 0.0;
        }
        let climb = (self.altitude() - altitude) / seconds;
        let resistance = MASS * GRAVITY * ROLLING + DRAG * mean * mean;
        self.force = MASS * self.acceleration + resistance + MASS * GRAVITY * climb / mean;
        let at_wheels = self.force * mean;
        if at_wheels >= 0.0 {
            at_wheels / DRIVE_EFFICIENCY
        } else {
            (at_wheels * BRAKE_EFFICIENCY).max(-MOST_RECUPERATION)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_in_the_city_looks_like_one() {
        let mut chance = Chance::new(3, "driver");
        let mut motion = Motion::parked(0.0, &mut chance);
        let (mut energy, mut fastest, mut farthest, mut standing) = (0.0, 0.0_f64, 0.0_f64, 0);
        let seconds = 4 * 3600;
        for _ in 0..seconds {
            energy += motion.step(1.0, Errand::Roam, &mut chance) / 3600.0;
            fastest = fastest.max(motion.speed);
            farthest = farthest.max(motion.distance_to_depot());
            standing += i32::from(motion.speed == 0.0);
            assert!(
                motion.acceleration >= -BRAKE - 1e-9 && motion.acceleration <= ACCELERATE + 1e-9
            );
            assert!((0.0..=360.0).contains(&motion.heading));
        }
        let kilometres = motion.odometer / 1000.0;
        let (speed, consumption) = (kilometres / 4.0, energy / kilometres);
        assert!((15.0..40.0).contains(&speed), "{speed} km/h");
        assert!((70.0..200.0).contains(&consumption), "{consumption} Wh/km");
        assert!((50.0..70.0).contains(&(fastest * 3.6)), "{fastest} m/s");
        assert!(farthest < TERRITORY + 2_000.0, "{farthest} m");
        assert!(
            standing > seconds / 20 && standing < seconds / 2,
            "{standing} s"
        );

        let mut way_home = 0;
        while motion.distance_to_depot() > 0.0 || motion.speed > 0.0 {
            motion.step(1.0, Errand::Return, &mut chance);
            way_home += 1;
            assert!(
                way_home < 3600,
                "still {} m away",
                motion.distance_to_depot()
            );
        }
        assert_eq!((motion.latitude(), motion.longitude()), DEPOT);
    }

    #[test]
    fn the_step_does_not_change_how_far_a_car_gets() {
        let distance = |seconds: f64| {
            let mut chance = Chance::new(5, "driver");
            let mut motion = Motion::parked(0.0, &mut chance);
            for _ in 0..(36_000.0 / seconds) as u32 {
                motion.step(seconds, Errand::Roam, &mut chance);
            }
            motion.odometer
        };
        let (fine, coarse) = (distance(0.1), distance(1.0));
        assert!((fine / coarse - 1.0).abs() < 0.1, "{fine} {coarse}");
    }
}
