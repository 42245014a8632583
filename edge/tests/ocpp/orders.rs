//! What the cloud has stations do: each command of the table reaches stations of both versions, and what cannot be done is
//! refused with its reason.

use std::{path::Path, process::Stdio, time::Instant};

use edge::{commands::Desk, supervise::Beat};
use serde_json::{Value, json};
use shared_protocol::{Command, CommandBody, StationOrder, station_commands};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::rig::{Gateway, PATIENCE, Station, known};

/// An order to the station of these tests.
fn order(command: &str, with: &Value) -> StationOrder {
    let text = json!({ "station": "CP-1", "command": command, "with": with });
    StationOrder::parse(&text.to_string()).unwrap()
}

/// Parameters with which a command can be done.
fn example(command: &str, transaction: &str) -> Value {
    match command {
        "remote-start" => json!({ "token": "CARD", "connector": 1 }),
        "remote-stop" | "transaction-status" => json!({ "transaction": transaction }),
        "unlock" => json!({ "connector": 1 }),
        "reset" => json!({ "how": "soft" }),
        "change-availability" => json!({ "connector": 0, "service": "in" }),
        "get-configuration" => {
            json!({ "component": "SampledDataCtrlr", "variable": "TxUpdatedInterval" })
        }
        "set-configuration" => {
            json!({ "component": "SampledDataCtrlr", "variable": "TxUpdatedInterval", "value": "60" })
        }
        "update-firmware" => {
            json!({ "location": "https://example.com/fw.bin", "at": "2026-05-04T10:00:00Z" })
        }
        "get-diagnostics" => json!({ "location": "https://example.com/logs" }),
        "trigger" => json!({ "message": "status", "connector": 1 }),
        "reserve" => {
            json!({ "reservation": 7, "connector": 1, "token": "CARD", "until": "2026-05-04T10:00:00Z" })
        }
        "cancel-reservation" => json!({ "reservation": 7 }),
        "set-profile" => {
            json!({ "profile": 1000, "connector": 1, "purpose": "default", "level": 1, "amperes": 10.5 })
        }
        "clear-profile" => json!({ "profile": 1000 }),
        "composite-schedule" => json!({ "connector": 1, "seconds": 600 }),
        _ => json!({}),
    }
}

async fn obeyed(version: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".patio/venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), None, known(Some("secret"), None)).await;
    let mut station = tokio::process::Command::new(python)
        .arg(root.join("edge/tests/ocpp/obedient.py"))
        .args([version, &gateway.address.port().to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(station.stdout.take().unwrap()).lines();
    let transaction = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    let transaction = transaction.unwrap().unwrap().unwrap();
    let mut done = 0;
    for (number, command) in (1..).zip(station_commands()) {
        let order = order(&command.name, &example(&command.name, &transaction));
        match gateway.central.order(order, number).await {
            Ok(_) => done += 1,
            Err(reason) => assert!(
                reason.starts_with(&format!("OCPP {version} has no")),
                "{}: {reason}",
                command.name
            ),
        }
    }
    let all = station_commands().len();
    println!("{done} of {all} commands are obeyed by a station of OCPP {version}");
    assert!(done >= all - 1, "{done} of {all}");
    // The answer comes along.
    let asked = order("get-configuration", &example("get-configuration", ""));
    let said = gateway.central.order(asked, 99).await.unwrap();
    assert!(said.contains("60"), "{said}");
    gateway.kill().await;
}

#[tokio::test]
async fn a_python_station_of_1_6_obeys() {
    obeyed("1.6").await;
}

#[tokio::test]
async fn a_python_station_of_2_0_1_obeys() {
    obeyed("2.0.1").await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), None, known(Some("secret"), None)).await;
    let central = gateway.central.clone();
    let refused = async |command: &str, with: &Value, why: &str| {
        let reason = central.order(order(command, with), 1).await.unwrap_err();
        assert!(reason.contains(why), "{command} {with}: {reason}");
    };
    let start = json!({ "token": "CARD", "connector": 1 });
    refused("remote-start", &start, "station CP-1 is not connected").await;
    let mut stranger = order("clear-cache", &json!({}));
    stranger.station = "CP-9".into();
    let reason = central.order(stranger, 1).await.unwrap_err();
    assert!(reason.contains("called CP-9"), "{reason}");

    let mut station = Station::connect(gateway.address).await.unwrap();
    let boot = json!({ "chargePointVendor": "V", "chargePointModel": "M" });
    station.ask("BootNotification", &boot).await.unwrap();
    let failed = json!({ "connectorId": 1, "errorCode": "GroundFailure", "status": "Faulted" });
    station.ask("StatusNotification", &failed).await.unwrap();
    refused("remote-start", &start, "ground failure").await;
    let out = json!({ "connectorId": 1, "errorCode": "NoError", "status": "Unavailable" });
    station.ask("StatusNotification", &out).await.unwrap();
    refused("remote-start", &start, "unavailable").await;
    let stop = json!({ "transaction": "12" });
    refused("remote-stop", &stop, "transaction 12 does not go on").await;
    let stop = json!({ "transaction": "tx-1" });
    refused("remote-stop", &stop, "has numbers for transactions").await;
    refused("unlock", &json!({ "connector": 0 }), "has no lock").await;
    refused("transaction-status", &stop, "OCPP 1.6 has no").await;
    let long = json!({ "token": "A token of more than twenty characters", "connector": 1 });
    refused("remote-start", &long, "not a valid request").await;

    // Nobody has asked the station anything so far; now it refuses itself.
    assert!(station.calls.is_empty(), "{:?}", station.calls);
    station.status = "Rejected";
    let asked = central.order(order("clear-cache", &json!({})), 1);
    let answered = station.listen(|calls| !calls.is_empty());
    let (result, ()) = tokio::join!(asked, answered);
    assert_eq!(
        result.unwrap_err(),
        "the station says {\"status\":\"Rejected\"}"
    );

    // One that goes away before it answers leaves nobody waiting.
    let asked = central.order(order("clear-cache", &json!({})), 1);
    let gone = async {
        while station.calls.len() < 2 {
            station.overhear().await;
        }
        drop(station);
    };
    let (result, ()) = tokio::join!(asked, gone);
    assert!(result.is_err(), "{result:?}");
    gateway.kill().await;
}

#[tokio::test]
async fn a_signed_command_ends_with_the_stations_answer() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), None, known(Some("secret"), None)).await;
    let desk = tempfile::tempdir().unwrap();
    let (desk, put) = Desk::new(
        desk.path().to_owned(),
        gateway.clock.clone(),
        gateway.buffer.clone(),
    );
    let desk = desk.before(Some(gateway.central.clone()));
    let working = tokio::spawn(async move { desk.work(&Beat::free()).await });
    let now = gateway.clock.wall_us().unwrap_or(0);
    let give = async |id: u8, order: Value| {
        let command = Command {
            gateway: "gw-1".parse().unwrap(),
            id: [id; 16],
            issued_us: now,
            expires_us: now + 600_000_000,
            body: CommandBody::Station(order.to_string()),
        };
        put.send(command).await.unwrap();
    };
    let mut station = Station::connect(gateway.address).await.unwrap();
    let boot = json!({ "chargePointVendor": "V", "chargePointModel": "M" });
    station.ask("BootNotification", &boot).await.unwrap();
    give(1, json!({ "station": "CP-1", "command": "clear-cache" })).await;
    station.listen(|calls| !calls.is_empty()).await;
    assert_eq!(station.calls[0].0, "ClearCache");
    give(2, json!({ "station": "CP-2", "command": "clear-cache" })).await;
    // Twice is once.
    give(1, json!({ "station": "CP-1", "command": "clear-cache" })).await;
    let began = Instant::now();
    let answers = loop {
        let records = gateway.records().await;
        let answers = records
            .iter()
            .filter(|record| record.kind == "command.answer");
        let answers: Vec<Value> = answers
            .map(|record| serde_json::from_str(&record.payload).unwrap())
            .collect();
        if answers.len() == 2 {
            break answers;
        }
        assert!(began.elapsed() < PATIENCE, "{answers:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let of = |id: u8| {
        let name = hex::encode([id; 16]);
        answers
            .iter()
            .find(|answer| answer["command"] == name)
            .unwrap()
    };
    let (done, refused) = (of(1), of(2));
    assert_eq!(
        (&done["result"], &done["detail"]),
        (&json!("done"), &json!("{\"status\":\"Accepted\"}"))
    );
    assert_eq!(refused["result"], "refused");
    assert!(refused["detail"].as_str().unwrap().contains("called CP-2"));
    assert_eq!(station.calls.len(), 1);
    working.abort();
    gateway.kill().await;
}
