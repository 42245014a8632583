//! Checking, schemas and device maps.

use std::process::{Command, Output};

use crate::Folder;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_depot-config"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn check_says_sound_or_ends_with_2() {
    let folder = Folder::new();
    let sound = folder.write(
        "sound.toml",
        include_str!("../../../tests/broken/maps/meter.toml"),
    );
    let broken = folder.write("broken.toml", "model = 3\n");
    let output = run(&["check", "--kind", "device", sound.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("sound.toml: sound: Test Meter: 1 points")
    );
    let output = run(&[
        "check",
        "--kind",
        "device",
        broken.to_str().unwrap(),
        sound.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    let said = folder.relative(&String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("broken.toml:1:9: model: expected text, found 3 (write it in quotes)\n"),
        "{said}"
    );
    assert!(
        said.contains("broken.toml:1:1: manufacturer: expected text, found none"),
        "{said}"
    );
    let output = run(&["check", "no-such-depot.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "no-such-depot.toml: there is no such file\n"
    );
}

#[test]
fn schema_is_a_text_an_example_or_json() {
    let reference = String::from_utf8(run(&["schema"]).stdout).unwrap();
    assert!(
        reference.contains("| `rated_100_percent` | true or false | `false` |"),
        "{reference}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["schema", "device", "--json"]).stdout).unwrap();
    assert_eq!(
        json["properties"]["kind"]["enum"],
        serde_json::json!(["meter", "charger"])
    );
    let folder = Folder::new();
    let example = String::from_utf8(run(&["schema", "--example"]).stdout).unwrap();
    let example = folder.write(
        "depot.toml",
        &example.replace("\"map.toml\"", "\"charger.toml\""),
    );
    let output = run(&["check", example.to_str().unwrap()]);
    let said = folder.relative(&String::from_utf8_lossy(&output.stderr));
    // The example has one map for a station and a meter; everything else in it is sound.
    assert!(
        said.contains("expected the map of a meter, found that of a charger"),
        "{said}"
    );
}

#[test]
fn devices_lists_and_prints() {
    let list = String::from_utf8(run(&["devices"]).stdout).unwrap();
    let first = list.split(':').next().unwrap();
    let text = String::from_utf8(run(&["devices", first]).stdout).unwrap();
    assert!(text.contains("manufacturer = "), "{text}");
    let output = run(&["devices", "none"]);
    assert_eq!(output.status.code(), Some(2));
}
