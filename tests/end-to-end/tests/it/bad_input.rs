//! What is wrong is said in one message with file, line and key, before anything is started; exit status 2.

use std::{fs, process::Command};

use end_to_end::{check, process::program};

use crate::databases;

struct Case {
    name: &'static str,
    /// Replaced in a good gateway.toml.
    replace: (&'static str, &'static str),
    /// What the message contains.
    says: &'static [&'static str],
}

const GATEWAY: &str = r#"[gateway]
id = "demo-1"
key = "gateway.key"
data = "buffer"

[cloud]
broker = "mqtt://127.0.0.1:1"
public_key = "PUBLIC"

[[modbus]]
name = "meter"
address = "tcp://127.0.0.1:1"
[[modbus.device]]
asset = "meter"
unit = 1
map = "patio-virtual-meter"
interval = "1s"
"#;

const CASES: &[Case] = &[
    Case {
        name: "unknown key",
        replace: ("data =", "dta ="),
        says: &["gateway.toml:4", "dta", "data"],
    },
    Case {
        name: "wrong unit",
        replace: ("\"1s\"", "\"1 parsec\""),
        says: &["gateway.toml:17", "interval", "parsec"],
    },
    Case {
        name: "impossible range",
        replace: ("unit = 1", "unit = 300"),
        says: &["gateway.toml:15", "unit", "300"],
    },
    Case {
        name: "missing file",
        replace: ("gateway.key", "nothing.key"),
        says: &["gateway.toml:3", "nothing.key"],
    },
    Case {
        name: "bad id",
        replace: ("demo-1", "Demo/1"),
        says: &["gateway.toml:2", "Demo/1"],
    },
    Case {
        name: "unknown map",
        replace: ("patio-virtual-meter", "patio-virtual-metre"),
        says: &["gateway.toml:16", "patio-virtual-meter"],
    },
];

#[test]
fn a_gateway_names_file_line_and_key_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let edge = program("edge").unwrap();
    let made = Command::new(&edge)
        .args(["keygen", "--out"])
        .arg(folder.path().join("gateway.key"))
        .output()
        .unwrap();
    assert!(made.status.success());
    let good = GATEWAY.replace("PUBLIC", String::from_utf8(made.stdout).unwrap().trim());
    let config = folder.path().join("gateway.toml");
    fs::write(&config, &good).unwrap();
    let checked = Command::new(&edge)
        .args(["check", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    for case in CASES {
        assert!(good.contains(case.replace.0), "{}", case.name);
        fs::write(&config, good.replacen(case.replace.0, case.replace.1, 1)).unwrap();
        let run = Command::new(&edge)
            .args(["run", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(2), "{}: {message}", case.name);
        for word in case.says {
            assert!(
                message.contains(word),
                "{}: no `{word}` in: {message}",
                case.name
            );
        }
        assert!(
            !folder.path().join("buffer").exists(),
            "{}: something was started",
            case.name
        );
    }
}

#[test]
fn a_key_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k");
    fs::write(&path, "precious").unwrap();
    for name in ["edge", "cloud-ingest"] {
        let made = Command::new(program(name).unwrap())
            .args(["keygen", "--out"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(made.status.code(), Some(2), "{name}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_permits_nothing_is_said_and_nothing_is_made() {
    let Some((_, url)) = databases().into_iter().next() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let name = format!("patio_bad_input_{}", std::process::id());
    let database = check::fresh_database(&url, &name).await.unwrap();
    let client = check::connect(&database).await.unwrap();
    client
        .batch_execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'x'"))
        .await
        .unwrap();
    let host = database.split_once('@').unwrap().1;
    let stranger = format!("postgres://{name}:x@{host}");
    let cloud = program("cloud-ingest").unwrap();
    let key = folder.path().join("cloud.key");
    let made = Command::new(&cloud)
        .args(["keygen", "--out"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success());
    let config = folder.path().join("cloud.toml");
    let text = format!(
        "[database]\nurl = {stranger:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nbroker = \"embedded\"\n\
         listen = \"127.0.0.1:0\"\n[keys]\nsigning = {key:?}\n"
    );
    fs::write(&config, text).unwrap();
    let run = Command::new(&cloud)
        .env_remove("PATIO_DATABASE_URL")
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{message}");
    assert!(
        message.contains("permission denied") && message.contains("has to put it right"),
        "{message}"
    );
    let schemas = client
        .query(
            "SELECT FROM pg_namespace WHERE nspname IN ('platform', 'telemetry')",
            &[],
        )
        .await
        .unwrap();
    assert!(schemas.is_empty(), "something was made");

    drop(client);
    let server = check::connect(&url).await.unwrap();
    server
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .unwrap();
    server
        .batch_execute(&format!("DROP ROLE {name}"))
        .await
        .unwrap();
}
