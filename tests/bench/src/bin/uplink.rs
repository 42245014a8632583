//! `scripts/bench uplink`: alarms and the present while a large backlog drains over 1 Mbit/s, and how soon a black hole is
//! found. Real time: it takes about a minute and a half.
#![allow(clippy::unwrap_used, reason = "a bench ends with what went wrong")]

#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../../../../edge/tests/uplink/broker.rs"]
mod broker;
#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../../../../edge/tests/uplink/cloud.rs"]
mod cloud;
#[path = "../../../../edge/tests/uplink/link.rs"]
mod link;
#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../../../../edge/tests/uplink/mqtt.rs"]
mod mqtt;
#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../../../../edge/tests/uplink/rig.rs"]
mod rig;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bench::{Figures, percentile};
use broker::{Broker, Manners, What};
use link::{BYTES_PER_SECOND, Link};
use rig::{CRITICAL, LIVE, Rig};

const BACKLOG: usize = 20_000_000;
const DURATION: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(200);

/// An alarm five times a second, the present once a second, for a minute.
async fn drain(figures: &mut Figures) {
    let rig = Rig::new();
    let piled = rig.pile_up(BACKLOG).await;
    let cloud = Arc::new(rig.cloud());
    let mut broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let link = Link::to(broker.port).await;
    let uplink = rig.uplink(link.port, &cloud);
    broker.block().await;
    let start = Instant::now();
    // Values tell which sample it was: even ones are alarms.
    let mut made: HashMap<i64, tokio::time::Instant> = HashMap::new();
    let (mut critical, mut live) = (Vec::new(), Vec::new());
    let (mut number, mut backlog, mut fresh) = (0, 0usize, 0usize);
    let mut tick = tokio::time::interval(TICK);
    while start.elapsed() < DURATION || !made.is_empty() {
        tokio::select! {
            _ = tick.tick(), if start.elapsed() < DURATION => {
                number += 2;
                made.insert(number, tokio::time::Instant::now());
                rig.seal(CRITICAL, [number]).await;
                if number % 10 == 0 {
                    made.insert(number + 1, tokio::time::Instant::now());
                    rig.seal(LIVE, [number + 1]).await;
                }
            }
            seen = broker.next() => if let What::Message(message) = seen.what {
                if message.topic.ends_with("/bulk") {
                    backlog += message.payload.len();
                } else if !message.topic.ends_with("/hello") {
                    fresh += message.payload.len();
                    for value in cloud::values(&message.payload) {
                        if let Some(made) = made.remove(&value) {
                            let took = (seen.at - made).as_secs_f64() * 1000.0;
                            if value % 2 == 0 { critical.push(took) } else { live.push(took) }
                        }
                    }
                }
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    uplink.stop().await;
    let used = (backlog + fresh) as f64 / seconds / BYTES_PER_SECOND;
    figures.add(
        "drain_ratio_to_live",
        backlog as f64 / fresh as f64,
        "bytes of backlog carried for a byte of what is fresh",
    );
    figures.add(
        "live_p99_ms_while_draining",
        percentile(&mut live, 0.99),
        "from sealing to the broker, of what is live",
    );
    figures.add(
        "critical_p99_ms_while_draining",
        percentile(&mut critical, 0.99),
        "the same of alarms (bound 2000)",
    );
    figures.add("link_used", used, "of 1 Mbit/s, payloads alone");
    figures.add("backlog_mb", piled as f64 / 1e6, "that waited at the start");
}

/// From the last byte that came through until the connection is given up.
async fn black_hole() -> f64 {
    let rig = Rig::new();
    let cloud = Arc::new(rig.cloud());
    let broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let link = Link::to(broker.port).await;
    let mut uplink = rig.uplink(link.port, &cloud);
    uplink.until(|report| report.connected).await;
    rig.seal(LIVE, [1]).await;
    rig.emptied().await;
    link.becomes_a_hole();
    let began = Instant::now();
    uplink.until(|report| !report.connected).await;
    let found = began.elapsed().as_secs_f64();
    while link.connections() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    uplink.stop().await;
    found
}

#[tokio::main]
async fn main() {
    let mut figures = Figures::default();
    drain(&mut figures).await;
    figures.add(
        "blackhole_found_s",
        black_hole().await,
        "until a connection on which nothing moves is given up (bound 15)",
    );
    figures.print();
}
