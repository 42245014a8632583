//! Charging stations of OCPP 1.6J, OCPP 2.0.1 and Modbus side by side, where drivers come and go and everything fails: stations
//! lose their connections and their power, answers of chargers and meter are late, torn, of another unit or none, gateway, broker
//! and cloud are killed, and the cloud is away for a while, or for a day. At the end the charging transactions in the database are
//! the depot's, to the Wh: none lost, none twice, none wrong.

use std::{
    fmt::Write as _,
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use end_to_end::{
    check,
    house::{Habits, House, Options},
    server::children,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};

use crate::{at_least, databases, deep, kills::drain, restored::report, seconds, seed};

/// How long transactions may take to be told to their end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stations by their keys, and how they are spoken with.
const STATIONS: [(&str, &str); 7] = [
    ("s-1", "ocpp = { id = \"CP-1\", version = \"1.6\" }"),
    ("s-2", "ocpp = { id = \"CP-2\", version = \"2.0.1\" }"),
    (
        "s-3",
        "modbus = { address = \"tcp://10.0.0.3\", unit = 1, map = \"patio-virtual-charger\" }",
    ),
    ("s-4", "ocpp = { id = \"CP-4\", version = \"1.6\" }"),
    ("s-5", "ocpp = { id = \"CP-5\", version = \"2.0.1\" }"),
    ("s-6", "ocpp = { id = \"s-6\", version = \"2.0.1\" }"),
    (
        "s-7",
        "modbus = { address = \"tcp://10.0.0.7\", unit = 1, map = \"patio-virtual-charger\" }",
    ),
];

/// What stations, chargers and meter do wrong by themselves.
const FAULTS: &str = "cut=0.1,reboot=0.02,late=0.004,drop=0.01,exception=0.01,truncate=0.01,wrong-unit=0.01,duplicate=0.02,\
    freeze=0.01,patience-ms=2000";

/// How many times as fast as we its cars live; when they have a whole day, and how long that is.
const SPEED: f64 = 20.0;
const DAYS_SPEED: f64 = 100.0;
const DAY: Duration = Duration::from_secs(86_400);

/// So many failures there are in any run, however long they take.
const FEWEST: usize = 50;

/// The stations whose connections and power are cut.
const CUT: [&str; 5] = ["s-1", "s-2", "s-4", "s-5", "s-6"];

fn depot() -> String {
    let mut text = "[depot]\nid = \"mixed\"\nname = \"Mixed\"\ntime_zone = \"America/Mexico_City\"\nlatitude = 19.4\nlongitude = -99.1\n\
         voltage_system = \"220Y/127\"\n\n[[circuit]]\nid = \"main\"\nbreaker = 300\n\n[[meter]]\nid = \"grid\"\ncircuit = \"main\"\n\
         modbus = { address = \"tcp://10.0.0.9\", unit = 1, map = \"patio-virtual-meter\" }\n"
        .to_owned();
    for (id, speaks) in STATIONS {
        let _ = write!(
            text,
            "\n[[station]]\nid = \"{id}\"\ncircuit = \"main\"\nphases = \"L1-L2\"\nconnectors = [\"Type 1\"]\nmax_current = 32\n\
             fallback_current = 8\n{speaks}\n"
        );
    }
    text
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    /// The connection of a station breaks.
    Cut,
    /// A station is without power.
    Power,
    /// The gateway is killed.
    Edge,
    /// The gateway is killed, and is away for a while.
    EdgeAway,
    /// The cloud is killed.
    Cloud,
    /// The broker is killed.
    Broker,
    /// The cloud goes, and comes back some failures later.
    CloudAway,
}

const FAILURES: [Failure; 7] = [
    Failure::Cut,
    Failure::CloudAway,
    Failure::Power,
    Failure::Edge,
    Failure::EdgeAway,
    Failure::Cloud,
    Failure::Broker,
];

/// Those of the depot itself.
const OWN: [Failure; 4] = [
    Failure::Cut,
    Failure::Power,
    Failure::Edge,
    Failure::EdgeAway,
];

async fn fail(house: &mut House, failure: Failure, random: &mut StdRng) {
    let station = CUT[random.random_range(0..CUT.len())];
    match failure {
        Failure::Cut | Failure::Power => {
            let word = if failure == Failure::Cut {
                "cut"
            } else {
                "power"
            };
            let depot = house.depot.as_mut().unwrap();
            depot.say(&format!("{word} {station}")).await.unwrap();
            depot.ready("done", PATIENCE).await.unwrap();
        }
        Failure::Edge | Failure::EdgeAway => {
            house.edge.as_mut().unwrap().kill().await.unwrap();
            if failure == Failure::EdgeAway {
                tokio::time::sleep(Duration::from_millis(random.random_range(500..4000))).await;
            }
            house.start_edge().unwrap();
        }
        Failure::Cloud => {
            if let Some(mut cloud) = house.cloud.take() {
                cloud.kill().await.unwrap();
            }
            house.start_cloud().await.unwrap();
        }
        Failure::Broker => {
            let cloud = house
                .cloud
                .as_ref()
                .and_then(end_to_end::process::Process::id);
            for child in cloud.map(children).unwrap_or_default() {
                // It may have ended by itself meanwhile.
                let _ = kill_process(Pid::from_raw(child).unwrap(), Signal::KILL);
            }
        }
        Failure::CloudAway => house.stop_cloud().await.unwrap(),
    }
}

/// A depot on a fresh database, its gateway and its cloud.
struct Mixed {
    _folder: tempfile::TempDir,
    house: House,
    database_url: String,
    random: StdRng,
}

impl Mixed {
    /// Drivers stay for about so many seconds; `charging`: they do nothing else, else their cars are on the road for their shifts.
    /// `None` where there is no database.
    async fn start(database: &str, speed: f64, restless: f64, charging: bool) -> Option<Self> {
        let (flavour, url) = databases().into_iter().last()?;
        let seed = seed(&flavour);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mixed.toml");
        std::fs::write(&file, depot()).unwrap();
        let database_url = check::fresh_database(&url, database).await.unwrap();
        let options = Options {
            folder: folder.path().join("house"),
            database_url: database_url.clone(),
            cars: 9,
            chargers: 0,
            seed,
            speed,
            replay: None,
        };
        let habits = Habits {
            restless: Some(restless),
            charging,
            faults: FAULTS.into(),
            speaks: Vec::new(),
        };
        let mut house = House::of_depot(options, &file, habits).await.unwrap();
        house.start_cloud().await.unwrap();
        house.start_edge().unwrap();
        Some(Self {
            _folder: folder,
            house,
            database_url,
            random: StdRng::seed_from_u64(seed),
        })
    }

    /// Some time passes, then something fails.
    async fn fail(&mut self, after: Range<u64>, failure: Failure) {
        let pause = Duration::from_millis(self.random.random_range(after));
        tokio::time::sleep(pause).await;
        fail(&mut self.house, failure, &mut self.random).await;
    }

    fn one_of(&mut self, failures: &[Failure]) -> Failure {
        failures[self.random.random_range(0..failures.len())]
    }

    /// Transactions that have ended in truth so far.
    fn ended(&self) -> usize {
        let text = std::fs::read_to_string(self.truth()).unwrap();
        text.lines().count()
    }

    fn truth(&self) -> PathBuf {
        self.house.path("depot").join("transactions.jsonl")
    }

    /// Everything works again, all transactions end and are told: they are the depot's.
    async fn told_to_the_wh(mut self, what: &str) {
        let truth = self.truth();
        let house = &mut self.house;
        let (told, refused) = house.finish_depot(PATIENCE).await.unwrap();
        house.stop_depot().await.unwrap();
        drain(house).await;
        house.stop_cloud().await.unwrap();
        let ledger = check::ledger(&house.path("buffer")).unwrap();
        let report = check::transactions(&self.database_url, &truth).await;
        let report = report.unwrap();
        println!(
            "{what}, and those of the stations themselves; {told} messages answered: {report}"
        );
        assert_eq!(refused, 0, "the gateway refuses what happened");
        assert!(
            report.right > 5 && report.observed > 1,
            "hardly anybody has charged: {report}"
        );
        assert!(report.energy_wh > 0, "{report}");
        assert!(report.is_exact(), "{report}");
        assert_eq!((ledger.waiting, ledger.dropped), (0, 0));
    }
}

fn counted(failures: &[Failure]) -> String {
    let count = |failure| failures.iter().filter(|one| **one == failure).count();
    let each: Vec<_> = FAILURES
        .iter()
        .map(|failure| format!("{failure:?} {}", count(*failure)))
        .collect();
    format!("{} failures ({})", failures.len(), each.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn charging_transactions_are_the_depots_to_the_wh_whatever_fails() {
    let Some(mut mixed) = Mixed::start("patio_stations", SPEED, 6.0, true).await else {
        return;
    };
    let end = Instant::now() + Duration::from_secs(seconds(30));
    let mut failures = Vec::new();
    let mut away = None;
    while failures.len() < at_least(1000).max(FEWEST) || Instant::now() < end {
        // Each of them once at least, however short the time is.
        let failure = match FAILURES.get(failures.len()) {
            Some(failure) => *failure,
            None => mixed.one_of(&FAILURES),
        };
        mixed.fail(20..700, failure).await;
        failures.push(failure);
        match failure {
            Failure::CloudAway => away = Some(failures.len() + mixed.random.random_range(2..6)),
            Failure::Cloud => away = None,
            _ => {}
        }
        if away.is_some_and(|back| back <= failures.len()) {
            away = None;
            mixed.house.start_cloud().await.unwrap();
        }
    }
    if mixed.house.cloud.is_none() {
        mixed.house.start_cloud().await.unwrap();
    }
    mixed.told_to_the_wh(&counted(&failures)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_the_cloud_costs_no_watt_hour() {
    // All of the day when everything is wanted, else what there is time for.
    let (speed, away, pause, stays) = if deep() {
        (DAYS_SPEED, DAY.div_f64(DAYS_SPEED), 5_000..60_000, 20.0)
    } else {
        (SPEED, Duration::from_secs(seconds(30)), 500..5_000, 6.0)
    };
    let Some(mut mixed) = Mixed::start("patio_stations_day", speed, stays, !deep()).await else {
        return;
    };
    let began = Instant::now();
    while mixed.ended() < STATIONS.len() {
        assert!(began.elapsed() < PATIENCE, "nobody charges");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = mixed.ended();
    mixed.house.stop_cloud().await.unwrap();
    let began = Instant::now();
    let mut failures = Vec::new();
    while began.elapsed() < away {
        let failure = mixed.one_of(&OWN);
        mixed.fail(pause.clone(), failure).await;
        failures.push(failure);
    }
    let hours = began.elapsed().as_secs_f64() * speed / 3600.0;
    let meanwhile = mixed.ended() - before;
    assert!(meanwhile > 0, "nobody has charged meanwhile");
    // None of it is with the cloud.
    report(&mut mixed.house, |_| true).await;
    mixed.house.stop_edge().await.unwrap();
    let ledger = check::ledger(&mixed.house.path("buffer")).unwrap();
    assert!(ledger.waiting > 0, "{ledger:?}");
    mixed.house.start_edge().unwrap();
    mixed.house.start_cloud().await.unwrap();
    let what = format!(
        "{meanwhile} transactions ended in {hours:.1} hours of the depot's without the cloud; {}",
        counted(&failures)
    );
    mixed.told_to_the_wh(&what).await;
}
