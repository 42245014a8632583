//! A station on three phases that can use one of them, where three do not fit.

use serde_json::{Value, json};

use crate::{
    rig::Station,
    wiring::{limit, profiles, started},
};

/// The neighbour on L2 is one that nobody has heard yet: it may draw all that the circuit carries there.
const DEPOT: &str = r#"
[depot]
id = "test"
name = "Test"
time_zone = "America/Mexico_City"
latitude = 19.4
longitude = -99.1
voltage_system = "220Y/127"

[[circuit]]
id = "main"
breaker = 20

[[station]]
id = "charger-1"
circuit = "main"
phases = "L1-L2-L3"
connectors = ["Type 2"]
max_current = 16
fallback_current = 6
switches_phases = true
ocpp = { id = "CP-1", version = "1.6" }

[[station]]
id = "neighbour"
circuit = "main"
phases = "L2"
connectors = ["Type 2"]
max_current = 16
fallback_current = 6
ocpp = { id = "CP-2", version = "1.6" }
"#;

fn phases(profile: &Value) -> &Value {
    let schedule = &profile["csChargingProfiles"]["chargingSchedule"];
    &schedule["chargingSchedulePeriod"][0]["numberPhases"]
}

/// The leases that the station was told until one of them is as wanted.
async fn leases(depot: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), depot).unwrap();
    let (running, address) = started(folder.path(), "[control]\ndepot = \"depot.toml\"\n");
    let mut station = Station::connect(address).await.unwrap();
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    station.ask("BootNotification", &boot).await.unwrap();
    let begin = json!({"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": jiff::Timestamp::now().to_string()});
    station.ask("StartTransaction", &begin).await.unwrap();
    station
        .listen(|calls| profiles(calls, "TxProfile").into_iter().any(&wanted))
        .await;
    // What it falls back to by itself it does on all of them.
    station
        .listen(|calls| !profiles(calls, "TxDefaultProfile").is_empty())
        .await;
    assert_eq!(*phases(profiles(&station.calls, "TxDefaultProfile")[0]), 3);
    let told = profiles(&station.calls, "TxProfile");
    let told = told.into_iter().cloned().collect();
    running.stop().await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_that_can_is_told_to_use_one_phase() {
    let told = leases(DEPOT, |lease| limit(lease) >= 10.0).await;
    for lease in &told {
        assert_eq!(*phases(lease), 1, "{lease}");
        // One phase is given no more than the wire of each of three.
        assert!((6.0..=16.0).contains(&limit(lease)), "{lease}");
    }
    assert!(told.len() > 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_that_cannot_waits() {
    let depot = DEPOT.replace("switches_phases = true\n", "");
    let told = leases(&depot, |_| true).await;
    assert_eq!((limit(&told[0]), phases(&told[0])), (0.0, &json!(3)));
}
