//! What is printed reads back as the same.

use std::{fmt::Write, path::Path};

use depot_config::{
    depot::{Connector, Depot, Phases, VoltageSystem},
    tariff::{BOOKS, HOLIDAYS, PRICES},
};
use proptest::prelude::*;

fn again(depot: &Depot) -> Depot {
    // The folder of the samples: relative paths start there.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("depots/printed.toml");
    let text = depot.print();
    Depot::parse(&path, &text).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn sample(name: &str) -> Depot {
    Depot::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("depots/{name}.toml"))).unwrap()
}

#[test]
fn the_samples_read_back() {
    for name in ["demo", "norte-50", "central-200"] {
        let depot = sample(name);
        assert_eq!(again(&depot), depot, "{name}");
    }
}

#[test]
fn tariffs_read_back() {
    let path = Path::new("printed.toml");
    let book = BOOKS.shipped("cfe").unwrap().unwrap();
    let text = config_file::print(&book, &depot_config::tariff::BOOK).unwrap();
    assert_eq!(BOOKS.parse(path, &text).unwrap().0, book);
    let days = HOLIDAYS.shipped("mx").unwrap().unwrap();
    let text = config_file::print(&days, &depot_config::tariff::HOLIDAYS_SCHEMA).unwrap();
    assert_eq!(HOLIDAYS.parse(path, &text).unwrap().0, days);
    let table = PRICES.shipped("cfe-example").unwrap().unwrap();
    assert_eq!(PRICES.parse(path, &table.print()).unwrap().0, table);
}

proptest! {
    #[test]
    fn any_sound_depot_reads_back(
        name in "[^\\p{C}]{1,40}",
        system in 0..VoltageSystem::TEXTS.len(),
        breaker in 1000_u32..6300,
        reserved in 0.0..50.0_f64,
        limits in prop::option::of(prop::collection::vec(700.0..900.0_f64, 3)),
        power in prop::option::of(300.0..10_000.0_f64),
        stations in prop::collection::vec((0..Phases::TEXTS.len(), 6.0..30.0_f64, 0..Connector::TEXTS.len(), any::<bool>()), 1..12),
    ) {
        let mut text = format!(
            "[depot]\nid = \"d\"\nname = {}\ntime_zone = \"UTC\"\nlatitude = -0.5\nlongitude = 0\nvoltage_system = \"{}\"\n\
             [[circuit]]\nid = \"main\"\nbreaker = {breaker}\nreserved = {reserved:?}\n",
            toml_text(&name),
            VoltageSystem::TEXTS[system],
        );
        if let Some(limits) = &limits {
            writeln!(text, "phase_limits = {limits:?}").unwrap();
        }
        if let Some(power) = power {
            writeln!(text, "transformer = {{ power = {power:?}, voltage_system = \"440Y/254\" }}").unwrap();
        }
        for (index, (phases, most, connector, ocpp)) in stations.iter().enumerate() {
            // Type 1 is single-phase.
            let connector = if *connector == 0 { "CCS1" } else { Connector::TEXTS[*connector] };
            let fallback = if *ocpp { "6".to_owned() } else { format!("{most:?}") };
            writeln!(
                text,
                "[[station]]\nid = \"s{index}\"\ncircuit = \"main\"\nphases = \"{}\"\nconnectors = [\"{connector}\"]\n\
                 max_current = {most:?}\nfallback_current = {fallback}",
                Phases::TEXTS[*phases],
            )
            .unwrap();
            if *ocpp {
                writeln!(text, "ocpp = {{ id = \"CP-{index}\", version = \"2.0.1\" }}").unwrap();
            }
        }
        let depot = Depot::parse(Path::new("d.toml"), &text).unwrap();
        let printed = depot.print();
        let read = Depot::parse(Path::new("d.toml"), &printed).unwrap();
        prop_assert_eq!(&read, &depot);
        prop_assert_eq!(read.print(), printed);
    }
}

fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
