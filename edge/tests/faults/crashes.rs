//! The process is killed, or the power cut, at any write of a ledger that is always full, so that thinning, dropping, refusing
//! and the cloud's word are cut in the middle, too: the counters add up exactly each time it comes up again.

use super::{
    disk,
    rig::{Chance, Cloud, SIGNALS, blocks, column, drain, open, samples, seeds, totals},
};

/// Small enough that thinning, dropping and refusing all happen.
const QUOTA: u64 = 60_000;
const CRASHES: usize = 4;

async fn once(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut cloud = Cloud::default();
    let mut folder = tempfile::tempdir().unwrap();
    let mut next = 0i64;
    // Samples that a commit which returned had counted when the process was killed.
    let mut told = 0;
    let cheap = chance.below(4);
    // A block that lies with the broker may be stored when its record has been answered and forgotten here; then the cloud
    // alone has the exact sums.
    let has_delays = chance.below(2) == 0;
    for crash in 0..=CRASHES {
        let disk = disk::under(folder.path());
        let buffer = open(folder.path(), QUOTA).await.unwrap();
        let found = totals(&buffer);
        assert!(
            told <= found.produced && found.produced <= next.unsigned_abs(),
            "seed {seed}, crash {crash}: {told} were told, {next} were given, {found:?}"
        );
        assert_eq!(found.open, 0, "seed {seed}, crash {crash}");
        assert!(
            found.acknowledged <= cloud.all(seed).len() as u64,
            "seed {seed}, crash {crash}"
        );
        // What is looked at is not thinned any more.
        if crash == CRASHES || chance.below(3) == 0 {
            let held = blocks(&buffer).await;
            let held: u64 = held.iter().map(|block| u64::from(block.samples)).sum();
            assert_eq!(held, found.buffered, "seed {seed}, crash {crash}");
        }
        if chance.below(2) == 0 {
            // What was under way arrives while the gateway is away, and its hello is answered.
            while has_delays && chance.below(3) != 0 {
                cloud.arrive(&mut chance);
            }
            let hello = buffer.held(0).await.unwrap().hello;
            buffer.settle(cloud.closed(hello)).await.unwrap();
            buffer.flush().await.unwrap();
        }
        if crash == CRASHES {
            drain(&buffer, &mut cloud, seed).await;
            while has_delays && cloud.is_under_way() {
                let said = cloud.arrive(&mut chance);
                buffer.settle(said).await.unwrap();
                buffer.flush().await.unwrap();
            }
            let found = totals(&buffer);
            let stored = cloud.all(seed).len() as u64;
            assert_eq!((found.open, found.buffered), (0, 0), "seed {seed}");
            assert_eq!(
                (found.produced, found.produced),
                (stored + cloud.absent(), found.acknowledged + found.dropped),
                "seed {seed}: {stored} stored, {found:?}"
            );
            assert!(
                stored == found.acknowledged || has_delays && stored > found.acknowledged,
                "seed {seed}: {stored} stored, {found:?}"
            );
            // The power may take what was never durable, and nothing else.
            assert_eq!(found.damaged, 0, "seed {seed}: {found:?}");
            buffer.stop().await.unwrap();
            return;
        }
        {
            let mut disk = disk.lock().unwrap();
            disk.told = found.produced as usize;
            disk.cut_at = Some(disk.operations + 1 + chance.below(900));
        }
        for _ in 0..100 {
            if chance.below(6) == 0 {
                let held = blocks(&buffer).await;
                if disk.lock().unwrap().image.is_some() {
                    break;
                }
                let mut said = Vec::new();
                for block in held {
                    match chance.below(4) {
                        0 if has_delays => cloud.delay(block, seed),
                        0 | 1 => cloud.look(&block, seed),
                        _ => said.extend(cloud.store(&block, seed)),
                    }
                }
                while has_delays && chance.below(2) == 0 && cloud.is_under_way() {
                    said.extend(cloud.arrive(&mut chance));
                }
                buffer.settle(said).await.unwrap();
            } else {
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
                buffer.push(batch).await.unwrap();
            }
            buffer.flush().await.unwrap();
            disk.lock().unwrap().told = totals(&buffer).produced as usize;
            if disk.lock().unwrap().image.is_some() {
                break;
            }
        }
        let image = {
            let disk = disk.lock().unwrap();
            disk.image.clone().unwrap_or_else(|| disk.now())
        };
        told = image.told as u64;
        let after = tempfile::tempdir().unwrap();
        image.write(after.path(), &mut chance);
        buffer.stop().await.unwrap();
        folder = after;
    }
}

#[tokio::test]
async fn counters_add_up_after_every_crash_of_a_full_ledger() {
    seeds(
        "crashes of a full ledger",
        if std::env::var_os("PATIO_DEEP").is_some() {
            1000
        } else {
            50
        },
        once,
    )
    .await;
}
