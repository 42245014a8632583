//! The fail-safe sums against a slow computation of the same, over random depots; and texts that are anything.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use depot_config::depot::{Depot, Phase, Phases};
use proptest::prelude::*;

/// A circuit: its place above, breaker, phases, rating, reserve in tenths of an ampere.
type Circuit = (usize, u32, usize, bool, u32);
/// A station: its circuit, phases, fall-back current in A.
type Station = (usize, usize, u32);

fn text(circuits: &[Circuit], stations: &[Station]) -> String {
    let mut text =
        "[depot]\nid = \"d\"\nname = \"D\"\ntime_zone = \"UTC\"\nlatitude = 0\nlongitude = 0\n"
            .to_owned();
    for (index, (above, breaker, phases, full, reserved)) in circuits.iter().enumerate() {
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
        if index > 0 {
            writeln!(text, "parent = \"c{}\"", above % index).unwrap();
        }
    }
    for (index, (circuit, phases, fallback)) in stations.iter().enumerate() {
        let circuit = circuit % circuits.len();
        writeln!(
            text,
            "[[station]]\nid = \"s{index}\"\ncircuit = \"c{circuit}\"\nconnector = \"CCS1\""
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

/// What flows through a circuit on one phase, in tenths of an ampere, when every station falls back: its own
/// stations, and what flows to each circuit that it feeds, with that circuit's reserve.
fn flow(circuits: &[Circuit], stations: &[Station], index: usize, phase: Phase) -> u32 {
    let on = |phases: usize| Phases::TEXTS[phases].contains(&phase.to_string());
    let own: u32 = stations
        .iter()
        .filter(|(circuit, phases, _)| circuit % circuits.len() == index && on(*phases))
        .map(|(_, _, fallback)| fallback * 10)
        .sum();
    let fed = circuits
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(child, circuit)| circuit.0 % child == index);
    let fed = fed.filter(|(_, circuit)| on(circuit.2));
    own + fed
        .map(|(child, circuit)| circuit.4 + flow(circuits, stations, child, phase))
        .sum::<u32>()
}

fn circuits() -> impl Strategy<Value = Vec<Circuit>> {
    let circuit = (
        any::<usize>(),
        6_u32..400,
        0..Phases::TEXTS.len(),
        any::<bool>(),
        0_u32..40,
    );
    prop::collection::vec(circuit, 1..12)
}

fn stations() -> impl Strategy<Value = Vec<Station>> {
    prop::collection::vec((any::<usize>(), 0..Phases::TEXTS.len(), 6_u32..64), 0..30)
}

proptest! {
    #[test]
    fn a_breaker_is_refused_exactly_when_it_would_not_hold(circuits in circuits(), stations in stations()) {
        let mut expected = BTreeSet::new();
        for (index, (_, breaker, _, full, reserved)) in circuits.iter().enumerate() {
            // In fiftieths of an ampere, in whole numbers: 80 % of a rating is a whole number of them.
            let usable = i64::from(*breaker) * if *full { 50 } else { 40 } - i64::from(*reserved) * 5;
            let most = Phase::ALL.map(|phase| flow(&circuits, &stations, index, phase)).into_iter().max();
            if usable > 0 && i64::from(most.unwrap_or(0)) * 5 > usable {
                expected.insert(format!("circuit[{index}].breaker"));
            }
        }
        let faults = match Depot::parse(Path::new("d.toml"), &text(&circuits, &stations)) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_vec(),
        };
        let found: BTreeSet<_> =
            faults.into_iter().map(|fault| fault.key).filter(|key| key.ends_with(".breaker")).collect();
        prop_assert_eq!(found, expected);
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
