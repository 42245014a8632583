//! Broken depots and exactly what is said about each.

use std::fmt::Write;

use depot_config::depot::Depot;

use crate::Folder;

/// The sound depot that each case breaks: a main breaker, a feeder, two stations, a meter.
const SOUND: &str = r#"[depot]
id = "centro"
name = "Centro"
time_zone = "America/Mexico_City"
latitude = 19.4
longitude = -99.1

[[circuit]]
id = "main"
breaker = 100

[[circuit]]
id = "feeder"
parent = "main"
breaker = 50
phases = "L1-L2"

[[station]]
id = "s-1"
circuit = "feeder"
phases = "L1-L2"
connector = "Type 1"
max_current = 32
fallback_current = 10
modbus = { address = "tcp://10.0.0.1", map = "charger.toml" }

[[station]]
id = "s-2"
circuit = "main"
phases = "L2-L3"
connector = "Type 2"
max_current = 32
fallback_current = 32

[[meter]]
id = "grid"
circuit = "main"
modbus = { address = "tcp://10.0.0.9", map = "meter.toml" }

[[parking]]
id = "p-1"
station = "s-1"

[[gateway]]
id = "gw-1"
"#;

const CASES: &[(&str, &[(&str, &str)])] = &[
    ("id used twice", &[("id = \"s-2\"", "id = \"s-1\"")]),
    ("id of another kind", &[("id = \"grid\"", "id = \"main\"")]),
    (
        "gateway twice",
        &[(
            "id = \"gw-1\"",
            "id = \"gw-1\"\n\n[[gateway]]\nid = \"gw-1\"",
        )],
    ),
    ("id with capitals", &[("id = \"s-2\"", "id = \"S-2\"")]),
    (
        "unknown time zone",
        &[("America/Mexico_City", "America/Mexico City")],
    ),
    (
        "unknown parent",
        &[("parent = \"main\"", "parent = \"mian\"")],
    ),
    (
        "unknown circuits and station",
        &[
            ("circuit = \"feeder\"", "circuit = \"north\""),
            ("station = \"s-1\"", "station = \"s-3\""),
        ],
    ),
    (
        "circuit that feeds itself",
        &[("parent = \"main\"", "parent = \"feeder\"")],
    ),
    (
        "loop of two",
        &[("breaker = 100", "breaker = 100\nparent = \"feeder\"")],
    ),
    (
        "phase that the feeder lacks",
        &[(
            "phases = \"L1-L2\"\nconnector",
            "phases = \"L3-L1\"\nconnector",
        )],
    ),
    (
        "phase that the main lacks",
        &[("breaker = 100", "breaker = 100\nphases = \"L2-L3\"")],
    ),
    (
        "station above its circuit",
        &[("breaker = 50", "breaker = 30")],
    ),
    (
        "station above a circuit further up",
        &[(
            "breaker = 100",
            "breaker = 38\nrated_100_percent = true\nreserved = 10",
        )],
    ),
    (
        "breaker that does not hold the fall-back",
        &[
            ("fallback_current = 10", "fallback_current = 32"),
            ("breaker = 100", "breaker = 70"),
        ],
    ),
    (
        "the same, rated 100 %, with a reserve",
        &[
            ("fallback_current = 10", "fallback_current = 32"),
            (
                "breaker = 100",
                "breaker = 70\nrated_100_percent = true\nreserved = 7.5",
            ),
        ],
    ),
    (
        "reserve of the feeder counts for the main",
        &[
            ("breaker = 50", "breaker = 90\nreserved = 40"),
            ("breaker = 100", "breaker = 100"),
        ],
    ),
    (
        "reserve above the rating",
        &[("breaker = 50", "breaker = 50\nreserved = 40")],
    ),
    (
        "fall-back above the maximum",
        &[("fallback_current = 10", "fallback_current = 33")],
    ),
    (
        "fall-back below 6 A",
        &[("fallback_current = 10", "fallback_current = 5.5")],
    ),
    (
        "maximum below 6 A",
        &[(
            "max_current = 32\nfallback_current = 10",
            "max_current = 5\nfallback_current = 5",
        )],
    ),
    (
        "station that nothing can limit",
        &[("fallback_current = 32", "fallback_current = 6")],
    ),
    (
        "meter's map for a station",
        &[("charger.toml", "meter.toml")],
    ),
    ("map that is not there", &[("charger.toml", "chrager.toml")]),
    (
        "unit twice",
        &[(
            "tcp://10.0.0.9\", map = \"meter.toml\"",
            "tcp://10.0.0.1\", map = \"charger.toml\"",
        )],
    ),
    (
        "broadcast unit on a serial line",
        &[(
            "address = \"tcp://10.0.0.9\"",
            "address = \"serial:/dev/ttyS0\", unit = 0",
        )],
    ),
    ("wrong address", &[("tcp://10.0.0.9", "10.0.0.9:502")]),
    ("choices", &[("Type 2", "Type2"), ("\"L2-L3\"", "\"L2L3\"")]),
];

#[test]
fn faults() {
    let folder = Folder::new();
    let mut report = String::new();
    for (name, changes) in CASES {
        let mut text = SOUND.to_owned();
        for (old, new) in *changes {
            assert_eq!(
                text.matches(old).count(),
                1,
                "{name}: `{old}` must stand once"
            );
            text = text.replace(old, new);
        }
        let path = folder.write("depot.toml", &text);
        let faults = Depot::read(&path).expect_err(name).to_string();
        writeln!(report, "# {name}\n{}\n", folder.relative(&faults)).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn the_sound_depot_is_sound() {
    let folder = Folder::new();
    let depot = Depot::read(&folder.write("depot.toml", SOUND)).unwrap();
    assert_eq!(
        depot.site.time_zone.iana_name(),
        Some("America/Mexico_City")
    );
    assert_eq!(
        (depot.circuits[0].usable(), depot.circuits[1].usable()),
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
    let text = SOUND.replace(
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
        let mut text = SOUND
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
                "[[station]]\nid = \"x-{station}\"\ncircuit = \"c-{station}\"\nphases = \"L1-L2\"\nconnector = \"CCS1\"\nmax_current = 32\nfallback_current = 32"
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
