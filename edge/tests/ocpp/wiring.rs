//! A whole gateway with a central system in it, from its configuration on.

use std::{net::SocketAddr, time::Instant};

use edge::{
    control::commission,
    gateway::{Around, StartError, start},
};
use firmware_config::gateway::Gateway;
use serde_json::{Value, json};
use shared_protocol::SigningKey;

use crate::rig::{PATIENCE, Station};

/// Starts a gateway on a port that was free a moment ago. `more` is added to its configuration.
pub(crate) fn started(
    folder: &std::path::Path,
    more: &str,
) -> (edge::gateway::Running, SocketAddr) {
    for _ in 0..20 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        if let Some(running) = started_at(folder, address, "secret", more) {
            return (running, address);
        }
    }
    panic!("no port is free");
}

/// Starts a gateway that listens there, for a station with this password; `None` when somebody has taken the port.
pub(crate) fn started_at(
    folder: &std::path::Path,
    address: SocketAddr,
    password: &str,
    more: &str,
) -> Option<edge::gateway::Running> {
    let key = SigningKey::from_seed([5; 32]);
    std::fs::write(folder.join("gateway.key"), key.to_hex()).unwrap();
    let password = hex::encode(crate::rig::digest(password.as_bytes()));
    let text = format!(
        "[gateway]\nid = \"gw-1\"\nkey = \"gateway.key\"\ndata = \"data\"\n\n\
         [cloud]\nbroker = \"mqtt://127.0.0.1:1\"\npublic_key = \"{}\"\n\n\
         [stations]\nlisten = \"{address}\"\ninsecure_stations = true\n\n\
         [[stations.station]]\nid = \"CP-1\"\nasset = \"charger-1\"\npassword_sha256 = \"{password}\"\n\n\
         [[stations.token]]\nid = \"card\"\n\n{more}",
        key.verifying_key()
    );
    let path = folder.join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    match start(Gateway::read(&path).unwrap(), &Around::default()) {
        Ok(running) => Some(running),
        Err(StartError::Stations { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_serves_stations_and_remembers_them() {
    let folder = tempfile::tempdir().unwrap();
    let begin = json!({"connectorId": 1, "idTag": "CARD", "meterStart": 7, "timestamp": "2026-05-04T10:00:00Z"});
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let (running, address) = started(folder.path(), "");
        let mut station = Station::connect(address).await.unwrap();
        let answer = station.ask("StartTransaction", &begin).await.unwrap();
        assert_eq!(answer["idTagInfo"]["status"], "Accepted");
        numbers.push(answer["transactionId"].as_i64().unwrap());
        let loops = running.status().loops;
        for name in ["stations", "stations:records"] {
            assert!(loops.iter().any(|one| one.name == name), "{name}");
        }
        running.stop().await;
    }
    assert_eq!(
        numbers[0], numbers[1],
        "the same start before and after the gateway's"
    );
}

pub(crate) const DEPOT: &str = r#"
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

[[station]]
id = "charger-1"
circuit = "main"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 6
ocpp = { id = "CP-1", version = "1.6" }
"#;

/// The limit of a profile.
pub(crate) fn limit(profile: &Value) -> f64 {
    let schedule = &profile["csChargingProfiles"]["chargingSchedule"];
    let period = &schedule["chargingSchedulePeriod"][0];
    period["limit"].as_f64().unwrap()
}

/// The profiles of a purpose that a station was told, oldest first.
pub(crate) fn profiles<'a>(calls: &'a [(String, Value)], purpose: &str) -> Vec<&'a Value> {
    let profiles = calls
        .iter()
        .filter(|(action, _)| action == "SetChargingProfile");
    let profiles = profiles.map(|(_, payload)| payload);
    profiles
        .filter(|one| one["csChargingProfiles"]["chargingProfilePurpose"] == purpose)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_is_told_what_to_fall_back_to_and_gets_leases_while_a_car_charges() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), DEPOT).unwrap();
    let control = "[control]\ndepot = \"depot.toml\"\n";
    let (running, address) = started(folder.path(), control);
    let shown = || running.status().control.unwrap();
    let mut station = Station::connect(address).await.unwrap();
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    station.ask("BootNotification", &boot).await.unwrap();
    station
        .listen(|calls| !profiles(calls, "TxDefaultProfile").is_empty())
        .await;
    let fallback = profiles(&station.calls, "TxDefaultProfile")[0];
    assert_eq!(
        (limit(fallback), &fallback["connectorId"]),
        (6.0, &json!(0))
    );

    // Once after its boot: a ceiling, and how often it measures.
    let measures = |calls: &[(String, Value)]| {
        let mut changes = calls
            .iter()
            .filter(|(action, _)| action == "ChangeConfiguration");
        let interval = json!({"key": "MeterValueSampleInterval", "value": "5"});
        changes.any(|(_, payload)| *payload == interval)
    };
    station.listen(measures).await;
    let ceiling = profiles(&station.calls, "ChargePointMaxProfile")[0];
    assert_eq!((limit(ceiling), &ceiling["connectorId"]), (32.0, &json!(0)));

    // Without a car there is nothing to be told.
    let begin = json!({"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": jiff::Timestamp::now().to_string()});
    assert!(profiles(&station.calls, "TxProfile").is_empty());
    let begun = station.ask("StartTransaction", &begin).await.unwrap();
    station
        .listen(|calls| !profiles(calls, "TxProfile").is_empty())
        .await;
    let lease = profiles(&station.calls, "TxProfile")[0].clone();
    let profile = &lease["csChargingProfiles"];
    assert_eq!(profile["transactionId"], begun["transactionId"]);
    assert_eq!(profile["chargingSchedule"]["duration"], 50);
    assert!((6.0..=32.0).contains(&limit(&lease)), "{lease}");
    // It is raised, step by step, and what it was told by default is not written again.
    let raised = |calls: &[(String, Value)]| {
        profiles(calls, "TxProfile")
            .iter()
            .any(|one| limit(one) >= 10.0)
    };
    station.listen(raised).await;
    for purpose in ["TxDefaultProfile", "ChargePointMaxProfile"] {
        assert_eq!(profiles(&station.calls, purpose).len(), 1, "{purpose}");
    }
    assert_eq!(
        (shown().charging, shown().alarms.len()),
        (1, 0),
        "{:?}",
        shown()
    );

    // A station that does not take what it is told is looked at.
    station.status = "Rejected";
    let told = profiles(&station.calls, "TxProfile").len();
    station
        .listen(|calls| profiles(calls, "TxProfile").len() > told)
        .await;
    let began = Instant::now();
    while !shown()
        .alarms
        .iter()
        .any(|alarm| alarm.contains("charger-1 does not take"))
    {
        assert!(began.elapsed() < PATIENCE, "{:?}", shown());
        let again = profiles(&station.calls, "TxProfile").len();
        station
            .listen(|calls| profiles(calls, "TxProfile").len() > again)
            .await;
    }

    station.status = "Accepted";
    let end = json!({"transactionId": begun["transactionId"], "meterStop": 100, "timestamp": jiff::Timestamp::now().to_string()});
    station.ask("StopTransaction", &end).await.unwrap();
    while shown().charging > 0 || !shown().alarms.is_empty() {
        assert!(began.elapsed() < 2 * PATIENCE, "{:?}", shown());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    drop(station);
    while shown().unheard == 0 {
        assert!(began.elapsed() < 2 * PATIENCE, "{:?}", shown());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_a_station_is_asked_for_beside_a_running_gateway() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), DEPOT).unwrap();
    let control = "[control]\ndepot = \"depot.toml\"\n";
    let (running, _) = started(folder.path(), control);
    let data = folder.path().join("data");
    let (wanted, outcome) = commission::desk(&data, &"nobody".parse().unwrap());
    std::fs::create_dir_all(wanted.parent().unwrap()).unwrap();
    std::fs::write(&wanted, "").unwrap();
    let began = Instant::now();
    while !outcome.exists() {
        assert!(began.elapsed() < PATIENCE, "nobody answers");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let said = std::fs::read_to_string(&outcome).unwrap();
    assert!(said.contains("has no such station"), "{said}");
    assert!(!wanted.exists());

    // The command knows that without asking.
    let config = folder.path().join("gateway.toml");
    let asked = tokio::process::Command::new(env!("CARGO_BIN_EXE_edge"))
        .args(["commission", "--config", config.to_str().unwrap(), "nobody"])
        .output()
        .await
        .unwrap();
    assert_eq!(asked.status.code(), Some(2), "{asked:?}");
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(
        said.contains("expected a station of the depot (charger-1), found `nobody`"),
        "{said}"
    );
    running.stop().await;

    // Verdicts that cannot be read are not forgotten: it does not start without them.
    std::fs::write(commission::file(&data), "{").unwrap();
    let refused = start(Gateway::read(&config).unwrap(), &Around::default());
    let said = refused.map(drop).unwrap_err().to_string();
    assert!(said.contains("commissioned.json"), "{said}");
}
