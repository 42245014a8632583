//! The circuits as a tree: loops, phases, and breakers that hold when every station falls back.

use super::{
    Circuit, Currents, Phase, Phases,
    check::{Check, Index, amperes},
    fallback::{neutrals, sums, systems},
    worst,
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
        for (index, circuit) in depot.circuits.iter().enumerate() {
            let count = circuit.phases.as_slice().len();
            if circuit.transformer.is_some() && count < 3 {
                check.fault(
                    &format!("circuit[{index}].phases"),
                    "all three phases behind a transformer",
                    circuit.phases.to_string(),
                );
            }
            if let Some(limits) = &circuit.phase_limits
                && limits.len() != count
            {
                check.fault(
                    &format!("circuit[{index}].phase_limits"),
                    format!("a limit for each of the phases {}", circuit.phases),
                    format!("{} of them", limits.len()),
                );
            }
        }
    }

    /// Breakers hold when every station falls back.
    fn breakers(&self, check: &mut Check<'_>) {
        let sums = sums(check.depot, &self.parents, &self.feeds);
        let neutrals = neutrals(check.depot, &self.parents, &self.feeds);
        for &index in &self.upward {
            breaker(check, index, &check.depot.circuits[index], &sums[index]);
            neutral(check, index, &check.depot.circuits[index], &neutrals[index]);
        }
    }

    /// Each station alone may draw its full current through every circuit above it.
    fn stations(&self, check: &mut Check<'_>) {
        let depot = check.depot;
        let systems = systems(depot, &self.parents);
        // On the way up to the next transformer, by phase, the circuit that may carry least; and that transformer.
        let mut narrowest: Vec<_> = (0..depot.circuits.len()).map(|index| [index; 3]).collect();
        let mut behind: Vec<_> = vec![None; depot.circuits.len()];
        for &index in self.upward.iter().rev() {
            let circuit = &depot.circuits[index];
            if circuit.transformer.is_some() {
                behind[index] = Some(index);
            } else if let Some(parent) = self.parents[index] {
                behind[index] = behind[parent];
                for phase in Phase::ALL {
                    let above = narrowest[parent][phase as usize];
                    if depot.circuits[above].usable(phase) < circuit.usable(phase) {
                        narrowest[index][phase as usize] = above;
                    }
                }
            }
        }
        for (index, (station, feed)) in depot.stations.iter().zip(&self.feeds).enumerate() {
            let connection = station.connection();
            let mut currents =
                Currents::of_station(&station.phases, connection, station.max_current);
            let mut next = *feed;
            while let Some(feed) = next {
                let narrow = |phase: Phase| &depot.circuits[narrowest[feed][phase as usize]];
                let over = Phase::ALL
                    .into_iter()
                    .filter(|phase| currents.on(*phase) > narrow(*phase).usable(*phase) + TOLERANCE)
                    .min_by(|a, b| {
                        let usable = |phase: Phase| narrow(phase).usable(phase);
                        usable(*a).total_cmp(&usable(*b))
                    });
                if let Some(phase) = over {
                    let circuit = narrow(phase);
                    let factor = station.max_current / currents.on(phase);
                    check.fault(
                        &format!("station[{index}].max_current"),
                        format!(
                            "at most {} A, which is what circuit `{}` may carry",
                            amperes(circuit.usable(phase) * factor),
                            circuit.id
                        ),
                        format!("{} A", amperes(station.max_current)),
                    );
                    break;
                }
                // Through the transformer, where there is one, to the circuit that feeds it.
                next = behind[feed].and_then(|place| self.parents[place]);
                if let (Some(place), Some(above)) = (behind[feed], next)
                    && let Some(transformer) = &depot.circuits[place].transformer
                {
                    currents = currents.through(transformer, systems[above]);
                }
            }
        }
    }
}

/// Whether a breaker holds these currents.
fn breaker(check: &mut Check<'_>, index: usize, circuit: &Circuit, sums: &Currents) {
    let reserved = circuit.reserved;
    let least = |a: &Phase, b: &Phase| circuit.usable(*a).total_cmp(&circuit.usable(*b));
    let phases = circuit.phases.as_slice().iter().copied();
    if let Some(phase) = phases.min_by(least).filter(|p| circuit.usable(*p) <= 0.0) {
        let key = format!("circuit[{index}].reserved");
        let expected = format!(
            "less than the {} A that the circuit may carry",
            amperes(circuit.continuous(phase))
        );
        check.fault(&key, expected, format!("{} A", amperes(reserved)));
        return;
    }
    // Also those of phases that it does not carry, which have a fault of their own.
    let all = Phases::try_from("L1-L2-L3".to_owned()).expect("it names phases");
    let (phase, sum) = worst(sums, &all, |phase| circuit.usable(phase));
    let usable = circuit.usable(phase);
    if sum <= usable + TOLERANCE {
        return;
    }
    let less = if reserved > 0.0 {
        format!(" less {} A reserved", amperes(reserved))
    } else {
        String::new()
    };
    let limited = circuit.continuous(phase);
    let breaker = f64::from(circuit.breaker);
    let delivered = circuit.transformer.as_ref();
    let delivered = delivered.map_or(f64::INFINITY, super::Transformer::rated_current);
    let (key, why) = if limited < breaker.min(delivered) && circuit.phase_limits.is_some() {
        ("phase_limits", format!("a limit of {} A", amperes(limited)))
    } else if limited >= delivered {
        (
            "transformer",
            format!("one that delivers {} A", amperes(delivered)),
        )
    } else {
        let share = if circuit.rated_100_percent {
            ""
        } else {
            "80 % of "
        };
        (
            "breaker",
            format!(
                "one of {} A, which may carry {share}its rating",
                circuit.breaker
            ),
        )
    };
    let what = match key {
        "breaker" => "a breaker that holds",
        "transformer" => "a transformer that is large enough",
        _ => "a limit that holds",
    };
    check.fault(
        &format!("circuit[{index}].{key}"),
        format!(
            "{what} when all stations fall back, with {} A on {phase}",
            amperes(sum)
        ),
        format!("{why}{less}: {} A", amperes(usable)),
    );
}

/// Whether a neutral carries what comes back through it: of all parts of loads between a phase and neutral, the worst are those
/// of one phase.
fn neutral(check: &mut Check<'_>, index: usize, circuit: &Circuit, loads: &[f64; 3]) {
    let Some(limit) = circuit.neutral_limit else {
        return;
    };
    let (phase, sum) = Phase::ALL
        .into_iter()
        .map(|phase| (phase, loads[phase as usize]))
        .fold(
            (Phase::L1, 0.0),
            |most, one| if one.1 > most.1 { one } else { most },
        );
    let usable = limit - circuit.reserved;
    if sum > usable + TOLERANCE {
        let less = match circuit.reserved {
            reserved if reserved > 0.0 => format!(" less {} A reserved", amperes(reserved)),
            _ => String::new(),
        };
        check.fault(
            &format!("circuit[{index}].neutral_limit"),
            format!(
                "a neutral that holds when all stations fall back, with {} A of {phase}",
                amperes(sum)
            ),
            format!("one for {} A{less}: {} A", amperes(limit), amperes(usable)),
        );
    }
}

/// All circuits that are in no loop, each before the one that feeds it.
pub(super) fn upward(parents: &[Option<usize>]) -> Vec<usize> {
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
