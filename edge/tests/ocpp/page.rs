//! The gateway's page and stations that speak OCPP: transactions begin and end, and a car comes first. What a station has
//! taken is not written to it again, and each of several connectors has limits of its own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    rig::{PATIENCE, Station},
    wiring::{DEPOT, limit, profiles, started},
};

const PIN: &str = "493021";

/// `[control]` and `[page]` on a port that was free a moment ago.
fn pages() -> (u16, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let pin = edge::page::hash(PIN).unwrap();
    let text = format!(
        "[control]\ndepot = \"depot.toml\"\n\n[page]\nlisten = \"127.0.0.1:{port}\"\npin = \"{pin}\"\ntoken = \"card\"\n"
    );
    (port, text)
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// The newest payload of calls of this action.
fn newest(station: &Station, action: &str) -> Value {
    let mut calls = station.calls.iter().rev();
    let found = calls.find(|(of, _)| of == action);
    found.map_or(Value::Null, |(_, payload)| payload.clone())
}

async fn boot(station: &mut Station, serial: &str) {
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M", "chargePointSerialNumber": serial});
    station.ask("BootNotification", &boot).await.unwrap();
}

/// Presses a button while the station answers.
async fn press(browser: &Browser, station: &mut Station, act: &str, action: &str) -> String {
    let before = station.calls.iter().filter(|(of, _)| of == action).count();
    let called =
        |calls: &[(String, Value)]| calls.iter().filter(|(of, _)| of == action).count() > before;
    let (said, ()) = tokio::join!(browser.act(act, "charger-1"), station.listen(called));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_begin_and_end_from_the_page() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), DEPOT).unwrap();
    let (port, more) = pages();
    let (running, address) = started(folder.path(), &more);
    let mut browser = Browser::new(port);
    assert_eq!(browser.enter(PIN).await, 303);
    let said = browser.act("start", "charger-1").await;
    assert!(said.contains("no hay comunicación"), "{said}");

    let mut station = Station::connect(address).await.unwrap();
    boot(&mut station, "A").await;
    let told = |purpose: &'static str| {
        move |calls: &[(String, Value)]| !profiles(calls, purpose).is_empty()
    };
    station.listen(told("ChargePointMaxProfile")).await;
    let said = browser.act("first", "charger-1").await;
    assert!(said.contains("no hay auto"), "{said}");

    station.status = "Rejected";
    let said = press(&browser, &mut station, "start", "RemoteStartTransaction").await;
    assert!(said.contains("contesta que no (Rejected)"), "{said}");
    station.status = "Accepted";
    let said = press(&browser, &mut station, "start", "RemoteStartTransaction").await;
    assert!(said.contains("va a iniciar"), "{said}");
    let asked = newest(&station, "RemoteStartTransaction");
    assert_eq!(asked, json!({"connectorId": 1, "idTag": "card"}));
    let begin = json!({"connectorId": 1, "idTag": "card", "meterStart": 0, "timestamp": now()});
    let begun = station.ask("StartTransaction", &begin).await.unwrap();
    assert_eq!(begun["idTagInfo"]["status"], "Accepted");
    station.listen(told("TxProfile")).await;
    let number = begun["transactionId"].as_i64().unwrap();

    let said = browser.act("first", "charger-1").await;
    assert!(said.contains("va primero"), "{said}");
    let shown = || running.status().control.unwrap().stations[0].clone();
    let began = Instant::now();
    while shown().wanted != Some(edge::control::Want::First)
        || shown().transaction != Some(number.to_string())
    {
        assert!(began.elapsed() < PATIENCE, "{:?}", shown());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let said = press(&browser, &mut station, "stop", "RemoteStopTransaction").await;
    assert!(said.contains("se detiene"), "{said}");
    let asked = newest(&station, "RemoteStopTransaction");
    assert_eq!(asked, json!({ "transactionId": number }));
    let end = json!({"transactionId": number, "meterStop": 100, "timestamp": now()});
    station.ask("StopTransaction", &end).await.unwrap();
    // The next car is another one: it is not the first.
    let begin = json!({"connectorId": 1, "idTag": "card", "meterStart": 100, "timestamp": now()});
    station.ask("StartTransaction", &begin).await.unwrap();
    while shown().wanted == Some(edge::control::Want::First) || !shown().car {
        assert!(began.elapsed() < PATIENCE, "{:?}", shown());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_that_a_device_has_is_not_written_to_it_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), DEPOT).unwrap();
    let mut ceilings = Vec::new();
    // The same device in two runs, then another one.
    for serial in ["A", "A", "B"] {
        let (running, address) = started(folder.path(), "[control]\ndepot = \"depot.toml\"\n");
        let mut station = Station::connect(address).await.unwrap();
        boot(&mut station, serial).await;
        station
            .listen(|calls| !profiles(calls, "TxDefaultProfile").is_empty())
            .await;
        // What is told once comes before the second lease.
        let begin = json!({"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": now()});
        let begun = station.ask("StartTransaction", &begin).await.unwrap();
        station
            .listen(|calls| profiles(calls, "TxProfile").len() > 1)
            .await;
        ceilings.push(profiles(&station.calls, "ChargePointMaxProfile").len());
        let kept = folder.path().join("data/told.json");
        let began = Instant::now();
        while !std::fs::read_to_string(&kept).is_ok_and(|text| text.contains(serial)) {
            assert!(began.elapsed() < PATIENCE, "nothing is remembered");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let number = &begun["transactionId"];
        let end = json!({"transactionId": number, "meterStop": 100, "timestamp": now()});
        station.ask("StopTransaction", &end).await.unwrap();
        running.stop().await;
    }
    assert_eq!(ceilings, [1, 0, 1]);
}

const TWO: &str = r#"
[depot]
id = "test"
name = "Test"
time_zone = "America/Mexico_City"
latitude = 19.4
longitude = -99.1
voltage_system = "220Y/127"

[[circuit]]
id = "main"
breaker = 100

[[circuit]]
id = "supply"
parent = "main"
breaker = 50

[[station]]
id = "charger-1"
circuit = "supply"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 6
ocpp = { id = "CP-1", version = "1.6" }

[[station]]
id = "charger-1.2"
circuit = "supply"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 8
ocpp = { id = "CP-1", version = "1.6" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_connector_has_limits_of_its_own_under_the_stations_supply() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), TWO).unwrap();
    let (running, address) = started(folder.path(), "[control]\ndepot = \"depot.toml\"\n");
    let mut station = Station::connect(address).await.unwrap();
    boot(&mut station, "A").await;
    station
        .listen(|calls| !profiles(calls, "ChargePointMaxProfile").is_empty())
        .await;
    let of = |calls: &[(String, Value)], purpose: &str| -> Vec<(i64, f64)> {
        let told = profiles(calls, purpose).into_iter();
        let told = told.map(|one| (one["connectorId"].as_i64().unwrap(), limit(one)));
        told.collect()
    };
    assert_eq!(of(&station.calls, "TxDefaultProfile"), [(1, 6.0), (2, 8.0)]);
    // Two of 32 A on a supply that may carry 40 A.
    assert_eq!(of(&station.calls, "ChargePointMaxProfile"), [(0, 40.0)]);
    let mut numbers = Vec::new();
    for connector in [1, 2] {
        let begin =
            json!({"connectorId": connector, "idTag": "CARD", "meterStart": 0, "timestamp": now()});
        let begun = station.ask("StartTransaction", &begin).await.unwrap();
        numbers.push(begun["transactionId"].clone());
    }
    // Both are raised, to no more than what the supply may carry.
    let newest = |calls: &[(String, Value)], connector: i64| {
        let told = of(calls, "TxProfile");
        let mut told = told.into_iter().rev();
        told.find(|(at, _)| *at == connector)
            .map_or(0.0, |one| one.1)
    };
    station
        .listen(|calls| {
            let (one, two) = (newest(calls, 1), newest(calls, 2));
            assert!(one + two <= 40.0, "{one} and {two} A");
            one >= 10.0 && two >= 10.0
        })
        .await;
    for (connector, number) in (1..).zip(&numbers) {
        let told = profiles(&station.calls, "TxProfile");
        let mut told = told.iter().filter(|one| one["connectorId"] == connector);
        assert!(told.all(|one| one["csChargingProfiles"]["transactionId"] == *number));
    }
    let shown = running.status().control.unwrap();
    assert_eq!((shown.charging, shown.stations.len()), (2, 2));
    running.stop().await;
}
