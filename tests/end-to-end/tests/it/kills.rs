//! Gateway, cloud, broker and database are killed at random while a depot runs: nothing that the gateway had made durable is
//! lost, nothing is stored twice, and no value is another than the depot's.

use std::time::{Duration, Instant};

use end_to_end::{
    check,
    house::{House, Options},
    live::Report,
    server::{Server, children},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};

use crate::{at_least, databases, deep, seconds, seed};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Edge,
    Cloud,
    Broker,
    /// The whole server.
    Database,
    /// One of its processes: it recovers by itself.
    DatabaseProcess,
}

async fn kill(house: &mut House, server: &mut Option<Server>, victim: Victim, random: &mut StdRng) {
    match victim {
        Victim::Edge => {
            house.edge.as_mut().unwrap().kill().await.unwrap();
            house.start_edge().unwrap();
        }
        Victim::Cloud => {
            house.cloud.as_mut().unwrap().kill().await.unwrap();
            house.start_cloud().await.unwrap();
        }
        Victim::Broker => {
            for child in children(house.cloud.as_ref().unwrap().id().unwrap()) {
                // It may have ended by itself meanwhile.
                let _ = kill_process(Pid::from_raw(child).unwrap(), Signal::KILL);
            }
        }
        Victim::Database => server.as_mut().unwrap().kill().await.unwrap(),
        Victim::DatabaseProcess => {
            let choose = |count| random.random_range(0..count);
            server.as_mut().unwrap().kill_one(choose).await.unwrap();
        }
    }
}

/// Waits until the gateway has nothing left that the cloud does not have: as long as that takes, while it becomes less.
pub(crate) async fn drain(house: &mut House) {
    const PATIENCE: Duration = Duration::from_secs(90);
    let mut least = u64::MAX;
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        house.stop_edge().await.unwrap();
        if check::ledger(&house.path("buffer")).unwrap().waiting == 0 {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the backlog does not drain: {least} samples are left"
        );
        house.start_edge().unwrap();
        let edge = house.edge.as_mut().unwrap();
        while let Some(line) = edge.line().await {
            let report: Report = serde_json::from_str(&line).unwrap();
            let left = report.sum(|stream| stream.buffered);
            if left < least {
                least = left;
                deadline = Instant::now() + PATIENCE;
            }
            if left == 0 || Instant::now() > deadline {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_lose_and_duplicate_nothing() {
    let databases = databases();
    let mut stored = 0;
    for (flavour, url) in &databases {
        let time = Duration::from_secs(seconds(30)) / databases.len() as u32;
        let least = at_least(1000).max(SHORT.div_ceil(databases.len()));
        stored += kills_on(flavour, url, time, least).await;
    }
    assert!(
        databases.is_empty() || stored >= at_least(10_000_000) as u64,
        "{stored} samples are too few for the long run: give the depot more cars"
    );
}

/// Kills of a short run, over all flavours; the long one has 1,000 on each.
const SHORT: usize = 50;

/// Kills until there were as many as wanted and the time is over; how many samples were stored.
async fn kills_on(flavour: &str, url: &str, time: Duration, least: usize) -> u64 {
    let seed = seed(flavour);
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut victims = vec![Victim::Edge, Victim::Cloud, Victim::Broker];
    // The server that all tests share is nobody's to kill.
    let mut server = match Server::like(url).await {
        Ok(server) => {
            victims.extend([Victim::Database, Victim::DatabaseProcess]);
            Some(server)
        }
        Err(reason) => {
            eprintln!("skipped: kills of the database ({flavour}): {reason:#}");
            None
        }
    };
    let url = server.as_ref().map_or_else(|| url.to_owned(), Server::url);
    let database_url = check::fresh_database(&url, "patio_kills").await.unwrap();
    let options = Options {
        folder: folder.path().to_owned(),
        database_url: database_url.clone(),
        cars: if deep() { 400 } else { 5 },
        chargers: 5,
        seed,
        speed: 1.0,
        replay: None,
    };
    let mut house = House::set_up(options).await.unwrap();
    house.start_cloud().await.unwrap();
    house.start_edge().unwrap();
    let end = Instant::now() + time;
    let mut kills = Vec::new();
    while kills.len() < least.max(victims.len()) || Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(random.random_range(20..1200))).await;
        // Each of them once at least, however short the time is.
        let victim = match victims.get(kills.len()) {
            Some(victim) => *victim,
            None => victims[random.random_range(0..victims.len())],
        };
        kill(&mut house, &mut server, victim, &mut random).await;
        kills.push(victim);
        if kills.len().is_multiple_of(100) {
            println!("{} kills", kills.len());
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    house.stop_depot().await.unwrap();
    drain(&mut house).await;
    house.stop_cloud().await.unwrap();

    let truth = house.path("depot").join("truth.jsonl");
    let verdict = check::check(&database_url, &house.path("buffer"), &truth)
        .await
        .unwrap();
    let count = |victim| kills.iter().filter(|killed| **killed == victim).count();
    println!(
        "{} kills on {flavour} (gateway {}, cloud {}, broker {}, database {}, a process of it {}): {} samples made durable, \
         {} stored, {} duplicated, {} wrong; {} were in the gateway's memory when it was killed",
        kills.len(),
        count(Victim::Edge),
        count(Victim::Cloud),
        count(Victim::Broker),
        count(Victim::Database),
        count(Victim::DatabaseProcess),
        verdict.ledger.produced,
        verdict.stored,
        verdict.report.total.duplicated,
        verdict.report.total.wrong,
        verdict.report.total.lost + verdict.report.total.unread,
    );
    assert!(verdict.stored > 0, "nothing was stored");
    assert!(
        verdict.is_conserved(),
        "{:?} {:?}",
        verdict.ledger,
        verdict.report
    );
    verdict.stored
}
