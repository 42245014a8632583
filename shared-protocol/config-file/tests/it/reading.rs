//! Files that are sound, files that are no files, texts that are anything.

use std::{fmt::Write, fs, path::Path, time::Duration};

use crate::yard::{YARD, Yard};
use config_file::{Key, Kind, Schema, example, json_schema, parse, read, reference};
use proptest::prelude::*;

const NAME: &str = "yard.toml";

fn write(text: impl AsRef<[u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn defaults_come_from_the_schema() {
    let text = "name = \"N\"\ngate = { width = 3, address = \"h:1\" }\n\n[[lamp]]\nid = \"a\"\npower = 1\n";
    let (yard, spans) = parse::<Yard>(Path::new(NAME), text, &YARD).unwrap();
    assert_eq!(yard.gate.delay, Duration::from_secs(10));
    assert!(!yard.gate.open);
    assert_eq!((yard.log.level.as_str(), yard.log.quota), ("info", 1 << 30));
    assert_eq!(yard.lamp[0].hours, [18]);
    assert!(yard.plan.is_none() && yard.lamp[0].colours.is_empty() && yard.lamp[0].bulb.is_empty());
    assert!(spans.has("gate.width") && !spans.has("gate.delay") && !spans.has("log"));
}

#[test]
fn the_example_uses_every_key_and_is_sound() {
    let text = example(&YARD);
    let (yard, spans) = parse::<Yard>(Path::new(NAME), &text, &YARD).unwrap();
    assert_eq!(
        (yard.name.as_str(), yard.plan.as_deref()),
        ("North", Some(Path::new("plan.svg")))
    );
    assert_eq!(
        (yard.gate.width, yard.gate.open, yard.gate.address.as_str()),
        (4.2, true, "gate.local:502")
    );
    assert_eq!(yard.gate.delay, Duration::from_millis(250));
    assert_eq!(
        (yard.log.level.as_str(), yard.log.quota),
        ("warn", 512 << 20)
    );
    let lamp = &yard.lamp[0];
    assert_eq!(
        (lamp.id.as_str(), lamp.power, lamp.hours.as_slice()),
        ("L1", 40, &[18, 19][..])
    );
    assert_eq!(
        (lamp.scale.as_str(), lamp.colours["red"]),
        (Some("0.1"), 255)
    );
    assert_eq!(lamp.mark, 3);
    assert_eq!(lamp.bulb[0].socket, "E27");
    for key in [
        "name",
        "plan",
        "gate.delay",
        "log.quota",
        "lamp[0].colours.red",
        "lamp[0].bulb[0].socket",
    ] {
        assert!(spans.has(key), "{key}");
    }
    assert_eq!(YARD.flaws(), Vec::<String>::new());
}

#[test]
fn the_reference() {
    insta::assert_snapshot!(reference(&YARD));
}

#[test]
fn the_json_schema() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&json_schema(&YARD)).unwrap());
}

#[test]
fn a_later_check_points_at_the_line() {
    let text = "name = \"N\"\ngate = { width = 3, address = \"h:1\" }\n\n[[lamp]]\nid = \"a\"\npower = 1\n";
    let (_, spans) = parse::<Yard>(Path::new(NAME), text, &YARD).unwrap();
    let fault = spans
        .fault("lamp[0].id", "a label that is on the plan", "\"a\"")
        .hint("draw it");
    assert_eq!(
        fault.to_string(),
        "yard.toml:5:6: lamp[0].id: expected a label that is on the plan, found \"a\" (draw it)"
    );
    for (key, at) in [
        ("gate.address", "2:31"),
        ("gate.delay", "2:8"),
        ("lamp[0].bulb[3].socket", "4:1"),
        ("lamp[0].hours[0]", "4:1"),
        ("lamp[7]", "4:1"),
        ("log.level", "1:1"),
        ("", "1:1"),
    ] {
        let fault = spans.problem(key, "it is wrong").to_string();
        assert!(
            fault.starts_with(&format!("yard.toml:{at}: ")),
            "{key}: {fault}"
        );
    }
}

#[test]
fn paths_start_at_the_folder_of_the_file() {
    let (folder, path) =
        write("name = \"N\"\nplan = \"plan.svg\"\ngate = { width = 3, address = \"h:1\" }\n");
    let (yard, spans) = read::<Yard>(&path, &YARD).unwrap();
    let plan = yard.plan.unwrap();
    assert_eq!(spans.resolve(&plan), folder.path().join("plan.svg"));
    assert_eq!(
        spans.resolve(Path::new("/etc/plan")),
        Path::new("/etc/plan")
    );
    let fault = spans.existing_file("plan", &plan).unwrap_err().to_string();
    assert!(
        fault.contains("yard.toml:2:8: plan: expected a readable file at "),
        "{fault}"
    );
    assert!(fault.ends_with("/plan.svg, found none"), "{fault}");
    fs::create_dir(folder.path().join("plan.svg")).unwrap();
    let fault = spans.existing_file("plan", &plan).unwrap_err().to_string();
    assert!(fault.ends_with("found a folder"), "{fault}");
    fs::write(folder.path().join("p"), "").unwrap();
    assert_eq!(
        spans.existing_file("plan", Path::new("p")),
        Ok(folder.path().join("p"))
    );
}

#[test]
fn what_is_no_text_file_is_one_fault() {
    let folder = tempfile::tempdir().unwrap();
    let says = |path: &Path, problem: &str| {
        let faults = read::<Yard>(path, &YARD).unwrap_err();
        assert_eq!(faults.to_string(), format!("{}{problem}", path.display()));
    };
    says(folder.path(), ": expected a TOML file, found a folder");
    says(&folder.path().join("none.toml"), ": there is no such file");
    let (_folder, path) = write(b"name = \"N\"\nplan = \"\xc3\xb1\xff\"\n");
    says(&path, ":2:10: expected UTF-8 text, found the byte 0xff");
    let (_folder, path) = write(" ".repeat((16 << 20) + 1));
    says(&path, ": expected at most 16MiB, found more");
    let (_folder, path) = write("");
    assert_eq!(
        read::<Yard>(&path, &YARD).unwrap_err().as_slice().len(),
        2,
        "two keys are missing"
    );
}

#[test]
fn a_byte_order_mark_and_foreign_line_ends_are_read() {
    let text = "\u{feff}name = \"N\"\r\ngate = { width = 3, address = \"h:1\" }\r\nplan = 3\r\n";
    let faults = parse::<Yard>(Path::new(NAME), text, &YARD)
        .unwrap_err()
        .to_string();
    assert_eq!(
        faults,
        "yard.toml:3:8: plan: expected a path, found 3 (write it in quotes)"
    );
}

#[test]
fn what_the_type_refuses_although_the_schema_admits_it_is_a_fault() {
    static LOOSE: Schema = Schema {
        name: "loose",
        about: "",
        keys: &[Key::required("power", Kind::INTEGER, "1", "")],
    };
    #[derive(Debug, serde::Deserialize)]
    struct Loose {
        #[expect(dead_code, reason = "only its type matters")]
        power: u8,
    }
    let faults = parse::<Loose>(Path::new(NAME), "\npower = 300", &LOOSE)
        .unwrap_err()
        .to_string();
    assert_eq!(
        faults,
        "yard.toml:2:9: power: invalid value: integer `300`, expected u8"
    );
}

#[test]
fn a_description_tells_its_own_flaws() {
    static FLAWED: Schema = Schema {
        name: "flawed",
        about: "",
        keys: &[
            Key::required("a", Kind::Bool, "1", "x"),
            Key::with_default("a", Kind::Text, "\"\"", "", ""),
            Key::required("b", Kind::Bool, "yes", "x"),
        ],
    };
    assert_eq!(
        FLAWED.flaws(),
        [
            "flawed: it is not explained",
            "flawed.a: its example: expected true or false, found 1",
            "flawed.a: the name is used twice",
            "flawed.a: it is not explained",
            "flawed.a: it has no example",
            "flawed.a: its default: expected text, found \"\" (it must not be empty)",
            "flawed.b: its example is not TOML: string values must be quoted, expected literal string",
        ]
    );
}

#[test]
fn time_grows_with_the_size_alone() {
    let time = |lamps: usize| {
        let mut text = "name = \"N\"\ngate = { width = 3, address = \"h:1\" }\n".to_owned();
        for lamp in 0..lamps {
            writeln!(text, "[[lamp]]\nid = \"L{lamp}\"\npower = 0\ncolour = 1\n").unwrap();
        }
        let start = std::time::Instant::now();
        let faults = parse::<Yard>(Path::new(NAME), &text, &YARD).unwrap_err();
        assert_eq!(faults.as_slice().len(), 2 * lamps);
        start.elapsed()
    };
    // Square growth would be 256 times as long. Another load on the machine may disturb some of the attempts.
    let linear = (0..5).any(|_| {
        let (small, large) = (time(1_000), time(16_000));
        println!("{small:?} for 1,000, {large:?} for 16,000");
        large < small * 64
    });
    assert!(linear, "every attempt grew faster than the file");
}

fn any_toml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("[[".to_owned()),
        Just("]]".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("=".to_owned()),
        Just("\n".to_owned()),
        Just(".".to_owned()),
        Just(",".to_owned()),
        Just("\"".to_owned()),
        Just("\"\"\"".to_owned()),
        Just("#".to_owned()),
        Just("name".to_owned()),
        Just("gate".to_owned()),
        Just("lamp".to_owned()),
        Just("bulb".to_owned()),
        Just("colours".to_owned()),
        Just("hours".to_owned()),
        Just("\"10s\"".to_owned()),
        "[0-9.eE_+-]{1,6}",
        "[a-z]{1,8}",
        "\\PC{1,3}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![any_toml(), ".{0,200}", "(?s).{0,60}"]) {
        match parse::<Yard>(Path::new(NAME), &text, &YARD) {
            Ok((yard, _)) => prop_assert!(!yard.name.is_empty()),
            Err(faults) => {
                prop_assert!(!faults.as_slice().is_empty());
                prop_assert_eq!(faults.to_string().lines().count(), faults.as_slice().len());
                let lines = text.split('\n').count();
                for fault in faults.as_slice() {
                    prop_assert!(fault.position.is_some_and(|p| p.line <= lines && p.column >= 1));
                }
            }
        }
    }

    #[test]
    fn a_change_of_a_sound_file_never_panics(at in 0usize..300, insert in "\\PC{0,3}", cut in 0usize..20) {
        let mut text = example(&YARD);
        let start = text.floor_char_boundary(at.min(text.len()));
        let end = text.floor_char_boundary((start + cut).min(text.len()));
        text.replace_range(start..end.max(start), &insert);
        if let Err(faults) = parse::<Yard>(Path::new(NAME), &text, &YARD) {
            prop_assert!(!faults.to_string().is_empty());
        }
    }
}
