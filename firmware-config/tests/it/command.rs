//! The command `firmware-config`.

use std::process::{Command, Output};

use crate::{Folder, SOUND};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firmware-config"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn check_says_sound_or_ends_with_2() {
    let folder = Folder::new();
    let sound = folder.write("sound.toml", SOUND);
    let broken = folder.write(
        "broken.toml",
        &SOUND.replace("key = \"gateway.key\"\n", "kye = \"gateway.key\"\n"),
    );
    let output = run(&["check", "gateway", sound.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        folder.relative(&String::from_utf8_lossy(&output.stdout)),
        "sound.toml: sound: gateway gw-1 at mqtts://mqtt.example.com:8883: 2 CAN buses, 1 Modbus lines with 2 devices\n"
    );
    let output = run(&[
        "check",
        "gateway",
        broken.to_str().unwrap(),
        sound.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    let said = folder.relative(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        said,
        "broken.toml:3:1: gateway: expected a key of the gateway, found `kye` (did you mean `key`?)\n"
    );
    let output = run(&[
        "check",
        "profile",
        folder.path("car.toml").to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .ends_with("car.toml: sound: Car: 1 DBC files, 1 commands\n")
    );
}

#[test]
fn schema_is_a_text_an_example_or_json() {
    for (kind, row) in [
        (
            "gateway",
            "| `quota` | an amount of bytes from \"16MiB\" to \"1TiB\" | `\"1GiB\"` |",
        ),
        ("profile", "| `listen_only` | true or false | `false` |"),
    ] {
        let reference = String::from_utf8(run(&["schema", kind]).stdout).unwrap();
        assert!(reference.contains(row), "{reference}");
        let json = String::from_utf8(run(&["schema", kind, "--json"]).stdout).unwrap();
        assert!(
            json.contains("https://json-schema.org/draft/2020-12/schema"),
            "{json}"
        );
        let example = String::from_utf8(run(&["schema", kind, "--example"]).stdout).unwrap();
        assert!(!example.is_empty());
    }
}

#[test]
fn profiles_lists_and_prints() {
    let list = String::from_utf8(run(&["profiles"]).stdout).unwrap();
    let first = list.split(':').next().unwrap();
    let text = String::from_utf8(run(&["profiles", first]).stdout).unwrap();
    assert!(text.contains("[[bus]]"), "{text}");
    let output = run(&["profiles", "none"]);
    assert_eq!(output.status.code(), Some(2));
}
