//! `depot-config sign`, and what `check` says of signatures.

use std::{
    path::Path,
    process::{Command, Output},
};

use depot_config::ratings::beside;
use shared_protocol::SigningKey;

use crate::Folder;

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

[[station]]
id = "s-1"
circuit = "main"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 12
modbus = { address = "tcp://10.0.0.1:502", unit = 1, map = "patio-virtual-charger" }
"#;

fn key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

fn run(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_depot-config"))
        .args(arguments)
        .arg(file)
        .output()
        .unwrap()
}

#[test]
fn the_command_signs_and_checks() {
    let folder = Folder::new();
    let file = folder.write("depot.toml", DEPOT);
    let secret = folder.write("installer.key", &key().to_hex());
    let public = key().verifying_key().to_string();
    let check = |arguments: &[&str]| {
        let output = run(&[&["check"], arguments].concat(), &file);
        let said = [output.stdout, output.stderr].concat();
        let said = folder.relative(&String::from_utf8(said).unwrap());
        (output.status.code(), said)
    };
    let sign = || {
        let output = run(&["sign", "--key", secret.to_str().unwrap()], &file);
        assert!(output.status.success(), "{output:?}");
        folder.relative(&String::from_utf8(output.stdout).unwrap())
    };
    let (status, said) = check(&[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("its ratings are unsigned"), "{said}");
    let (status, said) = check(&["--installer", &public]);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("depot.ratings: expected ratings signed by "),
        "{said}"
    );

    assert_eq!(sign(), format!("depot.ratings: signed by {public}\n"));
    let (status, said) = check(&["--installer", &public]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains(&format!("its ratings are signed by {public}")),
        "{said}"
    );
    let other = SigningKey::from_seed([4; 32]).verifying_key().to_string();
    let (status, said) = check(&["--installer", &other]);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains(&format!("found a signature by {public}")),
        "{said}"
    );

    folder.write(
        "depot.toml",
        &DEPOT.replace("breaker = 300", "breaker = 250"),
    );
    let (status, said) = check(&[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("lower than signed: circuit[main].breaker: 250 A, signed 300 A"),
        "{said}"
    );
    folder.write(
        "depot.toml",
        &DEPOT.replace("breaker = 300", "breaker = 400"),
    );
    let (status, said) = check(&[]);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("depot.toml: expected circuit[main].breaker = at most 300 A, as the installer has signed, found 400 A"),
        "{said}"
    );
    assert_eq!(
        sign(),
        format!(
            "depot.ratings: signed by {public}\n  circuit[main].breaker: 400 A, signed 300 A before\n"
        )
    );
    assert_eq!(check(&[]).0, Some(0));
    let text = std::fs::read_to_string(beside(&file)).unwrap();
    folder.write("depot.ratings", &text[..text.len() - 3]);
    let (status, said) = check(&[]);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("expected `signature = ` and 128 hexadecimal digits"),
        "{said}"
    );
}
