//! Each loop of a gateway fails on purpose, and is started again alone.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use edge::{
    buffer::StreamTotals,
    gateway::{self, Around, Running},
    supervise::{Drill, LoopReport},
};
use firmware_config::gateway::Gateway;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::house::{House, free_port};

const WITHIN: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the gateway's page shows of the metrics with this name.
async fn shown(port: u16, name: &str) -> BTreeMap<String, f64> {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else {
        return BTreeMap::new();
    };
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut page = String::new();
    // Its loop may be in a drill.
    let read = stream.read_to_string(&mut page);
    let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
    page.lines()
        .filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '))
        .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The loops that can be started again alone: all but the one whose end is the end of the process.
fn loops(running: &Running) -> Vec<LoopReport> {
    let mut loops = running.status().loops;
    loops.retain(|one| one.name != "ledger");
    loops
}

/// All loops fail at once; returns how long each stood still.
async fn fail(drill: Drill, times: impl Fn(&LoopReport) -> u64) -> Vec<(String, Duration)> {
    let house = House::new().await;
    let port = free_port();
    let around = Around {
        metrics: Some(([127, 0, 0, 1], port).into()),
        ..Around::default()
    };
    let config = Gateway::read(&house.config()).unwrap();
    let running = gateway::start(config, &around).unwrap();
    // Everything works: each source has given samples, and the cloud has some.
    let works = async || {
        let samples = shown(port, "edge_source_samples_total").await;
        samples.len() == 3 && samples.values().all(|count| *count > 0.0)
    };
    until("a source gives nothing", works).await;
    until("not connected", async || running.status().uplink.connected).await;

    let names: Vec<_> = loops(&running).into_iter().map(|one| one.name).collect();
    for expected in [
        "database",
        "uplink",
        "clock",
        "commands",
        "control",
        "commission",
        "health",
        "page",
        "stations",
        "stations:records",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected}");
    }
    for kind in ["can:", "modbus:"] {
        assert!(names.iter().any(|name| name.starts_with(kind)), "{kind}");
    }
    for name in &names {
        assert!(running.drill(name, drill));
    }
    let began = Instant::now();
    let mut back: BTreeMap<String, Duration> = BTreeMap::new();
    while back.len() < names.len() && began.elapsed() < WITHIN {
        for one in loops(&running) {
            if times(&one) == 1 && one.silent_ms.is_some_and(|silent| silent < 1500) {
                back.entry(one.name).or_insert(began.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for name in &names {
        assert!(
            back.contains_key(name),
            "{name} is not back: {:?}",
            loops(&running)
        );
    }
    // And they do their work again.
    let before = shown(port, "edge_source_samples_total").await;
    assert_eq!(before.len(), 3);
    until("a source gives nothing any more", async || {
        let after = shown(port, "edge_source_samples_total").await;
        after.len() == 3 && after.iter().all(|(asset, count)| *count > before[asset])
    })
    .await;
    until("not connected again", async || {
        let uplink = running.status().uplink;
        uplink.connected && uplink.connections == 2
    })
    .await;
    for one in loops(&running) {
        assert_eq!(times(&one), 1, "{one:?}");
    }
    let status = running.status();
    assert!(status.streams.iter().all(StreamTotals::conserved));
    assert!(!house.cloud.blocks().is_empty());
    running.stop().await;
    back.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_loop_that_hangs_is_started_again_alone_within_thirty_seconds() {
    for (name, after) in fail(Drill::Hang, |one| one.stuck).await {
        println!("{name}: hung, back after {:.1} s", after.as_secs_f32());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_loop_that_panics_is_started_again_alone() {
    for (name, after) in fail(Drill::Panic, |one| one.panics).await {
        println!("{name}: panicked, back after {:.1} s", after.as_secs_f32());
    }
}
