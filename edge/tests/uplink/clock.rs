//! A gateway without a clock, with a late one, and with one that jumps: nothing is lost, nothing changes places, and the time
//! is the cloud's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use edge::clock::{Clock, Source, Sources};
use shared_protocol::{BlockHeader, Stream};

use crate::{
    broker::{Broker, Manners},
    cloud::Cloud,
    rig::{LIVE, Rig, noise},
};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The true time, ahead of any build.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_micros() as i64 + 1000 * SECOND
}

/// A gateway whose system's clock is off by so much, kept by somebody or not.
fn gateway(off: &Arc<AtomicI64>, kept: bool) -> (Rig, Arc<Cloud>) {
    let off = off.clone();
    let sources = Sources {
        system: Box::new(move || now() + off.load(Ordering::Relaxed)),
        kept: Box::new(move || kept),
    };
    let rig = Rig::over("depot-1", Clock::new(sources, None).unwrap());
    let cloud = Arc::new(rig.cloud().knowing(now));
    (rig, cloud)
}

/// How far a block's time of day is off, in seconds; `None` when it has none.
fn off_by(rig: &Rig, header: &BlockHeader) -> Option<i64> {
    let truth = now() - rig.clock.now_us();
    header
        .wall_offset_us
        .map(|offset| (offset - truth).abs() / SECOND)
}

#[tokio::test]
async fn a_gateway_without_a_clock_learns_the_time_from_the_cloud() {
    // It goes on where it stopped three weeks ago.
    let late = Arc::new(AtomicI64::new(-21 * DAY));
    let (rig, cloud) = gateway(&late, false);
    rig.fill(30).await;
    assert_eq!(rig.clock.wall_us(), None);
    let broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    rig.emptied().await;
    // The answers to what is old tell nothing: they may be old, too. The first fresh block does it.
    assert_eq!(rig.clock.standing().source, Source::Nobody);
    rig.seal(LIVE, [1]).await;
    rig.emptied().await;
    assert_eq!(rig.clock.standing().source, Source::Cloud);
    rig.seal(LIVE, [2]).await;
    rig.emptied().await;
    uplink.stop().await;
    let headers = cloud.headers();
    let (last, before) = headers.split_last().unwrap();
    assert!(before.iter().all(|header| header.wall_offset_us.is_none()));
    // One boot: what came before it is placed by it.
    assert!(before.iter().all(|header| header.boot == last.boot));
    assert!(off_by(&rig, last).unwrap() <= 1);
}

#[tokio::test]
async fn jumps_of_ten_years_lose_nothing_and_change_no_places() {
    let off = Arc::new(AtomicI64::new(0));
    let (rig, cloud) = gateway(&off, true);
    let broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    // Half of them before the cloud has said a word about a fresh block, as in an outage.
    let jumps = noise(3, 60).map(|number| (number % 7300 - 3650) * DAY);
    let mut count = 0;
    for (place, jump) in jumps.enumerate() {
        off.store(if place % 4 == 0 { 0 } else { jump }, Ordering::Relaxed);
        rig.seal(LIVE, [count]).await;
        count += 1;
        if place > 30 {
            rig.emptied().await;
        }
    }
    rig.emptied().await;
    uplink.stop().await;
    let mut headers = cloud.headers();
    headers.retain(|header| header.number.stream == Stream::Live);
    headers.sort_by_key(|header| header.number.seq);
    let places: Vec<_> = headers
        .iter()
        .map(|header| header.number.seq as i64)
        .collect();
    assert_eq!(places, (0..count).collect::<Vec<_>>());
    for header in &headers {
        // Right, or none: never ten years off.
        assert!(
            off_by(&rig, header).is_none_or(|off| off <= 61),
            "{header:?}"
        );
    }
    assert!(
        headers[40..]
            .iter()
            .all(|header| header.wall_offset_us.is_some())
    );
    let samples: u64 = rig
        .balanced()
        .iter()
        .map(|totals| totals.acknowledged)
        .sum();
    assert_eq!(samples, count as u64);
}
