//! What an installer has signed cannot be raised by whoever writes the depot file.

use std::path::Path;

use depot_config::{
    depot::Depot,
    ratings::{Allows, Ratings, RatingsError, signed},
};
use shared_protocol::SigningKey;

const DEPOT: &str = r#"
[depot]
id = "centro"
name = "Centro"
time_zone = "America/Mexico_City"
latitude = 19.4
longitude = -99.1

[[circuit]]
id = "main"
breaker = 300
reserved = 20
phase_limits = [280, 270, 260]
neutral_limit = 200
transformer = { power = 112.5, connection = "Dyn1", voltage_system = "220Y/127" }

[[circuit]]
id = "panel"
parent = "main"
breaker = 125

[[circuit]]
id = "branch"
parent = "panel"
breaker = 40
phases = "L1-L2"

[[meter]]
id = "grid"
circuit = "main"
modbus = { address = "tcp://10.0.0.1:502", unit = 9, map = "patio-virtual-meter" }

[[station]]
id = "s-1"
circuit = "branch"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 12
modbus = { address = "tcp://10.0.0.1:502", unit = 1, map = "patio-virtual-charger" }

[[station]]
id = "s-2"
circuit = "panel"
phases = "L1-L2-L3"
connectors = ["Type 2"]
max_current = 32
fallback_current = 8
modbus = { address = "tcp://10.0.0.1:502", unit = 2, map = "patio-virtual-charger" }

[[station]]
id = "s-3"
circuit = "panel"
phases = "L2-L3-L1"
connectors = ["Type 2"]
max_current = 32
fallback_current = 6
ocpp = { id = "CP-3", version = "1.6" }
"#;

fn depot(text: &str) -> Depot {
    let depot = Depot::parse(Path::new("depot.toml"), text);
    depot.unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

fn ratings() -> Ratings {
    Ratings::parse(&signed(&depot(DEPOT), &key()).unwrap()).unwrap()
}

#[test]
fn what_was_signed_is_what_the_depot_has() {
    let ratings = ratings();
    assert_eq!(ratings.key, key().verifying_key());
    assert_eq!(ratings.differences(&depot(DEPOT)), []);
    // What is money, or where a device is found, needs no signature.
    let moved = DEPOT
        .replace("10.0.0.1", "10.0.0.7")
        .replace("name = \"Centro\"", "name = \"Norte\"");
    assert_eq!(ratings.differences(&depot(&moved)), []);
}

/// What is written otherwise, the key at which it differs, and whether that needs no signature.
const CHANGES: [(&str, &str, &str, bool); 26] = [
    (
        "breaker = 125\n",
        "breaker = 125\nneutral_limit = 60\n",
        "circuit[panel].limit.N",
        true,
    ),
    (
        "neutral_limit = 200",
        "neutral_limit = 201",
        "circuit[main].limit.N",
        false,
    ),
    (
        "fallback_current = 6\n",
        "fallback_current = 6\nswitches_phases = true\n",
        "station[s-3].switches_phases",
        false,
    ),
    (
        "breaker = 300",
        "breaker = 250",
        "circuit[main].breaker",
        true,
    ),
    (
        "breaker = 300",
        "breaker = 301",
        "circuit[main].breaker",
        false,
    ),
    (
        "breaker = 40\n",
        "breaker = 50\n",
        "circuit[branch].breaker",
        false,
    ),
    (
        "breaker = 125\n",
        "breaker = 125\nrated_100_percent = true\n",
        "circuit[panel].continuous",
        false,
    ),
    (
        "reserved = 20",
        "reserved = 30",
        "circuit[main].reserved",
        true,
    ),
    (
        "reserved = 20",
        "reserved = 10",
        "circuit[main].reserved",
        false,
    ),
    ("reserved = 20\n", "", "circuit[main].reserved", false),
    ("270, 260", "200, 260", "circuit[main].limit.L2", true),
    ("270, 260", "271, 260", "circuit[main].limit.L2", false),
    (
        "phase_limits = [280, 270, 260]\n",
        "",
        "circuit[main].limit.L1",
        false,
    ),
    (
        "breaker = 125\n",
        "breaker = 125\nphase_limits = [90, 90, 90]\n",
        "circuit[panel].limit.L1",
        true,
    ),
    (
        "power = 112.5",
        "power = 100",
        "circuit[main].transformer.power",
        true,
    ),
    (
        "power = 112.5",
        "power = 150",
        "circuit[main].transformer.power",
        false,
    ),
    (
        "Dyn1",
        "Yyn0",
        "circuit[main].transformer.connection",
        false,
    ),
    (
        "transformer = { power = 112.5, connection = \"Dyn1\", voltage_system = \"220Y/127\" }\n",
        "",
        "circuit[main].transformer.power",
        false,
    ),
    (
        "circuit = \"branch\"",
        "circuit = \"panel\"",
        "station[s-1].circuit",
        false,
    ),
    (
        "parent = \"panel\"",
        "parent = \"main\"",
        "circuit[branch].parent",
        false,
    ),
    (
        "phases = \"L1-L2-L3\"",
        "phases = \"L2-L3-L1\"",
        "station[s-2].phases",
        false,
    ),
    (
        "fallback_current = 8",
        "fallback_current = 6",
        "station[s-2].fallback_current",
        false,
    ),
    (
        "fallback_current = 8",
        "fallback_current = 9",
        "station[s-2].fallback_current",
        false,
    ),
    (
        "max_current = 32\nfallback_current = 8",
        "max_current = 16\nfallback_current = 8",
        "station[s-2].max_current",
        false,
    ),
    (
        "circuit = \"main\"",
        "circuit = \"panel\"",
        "meter[grid].circuit",
        false,
    ),
    ("id = \"centro\"", "id = \"norte\"", "depot.id", false),
];

#[test]
fn nothing_is_raised_and_less_is_allowed() {
    let ratings = ratings();
    for (old, new, key, allowed) in CHANGES {
        assert!(DEPOT.contains(old), "{old}");
        let differences = ratings.differences(&depot(&DEPOT.replacen(old, new, 1)));
        let found = differences.iter().find(|one| one.key == key);
        let found = found.unwrap_or_else(|| panic!("{new}: {differences:?}"));
        assert_eq!(found.allowed, allowed, "{new}: {found}");
        let all = differences.iter().all(|one| one.allowed);
        assert_eq!(all, allowed, "{new}: {differences:?}");
    }
}

#[test]
fn circuits_and_stations_neither_come_nor_go() {
    let ratings = ratings();
    let branch =
        "[[circuit]]\nid = \"branch\"\nparent = \"panel\"\nbreaker = 40\nphases = \"L1-L2\"\n";
    let removed = DEPOT
        .replace(branch, "")
        .replace("circuit = \"branch\"", "circuit = \"panel\"");
    let station = DEPOT.split("[[station]]").nth(2).unwrap();
    let without = DEPOT.replace(&format!("[[station]]{station}"), "");
    let third = station
        .replace("s-2", "s-4")
        .replace("unit = 2", "unit = 4");
    let more = format!("{DEPOT}\n[[station]]{third}");
    for (text, key) in [
        (removed, "circuit[branch].breaker"),
        (without, "station[s-2].max_current"),
        (more, "station[s-4].max_current"),
    ] {
        let differences = ratings.differences(&depot(&text));
        let found = differences.iter().find(|one| one.key == key);
        assert!(
            found.is_some_and(|one| !one.allowed),
            "{key}: {differences:?}"
        );
    }
}

#[test]
fn a_difference_says_what_was_signed() {
    let differences =
        ratings().differences(&depot(&DEPOT.replace("breaker = 300", "breaker = 400")));
    let [one] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!(
        one.to_string(),
        "circuit[main].breaker: 400 A, signed 300 A"
    );
    assert_eq!(
        (one.expected(), one.allows),
        (
            "circuit[main].breaker = at most 300 A, as the installer has signed".to_owned(),
            Allows::Less
        )
    );
}

#[test]
fn every_cut_and_every_changed_byte_is_found() {
    let text = signed(&depot(DEPOT), &key()).unwrap();
    // Without the end of its last line it is still whole.
    for cut in 0..text.len() - 1 {
        assert!(Ratings::parse(&text[..cut]).is_err(), "{cut}");
    }
    for place in 0..text.len() - 1 {
        let mut bytes = text.clone().into_bytes();
        bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(bytes).unwrap();
        // The very signature in other letters is none.
        assert!(Ratings::parse(&changed).is_err(), "{place}");
    }
    let more = text.replace("key = ", "circuit[main].breaker = 900 A\nkey = ");
    assert_eq!(
        Ratings::parse(&more),
        Err(RatingsError::Signature(key().verifying_key().to_string()))
    );
    let said = Ratings::parse("breaker = 100\n").unwrap_err().to_string();
    assert_eq!(
        said,
        "line 1: expected the title `Patio ratings 1`, found `breaker = 100`"
    );
}
