//! What a plan assumes of a car that nobody knows, by what its station says of the transaction.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    rig::{PATIENCE, Station},
    wiring::{DEPOT, started},
};

fn ago(hours: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(hours)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_assumed_of_a_car_counts_from_its_transaction_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), DEPOT).unwrap();
    // A plan that an earlier run kept, for another car at this station: an unknown one needs 20 kWh and leaves after two hours.
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let entry = json!({ "station": "charger-1", "token": "OTHER", "critical": false, "departure_us": null, "energy_wh": null, "power": [] });
    let plan = json!({ "from_us": ago(5).as_microsecond(), "until_us": ago(-5).as_microsecond(), "stations": [entry] });
    let assumed = json!({ "energy_wh": 20_000, "leaves_after_s": 7_200 });
    let kept = json!({ "issued_us": 1, "plan": plan, "assumed": assumed });
    std::fs::write(data.join("plan.json"), kept.to_string()).unwrap();

    let (running, address) = started(folder.path(), "[control]\ndepot = \"depot.toml\"\n");
    let mut station = Station::connect(address).await.unwrap();
    let boot = json!({ "chargePointVendor": "V", "chargePointModel": "M" });
    station.ask("BootNotification", &boot).await.unwrap();
    let until = async |transaction: &str, assumed: bool| {
        let began = Instant::now();
        loop {
            let shown = running.status().control.unwrap().stations[0].clone();
            let this = shown.transaction.as_deref() == Some(transaction);
            if this && shown.car && shown.assumed == assumed {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{assumed}: {shown:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Its clock goes right: what it says late happened then.
    let status = |time: Timestamp| json!({ "connectorId": 1, "errorCode": "NoError", "status": "Charging", "timestamp": time.to_string() });
    station
        .ask("StatusNotification", &status(ago(0)))
        .await
        .unwrap();
    let mut register = 1_000;
    // Since when, with what token, after how much energy; and whether the default counts for it.
    for (hours, token, energy, expected) in [
        (1, "STRANGER", 0, true),
        // It was to leave an hour ago.
        (3, "STRANGER", 0, false),
        // It has had what it needed, or nearly.
        (1, "STRANGER", 20_000, false),
        (1, "STRANGER", 19_999, true),
        // The plan knows this one.
        (1, "OTHER", 0, false),
    ] {
        let begin = json!({ "connectorId": 1, "idTag": token, "meterStart": register, "timestamp": ago(hours).to_string() });
        let begun = station.ask("StartTransaction", &begin).await.unwrap();
        let number = begun["transactionId"].as_i64().unwrap();
        register += energy;
        let value = json!([{ "timestamp": ago(0).to_string(), "sampledValue": [{ "value": register.to_string() }] }]);
        let values = json!({ "connectorId": 1, "transactionId": number, "meterValue": value });
        station.ask("MeterValues", &values).await.unwrap();
        until(&number.to_string(), expected).await;
        let end = json!({ "transactionId": number, "meterStop": register, "timestamp": ago(0).to_string() });
        station.ask("StopTransaction", &end).await.unwrap();
    }
    running.stop().await;
}
