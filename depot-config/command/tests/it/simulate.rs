//! `depot-config simulate`: what a day would have been.

use std::process::{Command, Output};

use serde_json::Value;

use crate::Folder;

/// A supply of 80 A (64 A continuous) with three stations between the same two phases.
const DEPOT: &str = r#"
[depot]
id = "small"
name = "Small"
time_zone = "America/Mexico_City"
latitude = 19.4
longitude = -99.1

[contract]
demand = 25
tariff = "PDBT"
division = "Valle de México Centro"

[[circuit]]
id = "main"
breaker = 80

[[circuit]]
id = "shop"
parent = "main"
breaker = 40
phases = "L1"

[[meter]]
id = "grid"
circuit = "main"
modbus = { address = "tcp://10.0.0.1:502", unit = 9, map = "patio-virtual-meter" }

[[station]]
id = "s-1"
circuit = "main"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 6
modbus = { address = "tcp://10.0.0.1:502", unit = 1, map = "patio-virtual-charger" }

[[station]]
id = "s-2"
circuit = "main"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 6
modbus = { address = "tcp://10.0.0.1:502", unit = 2, map = "patio-virtual-charger" }

[[station]]
id = "s-3"
circuit = "main"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 6
modbus = { address = "tcp://10.0.0.1:502", unit = 3, map = "patio-virtual-charger" }

[[parking]]
id = "p-3"
station = "s-3"
"#;
const HEAD: &str = "time,circuit,l1,l2,l3,station,leaves,kwh,amperes,phases\n";

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_depot-config"))
        .arg("simulate")
        .args(arguments)
        .output()
        .unwrap()
}

/// Status and answer for a depot and the lines of a day.
fn tried(folder: &Folder, depot: &str, lines: &str) -> (i32, Value) {
    let depot = folder.write("depot.toml", depot);
    let day = folder.write("day.csv", &format!("{HEAD}{lines}"));
    let (depot, day) = (depot.to_str().unwrap(), day.to_str().unwrap());
    let output = simulate(&["--json", "--depot", depot, "--day", day]);
    let answer = serde_json::from_slice(&output.stdout);
    let status = output.status.code().unwrap();
    (status, answer.unwrap_or_else(|_| panic!("{output:?}")))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn one_car_alone_is_full_in_time() {
    let folder = Folder::new();
    // 7.04 kWh are an hour at 32 A between two phases of 220 V.
    let (status, answer) = tried(&folder, DEPOT, "12:00,,,,,s-1,13:15,7.04,,\n");
    assert_eq!((status, &answer["full"]), (0, &1.into()), "{answer}");
    let peak = number(&answer["demand"]["peak_kw"]);
    assert!((6.9..=7.04).contains(&peak), "{answer}");
    assert!(
        (number(&answer["demand"]["kwh"]) - 7.04).abs() < 0.02,
        "{answer}"
    );
    let phases = answer["circuits"][0]["phases"].as_array().unwrap();
    let greatest: Vec<_> = phases
        .iter()
        .map(|one| number(&one["greatest_a"]))
        .collect();
    assert_eq!(greatest, [32.0, 32.0, 0.0], "{answer}");

    // Nobody can be full in less.
    let (status, answer) = tried(&folder, DEPOT, "12:00,,,,,s-1,12:30,7.04,,\n");
    assert_eq!((status, &answer["full"]), (1, &0.into()), "{answer}");
    let short = &answer["short"][0];
    assert_eq!(
        (&short["station"], &short["plugged"], &short["leaves"]),
        (&"s-1".into(), &"12:00".into(), &"12:30".into())
    );
    let missing = number(&short["missing_kwh"]);
    assert!((3.52..4.2).contains(&missing), "{answer}");
}

#[test]
fn a_change_shows_in_the_same_day() {
    let folder = Folder::new();
    let day = "20:00,shop,20,,,,,,,\n20:00,,,,,s-1,26:00,21,,\n20:00,,,,,s-2,26:00,21,,\n20:00,,,,,p-3,26:00,21,,\n";
    // Two phases with 64 A less 20 A of the shop on one of them: 44 A between both are 9.7 kW, or 58 kWh in six hours.
    let (status, answer) = tried(&folder, DEPOT, day);
    assert_eq!(status, 1, "{answer}");
    let main = &answer["circuits"][0];
    let l1 = &main["phases"][0];
    assert!(
        number(&l1["peak_a"]) <= number(&l1["continuous_a"]),
        "{answer}"
    );
    assert!(number(&l1["peak_a"]) > 60.0, "{answer}");
    assert!(number(&main["minutes_at_limit"]) > 300.0, "{answer}");
    let missing: f64 = answer["short"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| number(&one["missing_kwh"]))
        .sum();
    assert!((1.0..12.0).contains(&missing), "{answer}");

    // A greater breaker, and the contract is what limits.
    let more = DEPOT.replace("breaker = 80", "breaker = 150");
    let (status, answer) = tried(&folder, &more, day);
    assert_eq!((status, &answer["full"]), (0, &3.into()), "{answer}");
    assert_eq!(answer["demand"]["windows_over"], 0, "{answer}");
    let less = more.replace("demand = 25", "demand = 25\ntarget = 9");
    let (status, answer) = tried(&folder, &less, day);
    assert_eq!((status, &answer["full"]), (1, &0.into()), "{answer}");
    let peak = number(&answer["demand"]["peak_kw"]);
    assert!((8.0..=9.0).contains(&peak), "{answer}");
}

#[test]
fn what_nothing_measures_and_nothing_reserves_is_found() {
    let folder = Folder::new();
    // A feeder without a meter, for which the depot file reserves nothing.
    let depot = DEPOT
        .replace(
            "breaker = 40\nphases = \"L1\"",
            "breaker = 50\nphases = \"L1-L2\"",
        )
        .replace(
            "id = \"s-1\"\ncircuit = \"main\"",
            "id = \"s-1\"\ncircuit = \"shop\"",
        );
    let day = "12:00,shop,20,,,,,,,\n12:00,,,,,s-1,18:00,14,,\n";
    let (status, answer) = tried(&folder, &depot, day);
    assert_eq!((status, &answer["full"]), (1, &1.into()), "{answer}");
    let l1 = &answer["circuits"][1]["phases"][0];
    assert_eq!(l1["continuous_a"], 40.0, "{answer}");
    assert!(number(&l1["peak_a"]) > 45.0, "{answer}");
    let meter = "[[meter]]\nid = \"shop-meter\"\ncircuit = \"shop\"\nmodbus = { address = \"tcp://10.0.0.1:502\", unit = 8, map = \"patio-virtual-meter\" }\n";
    let (status, answer) = tried(&folder, &format!("{depot}\n{meter}"), day);
    assert_eq!((status, &answer["full"]), (0, &1.into()), "{answer}");
}

#[test]
fn the_day_of_the_demonstration() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let depot = format!("{root}/depots/demo.toml");
    let day = format!("{root}/days/demo.csv");
    let output = simulate(&["--depot", &depot, "--day", &day]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    insta::assert_snapshot!(said);
}

/// Lines of a day, and what is said of them.
const BROKEN: [(&str, &str); 24] = [
    (
        "",
        "day.csv:2:1: expected a line with what flows or with a car, found none\n",
    ),
    (
        "12:00,main,1\n",
        "day.csv:2:1: expected 10 fields: time,circuit,l1,l2,l3,station,leaves,kwh,amperes,phases, found 3\n",
    ),
    (
        "noon,main,1,1,1,,,,,\n",
        "day.csv:2:1: time: expected a time such as 05:30 or 05:30:15 (29:30 is that of the next day), found `noon`\n",
    ),
    (
        "12:60,main,1,1,1,,,,,\n",
        "day.csv:2:1: time: expected a time such as 05:30 or 05:30:15 (29:30 is that of the next day), found `12:60`\n",
    ),
    (
        "48:00,main,1,1,1,,,,,\n",
        "day.csv:2:1: time: expected a time such as 05:30 or 05:30:15 (29:30 is that of the next day), found `48:00`\n",
    ),
    (
        ",main,1,1,1,,,,,\n",
        "day.csv:2:1: time: expected a time such as 05:30 or 05:30:15 (29:30 is that of the next day), found nothing\n",
    ),
    (
        "12:00,main,1,1,1,,,,,\n11:59,main,1,1,1,,,,,\n",
        "day.csv:3:1: time: expected a time not before that of the line above, 12:00, found `11:59`\n",
    ),
    (
        "12:00,main,1,1,1,,,,,\n36:00,main,1,1,1,,,,,\n",
        "day.csv:3:1: time: expected a time before the day is over, at 36:00, found `36:00`\n",
    ),
    (
        "12:00,mian,1,1,1,,,,,\n",
        "day.csv:2:7: circuit: expected a circuit of the depot, found `mian` (did you mean main?)\n",
    ),
    (
        "12:00,,,,,,,,,\n",
        "day.csv:2:7: circuit: expected a circuit, or a station further on, found nothing\n",
    ),
    (
        "12:00,main,1,1,1,s-1,13:00,5,,\n",
        "day.csv:2:18: station: expected nothing, as the line has a circuit, found `s-1`\n",
    ),
    (
        "12:00,main,1,-1,1,,,,,\n",
        "day.csv:2:14: l2: expected amperes from 0 to 100000, found `-1`\n",
    ),
    (
        "12:00,main,1,1,NaN,,,,,\n",
        "day.csv:2:16: l3: expected amperes from 0 to 100000, found `NaN`\n",
    ),
    (
        "12:00,main,1,1,1,,,5,,\n",
        "day.csv:2:20: kwh: expected nothing beside a circuit, found `5`\n",
    ),
    (
        "12:00,shop,1,2,,,,,,\n",
        "day.csv:2:14: l2: expected nothing on a phase that the circuit, on L1, does not carry, found `2`\n",
    ),
    (
        "12:00,,,,,s-9,13:00,5,,\n",
        "day.csv:2:11: station: expected a station of the depot, or a parking place with one, found `s-9` (did you mean s-",
    ),
    (
        "12:00,,1,,,s-1,13:00,5,,\n",
        "day.csv:2:8: l1: expected nothing beside a station, found `1`\n",
    ),
    (
        "12:00,,,,,s-1,12:00,5,,\n",
        "day.csv:2:15: leaves: expected a time after the car was plugged in, such as 29:30 for the next day, found `12:00`\n",
    ),
    (
        "12:00,,,,,s-1,,5,,\n",
        "day.csv:2:15: leaves: expected a time after the car was plugged in, such as 29:30 for the next day, found nothing\n",
    ),
    (
        "12:00,,,,,s-1,13:00,,,\n",
        "day.csv:2:21: kwh: expected kWh from 0.001 to 2000, found nothing\n",
    ),
    (
        "12:00,,,,,s-1,13:00,5,5,\n",
        "day.csv:2:23: amperes: expected amperes from 6 to 1000, found `5`\n",
    ),
    (
        "12:00,,,,,s-1,13:00,5,,2\n",
        "day.csv:2:24: phases: expected how many phases the car uses, 1 to 1, found `2`\n",
    ),
    (
        "12:00,,,,,s-1,13:00,5,,\n12:59,,,,,s-1,14:00,5,,\n",
        "day.csv:3:11: station: expected a station that is free: a car is at it until 13:00, found `s-1`\n",
    ),
    (
        "12:00,maín,x\n\n# nothing\n12:00,main,1,1,x,,,,,\n",
        "day.csv:5:16: l3: expected amperes from 0 to 100000, found `x`\n",
    ),
];

#[test]
fn a_broken_day_says_where_and_what_was_expected() {
    let folder = Folder::new();
    let depot = folder.write("depot.toml", DEPOT);
    let depot = depot.to_str().unwrap();
    let refused = |text: &str| {
        let day = folder.write("day.csv", text);
        let output = simulate(&["--depot", depot, "--day", day.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        folder.relative(&String::from_utf8(output.stderr).unwrap())
    };
    for (lines, expected) in BROKEN {
        let said = refused(&format!("{HEAD}{lines}"));
        assert!(said.contains(expected), "{lines}: {said}");
    }
    let said = refused("time,circuit\n");
    assert!(
        said.starts_with("day.csv:1:1: expected `time,circuit,l1,l2,l3,station,leaves,kwh,amperes,phases`, found time,circuit"),
        "{said}"
    );
    let output = simulate(&["--depot", depot, "--day", "no-such.csv"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("no-such.csv: it cannot be read: "),
        "{said}"
    );
}
