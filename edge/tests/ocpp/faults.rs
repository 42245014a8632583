//! Connections that break and gateways that are killed at any point: each transaction is told once, in order, to the Wh.

use std::{
    collections::{BTreeMap, HashSet},
    env,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::rig::{Gateway, PATIENCE, Station, known};

const TRANSACTIONS: i64 = 12;

/// A small generator of numbers, so that a seed repeats a run.
struct Chance(u64);

impl Chance {
    fn one_in(&mut self, n: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.is_multiple_of(n)
    }
}

/// The world that fails, and the station in it, which sends again until it is answered.
struct World {
    folder: tempfile::TempDir,
    gateway: Option<Gateway>,
    station: Option<Station>,
    chance: Chance,
    failures: u64,
    /// Records of gateways that were killed are still in the folder; these are of the one that runs.
    records: Vec<(String, Value)>,
}

impl World {
    async fn ask(&mut self, action: &str, payload: &Value) -> Value {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{action} is never answered");
            if self.gateway.is_none() {
                let gateway = Gateway::start(self.folder.path(), None, known(Some("secret"), None));
                self.gateway = Some(gateway.await);
            }
            if self.station.is_none() {
                let address = self.gateway.as_ref().unwrap().address;
                self.station = Station::connect(address).await.ok();
                continue;
            }
            let station = self.station.as_mut().unwrap();
            if self.chance.one_in(4) {
                self.failures += 1;
                // The request may have arrived, been stored, been answered: nobody knows.
                let _ = station.send(action, payload).await;
                if self.chance.one_in(2) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                self.station = None;
                if self.chance.one_in(3) {
                    self.gateway.take().unwrap().kill().await;
                }
                continue;
            }
            match station.ask(action, payload).await {
                Some(answer) => return answer,
                None => self.station = None,
            }
        }
    }

    /// Waits until all that was stored has reached the buffer.
    async fn all(&mut self, ends: usize) {
        let began = Instant::now();
        loop {
            let gateway = self.gateway.as_ref().unwrap();
            let records = gateway.records().await;
            let of = |record: shared_protocol::Record| {
                (record.kind, serde_json::from_str(&record.payload).unwrap())
            };
            self.records = records.into_iter().map(of).collect();
            let ended = self
                .records
                .iter()
                .filter(|(kind, _)| kind == "transaction.ended");
            let ended: HashSet<_> = ended
                .map(|(_, one)| one["transaction"].to_string())
                .collect();
            if ended.len() >= ends {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{} of {ends} ends have come",
                ended.len()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn time(n: i64) -> String {
    let start: jiff::Timestamp = "2026-05-04T10:00:00Z".parse().unwrap();
    (start + Duration::from_secs(n as u64)).to_string()
}

async fn run(seed: u64) -> u64 {
    let mut world = World {
        folder: tempfile::tempdir().unwrap(),
        gateway: None,
        station: None,
        chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
        failures: 0,
        records: Vec::new(),
    };
    let mut truth = BTreeMap::new();
    for n in 0..TRANSACTIONS {
        let (first, last) = (n * 10_000, n * 10_000 + 1234 + n);
        let start = json!({"connectorId": 1, "idTag": "CARD", "meterStart": first, "timestamp": time(n * 100)});
        let number = world.ask("StartTransaction", &start).await["transactionId"]
            .as_i64()
            .unwrap();
        let value = json!({"connectorId": 1, "transactionId": number, "meterValue": [
            {"timestamp": time(n * 100 + 50), "sampledValue": [{"value": (first + 600).to_string()}]}]});
        world.ask("MeterValues", &value).await;
        let stop =
            json!({"transactionId": number, "meterStop": last, "timestamp": time(n * 100 + 90)});
        world.ask("StopTransaction", &stop).await;
        assert!(
            truth.insert(number, last - first).is_none(),
            "seed {seed}: a number came twice"
        );
    }
    world.all(TRANSACTIONS as usize).await;
    // What was given to the buffer twice has the same key and says the same.
    let mut told: BTreeMap<(i64, u64), &(String, Value)> = BTreeMap::new();
    let mut order = Vec::new();
    for record in world
        .records
        .iter()
        .filter(|(kind, _)| kind.starts_with("transaction."))
    {
        let number = record.1["transaction"].as_str().unwrap().parse().unwrap();
        let key = (number, record.1["entry"].as_u64().unwrap());
        match told.insert(key, record) {
            None => order.push(key),
            Some(before) => assert_eq!(before, record, "seed {seed}: one key with two contents"),
        }
    }
    let expected: Vec<_> = truth
        .keys()
        .flat_map(|&number| (0..3).map(move |entry| (number, entry)))
        .collect();
    assert_eq!(order, expected, "seed {seed}: each once, in order");
    for (number, energy) in truth {
        let (kind, end) = told[&(number, 2)];
        assert_eq!(
            (kind.as_str(), end["energy_mwh"].as_i64()),
            ("transaction.ended", Some(energy * 1000)),
            "seed {seed}"
        );
    }
    world.gateway.unwrap().kill().await;
    world.failures
}

#[tokio::test]
async fn transactions_survive_every_failure() {
    let seconds = env::var("PATIO_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(10));
    let (mut seed, mut failures) = (0, 0);
    // 50 failures at least, whatever time it takes.
    while failures < 50 || Instant::now() < end {
        seed += 1;
        failures += run(seed).await;
    }
    println!("{failures} failures in {seed} seeds: each transaction once, in order, to the Wh");
}
