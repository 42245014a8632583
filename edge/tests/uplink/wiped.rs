//! A broker that is wiped right after it has acknowledged, at random.

use std::{collections::HashSet, sync::Arc, time::Instant};

use futures::StreamExt as _;

use crate::{
    broker::{Broker, Manners, Puback},
    mqtt,
    rig::{Rig, budget, noise},
};

/// Seeds in an ordinary run, if they fit into its time, and in a deep one.
const SEEDS: usize = 20;
const DEEP: usize = 200;
/// Each spends most of its time waiting to connect again.
const AT_ONCE: usize = 4;

/// Some connections that end with a wipe, each after a few messages that were acknowledged; what the broker had passed on
/// by then is known to the cloud, and its word may be lost too. Then a sound one. Returns what is wrong.
async fn play(seed: u64) -> Result<usize, String> {
    let mut chance = noise(seed, usize::MAX).map(i64::unsigned_abs);
    let mut up_to = |most: u64| chance.next().map_or(0, |number| number % most) as usize;
    let rig = Rig::new();
    rig.fill(20 + up_to(60) as i64).await;
    let expected: HashSet<_> = rig
        .held()
        .await
        .iter()
        .map(|block| (block.number, block.digest))
        .collect();
    let mut script = Vec::new();
    // What the cloud knows does not come again, and a wipe that waits for it never happens.
    let mut left = expected.len();
    for _ in 0..=up_to(3) {
        let forwards = up_to(3) == 0;
        // As long as the cloud is not heard, the gateway holds most of its blocks back.
        let come = if forwards { left } else { left.min(32) };
        let cut_after = 1 + up_to(come as u64);
        script.push(Manners {
            cut_after,
            forwards,
            puback: match up_to(4) {
                0 => Puback::Backwards(1 + up_to(3)),
                _ => Puback::Each,
            },
            ..Manners::limited(&[0x21, 0, 5 + up_to(20) as u8])
        });
        if forwards {
            left -= cut_after - 1;
        }
    }
    let wiped = script.len();
    script.push(Manners {
        connack: mqtt::connack(0, &[]),
        ..Manners::default()
    });
    let cloud = Arc::new(rig.cloud());
    let broker = Broker::start(script, Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    rig.emptied().await;
    uplink.stop().await;
    let acknowledged: u64 = rig
        .balanced()
        .iter()
        .map(|totals| totals.acknowledged)
        .sum();
    // The blocks with columns carry no samples.
    let samples: u64 = rig.balanced().iter().map(|totals| totals.produced).sum();
    if cloud.blocks() != expected {
        return Err(format!(
            "{} of {} blocks came",
            cloud.blocks().len(),
            expected.len()
        ));
    }
    if acknowledged != samples {
        return Err(format!(
            "{acknowledged} of {samples} samples are acknowledged"
        ));
    }
    Ok(wiped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_broker_forgets_arrives() {
    let first = std::env::var("PATIO_SEED").ok();
    let first: Option<u64> = first.and_then(|seed| seed.parse().ok());
    let deep = std::env::var_os("PATIO_DEEP").is_some();
    let (began, budget) = (Instant::now(), budget());
    let seeds = match first {
        Some(seed) => vec![seed],
        None => (1..=if deep { DEEP } else { SEEDS } as u64).collect(),
    };
    let mut played = futures::stream::iter(seeds)
        .take_while(|_| std::future::ready(deep || began.elapsed() < budget))
        .map(|seed| async move { (seed, tokio::spawn(play(seed)).await) })
        .buffer_unordered(AT_ONCE);
    let (mut seeds, mut wipes) = (0, 0);
    while let Some((seed, outcome)) = played.next().await {
        match outcome {
            Ok(Ok(wiped)) => {
                seeds += 1;
                wipes += wiped;
            }
            failed => panic!("PATIO_SEED={seed} repeats it: {failed:?}"),
        }
    }
    println!(
        "{seeds} seeds, a broker wiped {wipes} times: all blocks arrived, each acknowledged once"
    );
    assert!(seeds > 0);
}
