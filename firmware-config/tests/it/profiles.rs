//! Vehicle profiles.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use config_file::{example, json_schema, parse};
use firmware_config::profiles::{self, PROFILES};
use vehicles::profile::Profile;

use crate::Folder;

const CASES: &[(&str, &[(&str, &str)])] = &[
    ("identifier of four digits", &[("\"7E4\"", "\"07E4\"")]),
    (
        "service of one digit",
        &[("service = \"22\"", "service = \"2\"")],
    ),
    (
        "service that writes",
        &[("service = \"22\"", "service = \"2E\"")],
    ),
    ("interval in a wrong unit", &[("\"5s\"", "\"5sec\"")]),
    ("state that is none", &[("driving", "parked")]),
    (
        "bus that is not there",
        &[("bus = \"body\"", "bus = \"bdy\"")],
    ),
    (
        "command on a bus that only listens",
        &[("bus = \"drive\"", "bus = \"body\"")],
    ),
    (
        "signal that the catalogue lacks",
        &[("Vehicle.Speed", "Vehicle.Sped")],
    ),
    (
        "signal that the DBC file lacks",
        &[("Body.Speed", "Body.Sped")],
    ),
    (
        "DBC file that is not there",
        &[("\"car.dbc\"", "\"cra.dbc\"")],
    ),
    ("DBC file that is none", &[("\"car.dbc\"", "\"car.toml\"")]),
    ("divisor 0", &[("divide = 2", "divide = 0")]),
    ("scale of 0", &[("divide = 2", "multiply = 0")]),
    (
        "a signal that lies over another one",
        &[(
            "divide = 2\n",
            "divide = 2\n[[command.signal]]\nname = \"other\"\nbit = 4\nlength = 8\n",
        )],
    ),
    (
        "a unit that is not the catalogue's",
        &[(
            "divide = 2\n",
            "divide = 2\nsignal = \"Vehicle.Speed\"\nunit = \"furlong\"\n",
        )],
    ),
    ("too many bits", &[("length = 8", "length = 65")]),
    (
        "no signals",
        &[(
            "[[command.signal]]\nname = \"soc\"\nlength = 8\ndivide = 2\n",
            "",
        )],
    ),
    (
        "an empty list of signals",
        &[
            (
                "[[command.signal]]\nname = \"soc\"\nlength = 8\ndivide = 2\n",
                "",
            ),
            ("service = \"22\"", "service = \"22\"\nsignal = []"),
        ],
    ),
    (
        "text of a raw value that is no number",
        &[("length = 8", "length = 8\ntexts = { on = \"on\" }")],
    ),
];

#[test]
fn faults() {
    let folder = Folder::new();
    let mut report = String::new();
    for (name, changes) in CASES {
        let mut text = include_str!("car.toml").to_owned();
        for (old, new) in *changes {
            assert!(text.contains(old), "{name}: `{old}` must be there");
            text = text.replacen(old, new, 1);
        }
        let faults = PROFILES
            .read(&folder.write("car.toml", &text))
            .expect_err(name)
            .to_string();
        writeln!(report, "# {name}\n{}\n", folder.relative(&faults)).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn warnings_do_not_refuse() {
    let folder = Folder::new();
    let text = include_str!("car.toml").replace("every = { driving = \"5s\" }\n", "");
    let (profile, spans) = PROFILES.open(&folder.write("car.toml", &text)).unwrap();
    let warnings: Vec<_> = profiles::warnings(&profile, &spans)
        .iter()
        .map(|warning| folder.relative(&warning.to_string()))
        .collect();
    assert_eq!(
        warnings,
        ["car.toml:20:1: command[0].every: warning: no interval is given: it is never asked"]
    );
}

#[test]
fn the_schema_is_sound_and_its_example_is_read() {
    assert_eq!(profiles::SCHEMA.flaws(), Vec::<String>::new());
    assert_eq!(json_schema(&profiles::SCHEMA)["title"], "vehicle profile");
    parse::<Profile>(
        Path::new("example.toml"),
        &example(&profiles::SCHEMA),
        &profiles::SCHEMA,
    )
    .unwrap();
}

#[test]
fn defaults_of_schema_and_type_agree() {
    let shipped = PROFILES.shipped.iter().map(|(_, text)| *text);
    for text in shipped.chain([include_str!("car.toml")]) {
        let (by_schema, _) =
            parse::<Profile>(Path::new("profile.toml"), text, &profiles::SCHEMA).unwrap();
        let by_type: Profile = toml::from_str(text).unwrap();
        assert_eq!(by_schema, by_type);
    }
}

#[test]
fn every_profile_ships_and_is_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let files: BTreeSet<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let shipped: BTreeSet<_> = PROFILES.names().map(str::to_owned).collect();
    assert_eq!(files, shipped);
    for name in PROFILES.names() {
        if let Err(faults) = PROFILES.shipped(name).unwrap() {
            panic!("{faults}");
        }
    }
}
