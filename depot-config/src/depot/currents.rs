//! Currents of a circuit as phasors.
//!
//! At power factor 1 the current of every station between these conductors is at a multiple of 30°: 0°, −120° and
//! 120° from a phase to neutral, 30° beside that between two phases, and another 30° behind a delta-wye transformer.
//! So the currents on a conductor are twelve sums, like the hours of a clock, and the greatest that any part of the
//! stations together can draw is found exactly: it is the sum of six neighbouring hours. All stations together are
//! not always the worst: behind a delta-wye transformer one car can cancel a part of another's current.

use super::{Connection, Phase, Phases, Transformer, VoltageSystem, electrical::VectorGroup};

/// A twelfth of a turn each.
const HOURS: usize = 12;

/// Half of the square root of 3.
const ROOT: f64 = 0.866_025_403_784_438_6;
/// The cosine of each hour; the sine of an hour is the cosine of that nine hours later.
const COS: [f64; HOURS] = [
    1.0, ROOT, 0.5, 0.0, -0.5, -ROOT, -1.0, -ROOT, -0.5, 0.0, 0.5, ROOT,
];

/// What may flow on each of three conductors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Currents {
    /// By phase and by angle in steps of 30°, in A.
    clock: [[f64; HOURS]; 3],
    /// Of loads whose angle nobody knows, by phase, in A: they add as numbers.
    other: [f64; 3],
}

/// The angle of a phase to neutral, in steps of 30°.
const fn hour(phase: Phase) -> usize {
    match phase {
        Phase::L1 => 0,
        Phase::L2 => 8,
        Phase::L3 => 4,
    }
}

impl Currents {
    /// Of a station on these phases. One on three phases is three between a phase and neutral, because a vehicle may
    /// use one of them only.
    pub fn of_station(phases: &Phases, connection: Connection, current: f64) -> Self {
        let mut currents = Self::default();
        match (connection, phases.as_slice()) {
            (Connection::PhasePhase, [one, other]) => {
                let (from, to) = (hour(*one), hour(*other));
                // Between L1 and L2 the voltage is 30° ahead of L1, between L1 and L3 it is 30° behind.
                let ahead = (from + HOURS - to) % HOURS == 4;
                let angle = (from + if ahead { 1 } else { HOURS - 1 }) % HOURS;
                currents.clock[*one as usize][angle] += current;
                currents.clock[*other as usize][(angle + HOURS / 2) % HOURS] += current;
            }
            (_, phases) => {
                for phase in phases {
                    currents.clock[*phase as usize][hour(*phase)] += current;
                }
            }
        }
        currents
    }

    /// Adds loads on these phases whose angle nobody knows, in A.
    pub fn add_other(&mut self, phases: &Phases, current: f64) {
        for phase in phases.as_slice() {
            self.other[*phase as usize] += current;
        }
    }

    /// Adds what another circuit or station draws.
    pub fn add(&mut self, other: &Self) {
        for phase in 0..3 {
            self.other[phase] += other.other[phase];
            for hour in 0..HOURS {
                self.clock[phase][hour] += other.clock[phase][hour];
            }
        }
    }

    /// The greatest current on a phase that any part of these loads can draw together, in A.
    pub fn on(&self, phase: Phase) -> f64 {
        let clock = &self.clock[phase as usize];
        // The sum of six neighbouring hours, moved on by one hour eleven times.
        let (mut x, mut y) = (0.0, 0.0);
        for (hour, current) in clock.iter().enumerate().take(HOURS / 2) {
            x += current * COS[hour];
            y += current * COS[(hour + 9) % HOURS];
        }
        let mut greatest = x * x + y * y;
        for leaves in 0..HOURS - 1 {
            let comes = (leaves + HOURS / 2) % HOURS;
            // What comes is opposite to what leaves: both move the sum the same way.
            let moved = clock[comes] + clock[leaves];
            x += moved * COS[comes];
            y += moved * COS[(comes + 9) % HOURS];
            greatest = greatest.max(x * x + y * y);
        }
        greatest.sqrt() + self.other[phase as usize]
    }

    /// The current on a phase when all of these loads draw, as a phasor with that phase's voltage at 0°: along it and
    /// across it, in A. Loads whose angle nobody knows are along it.
    pub fn together(&self, phase: Phase) -> (f64, f64) {
        let (mut x, mut y) = (self.other[phase as usize], 0.0);
        for (at, current) in self.clock[phase as usize].iter().enumerate() {
            let seen = (at + HOURS - hour(phase)) % HOURS;
            x += current * COS[seen];
            y += current * COS[(seen + 9) % HOURS];
        }
        (x, y)
    }

    /// Adds a multiple of what another circuit or station draws.
    pub fn add_times(&mut self, other: &Self, factor: f64) {
        self.add(&other.scaled(factor));
    }

    /// What these currents are on the primary side of a transformer.
    #[must_use]
    pub fn through(&self, transformer: &Transformer, primary: VoltageSystem) -> Self {
        let secondary = transformer.voltage_system.between_phases();
        let primary = primary.between_phases();
        // By which other winding the current of a line comes back, and by how much the secondary is ahead.
        let (back, ahead): (fn(usize) -> usize, usize) = match transformer.connection {
            VectorGroup::Yyn0 => return self.scaled(secondary / primary),
            VectorGroup::Dyn1 => (|line| (line + 1) % 3, HOURS - 1),
            VectorGroup::Dyn11 => (|line| (line + 2) % 3, 1),
        };
        let windings = self.scaled(secondary / 3.0_f64.sqrt() / primary);
        let mut currents = Self::default();
        for line in 0..3 {
            currents.other[line] = windings.other[line] + windings.other[back(line)];
            for hour in 0..HOURS {
                let turned = (hour + ahead) % HOURS;
                currents.clock[line][turned] += windings.clock[line][hour];
                currents.clock[line][(turned + HOURS / 2) % HOURS] +=
                    windings.clock[back(line)][hour];
            }
        }
        currents
    }

    fn scaled(mut self, factor: f64) -> Self {
        for phase in 0..3 {
            self.other[phase] *= factor;
            for hour in 0..HOURS {
                self.clock[phase][hour] *= factor;
            }
        }
        self
    }
}

/// The phase with the greatest share of what may flow on it, of those given, and its current in A.
pub fn worst(currents: &Currents, phases: &Phases, may: impl Fn(Phase) -> f64) -> (Phase, f64) {
    let share = |phase: Phase| currents.on(phase) - may(phase);
    let mut sorted = phases.as_slice().to_vec();
    sorted.sort_unstable();
    let phase = sorted
        .into_iter()
        .reduce(|best, phase| {
            if share(phase) > share(best) + 1e-9 {
                phase
            } else {
                best
            }
        })
        .unwrap_or(Phase::L1);
    (phase, currents.on(phase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(phases: &str, current: f64) -> Currents {
        let phases = Phases::try_from(phases.to_owned()).unwrap();
        let connection = match phases.as_slice().len() {
            1 => Connection::PhaseNeutral,
            2 => Connection::PhasePhase,
            _ => Connection::ThreePhase,
        };
        Currents::of_station(&phases, connection, current)
    }

    fn sum(stations: &[(&str, f64)]) -> Currents {
        let mut currents = Currents::default();
        for (phases, current) in stations {
            currents.add(&station(phases, *current));
        }
        currents
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn a_balanced_delta_draws_root_three() {
        let currents = sum(&[("L1-L2", 10.0), ("L2-L3", 10.0), ("L3-L1", 10.0)]);
        for phase in Phase::ALL {
            near(currents.on(phase), 10.0 * 3.0_f64.sqrt());
        }
    }

    #[test]
    fn the_order_of_terminals_changes_nothing_between_two_phases() {
        for phases in [("L1-L2", "L2-L1"), ("L2-L3", "L3-L2"), ("L3-L1", "L1-L3")] {
            assert_eq!(station(phases.0, 7.0), station(phases.1, 7.0));
        }
    }

    #[test]
    fn a_phase_to_neutral_and_between_phases_is_less_than_the_sum_of_numbers() {
        let currents = sum(&[("L1", 10.0), ("L1-L2", 10.0)]);
        near(
            currents.on(Phase::L1),
            2.0 * 10.0 * 15.0_f64.to_radians().cos(),
        );
        near(currents.on(Phase::L2), 10.0);
        near(currents.on(Phase::L3), 0.0);
    }

    #[test]
    fn a_delta_wye_transformer_loads_two_lines_for_one_phase() {
        let transformer = Transformer {
            power: 75.0,
            connection: VectorGroup::Dyn1,
            voltage_system: VoltageSystem::V220,
        };
        let primary = |currents: Currents| currents.through(&transformer, VoltageSystem::V440);
        // 100 A at 127 V are 12.7 kW, 28.87 A at 440 V, in on one line and out on another.
        let one = primary(station("L1", 100.0));
        let winding = 100.0 * 220.0 / 3.0_f64.sqrt() / 440.0;
        near(one.on(Phase::L1), winding);
        near(one.on(Phase::L2), 0.0);
        near(one.on(Phase::L3), winding);
        // Three phases: the same power on both sides.
        let all = primary(station("L1-L2-L3", 100.0));
        for phase in Phase::ALL {
            near(all.on(phase), 50.0);
        }
        // Between two phases: twice as much on one line.
        let between = primary(station("L1-L2", 100.0));
        near(between.on(Phase::L1), 2.0 * winding);
        near(between.on(Phase::L2), winding);
        near(between.on(Phase::L3), winding);
    }

    #[test]
    fn all_of_them_together_are_a_phasor() {
        let currents = sum(&[("L1", 10.0), ("L1-L2", 10.0), ("L3", 4.0)]);
        let (x, y) = currents.together(Phase::L1);
        near(x, 10.0 + 10.0 * 30.0_f64.to_radians().cos());
        near(y, 5.0);
        let (x, y) = currents.together(Phase::L2);
        near(f64::hypot(x, y), 10.0);
        let (x, y) = currents.together(Phase::L3);
        near(x, 4.0);
        near(y, 0.0);
    }

    /// Against every part of them, tried one by one.
    #[test]
    fn the_worst_part_is_the_worst_of_all_parts() {
        let kinds = ["L1", "L2", "L3", "L1-L2", "L2-L3", "L3-L1"];
        let loads: Vec<_> = (0..9_u32)
            .map(|n| (kinds[(n * 7 % 6) as usize], f64::from(n * 5 % 11 + 1)))
            .collect();
        let transformer = Transformer {
            power: 75.0,
            connection: VectorGroup::Dyn11,
            voltage_system: VoltageSystem::V220,
        };
        let primary = |currents: Currents| currents.through(&transformer, VoltageSystem::V440);
        let all = primary(sum(&loads));
        for phase in Phase::ALL {
            let parts = (0..1_u32 << loads.len()).map(|mask| {
                let part = (0..loads.len()).filter(|n| mask & (1 << n) != 0);
                let part: Vec<_> = part.map(|n| loads[n]).collect();
                let (x, y) = primary(sum(&part)).together(phase);
                f64::hypot(x, y)
            });
            near(all.on(phase), parts.fold(0.0, f64::max));
        }
    }

    #[test]
    fn a_part_of_the_loads_can_draw_more_than_all_of_them() {
        let transformer = Transformer {
            power: 75.0,
            connection: VectorGroup::Dyn1,
            voltage_system: VoltageSystem::V220,
        };
        let alone = station("L3-L1", 100.0).through(&transformer, VoltageSystem::V220);
        let both = sum(&[("L3-L1", 100.0), ("L2-L3", 60.0)]);
        let both = both.through(&transformer, VoltageSystem::V220);
        assert!(both.on(Phase::L1) >= alone.on(Phase::L1) - 1e-9);
    }
}
