//! The circuits as a tree: loops, phases, and breakers that hold when every station falls back.

use super::{
    Circuit, Phase,
    check::{Check, Index, amperes},
};

/// Sums of currents are compared with this tolerance, in A: far above rounding, far below what matters.
const TOLERANCE: f64 = 1e-6;

/// The circuits as a tree, by their places in the file. What names an unknown circuit hangs nowhere.
pub(super) struct Tree {
    /// The circuit that feeds each circuit.
    parents: Vec<Option<usize>>,
    /// The circuit that feeds each station.
    feeds: Vec<Option<usize>>,
    /// All circuits that are in no loop, each before the one that feeds it.
    upward: Vec<usize>,
}

impl Tree {
    /// The tree of a depot's circuits; reports references that name nothing, and loops.
    pub(super) fn new(check: &mut Check<'_>, circuits: &Index<'_>) -> Self {
        let depot = check.depot;
        let mut parents = Vec::new();
        for (index, circuit) in depot.circuits.iter().enumerate() {
            let parent = circuit.parent.as_ref();
            let key = format!("circuit[{index}].parent");
            parents.push(
                parent.and_then(|id| check.reference("circuit", &key, id.as_str(), circuits)),
            );
        }
        let mut feeds = Vec::new();
        for (index, station) in depot.stations.iter().enumerate() {
            let key = format!("station[{index}].circuit");
            feeds.push(check.reference("circuit", &key, station.circuit.as_str(), circuits));
        }
        for (index, meter) in depot.meters.iter().enumerate() {
            let key = format!("meter[{index}].circuit");
            check.reference("circuit", &key, meter.circuit.as_str(), circuits);
        }
        let upward = upward(&parents);
        Self {
            parents,
            feeds,
            upward,
        }
    }

    /// Reports loops, phases that are not there, and breakers that would not hold.
    pub(super) fn check(&self, check: &mut Check<'_>) {
        self.loops(check);
        self.phases(check);
        self.breakers(check);
        self.stations(check);
    }

    /// Each loop once, where it begins in the file.
    fn loops(&self, check: &mut Check<'_>) {
        let mut told = vec![false; self.parents.len()];
        for &index in &self.upward {
            told[index] = true;
        }
        for start in 0..told.len() {
            let mut members = Vec::new();
            let mut next = Some(start);
            while let Some(index) = next.filter(|&index| !told[index]) {
                told[index] = true;
                members.push(check.depot.circuits[index].id.as_str());
                next = self.parents[index];
            }
            if let Some(first) = members.first().copied() {
                members.push(first);
                let found = format!("the loop {}", members.join(" → "));
                check.fault(
                    &format!("circuit[{start}].parent"),
                    "a way up to the supply",
                    found,
                );
            }
        }
    }

    fn phases(&self, check: &mut Check<'_>) {
        let depot = check.depot;
        let circuits = depot.circuits.iter().zip(&self.parents).enumerate();
        let circuits = circuits.map(|(index, (circuit, parent))| {
            (format!("circuit[{index}].phases"), &circuit.phases, *parent)
        });
        let stations = depot.stations.iter().zip(&self.feeds).enumerate();
        let stations = stations.map(|(index, (station, feed))| {
            (format!("station[{index}].phases"), &station.phases, *feed)
        });
        for (key, phases, feed) in circuits.chain(stations) {
            let Some(feed) = feed.map(|feed| &depot.circuits[feed]) else {
                continue;
            };
            if !phases.is_within(&feed.phases) {
                let expected =
                    format!("phases that circuit `{}` carries, {}", feed.id, feed.phases);
                check.fault(&key, expected, phases.to_string());
            }
        }
    }

    /// Breakers hold when every station falls back. Currents of stations between different phases are added as
    /// numbers, not as phasors: the sum is never less than what flows.
    fn breakers(&self, check: &mut Check<'_>) {
        let depot = check.depot;
        let mut sums = vec![[0.0; 3]; depot.circuits.len()];
        for (station, feed) in depot.stations.iter().zip(&self.feeds) {
            let Some(feed) = feed else { continue };
            for phase in station.phases.as_slice() {
                sums[*feed][*phase as usize] += station.fallback_current;
            }
        }
        for &index in &self.upward {
            let circuit = &depot.circuits[index];
            breaker(check, index, circuit, sums[index]);
            if let Some(parent) = self.parents[index] {
                for phase in circuit.phases.as_slice() {
                    sums[parent][*phase as usize] +=
                        sums[index][*phase as usize] + circuit.reserved;
                }
            }
        }
    }

    /// Each station alone may draw its full current through every circuit above it.
    fn stations(&self, check: &mut Check<'_>) {
        let depot = check.depot;
        let mut narrowest: Vec<_> = (0..depot.circuits.len()).collect();
        for &index in self.upward.iter().rev() {
            if let Some(parent) = self.parents[index]
                && depot.circuits[narrowest[parent]].usable() < depot.circuits[index].usable()
            {
                narrowest[index] = narrowest[parent];
            }
        }
        for (index, (station, feed)) in depot.stations.iter().zip(&self.feeds).enumerate() {
            let Some(circuit) = feed.map(|feed| &depot.circuits[narrowest[feed]]) else {
                continue;
            };
            let usable = circuit.usable();
            if station.max_current > usable + TOLERANCE {
                check.fault(
                    &format!("station[{index}].max_current"),
                    format!(
                        "at most {} A, which is what circuit `{}` may carry",
                        amperes(usable),
                        circuit.id
                    ),
                    format!("{} A", amperes(station.max_current)),
                );
            }
        }
    }
}

/// Whether a breaker holds these currents of the three phases.
fn breaker(check: &mut Check<'_>, index: usize, circuit: &Circuit, sums: [f64; 3]) {
    let (usable, reserved) = (circuit.usable(), circuit.reserved);
    if usable <= 0.0 {
        let key = format!("circuit[{index}].reserved");
        let expected = format!(
            "less than the {} A that the circuit may carry",
            amperes(usable + reserved)
        );
        check.fault(&key, expected, format!("{} A", amperes(reserved)));
        return;
    }
    let most = |a: &Phase, b: &Phase| sums[*a as usize].total_cmp(&sums[*b as usize]);
    let Some(phase) = Phase::ALL.into_iter().max_by(most) else {
        return;
    };
    let sum = sums[phase as usize];
    if sum > usable + TOLERANCE {
        let share = if circuit.rated_100_percent {
            ""
        } else {
            "80 % of "
        };
        let less = if reserved > 0.0 {
            format!(" less {} A reserved", amperes(reserved))
        } else {
            String::new()
        };
        check.fault(
            &format!("circuit[{index}].breaker"),
            format!(
                "a breaker that holds when all stations fall back, with {} A on {phase}",
                amperes(sum)
            ),
            format!(
                "one of {} A, which may carry {share}its rating{less}: {} A",
                circuit.breaker,
                amperes(usable)
            ),
        );
    }
}

/// All circuits that are in no loop, each before the one that feeds it.
fn upward(parents: &[Option<usize>]) -> Vec<usize> {
    let mut waiting = vec![0_usize; parents.len()];
    for parent in parents.iter().flatten() {
        waiting[*parent] += 1;
    }
    let mut order: Vec<_> = (0..parents.len())
        .filter(|&index| waiting[index] == 0)
        .collect();
    let mut next = 0;
    while let Some(&index) = order.get(next) {
        next += 1;
        if let Some(parent) = parents[index] {
            waiting[parent] -= 1;
            if waiting[parent] == 0 {
                order.push(parent);
            }
        }
    }
    order
}
