//! The profiles that ship with the project.

use std::{fs, path::Path};

use shared_protocol::{SignalRef, catalogue};
use vehicles::{
    dbc::{Dbc, Decoder},
    diagnostic::Table,
    log::LogReader,
    offline::{Definition, Reassembly},
    profile::Profile,
};

fn profiles() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware-config/profiles");
    let paths = fs::read_dir(&folder)
        .expect("the folder of profiles")
        .flatten()
        .map(|entry| entry.path());
    let toml = paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    toml.map(|path| {
        (
            path.display().to_string(),
            fs::read_to_string(&path).expect("a readable profile"),
        )
    })
    .collect()
}

fn profile(name: &str) -> String {
    let named = profiles()
        .into_iter()
        .find(|(path, _)| path.ends_with(name));
    named.unwrap_or_else(|| panic!("no profile {name}")).1
}

#[test]
fn nothing_is_wrong_with_them() {
    let profiles = profiles();
    assert!(
        profiles.len() >= 13,
        "the generic one and at least twelve models"
    );
    for (path, text) in profiles {
        let profile: Profile =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(profile.check(), [], "{path}");
        Table::new(profile.command.clone()).unwrap();
        // What is written reads back as the same.
        let written: Profile = toml::from_str(&toml::to_string(&profile).unwrap()).unwrap();
        assert_eq!(written, profile, "{path}");
    }
}

#[test]
fn obd2_answers() {
    let definition = Definition::read("obd2.toml", &profile("obd2.toml")).unwrap();
    for (command, frame, values) in [
        ("speed", "7E803410D32", r#"{"speed":50}"#),
        ("run time", "7E804411F0102", r#"{"run_time":258}"#),
        (
            "module voltage",
            "7EC044142352C",
            r#"{"module_voltage":13.612}"#,
        ),
        (
            "ambient temperature",
            "7E803414628",
            r#"{"ambient_temperature":0}"#,
        ),
        (
            "battery remaining",
            "7EC03415BFF",
            r#"{"battery_remaining":100.0}"#,
        ),
        ("odometer", "7E80641A600012345", r#"{"odometer":7456.5}"#),
    ] {
        let result = definition.answer(
            &serde_json::json!({ "cmd": command, "frames": [frame] }),
            Reassembly::Strict,
        );
        assert_eq!(result["values"].to_string(), values, "{result}");
    }
}

#[test]
fn leaf_answers_have_two_forms() {
    let definition = Definition::read("nissan-leaf.toml", &profile("nissan-leaf.toml")).unwrap();
    let (old, new) = (
        definition.command("79B.7BB.2101", Some(2013)),
        definition.command("79B.7BB.2101", Some(2020)),
    );
    assert_ne!(old, new);
    let mut answer = vec![0x61, 0x01];
    answer.extend([0; 51]);
    // Bytes 28 to 31 and 30 to 33 after the identifier.
    answer[2 + 28..2 + 32].copy_from_slice(&638_000u32.to_be_bytes());
    let soc = |command: usize, answer: &[u8]| {
        let mut readings = Vec::new();
        definition
            .table
            .decode(command, answer, &mut readings)
            .unwrap();
        let value = readings.iter().find_map(|reading| {
            let signal = &definition.table.signals()[reading.signal as usize];
            (signal.name == "state_of_charge").then(|| signal.def.encoding.value(reading.raw))
        });
        value.map(|value| (value * 100.0).round() / 100.0)
    };
    assert_eq!(soc(old.unwrap(), &answer), Some(63.8));
    answer[2 + 28..2 + 34].copy_from_slice(&[0, 0, 0, 9, 0x98, 0x3A]);
    assert_eq!(soc(new.unwrap(), &answer), Some(62.88));
}

/// Profile, command, answer, and its values by signal.
type Documented = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, f64)],
);

/// Of every profile at least one answer, written down from the documented place and scale of each value. Recorded answers
/// are compared by the tests over real data.
const ANSWERS: &[Documented] = &[
    (
        "hyundai-kona",
        "battery",
        "620101FFF7E7FF9B0000000080FF380E4A1A1819191919190018C505C40A0000860000000000000000000186A0000493E0",
        &[
            ("state_of_charge", 77.5),
            ("is_charging", 1.0),
            ("battery_current", 20.0),
            ("battery_voltage", 365.8),
            ("battery_temperature_max", 26.0),
            ("battery_temperature_min", 24.0),
            ("cell_voltage_max", 3.94),
            ("cell_id_max", 5.0),
            ("cell_voltage_min", 3.92),
            ("cell_id_min", 10.0),
            ("low_voltage", 13.4),
            ("energy_charged", 10000.0),
            ("energy_consumed", 30000.0),
        ],
    ),
    (
        "hyundai-kona",
        "odometer",
        "62B002E000000000FF0086D0000000",
        &[("odometer", 34512.0)],
    ),
    ("kia-niro", "speed", "410D32", &[("speed", 50.0)]),
    (
        "kia-niro",
        "battery health",
        "620105003FFF9000000000000000000B847B0136E344200001500B9F03E80E0000019F",
        &[("state_of_health", 100.0)],
    ),
    (
        "hyundai-ioniq-28",
        "battery",
        "6101FFFFFFFF8E2648264803000C0DFE1414",
        &[
            ("state_of_charge", 71.0),
            ("battery_voltage", 358.2),
            ("battery_current", -1.2),
            ("is_charging", 0.0),
        ],
    ),
    (
        "kia-soul-ev",
        "battery",
        "6101FFFFFFFFA00264826400FF9C0E241312",
        &[
            ("state_of_charge", 80.0),
            ("battery_current", 10.0),
            ("battery_voltage", 362.0),
        ],
    ),
    (
        "hyundai-ioniq-5",
        "battery",
        "620101EFFBE7ED64000000000000641B581E1C",
        &[
            ("state_of_charge", 50.0),
            ("battery_current", -10.0),
            ("battery_voltage", 700.0),
        ],
    ),
    (
        "chevrolet-bolt",
        "state of charge displayed",
        "628334CC",
        &[("state_of_charge_displayed", 80.0)],
    ),
    (
        "chevrolet-bolt",
        "voltage",
        "6224295A40",
        &[("battery_voltage", 361.0)],
    ),
    (
        "chevrolet-bolt",
        "current",
        "622414FF38",
        &[("battery_current", 10.0)],
    ),
    (
        "mg4",
        "voltage",
        "62B0420640",
        &[("battery_voltage", 400.0)],
    ),
    ("mg4", "current", "62B0439C40", &[("battery_current", 0.0)]),
    ("mg4", "charging", "62B04801", &[("is_charging", 1.0)]),
    (
        "mg5",
        "state of charge",
        "62B046032A",
        &[("state_of_charge", 81.0)],
    ),
    (
        "mg5",
        "state of health",
        "62B0612616",
        &[("state_of_health", 97.5)],
    ),
    ("mg5", "odometer", "62B9210086D0", &[("odometer", 34512.0)]),
    (
        "byd-atto-3",
        "voltage",
        "6200089501",
        &[("battery_voltage", 405.0)],
    ),
    (
        "byd-atto-3",
        "current",
        "6200098813",
        &[("battery_current", 0.0)],
    ),
    (
        "byd-atto-3",
        "cell maximum",
        "62002DE80C",
        &[("cell_voltage_max", 3.304)],
    ),
    (
        "byd-dolphin",
        "state of charge",
        "62000551",
        &[("state_of_charge", 81.0)],
    ),
    (
        "byd-dolphin",
        "temperature average",
        "62003240",
        &[("battery_temperature", 24.0)],
    ),
    (
        "renault-zoe",
        "state of charge",
        "6220020FD2",
        &[("state_of_charge", 81.0)],
    ),
    (
        "renault-zoe",
        "current",
        "6232048000",
        &[("battery_current", 0.0)],
    ),
    (
        "renault-zoe",
        "odometer",
        "6220060086D0",
        &[("odometer", 34512.0)],
    ),
    (
        "vw-e-golf",
        "state of charge",
        "62028CCA",
        &[("state_of_charge", 80.8)],
    ),
    (
        "vw-e-golf",
        "current",
        "621E3D07FC",
        &[("battery_current", 0.0)],
    ),
    (
        "vw-id",
        "voltage",
        "621E3B0640",
        &[("battery_voltage", 400.0)],
    ),
    (
        "vw-id",
        "current",
        "621E3D000249F0",
        &[("battery_current", 0.0)],
    ),
    (
        "bmw-i3",
        "state of charge",
        "62DDBC032A03E80000",
        &[("state_of_charge", 81.0)],
    ),
    (
        "bmw-i3",
        "current",
        "62DD69FFFFFC18",
        &[("battery_current", -10.0)],
    ),
    (
        "geely-geometry-c",
        "state of charge",
        "415BFF",
        &[("state_of_charge", 100.0)],
    ),
    (
        "geely-geometry-c",
        "odometer",
        "41A600012345",
        &[("odometer", 7456.5)],
    ),
    (
        "nissan-leaf",
        "odometer",
        "620E010086D0",
        &[("odometer", 34512.0)],
    ),
    ("obd2", "speed", "410D32", &[("speed", 50.0)]),
];

#[test]
fn documented_answers() {
    for (name, command, answer, expected) in ANSWERS {
        let text = profile(&format!("/{name}.toml"));
        let definition = Definition::read(name, &text).unwrap();
        let digits: String = answer.chars().filter(|c| !c.is_whitespace()).collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let payload: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let number = definition.command(command, None).unwrap();
        let mut readings = Vec::new();
        // An answer that is cut has the values that are in it.
        definition
            .table
            .decode(number, &payload, &mut readings)
            .unwrap();
        for (signal, value) in *expected {
            let found = readings.iter().find_map(|reading| {
                let known = &definition.table.signals()[reading.signal as usize];
                (known.name == *signal).then(|| known.def.encoding.value(reading.raw))
            });
            assert!(
                found.is_some_and(|found| (found - value).abs() < 1e-6),
                "{name} {command} {signal}: {found:?}, expected {value}"
            );
        }
    }
    for (path, _) in profiles() {
        let mut shown = ANSWERS.iter().map(|(name, ..)| name);
        let mut heard = FRAMES.iter().map(|(name, ..)| name);
        let is = |name: &&str| path.ends_with(&format!("/{name}.toml"));
        assert!(
            shown.any(is) || heard.any(is),
            "{path} has no answer and no frame here"
        );
    }
}

const BATTERY: &str = "Vehicle.Powertrain.TractionBattery";

/// Profile, frame in the form of candump, and its values by signal of the catalogue (of the battery where it begins with a dot)
/// or by their own names.
type Heard = (&'static str, &'static str, &'static [(&'static str, f64)]);

/// Frames that cars tell by themselves. Those with *recorded* were published with these values by who recorded them; the others are
/// written down from the documented place and scale of each value.
const FRAMES: &[Heard] = &[
    // Recorded: 385.12 V, 8.2 A drawn, no time to go.
    (
        "tesla-model-3",
        "132#7096AEFF5C26FF0F",
        &[(".CurrentVoltage", 385.12), (".CurrentCurrent", -8.2)],
    ),
    // Recorded: 0, 2.72 and 2.88 km/h.
    (
        "tesla-model-3",
        "257#784E1F0700000800",
        &[("Vehicle.Speed", 0.0)],
    ),
    (
        "tesla-model-3",
        "257#A566210202070000",
        &[("Vehicle.Speed", 2.72)],
    ),
    (
        "tesla-model-3",
        "257#D888210307000800",
        &[("Vehicle.Speed", 2.88)],
    ),
    (
        "tesla-model-3",
        "292#16AB4C33C8000000",
        &[
            (".StateOfCharge.Displayed", 81.0),
            (".StateOfCharge.Current", 80.0),
        ],
    ),
    (
        "tesla-model-3",
        "312#0000000000008F1E",
        &[(".Temperature.Min", 35.0), (".Temperature.Max", 36.0)],
    ),
    (
        "tesla-model-3",
        "3B6#C09E0E02",
        &[("Vehicle.TraveledDistance", 34_512.576)],
    ),
    ("tesla-model-3", "3B6#FFFFFFFF", &[]),
    (
        "tesla-model-3",
        "3D2#80841E0000E1F505",
        &[
            (".AccumulatedConsumedEnergy", 2_000.0),
            (".AccumulatedChargedEnergy", 100_000.0),
        ],
    ),
    (
        "tesla-model-3",
        "2B4#5C01000000",
        &[("Vehicle.LowVoltageBattery.CurrentVoltage", 13.593_75)],
    ),
    (
        "tesla-model-3",
        "321#DF65A75802580000",
        &[("Vehicle.Exterior.AirTemperature", 4.0)],
    ),
    (
        "tesla-model-3",
        "264#FA1A4B464001",
        &[("ChargeLine.Power", 7.0)],
    ),
    (
        "tesla-model-3",
        "118#0000800000000000",
        &[("DriveSystem.Gear", 4.0)],
    ),
];

#[test]
fn frames_that_cars_tell() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware-config/profiles");
    for (name, frame, expected) in FRAMES {
        let profile: Profile = toml::from_str(&profile(&format!("/{name}.toml"))).unwrap();
        let file = &profile.dbc[0];
        let text = fs::read(folder.join(format!("{}.dbc", file.file))).unwrap();
        let dbc = Dbc::parse(&text);
        assert_eq!(dbc.warnings, [], "{name}");
        let decoder = Decoder::mapped(&dbc, &file.signal, file.only_mapped).unwrap();
        let frame = LogReader::new([format!("(0.0) can0 {frame}")].iter())
            .next()
            .unwrap()
            .unwrap();
        let mut readings = Vec::new();
        decoder.decode(frame.id, &frame.data, &mut readings);
        let mut found: Vec<(String, f64)> = readings
            .iter()
            .map(|reading| {
                let signal = &decoder.signals()[reading.signal as usize];
                let name = match &signal.def.signal {
                    SignalRef::Catalogue(id) => catalogue().get(*id).unwrap().name.clone(),
                    SignalRef::Named { name, .. } => name.clone(),
                };
                (name, signal.def.encoding.value(reading.raw))
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut expected: Vec<(String, f64)> = expected
            .iter()
            .map(|(name, value)| {
                let battery = if name.starts_with('.') { BATTERY } else { "" };
                (format!("{battery}{name}"), *value)
            })
            .collect();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let same = found.len() == expected.len()
            && found
                .iter()
                .zip(&expected)
                .all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9);
        assert!(same, "{name}: {found:?}, expected {expected:?}");
    }
}
