//! Charging stations of OCPP 1.6J, OCPP 2.0.1 and Modbus side by side, where drivers come and go and everything fails: stations
//! lose their connections and their power, gateway, broker and cloud are killed, and the cloud is away for a while. At the end
//! the charging transactions in the database are the depot's, to the Wh: none lost, none twice, none wrong.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use end_to_end::{
    check,
    house::{Habits, House, Options},
    server::children,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};

use crate::{at_least, databases, kills::drain, seconds, seed};

/// How long transactions may take to be told to their end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stations by their keys, and how they are spoken with.
const STATIONS: [(&str, &str); 6] = [
    ("s-1", "ocpp = { id = \"CP-1\", version = \"1.6\" }"),
    ("s-2", "ocpp = { id = \"CP-2\", version = \"2.0.1\" }"),
    (
        "s-3",
        "modbus = { address = \"tcp://10.0.0.3\", unit = 1, map = \"patio-virtual-charger\" }",
    ),
    ("s-4", "ocpp = { id = \"CP-4\", version = \"1.6\" }"),
    ("s-5", "ocpp = { id = \"CP-5\", version = \"2.0.1\" }"),
    ("s-6", "ocpp = { id = \"s-6\", version = \"2.0.1\" }"),
];

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

#[tokio::test(flavor = "multi_thread")]
async fn charging_transactions_are_the_depots_to_the_wh_whatever_fails() {
    let Some((flavour, url)) = databases().into_iter().last() else {
        return;
    };
    let seed = seed(&flavour);
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mixed.toml");
    std::fs::write(&file, depot()).unwrap();
    let database_url = check::fresh_database(&url, "patio_stations").await.unwrap();
    let options = Options {
        folder: folder.path().join("house"),
        database_url: database_url.clone(),
        cars: 8,
        chargers: 0,
        seed,
        speed: 20.0,
        replay: None,
    };
    let habits = Habits {
        restless: Some(6.0),
        faults: "cut=0.1,reboot=0.02".into(),
        speaks: Vec::new(),
        ..Habits::default()
    };
    let mut house = House::of_depot(options, &file, habits).await.unwrap();
    house.start_cloud().await.unwrap();
    house.start_edge().unwrap();
    let end = Instant::now() + Duration::from_secs(seconds(30));
    let mut failures = Vec::new();
    let mut away = None;
    while failures.len() < at_least(1000).max(FEWEST) || Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(random.random_range(20..700))).await;
        // Each of them once at least, however short the time is.
        let failure = match FAILURES.get(failures.len()) {
            Some(failure) => *failure,
            None => FAILURES[random.random_range(0..FAILURES.len())],
        };
        fail(&mut house, failure, &mut random).await;
        failures.push(failure);
        match failure {
            Failure::CloudAway => away = Some(failures.len() + random.random_range(2..6)),
            Failure::Cloud => away = None,
            _ => {}
        }
        if away.is_some_and(|back| back <= failures.len()) {
            away = None;
            house.start_cloud().await.unwrap();
        }
    }
    if house.cloud.is_none() {
        house.start_cloud().await.unwrap();
    }
    let (told, refused) = house.finish_depot(PATIENCE).await.unwrap();
    house.stop_depot().await.unwrap();
    drain(&mut house).await;
    house.stop_cloud().await.unwrap();

    let truth = house.path("depot").join("transactions.jsonl");
    let report = check::transactions(&database_url, &truth).await.unwrap();
    let count = |failure| failures.iter().filter(|one| **one == failure).count();
    let each: Vec<_> = FAILURES
        .iter()
        .map(|failure| format!("{failure:?} {}", count(*failure)))
        .collect();
    println!(
        "{} failures ({}) and those of the stations themselves; {told} messages answered: {report}",
        failures.len(),
        each.join(", "),
    );
    assert_eq!(refused, 0, "the gateway refuses what happened");
    assert!(report.right > 5, "hardly anybody has charged: {report}");
    assert!(report.energy_wh > 0, "{report}");
    assert!(report.is_exact(), "{report}");
    let ledger = check::ledger(&house.path("buffer")).unwrap();
    assert_eq!((ledger.waiting, ledger.dropped), (0, 0));
}
