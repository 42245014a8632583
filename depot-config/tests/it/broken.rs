//! Broken depots and exactly what is said about each: `tests/broken/*.toml`, each with its text beside it.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use depot_config::depot::{Depot, Phase};

use crate::Folder;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn sound() -> String {
    fs::read_to_string(folder().join("00-sound.toml")).unwrap()
}

#[test]
fn every_broken_depot_is_told_exactly_what_is_wrong() {
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .filter(|path| !path.ends_with("00-sound.toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 40, "{} broken depots", files.len());
    for path in files {
        let faults = Depot::read(&path).expect_err(&path.display().to_string());
        let said = faults
            .to_string()
            .replace(&format!("{}/", folder().display()), "");
        let name = path.file_stem().unwrap().to_str().unwrap();
        insta::with_settings!(
            { snapshot_path => "../broken", prepend_module_to_snapshot => false, omit_expression => true },
            { insta::assert_snapshot!(name, said) }
        );
    }
}

#[test]
fn the_sound_depot_is_sound() {
    let depot = Depot::read(&folder().join("00-sound.toml")).unwrap();
    assert_eq!(
        depot.site.time_zone.iana_name(),
        Some("America/Mexico_City")
    );
    assert_eq!(
        (
            depot.circuits[0].usable(Phase::L1),
            depot.circuits[1].usable(Phase::L1)
        ),
        (80.0, 40.0)
    );
    assert_eq!(
        depot.stations[0]
            .modbus
            .as_ref()
            .unwrap()
            .address
            .to_string(),
        "tcp://10.0.0.1:502"
    );
}

#[test]
fn the_faults_of_a_map_are_told_once() {
    let folder = Folder::new();
    folder.write("charger.toml", "kind = \"charger\"\n");
    let text = sound().replace("maps/", "").replace(
        "fallback_current = 32\n",
        "fallback_current = 32\nmodbus = { address = \"tcp://10.0.0.2\", map = \"charger.toml\" }\n",
    );
    let faults = Depot::read(&folder.write("depot.toml", &text)).unwrap_err();
    let said = folder.relative(&faults.to_string());
    assert_eq!(
        said.matches("charger.toml:1:1: manufacturer: expected text, found none")
            .count(),
        1,
        "{said}"
    );
    assert!(!said.contains("depot.toml"), "{said}");
}

#[test]
fn large_depots_are_checked_in_linear_time() {
    let time = |stations: usize| {
        let mut text = sound()
            .replace("breaker = 100", "breaker = 6300")
            .replace("breaker = 50", "breaker = 6300");
        for station in 0..stations {
            // One long chain of circuits, the worst tree.
            let parent = if station == 0 {
                "main".to_owned()
            } else {
                format!("c-{}", station - 1)
            };
            writeln!(
                text,
                "[[circuit]]\nid = \"c-{station}\"\nparent = \"{parent}\"\nbreaker = 6300"
            )
            .unwrap();
            writeln!(
                text,
                "[[station]]\nid = \"x-{station}\"\ncircuit = \"c-{station}\"\nphases = \"L1-L2\"\nconnectors = [\"CCS1\"]\nmax_current = 32\nfallback_current = 32"
            )
            .unwrap();
        }
        let start = std::time::Instant::now();
        let faults = Depot::parse(std::path::Path::new("depot.toml"), &text).unwrap_err();
        assert!(
            faults.as_slice().len() >= 3,
            "the maps are not there, and breakers do not hold"
        );
        start.elapsed()
    };
    // Square growth would be 256 times as long. Another load on the machine may disturb some of the attempts.
    let linear = (0..5).any(|_| {
        let (small, large) = (time(500), time(8_000));
        println!("{small:?} for 500, {large:?} for 8,000");
        large < small * 64
    });
    assert!(linear, "every attempt grew faster than the file");
}
