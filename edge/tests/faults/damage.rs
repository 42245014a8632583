//! Bits flipped and ends cut off, in database and log: the gateway is up again by itself, and misses what was hit and nothing
//! else. A block is *hit* when a byte is not as it was of what stands for it alone: of the cell of its bytes or of the cell of its
//! row, with what overflows of them, of the places where their pages say that these cells are, or of the headers of these
//! pages and of the frames of the log that carry them (`where_it_lies`). Its row counts in each of its versions, for the one before is
//! what is left when the log breaks off. Everything else of both files may be damaged at no cost
//! to it: indices, interior pages, the schema, the list of free pages, other blocks on its page, the log's header.

use std::{fs, path::Path, time::Instant};

use edge::buffer::{Sample, StoredBlock};
use shared_protocol::{Body, block::SealedBlock};

use super::{
    rig::{Chance, Cloud, SIGNALS, blocks, column, drain, open, samples, seeds, totals},
    where_it_lies::{FILES, Files, Lie},
};

/// Blocks that are written; a third of them are acknowledged.
const BLOCKS: i64 = 120;
const SAMPLES: i64 = 40;
/// One in so many is followed by one that does not fit into a page.
const ONE_IN: i64 = 12;
const LONG: i64 = 1500;

/// Samples that do not compress and are told apart, below 0.
fn long(column: u32, n: i64) -> Vec<Sample> {
    let noise = |k: i64| k.wrapping_mul(0x1e37_79b9_7f4a_7c15) & ((1 << 60) - 1);
    let sample = |k| Sample {
        column,
        time_us: k * 1000,
        raw: -1 - noise(k),
    };
    (n * LONG..(n + 1) * LONG).map(sample).collect()
}

/// The raw integers of a block of samples.
fn raws(block: &StoredBlock) -> Vec<i64> {
    match SealedBlock::open(&block.bytes).unwrap().content().unwrap() {
        Body::Samples(body) => body.iter().map(|(_, _, raw)| raw).collect(),
        _ => Vec::new(),
    }
}

/// A ledger as a dead process leaves it; what it holds of unacknowledged blocks.
async fn make(folder: &Path, cloud: &mut Cloud, seed: u64) -> Vec<StoredBlock> {
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
        if n % ONE_IN == 0 {
            buffer.push(long(column, n)).await.unwrap();
            buffer.flush().await.unwrap();
        }
        if n == BLOCKS / 3 {
            drain(&buffer, cloud, seed).await;
        }
    }
    let held = blocks(&buffer).await;
    for entry in fs::read_dir(live.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    buffer.stop().await.unwrap();
    held
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
    let held = make(folder.path(), &mut cloud, seed).await;
    let before = Files::read(folder.path());
    let lies: Vec<Lie> = before.find(&held);
    let kind = chance.below(3);
    let mut done = Vec::new();
    if kind != 1 {
        done.push(damage(&folder.path().join(FILES[0]), &mut chance));
    }
    if kind != 0 {
        done.push(damage(&folder.path().join(FILES[1]), &mut chance));
    }
    println!("{}", done.join("; "));
    let after = Files::read(folder.path());
    let is_hit: Vec<bool> = lies.iter().map(|lie| lie.is_hit(&before, &after)).collect();

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
    let is_lost = |block: &StoredBlock| !raws(block).iter().all(|raw| stored.contains(raw));
    let lost: Vec<bool> = held.iter().map(is_lost).collect();
    let count = |of: &[bool]| of.iter().filter(|is| **is).count();
    println!(
        "{} of {} blocks hit, {} lost",
        count(&is_hit),
        held.len(),
        count(&lost)
    );
    for ((block, lost), is_hit) in held.iter().zip(lost).zip(is_hit) {
        assert!(
            !lost || is_hit,
            "seed {seed}: block {} was not hit, and is lost ({})",
            block.number,
            done.join("; ")
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
