//! `produced = open + buffered + acknowledged + dropped`, whatever happens in whatever order, and the cloud can add up the same.

use super::rig::{Chance, Cloud, SIGNALS, blocks, column, drain, open, samples, seeds, totals};

/// Small enough that thinning, dropping and refusing all happen.
const QUOTA: u64 = 60_000;

async fn once(seed: u64) {
    let mut chance = Chance::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut cloud = Cloud::default();
    let mut buffer = open(folder.path(), QUOTA).await.unwrap();
    let mut produced = 0u64;
    let mut next = 0i64;
    // Some depots are mostly critical.
    let cheap = chance.below(4);
    for _ in 0..120 {
        match chance.below(20) {
            0 => {
                buffer.stop().await.unwrap();
                buffer = open(folder.path(), QUOTA).await.unwrap();
            }
            1..=3 => {
                let mut said = Vec::new();
                for block in blocks(&buffer).await {
                    if chance.below(2) == 0 {
                        said.extend(cloud.store(&block, seed));
                    } else {
                        cloud.look(&block, seed);
                    }
                }
                buffer.settle(said).await.unwrap();
                buffer.flush().await.unwrap();
            }
            _ => {
                let signal = if chance.below(4) < cheap {
                    chance.below(3)
                } else {
                    0
                };
                let column = column(&buffer, SIGNALS[signal as usize]);
                let count = 1 + chance.below(1500) as i64;
                let mut batch = samples(column, next, count);
                // Noise above what tells them apart, so that blocks are long.
                for sample in &mut batch {
                    sample.raw |= ((chance.next() >> 40) << 38).cast_signed();
                }
                next += count;
                produced += count.unsigned_abs();
                buffer.push(batch).await.unwrap();
                buffer.flush().await.unwrap();
            }
        }
        assert_eq!(totals(&buffer).produced, produced, "seed {seed}");
    }
    drain(&buffer, &mut cloud, seed).await;
    let found = totals(&buffer);
    let stored = cloud.all(seed).len() as u64;
    assert_eq!((found.open, found.buffered), (0, 0), "seed {seed}");
    assert_eq!(stored, found.acknowledged, "seed {seed}: {found:?}");
    assert_eq!(cloud.absent(), found.dropped, "seed {seed}: {found:?}");
    assert_eq!(stored + cloud.absent(), produced, "seed {seed}: {found:?}");
    buffer.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_lost_without_being_counted() {
    seeds(
        "conservation",
        if std::env::var_os("PATIO_DEEP").is_some() {
            1000
        } else {
            100
        },
        once,
    )
    .await;
}
