//! The real programs as processes, a real database, faults.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bad_input;
mod codes;
mod kills;
mod kona;
mod outage;
mod plan;
mod power;
mod restored;
mod station_orders;
mod stations;
mod steps;

use std::path::{Path, PathBuf};

use end_to_end::{
    check,
    house::{Habits, House, Options},
};

/// The databases to test with, `(flavour, URL)`; none after saying that the test is skipped.
fn databases() -> Vec<(String, String)> {
    let Ok(text) = std::env::var("PATIO_TEST_DATABASE_URLS") else {
        eprintln!("skipped: no PATIO_TEST_DATABASE_URLS (scripts/test sets it)");
        return Vec::new();
    };
    let pair = |word: &str| {
        word.split_once('=')
            .map(|(flavour, url)| (flavour.to_owned(), url.to_owned()))
    };
    text.split_whitespace().filter_map(pair).collect()
}

/// A house in a folder whose depot is as a file says and whose cars charge; cloud and gateway run, on a fresh database of a name
/// that no other test has.
async fn charging_house(
    folder: &Path,
    (url, name): (&str, &str),
    depot: &str,
    cars: u32,
    seed: u64,
) -> House {
    let file = folder.join("depot.toml");
    std::fs::write(&file, depot).unwrap();
    let options = Options {
        folder: folder.join("house"),
        database_url: check::fresh_database(url, name).await.unwrap(),
        cars,
        chargers: 0,
        seed,
        speed: 1.0,
        replay: None,
    };
    let habits = Habits {
        charging: true,
        ..Habits::default()
    };
    let mut house = House::of_depot(options, &file, habits).await.unwrap();
    house.start_cloud().await.unwrap();
    house.start_edge().unwrap();
    house
}

/// How long a fault test may go on.
fn seconds(default: u64) -> u64 {
    std::env::var("PATIO_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// What decides the choices of a run: `PATIO_SEED`, else another one each time. It is said, so that the run can be repeated.
fn seed(flavour: &str) -> u64 {
    let given = std::env::var("PATIO_SEED").ok();
    let given = given.and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random::<u64>);
    println!("PATIO_SEED={seed} repeats this run's choices; database: {flavour}");
    seed
}

/// How many faults there must be, however long that takes: so many when all are wanted (`PATIO_DEEP`), else as many as fit.
fn at_least(many: usize) -> usize {
    if deep() { many } else { 0 }
}

fn deep() -> bool {
    std::env::var_os("PATIO_DEEP").is_some()
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
