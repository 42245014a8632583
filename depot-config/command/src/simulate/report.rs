//! What came of a day.

use std::fmt;

use depot_config::depot::{Depot, Phase};
use serde::Serialize;

use super::{
    day::{DAY, Day, shown},
    yard::{OBEYS_AFTER, QUARTER, TAPER},
};

/// A circuit is at its limit when it carries this part of what it may carry for hours.
const AT_LIMIT: f64 = 0.95;
/// A car that lacks less is full, in Wh.
const FULL: f64 = 10.0;

/// What came of a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    /// The depot's id.
    depot: String,
    begins: String,
    demand: Demand,
    circuits: Vec<CircuitReport>,
    /// Cars that were plugged in.
    cars: usize,
    /// Cars that left with what they wanted.
    full: usize,
    /// Cars that left with less.
    short: Vec<CarReport>,
    /// Cars that stay beyond the day and want more.
    charging: Vec<CarReport>,
}

/// What the utility bills.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Demand {
    /// The greatest average of a quarter of an hour, in kW, and when that began.
    peak_kw: f64,
    at: String,
    /// The greatest that is wanted; `None` without a contract.
    wanted_kw: Option<f64>,
    /// Quarters of an hour above that.
    windows_over: usize,
    /// Energy of the day.
    kwh: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CircuitReport {
    id: String,
    phases: Vec<PhaseReport>,
    /// Minutes in which a phase carried nearly what it may carry for hours.
    minutes_at_limit: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct PhaseReport {
    phase: String,
    /// The greatest average of a quarter of an hour, in A, and when that began.
    peak_a: f64,
    at: String,
    /// The greatest of a second, in A.
    greatest_a: f64,
    /// What it may carry for hours, in A.
    continuous_a: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CarReport {
    station: String,
    plugged: String,
    leaves: String,
    wanted_kwh: f64,
    missing_kwh: f64,
}

impl PhaseReport {
    /// It carried more for a quarter of an hour than it may for hours.
    fn is_over(&self) -> bool {
        self.peak_a > self.continuous_a
    }
}

impl Report {
    /// Whether all cars were full, the contract was kept and no circuit carried too much for a quarter of an hour.
    pub(crate) fn holds(&self) -> bool {
        let mut phases = self.circuits.iter().flat_map(|circuit| &circuit.phases);
        self.short.is_empty() && self.demand.windows_over == 0 && !phases.any(PhaseReport::is_over)
    }
}

/// The greatest of quarters of an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    sum: f64,
    greatest: f64,
    /// Of the clock, in s from midnight.
    at: u32,
}

impl Peak {
    fn add(&mut self, value: f64) {
        self.sum += value;
    }

    /// A quarter of an hour that began then is over; the average.
    fn close(&mut self, began: u32) -> f64 {
        let average = self.sum / f64::from(QUARTER);
        if average > self.greatest {
            (self.greatest, self.at) = (average, began);
        }
        self.sum = 0.0;
        average
    }
}

/// Adds up a day.
pub(crate) struct Tally<'a> {
    depot: &'a Depot,
    day: &'a Day,
    demand: Peak,
    energy: f64,
    windows_over: usize,
    peaks: Vec<[Peak; 3]>,
    greatest: Vec<[f64; 3]>,
    at_limit: Vec<u32>,
    full: usize,
    short: Vec<CarReport>,
    charging: Vec<CarReport>,
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl<'a> Tally<'a> {
    pub(crate) fn new(depot: &'a Depot, day: &'a Day) -> Self {
        let count = depot.circuits.len();
        Self {
            depot,
            day,
            demand: Peak::default(),
            energy: 0.0,
            windows_over: 0,
            peaks: vec![[Peak::default(); 3]; count],
            greatest: vec![[0.0; 3]; count],
            at_limit: vec![0; count],
            full: 0,
            short: Vec::new(),
            charging: Vec::new(),
        }
    }

    fn wanted(&self) -> Option<f64> {
        self.depot
            .contract
            .as_ref()
            .map(depot_config::depot::Contract::wanted)
    }

    /// What flowed in a second, by circuit.
    pub(crate) fn second(&mut self, second: u32, flows: &[([f64; 3], f64)]) {
        let circuits = self.depot.circuits.iter().zip(flows);
        for (place, (circuit, (currents, power))) in circuits.enumerate() {
            let mut near = false;
            for phase in Phase::ALL {
                let (at, current) = (phase as usize, currents[phase as usize]);
                self.peaks[place][at].add(current);
                self.greatest[place][at] = self.greatest[place][at].max(current);
                near |= circuit.phases.contains(phase)
                    && current >= circuit.continuous(phase) * AT_LIMIT;
            }
            self.at_limit[place] += u32::from(near);
            if circuit.parent.is_none() {
                self.demand.add(power / 1000.0);
                self.energy += power / 3_600_000.0;
            }
        }
        let next = self.day.begins + second + 1;
        if next.is_multiple_of(QUARTER) || second + 1 == DAY {
            let began = (next - 1) / QUARTER * QUARTER;
            for peak in self.peaks.iter_mut().flatten() {
                peak.close(began);
            }
            let average = self.demand.close(began);
            let over = self.wanted().is_some_and(|wanted| average > wanted);
            self.windows_over += usize::from(over);
        }
    }

    fn car(&self, car: usize, wants: f64) -> CarReport {
        let of = &self.day.cars[car];
        let clock = |at: u32| shown(self.day.begins + at);
        CarReport {
            station: self.depot.stations[of.station].id.to_string(),
            plugged: clock(of.at),
            leaves: clock(of.leaves),
            wanted_kwh: round(of.energy / 1000.0),
            missing_kwh: round(wants / 1000.0),
        }
    }

    /// A car has left that still wants so much, in Wh.
    pub(crate) fn left(&mut self, car: usize, wants: f64) {
        if wants < FULL {
            self.full += 1;
        } else {
            let car = self.car(car, wants);
            self.short.push(car);
        }
    }

    /// A car is still there at the end of the day.
    pub(crate) fn stays(&mut self, car: usize, wants: f64) {
        if wants < FULL {
            self.full += 1;
        } else {
            let car = self.car(car, wants);
            self.charging.push(car);
        }
    }

    pub(crate) fn report(self) -> Report {
        let circuits = self.depot.circuits.iter().enumerate();
        let circuits = circuits.map(|(place, circuit)| CircuitReport {
            id: circuit.id.to_string(),
            phases: circuit
                .phases
                .as_slice()
                .iter()
                .map(|phase| {
                    let peak = self.peaks[place][*phase as usize];
                    PhaseReport {
                        phase: phase.to_string(),
                        peak_a: round(peak.greatest),
                        at: shown(peak.at),
                        greatest_a: round(self.greatest[place][*phase as usize]),
                        continuous_a: round(circuit.continuous(*phase)),
                    }
                })
                .collect(),
            minutes_at_limit: round(f64::from(self.at_limit[place]) / 60.0),
        });
        Report {
            depot: self.depot.site.id.to_string(),
            begins: shown(self.day.begins),
            demand: Demand {
                peak_kw: round(self.demand.greatest),
                at: shown(self.demand.at),
                wanted_kw: self.wanted(),
                windows_over: self.windows_over,
                kwh: round(self.energy),
            },
            circuits: circuits.collect(),
            cars: self.day.cars.len(),
            full: self.full,
            short: self.short,
            charging: self.charging,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Demand {
            peak_kw,
            at,
            wanted_kw,
            windows_over,
            kwh,
        } = &self.demand;
        writeln!(
            f,
            "{}: 24 hours from {}, {kwh:.1} kWh",
            self.depot, self.begins
        )?;
        let percent = TAPER * 100.0;
        writeln!(
            f,
            "  cars take what they may after {OBEYS_AFTER} s, and less and less in the last {percent} % of what they want"
        )?;
        write!(
            f,
            "demand: at most {peak_kw:.1} kW in a quarter of an hour, at {at}"
        )?;
        match wanted_kw {
            Some(wanted) => writeln!(
                f,
                "; {wanted:.1} kW are wanted, {windows_over} quarters are above"
            ),
            None => writeln!(f, "; there is no contract"),
        }?;
        writeln!(
            f,
            "{:<24} {:>4} {:>12} {:>6} {:>10} {:>12} {:>18}",
            "circuit", "", "15 min, A", "at", "1 s, A", "may, A", "minutes at limit"
        )?;
        for circuit in &self.circuits {
            for (place, phase) in circuit.phases.iter().enumerate() {
                let (id, minutes) = if place == 0 {
                    (
                        circuit.id.as_str(),
                        format!("{:.1}", circuit.minutes_at_limit),
                    )
                } else {
                    ("", String::new())
                };
                let PhaseReport {
                    phase,
                    peak_a,
                    at,
                    greatest_a,
                    continuous_a,
                } = phase;
                let line = format!(
                    "{id:<24} {phase:>4} {peak_a:>12.1} {at:>6} {greatest_a:>10.1} {continuous_a:>12.1} {minutes:>18}"
                );
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        for circuit in &self.circuits {
            for phase in circuit.phases.iter().filter(|phase| phase.is_over()) {
                writeln!(
                    f,
                    "  above: {} on {} from {}: {:.1} A of {:.1} A for a quarter of an hour",
                    circuit.id, phase.phase, phase.at, phase.peak_a, phase.continuous_a
                )?;
            }
        }
        writeln!(
            f,
            "cars: {} of {} full, {} short, {} still there that want more",
            self.full,
            self.cars,
            self.short.len(),
            self.charging.len()
        )?;
        for (cars, what) in [(&self.short, "short"), (&self.charging, "still there")] {
            for car in cars {
                writeln!(
                    f,
                    "  {what}: {} from {} to {}: {:.2} of {:.2} kWh are missing",
                    car.station, car.plugged, car.leaves, car.missing_kwh, car.wanted_kwh
                )?;
            }
        }
        Ok(())
    }
}
