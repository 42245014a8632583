//! The fail-safe sums against a slow computation of the same, over random depots; and texts that are anything.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use depot_config::depot::{Depot, Phases};
use proptest::prelude::*;

/// A circuit: its place above, breaker, phases, rating, reserve in tenths of an ampere, transformer.
type Circuit = (usize, u32, usize, bool, u32, Option<bool>);
/// A station: its circuit, phases, fall-back current in A.
type Station = (usize, usize, u32);

/// A complex number, in A.
type Phasor = (f64, f64);

fn text(circuits: &[Circuit], stations: &[Station]) -> String {
    let mut text =
        "[depot]\nid = \"d\"\nname = \"D\"\ntime_zone = \"UTC\"\nlatitude = 0\nlongitude = 0\nvoltage_system = \"440Y/254\"\n"
            .to_owned();
    for (index, (above, breaker, phases, full, reserved, transformer)) in
        circuits.iter().enumerate()
    {
        writeln!(
            text,
            "[[circuit]]\nid = \"c{index}\"\nbreaker = {breaker}\nrated_100_percent = {full}"
        )
        .unwrap();
        writeln!(
            text,
            "phases = \"{}\"\nreserved = {}",
            Phases::TEXTS[*phases],
            f64::from(*reserved) / 10.0
        )
        .unwrap();
        if let Some(ahead) = transformer {
            let group = if *ahead { "Dyn11" } else { "Dyn1" };
            writeln!(text, "transformer = {{ power = 10000, connection = \"{group}\", voltage_system = \"220Y/127\" }}").unwrap();
        }
        if index > 0 {
            writeln!(text, "parent = \"c{}\"", above % index).unwrap();
        }
    }
    for (index, (circuit, phases, fallback)) in stations.iter().enumerate() {
        let circuit = circuit % circuits.len();
        writeln!(
            text,
            "[[station]]\nid = \"s{index}\"\ncircuit = \"c{circuit}\"\nconnectors = [\"CCS1\"]"
        )
        .unwrap();
        writeln!(
            text,
            "phases = \"{}\"\nmax_current = {fallback}",
            Phases::TEXTS[*phases]
        )
        .unwrap();
        writeln!(text, "fallback_current = {fallback}").unwrap();
    }
    text
}

fn turned((x, y): Phasor, degrees: f64) -> Phasor {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    (x * cosine - y * sine, x * sine + y * cosine)
}

/// What one part of a station draws from the three phases, at the voltages that it has there.
fn parts((_, phases, fallback): &Station) -> Vec<[Phasor; 3]> {
    let names: Vec<_> = Phases::TEXTS[*phases].split('-').collect();
    let number = |name: &str| name[1..].parse::<usize>().unwrap() - 1;
    let voltage = |phase: usize| turned((1.0, 0.0), -120.0 * phase as f64);
    let current = f64::from(*fallback);
    if let [one, other] = names[..] {
        let (one, other) = (number(one), number(other));
        let between = (
            voltage(one).0 - voltage(other).0,
            voltage(one).1 - voltage(other).1,
        );
        let scale = current / f64::hypot(between.0, between.1);
        let mut part = [(0.0, 0.0); 3];
        part[one] = (between.0 * scale, between.1 * scale);
        part[other] = (-between.0 * scale, -between.1 * scale);
        return vec![part];
    }
    let alone = names.iter().map(|name| {
        let mut part = [(0.0, 0.0); 3];
        let voltage = voltage(number(name));
        part[number(name)] = (voltage.0 * current, voltage.1 * current);
        part
    });
    alone.collect()
}

/// The parts and the reserves that flow through a circuit, its own reserve not among them.
fn flow(circuits: &[Circuit], stations: &[Station], index: usize) -> (Vec<[Phasor; 3]>, [f64; 3]) {
    let mut all = Vec::new();
    for station in stations.iter().filter(|s| s.0 % circuits.len() == index) {
        all.extend(parts(station));
    }
    let mut reserves = [0.0; 3];
    for (child, circuit) in circuits.iter().enumerate().skip(1) {
        if circuit.0 % child != index {
            continue;
        }
        let (fed, mut reserved) = flow(circuits, stations, child);
        for (phase, reserve) in reserved.iter_mut().enumerate() {
            if Phases::TEXTS[circuit.2].contains(&format!("L{}", phase + 1)) {
                *reserve += f64::from(circuit.4) / 10.0;
            }
        }
        let Some(ahead) = circuit.5 else {
            all.extend(fed);
            (0..3).for_each(|phase| reserves[phase] += reserved[phase]);
            continue;
        };
        let above = if is_behind(circuits, index) {
            220.0
        } else {
            440.0
        };
        let winding = 220.0 / 3.0_f64.sqrt() / above;
        // The winding of a phase is between its own line and the one after or before it.
        let back = |line: usize| {
            if ahead {
                (line + 2) % 3
            } else {
                (line + 1) % 3
            }
        };
        for part in fed {
            let line = |line: usize| {
                let (out, back) = (part[line], part[back(line)]);
                let difference = ((out.0 - back.0) * winding, (out.1 - back.1) * winding);
                turned(difference, if ahead { 30.0 } else { -30.0 })
            };
            all.push([line(0), line(1), line(2)]);
        }
        (0..3).for_each(|line| reserves[line] += (reserved[line] + reserved[back(line)]) * winding);
    }
    (all, reserves)
}

fn is_behind(circuits: &[Circuit], index: usize) -> bool {
    circuits[index].5.is_some() || index > 0 && is_behind(circuits, circuits[index].0 % index)
}

/// The greatest sum of some of these currents: of those that point forward, for the best of many directions.
fn greatest(parts: &[[Phasor; 3]], phase: usize) -> f64 {
    let directions = (0..720).map(|half| f64::from(half) / 2.0);
    let sums = directions.map(|direction| {
        let forward = parts.iter().map(|part| turned(part[phase], -direction));
        let forward = forward.filter(|(x, _)| *x > 1e-9);
        let (x, y) = forward.fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        f64::hypot(x, y)
    });
    sums.fold(0.0, f64::max)
}

fn circuits() -> impl Strategy<Value = Vec<Circuit>> {
    let circuit = (
        any::<usize>(),
        6_u32..400,
        0..Phases::TEXTS.len(),
        any::<bool>(),
        0_u32..40,
        prop::option::weighted(0.2, any::<bool>()),
    );
    prop::collection::vec(circuit, 1..8)
}

fn stations() -> impl Strategy<Value = Vec<Station>> {
    prop::collection::vec((any::<usize>(), 0..Phases::TEXTS.len(), 6_u32..64), 0..30)
}

proptest! {
    #[test]
    fn a_breaker_is_refused_exactly_when_it_would_not_hold(circuits in circuits(), stations in stations()) {
        // (least, most): refused for sure, and perhaps, when the sum is as good as what the breaker may carry.
        let (mut sure, mut perhaps) = (BTreeSet::new(), BTreeSet::new());
        for (index, (_, breaker, _, full, reserved, _)) in circuits.iter().enumerate() {
            let usable = f64::from(*breaker) * if *full { 1.0 } else { 0.8 } - f64::from(*reserved) / 10.0;
            let (parts, reserves) = flow(&circuits, &stations, index);
            let most = (0..3).map(|phase| greatest(&parts, phase) + reserves[phase]).fold(0.0, f64::max);
            if usable > 1e-9 && most > usable + 1e-4 {
                sure.insert(format!("circuit[{index}].breaker"));
            }
            if usable > -1e-9 && most > usable - 1e-4 {
                perhaps.insert(format!("circuit[{index}].breaker"));
            }
        }
        let faults = match Depot::parse(Path::new("d.toml"), &text(&circuits, &stations)) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_vec(),
        };
        let found: BTreeSet<_> =
            faults.into_iter().map(|fault| fault.key).filter(|key| key.ends_with(".breaker")).collect();
        prop_assert!(sure.is_subset(&found), "{found:?} lacks some of {sure:?}");
        prop_assert!(found.is_subset(&perhaps), "{found:?} is more than {perhaps:?}");
    }

    #[test]
    fn a_changed_depot_is_read_or_refused(cut in 0.0..1.0, length in 0_usize..40, new in "(?s).{0,8}") {
        let text = include_str!("../../depots/demo.toml");
        let at = text.floor_char_boundary((cut * text.len() as f64) as usize);
        let end = text.floor_char_boundary((at + length).min(text.len())).max(at);
        let changed = format!("{}{new}{}", &text[..at], &text[end..]);
        if let Err(faults) = Depot::parse(Path::new("d.toml"), &changed) {
            prop_assert!(!faults.to_string().is_empty());
        }
    }
}
