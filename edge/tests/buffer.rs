//! The buffer from the outside: what it promises to sources and to the uplink, in memory as on a disk.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::Path, sync::Arc, time::Duration};

use edge::{
    buffer::{Buffer, Options, Sample, Settlement, StoreError, StoredBlock, StreamTotals},
    clock::Clock,
};
use shared_protocol::{
    Body, Column, Encoding, SignalDef, SignalRef, SigningKey, Source, Stream, Verdict,
    block::SealedBlock, catalogue,
};

fn key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

/// Opens the buffer; waits while the writer of an earlier one has not let go of the folder yet.
async fn open_with(folder: &Path, gateway: &str, quota: u64) -> Result<Buffer, StoreError> {
    for _ in 0..200 {
        let options = Options {
            folder: folder.to_owned(),
            quota,
            gateway: gateway.parse().unwrap(),
            key: key(),
        };
        match Buffer::open(options, Arc::new(Clock::start().unwrap())) {
            Err(StoreError::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return other,
        }
    }
    Err(StoreError::InUse(folder.to_owned()))
}

/// Where the ledger is: what does not speak of files holds of both.
#[derive(Clone, Copy, Debug)]
enum Place {
    Memory,
    Disk,
}

/// Runs a promise over both.
async fn on_each_store<F: Future<Output = ()>>(quota: u64, promise: impl Fn(Buffer) -> F) {
    for place in [Place::Memory, Place::Disk] {
        println!("{place:?}");
        let folder = tempfile::tempdir().unwrap();
        let buffer = match place {
            Place::Disk => open_with(folder.path(), "depot-1", quota).await.unwrap(),
            Place::Memory => {
                let options = Options {
                    folder: folder.path().join("nothing"),
                    quota,
                    gateway: "depot-1".parse().unwrap(),
                    key: key(),
                };
                Buffer::in_memory(options, Arc::new(Clock::start().unwrap())).unwrap()
            }
        };
        let kept = buffer.clone();
        promise(buffer).await;
        assert_eq!(
            kept.state().borrow().volatile,
            matches!(place, Place::Memory)
        );
        kept.stop().await.unwrap();
    }
}

async fn open(folder: &Path) -> Buffer {
    open_with(folder, "depot-1", 1 << 30).await.unwrap()
}

fn column(buffer: &Buffer, asset: &str, signal: &str) -> u32 {
    let signal = SignalRef::Catalogue(catalogue().by_name(signal).unwrap().id);
    let def = SignalDef {
        signal,
        encoding: Encoding::PLAIN,
    };
    buffer.columns().number(&Column {
        asset: asset.parse().unwrap(),
        source: Source::Can,
        def,
    })
}

async fn blocks(buffer: &Buffer) -> Vec<StoredBlock> {
    let mut all = Vec::new();
    for priority in 0..5 {
        all.extend(buffer.to_send(priority, 0, false, 1_000_000).await.unwrap());
    }
    all
}

async fn of(buffer: &Buffer, stream: Stream) -> Vec<StoredBlock> {
    blocks(buffer)
        .await
        .into_iter()
        .filter(|block| block.number.stream == stream)
        .collect()
}

async fn acknowledge(buffer: &Buffer, blocks: &[StoredBlock]) {
    let settlements = blocks
        .iter()
        .map(|b| Settlement::Block(b.number, b.digest, Verdict::Stored))
        .collect();
    buffer.settle(settlements).await.unwrap();
    buffer.flush().await.unwrap();
}

fn totals(buffer: &Buffer, stream: Stream) -> StreamTotals {
    let state = buffer.state();
    let state = state.borrow();
    assert!(
        state.totals.iter().all(StreamTotals::conserved),
        "{:?}",
        state.totals
    );
    *state
        .totals
        .iter()
        .find(|totals| totals.stream == stream)
        .unwrap()
}

fn ramp(column: u32, count: i64) -> Vec<Sample> {
    (0..count)
        .map(|n| Sample {
            column,
            time_us: n * 1000,
            raw: n,
        })
        .collect()
}

#[tokio::test]
async fn samples_become_signed_blocks_and_leave_on_the_clouds_word_alone() {
    on_each_store(1 << 30, |buffer| async move {
        let speed = column(&buffer, "car-01", "Vehicle.Speed");
        buffer.push(ramp(speed, 100)).await.unwrap();
        buffer.flush().await.unwrap();
        let held = blocks(&buffer).await;
        assert_eq!(held.len(), 2, "the column's definition and the samples");
        let sealed = SealedBlock::open(&held[1].bytes).unwrap();
        sealed.verify(&key().verifying_key()).unwrap();
        assert_eq!(
            (sealed.header.number, sealed.digest),
            (held[1].number, held[1].digest)
        );
        let Body::Samples(body) = sealed.content().unwrap() else {
            panic!("not samples")
        };
        let expected: Vec<_> = ramp(speed, 100)
            .iter()
            .map(|s| (s.column, s.time_us, s.raw))
            .collect();
        assert_eq!(body.iter().collect::<Vec<_>>(), expected);

        // A verdict on another content changes nothing.
        let other = Settlement::Block(
            held[1].number,
            shared_protocol::Digest([0; 16]),
            Verdict::Stored,
        );
        buffer.settle(vec![other]).await.unwrap();
        buffer.flush().await.unwrap();
        assert_eq!(blocks(&buffer).await.len(), 2);

        acknowledge(&buffer, &held).await;
        assert!(blocks(&buffer).await.is_empty());
        let live = totals(&buffer, Stream::Live);
        assert_eq!(
            (live.produced, live.acknowledged, live.buffered),
            (100, 100, 0)
        );
        // Said twice, counted once.
        acknowledge(&buffer, &held).await;
        assert_eq!(totals(&buffer, Stream::Live).acknowledged, 100);
    })
    .await;
}

#[tokio::test]
async fn ranges_of_a_hello_answer_settle_what_they_cover() {
    on_each_store(1 << 30, |buffer| async move {
        let speed = column(&buffer, "car-01", "Vehicle.Speed");
        for _ in 0..5 {
            buffer.push(ramp(speed, 10)).await.unwrap();
            buffer.flush().await.unwrap();
        }
        buffer
            .settle(vec![Settlement::Range(buffer.epoch(), Stream::Live, 1, 3)])
            .await
            .unwrap();
        buffer.flush().await.unwrap();
        let left: Vec<_> = of(&buffer, Stream::Live)
            .await
            .iter()
            .map(|block| block.number.seq)
            .collect();
        assert_eq!(left, [0, 4]);
        assert_eq!(totals(&buffer, Stream::Live).acknowledged, 30);
    })
    .await;
}

#[tokio::test]
async fn another_run_is_another_epoch_and_keeps_what_was_held() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).await;
    let speed = column(&first, "car-01", "Vehicle.Speed");
    first.push(ramp(speed, 10)).await.unwrap();
    first.stop().await.unwrap();
    let epoch = first.epoch();
    let second = open(folder.path()).await;
    assert_eq!(second.epoch().counter, epoch.counter + 1);
    assert_ne!(second.epoch().nonce, epoch.nonce);
    let held = blocks(&second).await;
    assert_eq!(
        (
            held.len(),
            held.iter().map(|block| block.samples).sum::<u32>()
        ),
        (2, 10)
    );
    assert!(held.iter().all(|block| block.number.epoch == epoch));
}

/// What the journal holds when the process ends without a word is sealed by the next run, under its own columns.
#[tokio::test]
async fn the_journal_of_a_run_that_died_is_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let buffer = open(folder.path()).await;
    let outside = column(&buffer, "car-01", "Vehicle.Exterior.AirTemperature");
    let speed = column(&buffer, "car-01", "Vehicle.Speed");
    buffer.push(ramp(outside, 50)).await.unwrap();
    buffer.push(ramp(speed, 7)).await.unwrap();
    let mut state = buffer.state();
    let journalled = state.wait_for(|state| {
        state
            .totals
            .iter()
            .any(|t| t.stream == Stream::Bulk && t.open == 50)
    });
    drop(
        tokio::time::timeout(Duration::from_secs(20), journalled)
            .await
            .unwrap()
            .unwrap(),
    );
    // The files as a dead process leaves them.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let next = open(copy.path()).await;
    let bulk = of(&next, Stream::Bulk).await;
    assert_eq!(
        (bulk.len(), bulk[0].samples, bulk[0].number.epoch),
        (1, 50, next.epoch())
    );
    next.flush().await.unwrap();
    assert_eq!(totals(&next, Stream::Bulk).produced, 50);
    assert_eq!(totals(&next, Stream::Live).produced, 7);
    // The column that the journal needed keeps its number when a source asks for it again.
    let Body::Samples(body) = SealedBlock::open(&bulk[0].bytes)
        .unwrap()
        .content()
        .unwrap()
    else {
        panic!("not samples")
    };
    assert_eq!(
        column(&next, "car-01", "Vehicle.Exterior.AirTemperature"),
        body.series[0].column
    );
    // And the samples that come now do not collide with it.
    let speed = column(&next, "car-01", "Vehicle.Speed");
    assert_ne!(speed, body.series[0].column);
    next.push(ramp(speed, 5)).await.unwrap();
    next.flush().await.unwrap();
    assert_eq!(totals(&next, Stream::Live).produced, 12);
}

#[tokio::test]
async fn a_folder_has_one_gateway_and_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path()).await;
    let options = Options {
        folder: folder.path().to_owned(),
        quota: 1 << 30,
        gateway: "depot-1".parse().unwrap(),
        key: key(),
    };
    let second = Buffer::open(options, Arc::new(Clock::start().unwrap()));
    assert!(matches!(second, Err(StoreError::InUse(_))));
    buffer.stop().await.unwrap();
    match open_with(folder.path(), "depot-2", 1 << 30).await {
        Err(StoreError::OtherGateway { found, .. }) => assert_eq!(found, "depot-1"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("buffer.sqlite"), vec![0xa5; 8192]).unwrap();
    let buffer = open(folder.path()).await;
    let speed = column(&buffer, "car-01", "Vehicle.Speed");
    buffer.push(ramp(speed, 3)).await.unwrap();
    buffer.flush().await.unwrap();
    assert_eq!(totals(&buffer, Stream::Live).produced, 3);
    assert_eq!(
        std::fs::read(folder.path().join("buffer.sqlite.damaged")).unwrap(),
        vec![0xa5; 8192]
    );
}

/// Room for a few dozen blocks.
const QUOTA: u64 = 100_000;

/// Samples that do not compress.
fn noise(column: u32, seed: i64) -> Vec<Sample> {
    let mut state = seed.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..1000)
        .map(|n| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Sample {
                column,
                time_us: n * 1000,
                raw: (state >> 40).cast_signed(),
            }
        })
        .collect()
}

#[tokio::test]
async fn over_the_quota_acknowledged_goes_first_then_bulk_leaves_gaps() {
    on_each_store(QUOTA, |buffer| async move {
        let speed = column(&buffer, "car-01", "Vehicle.Speed");
        let outside = column(&buffer, "car-01", "Vehicle.Exterior.AirTemperature");
        buffer.push(noise(speed, 1)).await.unwrap();
        buffer.flush().await.unwrap();
        acknowledge(&buffer, &blocks(&buffer).await).await;
        for seed in 2..40 {
            buffer.push(noise(outside, seed)).await.unwrap();
            buffer.push(noise(speed, seed)).await.unwrap();
            buffer.flush().await.unwrap();
        }
        let held = blocks(&buffer).await;
        let bytes: usize = held.iter().map(|block| block.bytes.len()).sum();
        assert!(bytes as u64 <= QUOTA, "{bytes}");
        buffer.push(ramp(speed, 1)).await.unwrap();
        buffer.flush().await.unwrap();
        let (live, bulk) = (totals(&buffer, Stream::Live), totals(&buffer, Stream::Bulk));
        assert_eq!(
            (live.produced, live.acknowledged, bulk.produced),
            (39_001, 1000, 38_000)
        );
        assert!(bulk.dropped > 0, "{bulk:?}");
        assert!(
            live.dropped > 0 && bulk.buffered <= 1000,
            "live goes only when bulk is gone: {live:?} {bulk:?}"
        );
        // Every number is still there, as samples or as a gap that says how many are missing.
        let (mut absent, mut numbers) = (0, 0);
        for block in of(&buffer, Stream::Bulk).await {
            let sealed = SealedBlock::open(&block.bytes).unwrap();
            sealed.verify(&key().verifying_key()).unwrap();
            assert_eq!(block.number.seq, numbers);
            numbers = match sealed.content().unwrap() {
                Body::Gaps { last, .. } => last + 1,
                _ => block.number.seq + 1,
            };
            absent += u64::from(sealed.header.thinned);
            if let Body::Gap(_) | Body::Gaps { .. } = sealed.content().unwrap() {
                absent += u64::from(sealed.header.samples);
            }
        }
        assert_eq!((absent, numbers), (bulk.dropped, 38));
    })
    .await;
}

/// While nobody asks, blocks lose samples before any block is dropped, and each says how many it has lost.
#[tokio::test]
async fn blocks_are_thinned_before_any_is_dropped() {
    on_each_store(QUOTA, |buffer| async move {
        let outside = column(&buffer, "car-01", "Vehicle.Exterior.AirTemperature");
        let mut seed = 0;
        let mut push = async || {
            seed += 1;
            buffer.push(noise(outside, seed)).await.unwrap();
            buffer.flush().await.unwrap();
            totals(&buffer, Stream::Bulk)
        };
        let first = loop {
            let found = push().await;
            if found.dropped > 0 {
                break found;
            }
        };
        assert_eq!(first.dropped, first.thinned);
        let last = loop {
            let found = push().await;
            if found.dropped > found.thinned {
                break found;
            }
        };
        // Seven of eight samples go before a whole block does.
        assert!(last.thinned * 3 > last.produced, "{last:?}");
        let mut absent = 0;
        for block in of(&buffer, Stream::Bulk).await {
            let sealed = SealedBlock::open(&block.bytes).unwrap();
            sealed.verify(&key().verifying_key()).unwrap();
            absent += u64::from(sealed.header.thinned);
            if let Body::Gap(_) | Body::Gaps { .. } = sealed.content().unwrap() {
                absent += u64::from(sealed.header.samples);
            }
        }
        assert_eq!(absent, last.dropped);
    })
    .await;
}

/// What the uplink has been given is never sealed anew: it is dropped as it is, or kept.
#[tokio::test]
async fn only_blocks_that_nobody_has_seen_are_thinned() {
    on_each_store(QUOTA, |buffer| async move {
        let outside = column(&buffer, "car-01", "Vehicle.Exterior.AirTemperature");
        for seed in 0..10 {
            buffer.push(noise(outside, seed)).await.unwrap();
            buffer.flush().await.unwrap();
        }
        let seen = of(&buffer, Stream::Bulk).await;
        for seed in 10..60 {
            buffer.push(noise(outside, seed)).await.unwrap();
            buffer.flush().await.unwrap();
        }
        totals(&buffer, Stream::Bulk);
        for block in of(&buffer, Stream::Bulk).await {
            let Some(before) = seen.iter().find(|seen| seen.number == block.number) else {
                continue;
            };
            let sealed = SealedBlock::open(&block.bytes).unwrap();
            assert!(
                before.digest == block.digest || matches!(sealed.content().unwrap(), Body::Gap(_)),
                "{}",
                block.number
            );
            assert_eq!(sealed.header.thinned, 0);
        }
    })
    .await;
}

/// When all that is held is critical, critical samples are refused, and one growing record says how many.
#[tokio::test]
async fn critical_is_refused_when_nothing_else_is_left() {
    on_each_store(QUOTA, |buffer| async move {
        let critical = column(&buffer, "car-01", "ErrorCode");
        let outside = column(&buffer, "car-01", "Vehicle.Exterior.AirTemperature");
        buffer.push(noise(outside, 1)).await.unwrap();
        for seed in 2..60 {
            buffer.push(noise(critical, seed)).await.unwrap();
            buffer.flush().await.unwrap();
        }
        let (found, bulk) = (
            totals(&buffer, Stream::Critical),
            totals(&buffer, Stream::Bulk),
        );
        assert_eq!(bulk.buffered, 0, "bulk goes first: {bulk:?}");
        assert_eq!(found.produced, 58_000);
        assert!(
            found.refused > 0 && found.refused == found.dropped,
            "{found:?}"
        );
        let held = of(&buffer, Stream::Critical).await;
        let gaps: Vec<_> = held
            .iter()
            .map(|block| SealedBlock::open(&block.bytes).unwrap())
            .filter(|sealed| matches!(sealed.content().unwrap(), Body::Gap(_)))
            .map(|sealed| u64::from(sealed.header.samples))
            .collect();
        assert_eq!(gaps, [found.refused]);
        // Room again: what comes now is taken.
        acknowledge(&buffer, &held).await;
        buffer.push(noise(critical, 99)).await.unwrap();
        buffer.flush().await.unwrap();
        assert_eq!(totals(&buffer, Stream::Critical).refused, found.refused);
    })
    .await;
}

/// A cloud whose database was restored from a backup does not know what it has acknowledged since: it gets it again.
#[tokio::test]
async fn what_the_cloud_has_lost_it_gets_again() {
    on_each_store(1 << 30, |buffer| async move {
        let speed = column(&buffer, "car-01", "Vehicle.Speed");
        for _ in 0..10 {
            buffer.push(ramp(speed, 10)).await.unwrap();
            buffer.flush().await.unwrap();
        }
        acknowledge(&buffer, &blocks(&buffer).await).await;
        assert!(blocks(&buffer).await.is_empty());
        let held = buffer.held(0).await.unwrap();
        let named: Vec<_> = held
            .streams
            .iter()
            .map(|s| (s.stream, s.first, s.next))
            .collect();
        assert_eq!(named, [(Stream::Columns, 1, 1), (Stream::Live, 10, 10)]);
        // One more is acknowledged after that hello: its answer cannot know of it.
        buffer.push(ramp(speed, 10)).await.unwrap();
        buffer.flush().await.unwrap();
        acknowledge(&buffer, &blocks(&buffer).await).await;

        let closed = |stream, done: &[(u64, u64)]| Settlement::Closed {
            epoch: buffer.epoch(),
            stream,
            done: done.to_vec(),
            hello: held.hello,
        };
        let again = buffer.state().borrow().again;
        let answer = vec![
            closed(Stream::Columns, &[]),
            closed(Stream::Live, &[(0, 2), (5, 6)]),
        ];
        buffer.settle(answer).await.unwrap();
        buffer.flush().await.unwrap();
        assert!(buffer.state().borrow().again > again);
        let numbers: Vec<_> = of(&buffer, Stream::Live)
            .await
            .iter()
            .map(|block| block.number.seq)
            .collect();
        assert_eq!(numbers, [3, 4, 7, 8, 9]);
        assert_eq!(of(&buffer, Stream::Columns).await.len(), 1);
        let live = totals(&buffer, Stream::Live);
        assert_eq!(
            (live.produced, live.acknowledged, live.buffered),
            (110, 60, 50)
        );

        // The next answer closes them; nothing is asked for twice.
        let held = buffer.held(0).await.unwrap();
        let all = Settlement::Closed {
            epoch: buffer.epoch(),
            stream: Stream::Live,
            done: vec![(0, 10)],
            hello: held.hello,
        };
        buffer.settle(vec![all]).await.unwrap();
        buffer.flush().await.unwrap();
        assert!(of(&buffer, Stream::Live).await.is_empty());
        assert_eq!(totals(&buffer, Stream::Live).acknowledged, 110);
    })
    .await;
}
