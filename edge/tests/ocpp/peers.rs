//! Stations that are not ours: PyPI `ocpp` and npm `ocpp-rpc` in strict mode. Both check every answer against the official
//! schemas.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::process::Command;

use crate::rig::{Gateway, PATIENCE, known};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A station by PyPI's library.
async fn python(version: &str) {
    let python = root().join(".patio/venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
        return;
    }
    let mut station = Command::new(python);
    station.arg(root().join("edge/tests/ocpp/station.py"));
    charge(station, version).await;
}

/// A station by npm's library, in strict mode.
async fn strict(version: &str) {
    let modules = root().join(".patio/node/node_modules");
    if !modules.join("ocpp-rpc").exists() {
        eprintln!("skipped: no .patio/node (scripts/node-peers makes it, where there is npm)");
        return;
    }
    let mut station = Command::new("node");
    station.arg(root().join("edge/tests/ocpp/strict.cjs"));
    station.arg(modules);
    charge(station, version).await;
}

/// A station charges once, and what it has told is told once. The program is given the version and the port.
async fn charge(mut station: Command, version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), None, known(Some("secret"), None)).await;
    let station = station
        .args([version, &gateway.address.port().to_string()])
        .kill_on_drop(true)
        .output();
    let said = tokio::time::timeout(PATIENCE * 2, station)
        .await
        .unwrap()
        .unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(
        (&said["boot"], &said["token"]),
        (&"Accepted".into(), &"Accepted".into())
    );
    let began = Instant::now();
    let told = loop {
        let records = gateway.records().await;
        let of = |record: shared_protocol::Record| -> (String, Value) {
            (record.kind, serde_json::from_str(&record.payload).unwrap())
        };
        let told: Vec<_> = records
            .into_iter()
            .map(of)
            .filter(|(kind, _)| kind.starts_with("transaction."))
            .collect();
        if told.iter().any(|(kind, _)| kind == "transaction.ended") {
            break told;
        }
        assert!(began.elapsed() < PATIENCE, "no end has come: {told:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "transaction.started",
            "transaction.updated",
            "transaction.ended"
        ]
    );
    for (number, (_, one)) in told.iter().enumerate() {
        assert_eq!(
            (&one["transaction"], &one["entry"]),
            (&said["transaction"], &number.into())
        );
    }
    assert_eq!(told[2].1["energy_mwh"], 1_500_000);
    gateway.kill().await;
}

#[tokio::test]
async fn a_python_station_of_1_6() {
    python("1.6").await;
}

#[tokio::test]
async fn a_python_station_of_2_0_1() {
    python("2.0.1").await;
}

#[tokio::test]
async fn a_strict_station_of_1_6() {
    strict("ocpp1.6").await;
}

#[tokio::test]
async fn a_strict_station_of_2_0_1() {
    strict("ocpp2.0.1").await;
}

#[tokio::test]
async fn a_strict_station_of_2_1() {
    strict("ocpp2.1").await;
}
