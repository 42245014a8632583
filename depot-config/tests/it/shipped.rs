//! Everything that ships is sound, and all of it ships.

use std::{collections::BTreeSet, fs, path::Path};

use depot_config::{
    depot::{Depot, Phase},
    devices::DEVICES,
    tariff::{BOOKS, HOLIDAYS, PRICES},
};

fn files(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_device_map_ships() {
    let shipped: BTreeSet<_> = DEVICES.names().map(str::to_owned).collect();
    assert_eq!(files("devices"), shipped);
}

#[test]
fn every_shipped_device_map_is_sound() {
    for name in DEVICES.names() {
        if let Err(faults) = DEVICES.shipped(name).unwrap() {
            panic!("{faults}");
        }
    }
    assert!(DEVICES.shipped("none").is_none());
}

#[test]
fn every_shipped_depot_is_sound() {
    let depots = files("depots");
    assert!(depots.contains("demo"));
    for name in depots {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("depots")
            .join(format!("{name}.toml"));
        if let Err(faults) = Depot::read(&path) {
            panic!("{faults}");
        }
    }
}

#[test]
fn everything_of_tariffs_that_ships_is_sound() {
    assert_eq!(
        files("tariffs/books"),
        BOOKS.names().map(str::to_owned).collect()
    );
    assert_eq!(
        files("tariffs/holidays"),
        HOLIDAYS.names().map(str::to_owned).collect()
    );
    assert_eq!(
        files("tariffs/prices"),
        PRICES.names().map(str::to_owned).collect()
    );
    for name in BOOKS.names() {
        BOOKS.shipped(name).unwrap().unwrap();
    }
    for name in HOLIDAYS.names() {
        HOLIDAYS.shipped(name).unwrap().unwrap();
    }
    for name in PRICES.names() {
        let table = PRICES.shipped(name).unwrap().unwrap();
        // Nobody shall take what ships for the prices of a utility.
        assert!(table.example && table.source.contains("made up"), "{name}");
    }
}

/// Every sample depot needs its load manager, and falls back safely.
#[test]
fn the_sample_depots_have_their_sizes() {
    for (name, stations, charging) in [
        ("demo", 20, 20),
        ("norte-50", 50, 44),
        ("central-200", 200, 180),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("depots/{name}.toml"));
        let depot = Depot::read(&path).unwrap();
        assert_eq!(depot.stations.len(), stations, "{name}");
        let alone = depot.fallback();
        assert_eq!(alone.charging, charging, "{name}");
        for sum in &alone.circuits {
            for phase in Phase::ALL {
                assert!(
                    sum.current[phase as usize] <= sum.usable[phase as usize],
                    "{name} {} {phase}",
                    sum.circuit
                );
            }
        }
        let most: f64 = depot
            .stations
            .iter()
            .map(|s| depot.station_power(s, s.max_current))
            .sum();
        let contract = depot.contract.as_ref().unwrap();
        assert!(
            most / 1000.0 > contract.wanted(),
            "{name} needs no load manager"
        );
        assert!(alone.power / 1000.0 <= contract.wanted(), "{name}");
    }
}
