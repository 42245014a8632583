//! A station that is relayed to its old back-office, PyPI `ocpp`, which is away at first, then killed again and again, as the
//! gateway is: it hears of every transaction once and in order, under its own numbers, and the station never hears of it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use edge::sources::ocpp::Relay;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::rig::{Gateway, PATIENCE, Station, known};

const TRANSACTIONS: i64 = 12;

struct BackOffice {
    python: PathBuf,
    port: u16,
    file: PathBuf,
    running: Option<Child>,
    starts: u64,
}

impl BackOffice {
    /// Starts it unless it runs; one of this seed fails now and then, 0 never.
    async fn start(&mut self, seed: u64) {
        if let Some(child) = &mut self.running
            && child.try_wait().unwrap().is_none()
        {
            return;
        }
        self.starts += 1;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ocpp/backoffice.py");
        let mut child = Command::new(&self.python)
            .arg(script)
            .args([&self.port.to_string(), self.file.to_str().unwrap()])
            .arg((seed * self.starts).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        assert_eq!(ready.unwrap().unwrap().as_deref(), Some("ready"));
        self.running = Some(child);
    }

    async fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().await.unwrap();
        }
    }

    fn heard(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let lines = text.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// The station asks until it is answered; a gateway that was killed is there again.
async fn ask(
    station: &mut Option<Station>,
    gateway: &Gateway,
    action: &str,
    payload: &Value,
) -> Value {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "{action} is not answered");
        if station.is_none() {
            *station = Station::connect(gateway.address).await.ok();
            continue;
        }
        match station.as_mut().unwrap().ask(action, payload).await {
            Some(answer) => return answer,
            None => *station = None,
        }
    }
}

#[tokio::test]
async fn an_old_back_office_hears_of_every_transaction_once_and_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".patio/venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut office = BackOffice {
        python,
        port,
        file: folder.path().join("heard.jsonl"),
        running: None,
        starts: 0,
    };
    let mut relayed = known(Some("secret"), None);
    relayed.relay = Some(Relay {
        url: format!("ws://127.0.0.1:{port}/old"),
        password: Some("other".into()),
    });
    let mut gateway = Gateway::start(folder.path(), None, relayed.clone()).await;
    let mut station = None;
    let boot = json!({ "chargePointVendor": "V", "chargePointModel": "M" });
    ask(&mut station, &gateway, "BootNotification", &boot).await;
    let time = |n: i64| {
        let start: jiff::Timestamp = "2026-05-04T10:00:00Z".parse().unwrap();
        (start + Duration::from_secs(n as u64)).to_string()
    };
    let mut truth = Vec::new();
    for n in 0..TRANSACTIONS {
        // The first third happens while nobody is there; then it fails as it likes, and the gateway does.
        if n >= TRANSACTIONS / 3 {
            office.start(7).await;
        }
        let (first, last) = (n * 10_000, n * 10_000 + 1234 + n);
        let start = json!({ "connectorId": 1, "idTag": "CARD", "meterStart": first, "timestamp": time(n * 100) });
        let number = ask(&mut station, &gateway, "StartTransaction", &start).await;
        let number = number["transactionId"].clone();
        let value = json!({ "connectorId": 1, "transactionId": number, "meterValue": [
            { "timestamp": time(n * 100 + 50), "sampledValue": [{ "value": (first + 600).to_string() }] }] });
        ask(&mut station, &gateway, "MeterValues", &value).await;
        if n % 3 == 2 {
            gateway.kill().await;
            station = None;
            gateway = Gateway::start(folder.path(), None, relayed.clone()).await;
        }
        // What comes twice is relayed once.
        let stop =
            json!({ "transactionId": number, "meterStop": last, "timestamp": time(n * 100 + 90) });
        for _ in 0..2 {
            ask(&mut station, &gateway, "StopTransaction", &stop).await;
        }
        truth.extend([("start", first), ("meter", first + 600), ("stop", last)]);
        if n % 4 == 3 {
            office.kill().await;
        }
    }
    let began = Instant::now();
    while office.heard().len() < truth.len() {
        assert!(began.elapsed() < 2 * PATIENCE, "{:?}", office.heard());
        let seed = if began.elapsed() > PATIENCE / 3 { 0 } else { 7 };
        office.start(seed).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let heard = office.heard();
    let told: Vec<_> = heard
        .iter()
        .map(|one| {
            (
                one["kind"].as_str().unwrap(),
                one["register"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, truth, "each once, in order");
    // Each transaction is known by the number that the back-office gave it.
    for transaction in heard.chunks(3) {
        let numbers: Vec<_> = transaction.iter().map(|one| &one["number"]).collect();
        assert!(
            numbers.iter().all(|number| *number == numbers[0]),
            "{transaction:?}"
        );
        assert!(numbers[0].as_i64().unwrap() >= 500_000);
    }
    println!(
        "{} messages of {TRANSACTIONS} transactions, each once and in order; the back-office was started {} times",
        heard.len(),
        office.starts
    );
    office.kill().await;
    gateway.kill().await;
}
