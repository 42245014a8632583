//! The configuration file: each fault with its exact words, status 2, and nothing started.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use crate::machine::{program, run, stderr};

/// A folder with a good key, a key that others may read, and a file that is no key.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(
        run(&["keygen", "--out", at("cloud.key").to_str().unwrap()])
            .status
            .success()
    );
    std::fs::copy(at("cloud.key"), at("open.key")).unwrap();
    std::fs::write(at("text.key"), "secret").unwrap();
    std::fs::write(at("some.pem"), "").unwrap();
    let mode = |name, mode| {
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("open.key", 0o644);
    mode("text.key", 0o600);
    folder
}

/// Runs a command on a file with this content; messages come back with the folder's name taken out.
fn with(folder: &Path, text: &str, command: &[&str]) -> (Output, String) {
    let file = folder.join("cloud.toml");
    std::fs::write(&file, text).unwrap();
    let output = program().args(command).arg(&file).output().unwrap();
    let said = stderr(&output).replace(&format!("{}/", folder.display()), "");
    (output, said)
}

const GOOD: &str = "database.url = \"postgres://u@h/d\"\nkeys.signing = \"cloud.key\"\n";

/// What is added to a good file, and what is said about it.
const FAULTS: &[(&str, &str)] = &[
    (
        "[http]\nlisten = \"localhost:80\"",
        "cloud.toml:4:10: http.listen: expected an IP address and a port such as \"127.0.0.1:8080\", found \
         \"localhost:80\" (IPv6 addresses stand in brackets, and names are not looked up)",
    ),
    (
        "[http]\nlisten = \"0.0.0.0:80\"",
        "cloud.toml:4:10: http.listen: 0.0.0.0:80 can be reached from outside this machine, and keys and answers go \
         over it as they are, without TLS (listen on 127.0.0.1, or write trusted_network = true in [http] if you mean it)",
    ),
    (
        "[mqtt]\nlisten = \"[::]:1883\"",
        "cloud.toml:4:10: mqtt.listen: [::]:1883 can be reached from outside this machine, and nobody is asked who \
         they are there (listen on 127.0.0.1, or write trusted_network = true in [mqtt] if you mean it)",
    ),
    (
        "[mqtt]\nbroker = \"tcp://b\"",
        "cloud.toml:4:10: mqtt.broker: expected \"embedded\", or a broker such as \"mqtt://host:1883\" or \
         \"mqtts://host:8883\", found \"tcp://b\" (it begins with neither mqtt:// nor mqtts://)",
    ),
    (
        "[mqtt]\nbroker = \"mqtt://b\"\nlisten = \"127.0.0.1:1\"\nca = \"some.pem\"",
        "cloud.toml:5:10: mqtt.listen: this key is for the embedded broker (remove it)\n\
         cloud.toml:6:6: mqtt.ca: this key is for mqtts:// brokers (remove it)",
    ),
    (
        "[mqtt]\nbroker = \"mqtts://b\"\ncertificate = \"some.pem\"",
        "cloud.toml:3:1: mqtt.ca: mqtts needs the certificates of those who may sign the broker's (name a PEM file; \
         the system's own list is not used)\n\
         cloud.toml:5:15: mqtt.certificate: certificate and key go together",
    ),
    (
        "[mqtt]\nshared_group = \"g\"",
        "cloud.toml:4:16: mqtt.shared_group: this key is for an external broker (remove it)",
    ),
    (
        "[ingest]\nqueue = \"8MiB\"\nqueue_per_gateway = \"9MiB\"\nbatch = 0",
        "cloud.toml:6:9: ingest.batch: expected an integer from 1 to 4096, found 0",
    ),
    (
        "[ingest]\nqueue = \"8MiB\"\nqueue_per_gateway = \"9MiB\"",
        "cloud.toml:5:21: ingest.queue_per_gateway: expected at most ingest.queue, found \"9MiB\"",
    ),
    (
        "[log]\nlevel = \"loud\"\nformt = \"json\"",
        "cloud.toml:4:9: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", \"trace\", found \"loud\"\n\
         cloud.toml:5:1: log: expected a key of the log, found `formt` (did you mean `format`?)",
    ),
];

#[test]
fn every_fault_is_told_with_its_place() {
    let folder = folder();
    for (added, expected) in FAULTS {
        let (output, said) = with(
            folder.path(),
            &format!("{GOOD}{added}\n"),
            &["serve", "--config"],
        );
        assert_eq!(said.trim_end(), *expected, "{added}");
        assert_eq!(output.status.code(), Some(2), "{added}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn keys_and_database_are_needed() {
    let folder = folder();
    for (text, expected) in [
        (
            "database.url = \"postgres://u@h/d\"",
            "cloud.toml:1:1: keys: expected a table, found none (write [keys])",
        ),
        (
            "keys.signing = \"cloud.key\"",
            "cloud.toml:1:1: database.url: the database is not named (write its URL here, or put it into \
             PATIO_DATABASE_URL)",
        ),
        (
            "database.url = \"postgres://u@h/d\"\nkeys.signing = \"none.key\"",
            "cloud.toml:2:16: keys.signing: expected a readable file at none.key, found none",
        ),
        (
            "database.url = \"postgres://u@h/d\"\nkeys.signing = \"open.key\"",
            "cloud.toml:2:16: keys.signing: open.key: others than its owner may use the file (mode 644) (chmod 600 \
             open.key)",
        ),
        (
            "database.url = \"postgres://u@h/d\"\nkeys.signing = \"text.key\"",
            "cloud.toml:2:16: keys.signing: text.key: it does not hold a key: expected 64 hexadecimal digits (make one \
             with `cloud-ingest keygen --out FILE`, not over text.key)",
        ),
    ] {
        let (output, said) = with(folder.path(), text, &["serve", "--config"]);
        assert_eq!(said.trim_end(), expected, "{text}");
        assert_eq!(output.status.code(), Some(2), "{text}");
    }
    let missing = folder.path().join("none.toml");
    let output = run(&["serve", "--config", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        format!("{}: there is no such file\n", missing.display())
    );
}

#[test]
fn a_good_file_is_good() {
    let folder = folder();
    let (output, said) = with(folder.path(), GOOD, &["config", "check"]);
    assert!(output.status.success(), "{said}");
    let tls = format!(
        "{GOOD}[mqtt]\nbroker = \"mqtts://b\"\nca = \"some.pem\"\ncertificate = \"some.pem\"\nkey = \"some.pem\"\n\
         shared_group = \"ingest\"\n"
    );
    let (output, said) = with(folder.path(), &tls, &["config", "check"]);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_example_explains_itself() {
    let example = String::from_utf8(run(&["config", "example"]).stdout).unwrap();
    let reference = String::from_utf8(run(&["config", "reference"]).stdout).unwrap();
    for key in [
        "connections",
        "trusted_network",
        "shared_group",
        "batch_wait",
        "signing",
        "format",
    ] {
        assert!(example.contains(key) && reference.contains(key), "{key}");
    }
    let schema = run(&["config", "schema"]).stdout;
    let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap();
    assert!(schema["properties"]["mqtt"]["properties"]["broker"].is_object());
}

#[test]
fn a_key_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud.key");
    let path = path.to_str().unwrap();
    let made = run(&["keygen", "--out", path]);
    let public = String::from_utf8(made.stdout).unwrap();
    assert_eq!(public.trim().len(), 64);
    let before = std::fs::read(path).unwrap();
    let again = run(&["keygen", "--out", path]);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(
        stderr(&again),
        format!(
            "{path}: there is a file of this name already, and a key is never overwritten (choose another name, or \
             move the old key away)\n"
        )
    );
    assert_eq!(std::fs::read(path).unwrap(), before);
}

#[test]
fn the_command_line_is_checked() {
    for args in [
        &["serve"][..],
        &["gateway", "add", "--id", "Depot", "--public-key", "00"],
        &["gateway", "add", "--id", "depot", "--public-key", "00"],
        &["gateway", "list"],
        &["gateway", "list", "--database", "mysql://x"],
        &["database", "check", "--database", "postgres://h/d"],
        &["frobnicate"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            !stderr(&output).is_empty() && output.stdout.is_empty(),
            "{args:?}"
        );
    }
}
