//! Stations that are not ours: PyPI `ocpp`, which checks every answer against the official schemas.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::process::Command;

use crate::rig::{Gateway, PATIENCE, known};

async fn charge(version: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".patio/venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), None, known(Some("secret"), None)).await;
    let station = Command::new(python)
        .arg(root.join("edge/tests/ocpp/station.py"))
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
    charge("1.6").await;
}

#[tokio::test]
async fn a_python_station_of_2_0_1() {
    charge("2.0.1").await;
}
