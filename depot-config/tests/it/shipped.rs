//! Everything that ships is sound, and all of it ships.

use std::{collections::BTreeSet, fs, path::Path};

use depot_config::{depot::Depot, devices::DEVICES};

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
fn the_demo_depot_needs_its_load_manager_and_falls_back_safely() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("depots/demo.toml");
    let depot = Depot::read(&path).unwrap();
    assert_eq!((depot.stations.len(), depot.meters.len()), (20, 1));
    let main = depot
        .circuits
        .iter()
        .find(|circuit| circuit.parent.is_none())
        .unwrap();
    let sum = |current: fn(&depot_config::depot::Station) -> f64, phase| -> f64 {
        depot
            .stations
            .iter()
            .filter(|station| station.phases.contains(phase))
            .map(current)
            .sum()
    };
    for phase in depot_config::depot::Phase::ALL {
        assert!(
            sum(|station| station.max_current, phase) > main.usable(),
            "{phase}"
        );
        assert!(
            sum(|station| station.fallback_current, phase) <= main.usable(),
            "{phase}"
        );
    }
}
