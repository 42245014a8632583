//! A station is asked what it would allow: one that says more than it was told is looked at until it says the same; one that says
//! nothing is not asked again.

use std::{fmt::Write as _, path::Path, time::Instant};

use edge::{
    buffer::{Buffer, Options},
    clock::Clock,
    gateway::Running,
};
use serde_json::{Value, json};
use shared_protocol::SigningKey;
use virtual_depot::{
    Config, Depot, Fault, Handle, Keys, Plan,
    stations::{Central, Speaks},
};

use crate::{
    rig::{PATIENCE, Station, records_of},
    wiring::{DEPOT, profiles, started, started_at},
};

const CONTROL: &str = "[control]\ndepot = \"depot.toml\"\n";
const CLAIMS: &str = "charger-1 says that it would allow more";

/// A gateway, and a virtual depot whose one station charges a car and overstates the first two times that it is asked.
async fn house(folder: &Path, speaks: &str) -> (Running, Handle) {
    for _ in 0..20 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut config = Config::new(folder.join("depot"), 7, 1, 1);
        config.setup.plan = Plan::Charging;
        config.keys = Some(Keys {
            stations: vec!["charger-1".to_owned()],
            meter: "grid".to_owned(),
        });
        config.central = Some(Central {
            url: format!("ws://{address}/ocpp"),
            speaks: vec![speaks.parse::<Speaks>().unwrap()],
            restless: None,
        });
        let depot = Depot::start(config).await.unwrap();
        depot.faults().inject("charger-1", Fault::Overstate, 2);
        let described = depot.description();
        let mut more = CONTROL.to_owned();
        for token in &described.tokens {
            let _ = write!(more, "\n[[stations.token]]\nid = \"{token}\"\n");
        }
        let password = &described.stations[0].password;
        if let Some(running) = started_at(folder, address, password, &more) {
            return (running, depot);
        }
        depot.stop().await.unwrap();
    }
    panic!("no port is free");
}

/// What the gateway's buffer holds of what the station said.
async fn told(folder: &Path) -> Vec<Value> {
    let options = Options {
        folder: folder.join("data"),
        quota: 64 << 20,
        gateway: "gw-1".parse().unwrap(),
        key: SigningKey::from_seed([5; 32]),
    };
    let clock = std::sync::Arc::new(Clock::start().unwrap());
    let buffer = Buffer::open(options, clock).unwrap();
    let mut records = records_of(&buffer, 1).await;
    records.extend(records_of(&buffer, 2).await);
    let said = records.iter().filter(|one| one.kind == "station.composite");
    let said = said.map(|one| serde_json::from_str(&one.payload).unwrap());
    let said = said.collect();
    let _ = buffer.stop().await;
    said
}

/// Waits until the station is said to claim too much, or is not.
async fn until(running: &Running, claims: bool) {
    let began = Instant::now();
    loop {
        let shown = running.status().control.unwrap();
        let found = shown.alarms.iter().any(|alarm| alarm.contains(CLAIMS));
        if found == claims {
            return;
        }
        assert!(began.elapsed() < PATIENCE * 2, "{claims}: {shown:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn alarmed(speaks: &str, version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let depot = DEPOT.replace("version = \"1.6\"", &format!("version = \"{version}\""));
    std::fs::write(folder.path().join("depot.toml"), depot).unwrap();
    let (running, depot) = house(folder.path(), speaks).await;
    until(&running, true).await;
    // In its next connection it is asked again, and says what it was told.
    assert!(depot.plugs().cut("charger-1"));
    until(&running, false).await;
    running.stop().await;
    let _ = depot.stop().await;
    let said = told(folder.path()).await;
    let (first, later) = said.split_first().unwrap();
    assert_eq!(first["agrees"], false, "{first}");
    // What was said last may still be in the book.
    assert!(later.iter().all(|one| one["agrees"] == true), "{later:?}");
    assert_eq!(
        (&first["station"], &first["says"]),
        (&json!("CP-1"), &json!(32.0)),
        "{first}"
    );
    assert_eq!(
        (&first["evse"], &first["unit"]),
        (&json!(1), &json!("A")),
        "{first}"
    );
    assert!(first["told"].as_f64().unwrap() < 32.0, "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_of_1_6_that_says_more_than_it_was_told() {
    alarmed("ocpp1.6:CP-1", "1.6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_of_2_0_1_that_says_more_than_it_was_told() {
    alarmed("ocpp2.0.1:CP-1", "2.0.1").await;
}

/// A station by PyPI's library, which checks what it is asked and what it answers against the official schemas.
async fn python(version: &str, unit: &str, says: f64) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".patio/venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), DEPOT).unwrap();
    let (running, address) = started(folder.path(), CONTROL);
    let station = tokio::process::Command::new(python)
        .arg(root.join("edge/tests/ocpp/obedient.py"))
        .args([version, &address.port().to_string()])
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(&running, true).await;
    // It counts so when nobody hears it, too.
    drop(station);
    let began = Instant::now();
    while running.status().control.unwrap().unheard == 0 {
        assert!(began.elapsed() < PATIENCE, "it is still heard");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    until(&running, true).await;
    running.stop().await;
    let said = told(folder.path()).await;
    assert_eq!(
        (&said[0]["unit"], &said[0]["says"]),
        (&json!(unit), &json!(says)),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_station_of_1_6_that_says_more() {
    python("1.6", "A", 99.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_station_of_2_0_1_that_says_more() {
    python("2.0.1", "W", 50_000.0).await;
}

/// One that does not answer with a schedule is asked once, after its first lease, and nothing is said of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_station_that_says_nothing_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("depot.toml"), DEPOT).unwrap();
    let (running, address) = started(folder.path(), CONTROL);
    let mut station = Station::connect(address).await.unwrap();
    station.rejects = Some("GetCompositeSchedule");
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    station.ask("BootNotification", &boot).await.unwrap();
    let begin = json!({"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": jiff::Timestamp::now().to_string()});
    station.ask("StartTransaction", &begin).await.unwrap();
    station
        .listen(|calls| profiles(calls, "TxProfile").len() > 2)
        .await;
    let actions: Vec<&str> = station
        .calls
        .iter()
        .map(|(action, _)| action.as_str())
        .collect();
    let asked: Vec<usize> = (0..actions.len())
        .filter(|place| actions[*place] == "GetCompositeSchedule")
        .collect();
    assert_eq!(asked.len(), 1, "{actions:?}");
    let (before, _) = station.calls.split_at(asked[0]);
    for purpose in ["TxProfile", "TxDefaultProfile"] {
        assert!(!profiles(before, purpose).is_empty(), "{actions:?}");
    }
    let payload = &station.calls[asked[0]].1;
    assert_eq!(
        (&payload["connectorId"], &payload["chargingRateUnit"]),
        (&json!(1), &json!("A"))
    );
    let shown = running.status().control.unwrap();
    assert!(shown.alarms.is_empty(), "{shown:?}");
    running.stop().await;
}
