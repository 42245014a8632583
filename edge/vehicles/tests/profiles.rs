//! The profiles that ship with the project.

use std::{fs, path::Path};

use vehicles::{
    diagnostic::Table,
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
    assert!(profiles.len() >= 2);
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
