//! When cars work: shifts that come round again, each car at its own hour.

use crate::chance::Chance;

/// What the fleet does.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Shifts of about seven hours out of twelve: at any time about half of the cars are out.
    #[default]
    Shifts,
    /// All drive until they are empty, charge and drive again.
    Driving,
    /// All stay at the depot; they begin rather empty.
    Charging,
}

/// The shifts of one car.
#[derive(Clone, Debug, PartialEq)]
pub struct Shifts {
    plan: Plan,
    /// From one start to the next, the shift itself, and the first start; in s.
    cycle: f64,
    shift: f64,
    phase: f64,
}

impl Shifts {
    /// The shifts of the car called `name`.
    pub fn new(plan: Plan, seed: u64, name: &str) -> Self {
        let mut chance = Chance::new(seed, &format!("{name}/shifts"));
        let cycle = chance.between(11.5, 12.5) * 3600.0;
        Self {
            plan,
            cycle,
            shift: chance.between(6.5, 7.5) * 3600.0,
            phase: chance.between(0.0, cycle),
        }
    }

    /// Whether the car is to be on the road, `seconds` after the depot's start (negative before it).
    pub fn on_duty(&self, seconds: f64) -> bool {
        match self.plan {
            Plan::Shifts => (seconds + self.phase).rem_euclid(self.cycle) < self.shift,
            Plan::Driving => true,
            Plan::Charging => false,
        }
    }

    /// A state of charge to begin with.
    pub fn first_charge(&self, chance: &mut Chance) -> f64 {
        match self.plan {
            _ if self.on_duty(0.0) => chance.between(0.45, 0.95),
            Plan::Charging => chance.between(0.10, 0.45),
            Plan::Shifts | Plan::Driving => chance.between(0.18, 0.80),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_half_of_a_fleet_is_out_at_any_hour() {
        let fleet: Vec<_> = (0..400)
            .map(|n| Shifts::new(Plan::Shifts, 9, &format!("car-{n}")))
            .collect();
        for hour in 0..48 {
            let out = fleet
                .iter()
                .filter(|s| s.on_duty(f64::from(hour) * 3600.0))
                .count();
            assert!((180..290).contains(&out), "{out} at {hour} h");
        }
    }
}
