//! Bits flipped and ends cut off, in database and log: the gateway is up again by itself, and misses what was hit.

use std::{fs, path::Path, time::Instant};

use super::rig::{Chance, Cloud, SIGNALS, blocks, column, drain, open, samples, seeds, totals};

/// Blocks that are written; a third of them are acknowledged.
const BLOCKS: i64 = 120;
const SAMPLES: i64 = 40;

/// A ledger as a dead process leaves it.
async fn make(folder: &Path, cloud: &mut Cloud, seed: u64) {
    let live = tempfile::tempdir().unwrap();
    let buffer = open(live.path(), 1 << 30).await.unwrap();
    let columns = SIGNALS.map(|signal| column(&buffer, signal));
    for n in 0..BLOCKS {
        let column = columns[n as usize % columns.len()];
        buffer
            .push(samples(column, n * SAMPLES, SAMPLES))
            .await
            .unwrap();
        buffer.flush().await.unwrap();
        if n == BLOCKS / 3 {
            drain(&buffer, cloud, seed).await;
        }
    }
    for entry in fs::read_dir(live.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    buffer.stop().await.unwrap();
}

/// Damages a file; returns what was done.
fn damage(path: &Path, chance: &mut Chance) -> String {
    let mut bytes = fs::read(path).unwrap_or_default();
    if bytes.is_empty() {
        return "nothing".into();
    }
    let what = match chance.below(4) {
        0 => {
            let length = chance.below(bytes.len() as u64) as usize;
            bytes.truncate(length);
            format!("cut to {length} bytes")
        }
        1 => {
            let from = chance.below(bytes.len() as u64) as usize;
            let to = bytes.len().min(from + 1 + chance.below(6000) as usize);
            bytes[from..to].fill_with(|| chance.next() as u8);
            format!("noise from {from} to {to}")
        }
        _ => {
            let flips = 1 + chance.below(12);
            for _ in 0..flips {
                let bit = chance.below(bytes.len() as u64 * 8);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            format!("{flips} bits flipped")
        }
    };
    fs::write(path, bytes).unwrap();
    format!("{}: {what}", path.file_name().unwrap().display())
}

async fn once(seed: u64) {
    let mut chance = Chance::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut cloud = Cloud::default();
    make(folder.path(), &mut cloud, seed).await;
    let kind = chance.below(3);
    let mut done = Vec::new();
    if kind != 1 {
        done.push(damage(&folder.path().join("buffer.sqlite"), &mut chance));
    }
    if kind != 0 {
        done.push(damage(
            &folder.path().join("buffer.sqlite-wal"),
            &mut chance,
        ));
    }
    println!("{}", done.join("; "));

    let began = Instant::now();
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    let speed = column(&buffer, "Vehicle.Speed");
    let fresh = BLOCKS * SAMPLES;
    buffer.push(samples(speed, fresh, SAMPLES)).await.unwrap();
    buffer.flush().await.unwrap();
    let took = began.elapsed();
    assert!(
        took.as_secs_f64() <= 5.0,
        "up again after {took:?} (seed {seed})"
    );
    assert!(
        !buffer.state().borrow().volatile,
        "seed {seed}: {:?}",
        buffer.state().borrow().failing
    );
    totals(&buffer);
    // Twice: what is found damaged when it is read becomes a record of its loss.
    for _ in 0..2 {
        drain(&buffer, &mut cloud, seed).await;
    }
    assert!(blocks(&buffer).await.is_empty());
    totals(&buffer);
    let stored = cloud.all(seed);
    assert!(
        (fresh..fresh + SAMPLES).all(|raw| stored.contains(&raw)),
        "seed {seed}: what came afterwards is lost"
    );
    let lost = (0..fresh).filter(|raw| !stored.contains(raw)).count() as i64 / SAMPLES;
    println!("{lost} of {BLOCKS} blocks lost");
    // A flipped bit hits one page, which holds a few dozen small blocks at most; what was cut off is gone.
    if done.iter().all(|done| done.contains("flipped")) {
        assert!(
            lost <= BLOCKS * 3 / 4,
            "seed {seed}: {lost} of {BLOCKS} blocks are lost"
        );
    }
    buffer.stop().await.unwrap();
}

#[tokio::test]
async fn random_damage() {
    seeds(
        "random damage",
        if std::env::var_os("PATIO_DEEP").is_some() {
            1000
        } else {
            100
        },
        once,
    )
    .await;
}
