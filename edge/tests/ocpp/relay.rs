//! A station that is relayed to its old back-office, PyPI `ocpp`, which is away at first, then killed again and again, as the
//! gateway is: it hears of every transaction once and in order, and the station never hears of it. In 1.6 it gives transactions its
//! own numbers, in 2.0.1 they keep their names; over TLS it is known by its certificate.

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

use crate::{
    certificates::Authority,
    rig::{Gateway, PATIENCE, Station, known},
};

const TRANSACTIONS: i64 = 12;

struct BackOffice {
    python: PathBuf,
    port: u16,
    file: PathBuf,
    /// Files with its certificate and key.
    identity: Vec<PathBuf>,
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
            .args(&self.identity)
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

/// A station that asks until it is answered; a gateway that was killed is there again.
struct Asking {
    version: &'static str,
    station: Option<Station>,
}

impl Asking {
    async fn ask(&mut self, gateway: &Gateway, action: &str, payload: &Value) -> Value {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{action} is not answered");
            let Some(station) = &mut self.station else {
                self.station = Station::speaking(gateway.address, self.version).await.ok();
                continue;
            };
            match station.ask(action, payload).await {
                Some(answer) => return answer,
                None => self.station = None,
            }
        }
    }

    async fn boot(&mut self, gateway: &Gateway) {
        let boot = match self.version {
            "ocpp1.6" => json!({ "chargePointVendor": "V", "chargePointModel": "M" }),
            _ => {
                json!({ "reason": "PowerUp", "chargingStation": { "vendorName": "V", "model": "M" } })
            }
        };
        self.ask(gateway, "BootNotification", &boot).await;
    }

    /// Begins the `n`-th transaction and tells a value of it; gives its number in 1.6.
    async fn begin(&mut self, gateway: &Gateway, n: i64, (first, value): (i64, i64)) -> Value {
        if self.version != "ocpp1.6" {
            self.event(gateway, n, 0, first).await;
            self.event(gateway, n, 1, value).await;
            return Value::Null;
        }
        let start = json!({ "connectorId": 1, "idTag": "CARD", "meterStart": first, "timestamp": time(n * 100) });
        let answer = self.ask(gateway, "StartTransaction", &start).await;
        let number = answer["transactionId"].clone();
        let value = json!({ "connectorId": 1, "transactionId": number, "meterValue": [
            { "timestamp": time(n * 100 + 50), "sampledValue": [{ "value": value.to_string() }] }] });
        self.ask(gateway, "MeterValues", &value).await;
        number
    }

    async fn end(&mut self, gateway: &Gateway, n: i64, number: &Value, last: i64) {
        if self.version != "ocpp1.6" {
            self.event(gateway, n, 2, last).await;
            return;
        }
        let stop =
            json!({ "transactionId": number, "meterStop": last, "timestamp": time(n * 100 + 90) });
        self.ask(gateway, "StopTransaction", &stop).await;
    }

    async fn event(&mut self, gateway: &Gateway, n: i64, seq_no: i64, register: i64) {
        let (kind, trigger) = [
            ("Started", "Authorized"),
            ("Updated", "MeterValuePeriodic"),
            ("Ended", "EVCommunicationLost"),
        ][seq_no as usize];
        let at = time(n * 100 + seq_no * 45);
        let event = json!({
            "eventType": kind, "timestamp": at, "triggerReason": trigger, "seqNo": seq_no,
            "transactionInfo": { "transactionId": format!("T-{n}") }, "evse": { "id": 1, "connectorId": 1 },
            "idToken": { "idToken": "CARD", "type": "ISO14443" },
            "meterValue": [{ "timestamp": at, "sampledValue": [{ "value": register }] }],
        });
        self.ask(gateway, "TransactionEvent", &event).await;
    }
}

fn time(seconds: i64) -> String {
    let start: jiff::Timestamp = "2026-05-04T10:00:00Z".parse().unwrap();
    (start + Duration::from_secs(seconds.cast_unsigned())).to_string()
}

/// Everything fails; gives what the back-office has heard.
async fn relayed(version: &'static str, tls: bool) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".patio/venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
        return Vec::new();
    }
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut office = BackOffice {
        python,
        port,
        file: folder.path().join("heard.jsonl"),
        identity: Vec::new(),
        running: None,
        starts: 0,
    };
    let authority = Authority::new("Back-office");
    if tls {
        let identity = authority.server();
        for (name, text) in [
            ("office.pem", identity.certificate),
            ("office.key", identity.key),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            office.identity.push(path);
        }
    }
    let mut settings = known(Some("secret"), None);
    settings.relay = Some(Relay {
        url: format!("{}://127.0.0.1:{port}/old", if tls { "wss" } else { "ws" }),
        password: Some("other".into()),
        authorities: tls.then(|| authority.pem().into_bytes()),
    });
    let mut gateway = Gateway::start(folder.path(), None, settings.clone()).await;
    let mut station = Asking {
        version,
        station: None,
    };
    station.boot(&gateway).await;
    let mut truth = Vec::new();
    for n in 0..TRANSACTIONS {
        // The first third happens while nobody is there; then it fails as it likes, and the gateway does.
        if n >= TRANSACTIONS / 3 {
            office.start(7).await;
        }
        let (first, last) = (n * 10_000, n * 10_000 + 1234 + n);
        let number = station.begin(&gateway, n, (first, first + 600)).await;
        if n % 3 == 2 {
            gateway.kill().await;
            station.station = None;
            gateway = Gateway::start(folder.path(), None, settings.clone()).await;
            if version != "ocpp1.6" {
                // Nothing else is heard of a station that has not booted (B02.FR.09).
                station.boot(&gateway).await;
            }
        }
        // What comes twice is relayed once.
        for _ in 0..2 {
            station.end(&gateway, n, &number, last).await;
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
    for transaction in heard.chunks(3) {
        let numbers: Vec<_> = transaction.iter().map(|one| &one["number"]).collect();
        assert!(
            numbers.iter().all(|number| *number == numbers[0]),
            "{transaction:?}"
        );
    }
    println!(
        "{} messages of {TRANSACTIONS} transactions, each once and in order; the back-office was started {} times",
        heard.len(),
        office.starts
    );
    office.kill().await;
    gateway.kill().await;
    heard
}

#[tokio::test]
async fn an_old_back_office_hears_of_every_transaction_once_and_in_order() {
    for one in relayed("ocpp1.6", false).await {
        // Each transaction is known by the number that the back-office gave it.
        assert!(one["number"].as_i64().unwrap() >= 500_000, "{one}");
    }
}

#[tokio::test]
async fn an_old_back_office_of_2_0_1_hears_over_tls() {
    let heard = relayed("ocpp2.0.1", true).await;
    for (at, one) in heard.iter().enumerate() {
        let (transaction, seq_no) = (at / 3, at % 3);
        assert_eq!(one["number"], format!("T-{transaction}"));
        assert_eq!(one["seq_no"], seq_no);
        // What happened before anybody was there is told as such.
        assert!(at >= TRANSACTIONS as usize || one["late"] == true, "{one}");
    }
}

#[tokio::test]
async fn a_back_office_of_another_authority_hears_nothing() {
    let (right, wrong) = (Authority::new("Back-office"), Authority::new("Back-office"));
    let folder = tempfile::tempdir().unwrap();
    let keys = {
        let identity = wrong.server();
        edge::sources::ocpp::Keys {
            certificate: identity.certificate.into_bytes(),
            key: identity.key.into_bytes(),
            client_ca: None,
        }
    };
    // A central system of ours is the back-office; whoever comes to it has greeted it by its certificate first.
    let place = folder.path().join("office");
    std::fs::create_dir(&place).unwrap();
    let office = Gateway::start(&place, Some(&keys), known(None, None)).await;
    let heard = |authority: Authority| {
        let mut settings = known(Some("secret"), None);
        settings.relay = Some(Relay {
            url: format!("wss://localhost:{}/ocpp", office.address.port()),
            password: None,
            authorities: Some(authority.pem().into_bytes()),
        });
        settings
    };
    for (authority, expected) in [(right, false), (wrong, true)] {
        let place = folder.path().join(format!("gateway-{expected}"));
        std::fs::create_dir(&place).unwrap();
        let gateway = Gateway::start(&place, None, heard(authority)).await;
        let mut station = Asking {
            version: "ocpp1.6",
            station: None,
        };
        station.boot(&gateway).await;
        let number = station.begin(&gateway, 0, (0, 600)).await;
        station.end(&gateway, 0, &number, 1200).await;
        let began = Instant::now();
        let told = loop {
            let records = office.records().await;
            let told = records
                .iter()
                .filter(|one| one.kind.starts_with("transaction."));
            let told = told.count();
            // One that is not believed is tried again and again; a few times are enough.
            let tried = if expected {
                PATIENCE
            } else {
                Duration::from_secs(3)
            };
            if told >= 3 || began.elapsed() > tried {
                break told;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(told, if expected { 3 } else { 0 });
        gateway.kill().await;
    }
    office.kill().await;
}
