//! Bits flipped and ends cut off, in database and log: the gateway is up again by itself, and misses what was hit. *Hit* is
//! a block whose bytes lie on a page (of the database, or of the log) that is not as it was.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use edge::buffer::StoredBlock;
use shared_protocol::{Body, block::SealedBlock};

use super::rig::{Chance, Cloud, SIGNALS, blocks, column, drain, open, samples, seeds, totals};

/// Blocks that are written; a third of them are acknowledged.
const BLOCKS: i64 = 120;
const SAMPLES: i64 = 40;
const FILES: [&str; 2] = ["buffer.sqlite", "buffer.sqlite-wal"];

const PAGE: usize = 4096;
/// The lengths of the log's header and of a frame's.
const LOG: usize = 32;
const FRAME: usize = 24;

/// The page of a file, with its frame's header, in which these bytes lie; `None` when they reach beyond it.
fn page(is_log: bool, at: usize, length: usize) -> Option<std::ops::Range<usize>> {
    let (before, size) = if is_log {
        (LOG, FRAME + PAGE)
    } else {
        (0, PAGE)
    };
    let first = at.checked_sub(before)? / size * size + before;
    (at + length <= first + size).then_some(first..first + size)
}

/// Those of these blocks whose bytes lie only on pages that are as they were, by their first sample.
fn not_hit(
    held: &[StoredBlock],
    before: &BTreeMap<&str, Vec<u8>>,
    folder: &Path,
) -> BTreeMap<i64, Vec<i64>> {
    let mut whole = BTreeMap::new();
    let mut hit = Vec::new();
    for (name, bytes) in before {
        let after = fs::read(folder.join(name)).unwrap_or_default();
        // Where a block may begin.
        let places: Vec<usize> = (0..bytes.len())
            .filter(|&at| bytes[at..].starts_with(b"Pt"))
            .collect();
        for block in held {
            let copies: Vec<_> = places
                .iter()
                .filter(|&&at| bytes[at..].starts_with(&block.bytes))
                .map(|&at| page(name.ends_with("-wal"), at, block.bytes.len()))
                .collect();
            let as_it_was = |page: &Option<std::ops::Range<usize>>| {
                let page = page.clone();
                page.is_some_and(|page| after.get(page.clone()) == bytes.get(page))
            };
            if !copies.iter().all(as_it_was) {
                hit.push(block.number);
            }
            if !copies.is_empty()
                && let Ok(Body::Samples(body)) = SealedBlock::open(&block.bytes).unwrap().content()
            {
                let raws: Vec<i64> = body.iter().map(|(_, _, raw)| raw).collect();
                whole.insert(raws[0], (block.number, raws));
            }
        }
    }
    whole.retain(|_, (number, _)| !hit.contains(number));
    whole
        .into_iter()
        .map(|(first, (_, raws))| (first, raws))
        .collect()
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
    let before = FILES.map(|name| (name, fs::read(folder.path().join(name)).unwrap_or_default()));
    let before = BTreeMap::from(before);
    let kind = chance.below(3);
    let mut done = Vec::new();
    if kind != 1 {
        done.push(damage(&folder.path().join(FILES[0]), &mut chance));
    }
    if kind != 0 {
        done.push(damage(&folder.path().join(FILES[1]), &mut chance));
    }
    println!("{}", done.join("; "));
    let whole = not_hit(&held, &before, folder.path());

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
    println!(
        "{lost} of {BLOCKS} blocks lost, {} of {} not hit",
        whole.len(),
        held.len()
    );
    for (first, raws) in &whole {
        assert!(
            raws.iter().all(|raw| stored.contains(raw)),
            "seed {seed}: the block of sample {first} was not hit, and is lost ({})",
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
