//! The traction battery: lithium iron phosphate cells in series as one open-circuit voltage behind one resistance.

use crate::chance::Chance;

/// Open-circuit voltage of a cell over state of charge: V at 25 °C, steep at both ends with the plateau of LFP between.
const OPEN_CIRCUIT: [(f64, f64); 15] = [
    (0.00, 2.500),
    (0.02, 2.850),
    (0.05, 3.040),
    (0.10, 3.175),
    (0.20, 3.232),
    (0.30, 3.263),
    (0.40, 3.283),
    (0.50, 3.290),
    (0.60, 3.298),
    (0.70, 3.322),
    (0.80, 3.332),
    (0.90, 3.338),
    (0.96, 3.350),
    (0.99, 3.400),
    (1.00, 3.500),
];

/// Cells in series.
pub const CELLS: u16 = 104;

/// Capacity of a new cell, in Ah.
const CAPACITY: f64 = 150.0;

/// Resistance of a cell at 25 °C, in Ω.
const RESISTANCE: f64 = 0.000_9;

/// Heat capacity of the pack, in J/K, and what it loses to the air, in W/K.
const HEAT_CAPACITY: f64 = 290_000.0;
const COOLING: f64 = 28.0;

/// Charge that goes through the battery until a fifth of its capacity is gone, in multiples of its capacity.
const LIFE_THROUGHPUT: f64 = 8_000.0;

/// State of charge above which the battery takes less and less.
const TAPER_FROM: f64 = 0.97;

/// A pack. Currents and powers are positive while it is being charged.
#[derive(Clone, Debug)]
pub struct Battery {
    /// Charge relative to the charge when full, 0 to 1.
    pub state_of_charge: f64,
    /// Capacity relative to a new pack, 0 to 1.
    pub state_of_health: f64,
    /// Average temperature, in °C.
    pub temperature: f64,
    /// Current, in A.
    pub current: f64,
    /// Voltage at the terminals, in V.
    pub voltage: f64,
    /// Energy taken in at the terminals in its life, in Wh.
    pub charged: f64,
    /// Energy given out at the terminals in its life, in Wh.
    pub consumed: f64,
    /// Heat made inside in its life, in Wh.
    pub lost: f64,
    /// Of each cell: its state of charge relative to the pack's, and its resistance relative to the average.
    cells: Vec<(f64, f64)>,
}

/// The lowest and the highest cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extremes {
    /// Number (from 1) and voltage of the lowest.
    pub least: (u16, f64),
    /// Number and voltage of the highest.
    pub greatest: (u16, f64),
}

impl Battery {
    /// A pack at rest.
    pub fn new(
        state_of_charge: f64,
        state_of_health: f64,
        temperature: f64,
        chance: &mut Chance,
    ) -> Self {
        let cells = (0..CELLS)
            .map(|_| (0.003 * chance.normal(), 1.0 + 0.04 * chance.normal()))
            .collect();
        let charged = chance.between(4.0e6, 2.4e7);
        let mut battery = Self {
            state_of_charge,
            state_of_health,
            temperature,
            current: 0.0,
            voltage: 0.0,
            charged,
            consumed: charged * 0.955,
            lost: 0.0,
            cells,
        };
        battery.voltage = battery.open_circuit();
        battery
    }

    /// Charge when full, in Ah.
    pub fn capacity(&self) -> f64 {
        CAPACITY * self.state_of_health
    }

    /// Energy between empty and full at rest, in Wh.
    pub fn energy_when_full(&self) -> f64 {
        self.energy_when_new() * self.state_of_health
    }

    /// The same when the pack was new.
    pub fn energy_when_new(&self) -> f64 {
        // The mean of the curve above, by the trapezium rule, times charge and cells.
        let mean: f64 = OPEN_CIRCUIT
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0)
            .sum();
        mean * CAPACITY * f64::from(CELLS)
    }

    /// Heat made inside now, in W.
    pub fn heat(&self) -> f64 {
        self.resistance() * self.current * self.current
    }

    /// Voltage at the terminals without current, in V.
    pub fn open_circuit(&self) -> f64 {
        cell_voltage(self.state_of_charge) * f64::from(CELLS)
    }

    /// Resistance, in Ω: higher in the cold and when nearly empty.
    pub fn resistance(&self) -> f64 {
        self.cell_resistance() * f64::from(CELLS)
    }

    fn cell_resistance(&self) -> f64 {
        let cold = (1.0 + (25.0 - self.temperature) * 0.015).clamp(0.7, 2.5);
        let empty = 1.0 + (0.1 - self.state_of_charge).max(0.0) * 6.0;
        RESISTANCE * cold * empty
    }

    /// The greatest power that it takes now, in W: up to half its capacity per hour, less and less near full.
    pub fn acceptance(&self) -> f64 {
        let room = ((1.0 - self.state_of_charge) / (1.0 - TAPER_FROM)).clamp(0.0, 1.0);
        let current = if room < 0.01 {
            0.0
        } else {
            self.capacity() * 0.5 * (0.04 + 0.96 * room)
        };
        current * (self.open_circuit() + current * self.resistance())
    }

    /// Takes `power` (W at the terminals, negative when driving) for `seconds`; what was really taken, in W.
    pub fn step(&mut self, seconds: f64, power: f64, ambient: f64) -> f64 {
        let (source, resistance) = (self.open_circuit(), self.resistance());
        // power = (source + resistance × current) × current
        let under_root = (source * source + 4.0 * resistance * power).max(0.0);
        let wanted = (under_root.sqrt() - source) / (2.0 * resistance);
        let hours = seconds / 3600.0;
        let room = (1.0 - self.state_of_charge) * self.capacity() / hours;
        let rest = -self.state_of_charge * self.capacity() / hours;
        self.current = wanted.clamp(rest, room);
        self.voltage = source + resistance * self.current;
        let power = self.voltage * self.current;
        let heat = resistance * self.current * self.current;
        let throughput = self.current.abs() * hours;
        self.state_of_charge =
            (self.state_of_charge + self.current * hours / self.capacity()).clamp(0.0, 1.0);
        self.state_of_health -= 0.2 * throughput / CAPACITY / LIFE_THROUGHPUT;
        self.charged += power.max(0.0) * hours;
        self.consumed -= power.min(0.0) * hours;
        self.lost += heat * hours;
        let warming = heat - COOLING * (self.temperature - ambient);
        self.temperature += warming * seconds / HEAT_CAPACITY;
        power
    }

    /// Voltage of cell `number` (from 1), in V; 0 when there is no such cell.
    pub fn cell(&self, number: u16) -> f64 {
        let index = usize::from(number).wrapping_sub(1);
        self.cells.get(index).map_or(0.0, |&(shift, factor)| {
            cell_voltage(self.state_of_charge + shift)
                + self.current * self.cell_resistance() * factor
        })
    }

    /// The lowest and the highest cell.
    pub fn extremes(&self) -> Extremes {
        let first = (1, self.cell(1));
        let start = Extremes {
            least: first,
            greatest: first,
        };
        (2..=CELLS).fold(start, |so_far, number| {
            let cell = (number, self.cell(number));
            Extremes {
                least: if cell.1 < so_far.least.1 {
                    cell
                } else {
                    so_far.least
                },
                greatest: if cell.1 > so_far.greatest.1 {
                    cell
                } else {
                    so_far.greatest
                },
            }
        })
    }
}

/// The curve, straight between its points and held beyond them.
fn cell_voltage(state_of_charge: f64) -> f64 {
    let above = OPEN_CIRCUIT.partition_point(|&(x, _)| x <= state_of_charge);
    match (
        above.checked_sub(1).and_then(|i| OPEN_CIRCUIT.get(i)),
        OPEN_CIRCUIT.get(above),
    ) {
        (Some(&(x0, y0)), Some(&(x1, y1))) => y0 + (y1 - y0) * (state_of_charge - x0) / (x1 - x0),
        (Some(&(_, y)), None) | (None, Some(&(_, y))) => y,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(state_of_charge: f64) -> Battery {
        Battery::new(state_of_charge, 0.95, 25.0, &mut Chance::new(1, "pack"))
    }

    #[test]
    fn the_plateau_is_flat_and_the_ends_are_steep() {
        let at = |x| cell_voltage(x);
        assert!(at(0.7) - at(0.3) < 0.07);
        assert!(at(0.05) - at(0.0) > 0.4 && at(1.0) - at(0.97) > 0.1);
        assert_eq!((at(-1.0), at(2.0)), (2.5, 3.5));
    }

    #[test]
    fn a_full_charge_balances() {
        let mut battery = pack(0.05);
        let (charged, stored) = (battery.charged, 0.05);
        let mut seconds = 0.0;
        while battery.acceptance() > 0.0 {
            let power = battery.acceptance().min(6_500.0);
            battery.step(1.0, power, 22.0);
            seconds += 1.0;
        }
        let taken = battery.charged - charged;
        let kept = taken - battery.lost;
        let expected = battery.energy_when_full() * (battery.state_of_charge - stored);
        // The curve below 5 % and above 99.97 % is not part of this charge: allow 1 %.
        assert!((kept / expected - 1.0).abs() < 0.01, "{kept} {expected}");
        assert!(battery.lost > 0.0 && battery.lost < 0.03 * taken);
        assert!((5.0..9.0).contains(&(seconds / 3600.0)), "{seconds}");
        assert!(battery.state_of_charge > 0.999);
    }

    #[test]
    fn the_lowest_cell_is_below_the_highest() {
        let mut battery = pack(0.04);
        battery.step(1.0, -20_000.0, 25.0);
        let Extremes { least, greatest } = battery.extremes();
        assert!(least.1 < greatest.1 && least.0 != greatest.0);
        let mean = battery.voltage / f64::from(CELLS);
        assert!(least.1 < mean && mean < greatest.1);
        assert_eq!(battery.cell(0), 0.0);
        assert_eq!(battery.cell(CELLS + 1), 0.0);
    }

    proptest! {
        #[test]
        fn nothing_leaves_its_bounds(start in 0.0f64..=1.0, powers in prop::collection::vec(-150_000.0f64..60_000.0, 1..60), seconds in 0.01f64..30.0) {
            let mut battery = pack(start);
            for power in powers {
                let taken = battery.step(seconds, power, 20.0);
                prop_assert!((0.0..=1.0).contains(&battery.state_of_charge));
                prop_assert!(taken.is_finite() && taken.abs() <= power.abs() + 1e-6);
                prop_assert!((0.0..600.0).contains(&battery.voltage), "{}", battery.voltage);
            }
        }
    }
}
