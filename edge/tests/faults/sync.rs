//! Power cuts at any write, on a disk that forgets what was not synced and tears sectors.

use super::{
    disk,
    rig::{Chance, Cloud, SIGNALS, blocks, column, drain, open, samples, seeds, totals},
};

const CUTS: usize = 3;

async fn once(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut cloud = Cloud::default();
    let mut folder = tempfile::tempdir().unwrap();
    let mut next = 0i64;
    // What was told to be durable before a cut, from and to.
    let mut told: Vec<(i64, i64)> = Vec::new();
    for cut in 0..=CUTS {
        let disk = disk::under(folder.path());
        let buffer = open(folder.path(), 1 << 30).await.unwrap();
        totals(&buffer);
        if cut == CUTS {
            // The last one is read out: what was told to be durable is there, once.
            drain(&buffer, &mut cloud, seed).await;
            let stored = cloud.all(seed);
            for (from, to) in told {
                let lost = (from..to).filter(|raw| !stored.contains(raw)).count();
                assert_eq!(
                    lost, 0,
                    "seed {seed}: {lost} of the samples {from}..{to} are lost"
                );
            }
            buffer.stop().await.unwrap();
            return;
        }
        let columns = SIGNALS.map(|signal| column(&buffer, signal));
        let began = next;
        {
            let mut disk = disk.lock().unwrap();
            disk.told = next as usize;
            disk.cut_at = Some(disk.operations + 1 + chance.below(400));
        }
        for _ in 0..200 {
            let count = 1 + chance.below(300) as i64;
            let column = columns[chance.below(3) as usize];
            buffer.push(samples(column, next, count)).await.unwrap();
            next += count;
            if chance.below(3) != 0 {
                buffer.flush().await.unwrap();
                disk.lock().unwrap().told = next as usize;
            }
            if chance.below(6) == 0 {
                let held = blocks(&buffer).await;
                if disk.lock().unwrap().image.is_some() {
                    break;
                }
                // Some are published, some of these acknowledged; all of them may have reached the cloud.
                let mut said = Vec::new();
                for block in held {
                    match chance.below(3) {
                        0 => said.extend(cloud.store(&block, seed)),
                        1 => cloud.look(&block, seed),
                        _ => {}
                    }
                }
                buffer.settle(said).await.unwrap();
            }
            if disk.lock().unwrap().image.is_some() {
                break;
            }
        }
        let image = {
            let disk = disk.lock().unwrap();
            disk.image.clone().unwrap_or_else(|| disk.now())
        };
        told.push((began, image.told as i64));
        let after = tempfile::tempdir().unwrap();
        image.write(after.path(), &mut chance);
        buffer.stop().await.unwrap();
        folder = after;
    }
}

#[tokio::test]
async fn a_commit_that_returned_survives_any_cut() {
    seeds(
        "lost fsync, torn sectors",
        if std::env::var_os("PATIO_DEEP").is_some() {
            500
        } else {
            50
        },
        once,
    )
    .await;
}
