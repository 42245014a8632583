//! A ledger at its quota for a long time: few records, exact sums, whatever happens in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Instant,
};

use rusqlite::Connection;
use shared_protocol::{
    Column, Encoding, SampleBody, SignalDef, SignalRef, Source, Verdict, catalogue,
};

use super::*;
use crate::buffer::{
    Columns, Sample, Settlement, StoredBlock,
    database::MIGRATIONS,
    doubt::Known,
    store::{DATABASE, Maker, Store, Tick},
};

mod flapping;

const QUOTA: u64 = 200_000;

fn maker() -> Maker {
    Maker {
        gateway: "depot-1".parse().unwrap(),
        key: SigningKey::from_seed([3; 32]),
        boot: 7,
    }
}

fn on_disk(folder: &Path, columns: &Columns) -> Store {
    let (store, saved) = Store::open(folder, QUOTA, maker(), columns, Known::default()).unwrap();
    assert!(saved.is_none(), "it was whole: {saved:?}");
    // What is tried here is not the disk.
    store
        .connection
        .pragma_update(None, "synchronous", "OFF")
        .unwrap();
    store
}

/// Runs a promise over a ledger in memory and one on a disk.
fn on_each_store(promise: impl Fn(&mut Store, &Columns)) {
    let columns = Columns::default();
    promise(
        &mut Store::in_memory(QUOTA, maker(), &columns, 0).unwrap(),
        &columns,
    );
    let (folder, columns) = (tempfile::tempdir().unwrap(), Columns::default());
    promise(&mut on_disk(folder.path(), &columns), &columns);
}

fn samples(columns: &Columns, stream: Stream, count: i64) -> (Stream, Vec<Sample>) {
    let name = match stream {
        Stream::Critical => "ErrorCode",
        Stream::Live => "Vehicle.Speed",
        _ => "Vehicle.Exterior.AirTemperature",
    };
    let column = columns.number(&Column {
        asset: "car-01".parse().unwrap(),
        source: Source::Can,
        def: SignalDef {
            signal: SignalRef::Catalogue(catalogue().by_name(name).unwrap().id),
            encoding: Encoding::PLAIN,
        },
    });
    let sample = |n| Sample {
        column,
        time_us: n * 1000,
        raw: n * n % 977,
    };
    (stream, (0..count).map(sample).collect())
}

fn commit(store: &mut Store, columns: &Columns, tick: &Tick) {
    store.commit(tick, columns, None, Instant::now()).unwrap();
    for totals in store.totals().unwrap() {
        assert!(totals.conserved(), "{totals:?}");
    }
}

/// As many seconds of a gateway: a live block each, now and then one of bulk and a critical one.
fn produce(store: &mut Store, columns: &Columns, seconds: std::ops::Range<u32>) {
    for first in seconds.step_by(10) {
        let mut seal: Vec<_> = (0..10).map(|_| samples(columns, Stream::Live, 1)).collect();
        seal.push(samples(columns, Stream::Bulk, 60));
        if first % 500 == 0 {
            seal.push(samples(columns, Stream::Critical, 2));
        }
        let tick = Tick {
            seal,
            ..Tick::default()
        };
        commit(store, columns, &tick);
    }
}

/// Gap records and the room that they take: no more of them than what lies between them, and the ends of streams.
fn records(store: &Store) -> (u64, u64) {
    let sql = "SELECT count(*) FILTER (WHERE gap IS NOT NULL), count(*), coalesce(sum(length) FILTER (WHERE gap IS NOT NULL), 0) FROM block";
    let (rows, all, bytes): (i64, i64, i64) = store
        .connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert!(rows <= all - rows + 10, "{rows} of {all}");
    let rows = rows.cast_unsigned();
    (rows, bytes.cast_unsigned() + rows * ROOM_OF_A_BLOCK)
}

/// Every number is in one row, rows and their bytes say the same, and together what the counters say.
fn examine(store: &Store) {
    let mut rows = store
        .connection
        .prepare(
            "SELECT b.epoch, b.stream, b.seq, b.last, b.gone, b.thinned, p.bytes, s.next_seq FROM block b
             JOIN payload p ON p.block = b.id JOIN stream s ON s.epoch = b.epoch AND s.stream = b.stream
             ORDER BY b.epoch, b.stream, b.seq",
        )
        .unwrap();
    let mut rows = rows.query([]).unwrap();
    let mut next: BTreeMap<(i64, u8), (i64, i64)> = BTreeMap::new();
    let mut absent = 0;
    while let Some(row) = rows.next().unwrap() {
        let key = (row.get(0).unwrap(), row.get(1).unwrap());
        let (seq, last): (i64, i64) = (row.get(2).unwrap(), row.get(3).unwrap());
        let (gone, thinned): (u32, u32) = (row.get(4).unwrap(), row.get(5).unwrap());
        let (free, _) = next.get(&key).copied().unwrap_or_default();
        assert_eq!(seq, free, "{key:?}");
        next.insert(key, (last + 1, row.get(7).unwrap()));
        absent += u64::from(gone) + u64::from(thinned);
        let bytes: Vec<u8> = row.get(6).unwrap();
        let sealed = SealedBlock::open(&bytes).unwrap();
        assert_eq!(sealed.header.number.seq, seq.cast_unsigned());
        assert_eq!(sealed.header.thinned, thinned);
        if let Body::Gap(_) = sealed.content().unwrap() {
            assert_eq!(sealed.header.samples, gone);
        } else {
            assert_eq!((last, gone), (seq, 0));
        }
    }
    assert!(next.values().all(|(free, next)| free == next), "{next:?}");
    let totals = store.totals().unwrap();
    let counted: u64 = totals.iter().map(|totals| totals.dropped).sum();
    assert_eq!(absent, counted, "{totals:?}");
}

/// All that there is to send, four at a time, as the uplink asks.
fn to_send(store: &mut Store) -> Vec<StoredBlock> {
    let mut all = Vec::new();
    for priority in 0..5 {
        let mut after = 0;
        loop {
            let now = Instant::now();
            let (blocks, _) = store.next_to_send(priority, after, false, 4, now).unwrap();
            let Some(youngest) = blocks.last() else { break };
            assert!(blocks.len() <= 4 && blocks[0].id > after);
            after = youngest.id;
            all.extend(blocks);
        }
    }
    all
}

fn stored(block: &StoredBlock) -> Settlement {
    Settlement::Block(block.number, block.digest, Verdict::Stored)
}

/// The last number that a message closes, and the samples that it says are absent.
fn closes(block: &StoredBlock) -> (u64, u64) {
    let sealed = SealedBlock::open(&block.bytes).unwrap();
    let (thinned, samples) = (
        sealed.header.thinned.into(),
        u64::from(sealed.header.samples),
    );
    match sealed.content().unwrap() {
        Body::Gap(_) => (block.number.seq, thinned + samples),
        Body::Gaps { last, .. } => (last, thinned + samples),
        _ => (block.number.seq, thinned),
    }
}

/// Sends and settles everything; the cloud has each number once and can add up what the ledger counts. Returns how many numbers and
/// messages that were.
fn drain(store: &mut Store, columns: &Columns) -> (usize, usize) {
    let (mut told, mut numbers) = (0, BTreeSet::new());
    let blocks = to_send(store);
    for block in &blocks {
        assert_eq!(Digest::of(&block.bytes), block.digest);
        let sealed = SealedBlock::open(&block.bytes).unwrap();
        sealed.verify(&maker().key.verifying_key()).unwrap();
        assert_eq!(sealed.header.number, block.number);
        let (last, absent) = closes(block);
        told += absent;
        for seq in block.number.seq..=last {
            let number = BlockNumber {
                seq,
                ..block.number
            };
            assert!(numbers.insert(number), "{number} twice");
        }
    }
    // The cloud's word on some, one by one; then on ranges, as its acknowledgements name them.
    let (single, rest) = blocks.split_at(blocks.len().min(640));
    let next = |a: &StoredBlock, b: &StoredBlock| {
        let (a, last, b) = (a.number, closes(a).0, b.number);
        (a.epoch, a.stream, last + 1) == (b.epoch, b.stream, b.seq)
    };
    let ranges = rest.chunk_by(next).map(|some| {
        let (first, last) = (some[0].number, closes(&some[some.len() - 1]).0);
        Settlement::Range(first.epoch, first.stream, first.seq, last)
    });
    let settle = |store: &mut Store, said: Vec<Settlement>| {
        for some in said.chunks(64) {
            let tick = Tick {
                settle: some.to_vec(),
                ..Tick::default()
            };
            commit(store, columns, &tick);
        }
    };
    settle(store, single.iter().map(stored).chain(ranges).collect());
    // Whether the cloud has the record of a block that had been handed out, or the block, is in doubt until it says which.
    let in_doubt = to_send(store);
    assert!(in_doubt.iter().all(|record| record.samples == 0));
    settle(store, in_doubt.iter().map(stored).collect());
    assert!(to_send(store).is_empty());
    let totals = store.totals().unwrap();
    assert!(
        totals.iter().all(|totals| totals.buffered == 0),
        "{totals:?}"
    );
    let counted: u64 = totals.iter().map(|totals| totals.dropped).sum();
    assert_eq!(told, counted);
    (numbers.len(), blocks.len())
}

#[test]
fn a_long_time_at_the_quota_leaves_few_records() {
    on_each_store(|store, columns| {
        let mut most = (0, 0);
        for first in (0..24_000).step_by(1000) {
            produce(store, columns, first..first + 1000);
            examine(store);
            let used = store.used;
            store.weigh().unwrap();
            assert_eq!(used, store.used, "the room is counted exactly");
            let (rows, bytes) = records(store);
            most = (rows.max(most.0), bytes.max(most.1));
        }
        let totals = store.totals().unwrap();
        let dropped: u64 = totals.iter().map(|totals| totals.dropped).sum();
        println!(
            "{} records and {} bytes at most, {dropped} samples dropped",
            most.0, most.1
        );
        let numbers: i64 = store
            .connection
            .query_row(
                "SELECT sum(last - seq + 1) FROM block WHERE gap IS NOT NULL",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert!(numbers > 20_000, "{numbers} numbers were dropped");
        // What is held lies between them.
        assert!(most.1 < QUOTA * 6 / 10, "{most:?}");
        let critical = totals
            .iter()
            .find(|totals| totals.stream == Stream::Critical)
            .unwrap();
        assert_eq!((critical.produced, critical.dropped), (96, 0));
        assert!(store.used > QUOTA / 2, "the room is for samples");
        let held: i64 = {
            let sql = "SELECT count(*) FROM block";
            let found = store.connection.query_row(sql, [], |row| row.get(0));
            found.unwrap()
        };
        let (closed, messages) = drain(store, columns);
        println!("{closed} numbers in {messages} messages");
        assert!(signed(closed) > numbers, "each number is closed: {closed}");
        let most = held + numbers / MOST_GAPS.cast_signed();
        assert!(signed(messages) <= most, "{messages} messages");
    });
}

/// Ledgers copied while they were in use are as exact as the one that they were copied of, and go on growing.
#[test]
fn a_crash_in_between_keeps_the_sums() {
    let folder = tempfile::tempdir().unwrap();
    let columns = Columns::default();
    let mut store = on_disk(folder.path(), &columns);
    let mut copies = Vec::new();
    for run in 0..4 {
        produce(&mut store, &columns, run * 1000..(run + 1) * 1000);
        let copy = tempfile::tempdir().unwrap();
        for name in [DATABASE, &format!("{DATABASE}-wal")] {
            fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        let columns = Columns::default();
        let mut after = on_disk(copy.path(), &columns);
        assert_eq!(after.totals().unwrap(), store.totals().unwrap());
        examine(&after);
        produce(&mut after, &columns, 0..1000);
        examine(&after);
        records(&after);
        drain(&mut after, &columns);
        copies.push(copy);
    }
    drain(&mut store, &columns);
}

/// What was handed out stays what it was, to the byte; a new record begins behind it.
#[test]
fn a_record_in_flight_does_not_grow() {
    on_each_store(|store, columns| {
        produce(store, columns, 0..6000);
        let live = 3;
        let now = Instant::now();
        let (flying, _) = store.next_to_send(live, 0, false, 5, now).unwrap();
        let is_gap = |block: &StoredBlock| {
            let content = SealedBlock::open(&block.bytes).unwrap().content();
            matches!(content, Ok(Body::Gaps { .. }))
        };
        assert!(flying.iter().all(is_gap), "the oldest were dropped");
        let range = |store: &Store| -> (i64, i64) {
            let sql = "SELECT seq, last FROM block WHERE stream = 2 AND seq = 0";
            let found = store
                .connection
                .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
            found.unwrap()
        };
        let frozen = range(store);
        assert!(frozen.1 > 5 * 256, "{frozen:?}");
        produce(store, columns, 6000..8000);
        store.asked = None;
        produce(store, columns, 8000..10_000);
        assert_eq!(range(store), frozen);
        records(store);
        let (again, _) = store.next_to_send(live, 0, false, 5, now).unwrap();
        let names = |blocks: &[StoredBlock]| -> Vec<_> {
            blocks
                .iter()
                .map(|block| (block.id, block.number, block.digest))
                .collect()
        };
        assert_eq!(names(&again), names(&flying));
        // One goes out again by itself.
        let (one, _) = store
            .next_to_send(live, flying[3].id - 1, false, 1, now)
            .unwrap();
        assert_eq!(names(&one), names(&flying[3..4]));

        // The cloud's word on another content changes nothing; on two of them, out of order, it frees those two.
        let other = Settlement::Block(flying[2].number, Digest([0; 16]), Verdict::Stored);
        let said = vec![other, stored(&flying[3]), stored(&flying[1])];
        let settle = |settle| Tick {
            settle,
            ..Tick::default()
        };
        commit(store, columns, &settle(said));
        let (left, _) = store.next_to_send(live, 0, false, 3, now).unwrap();
        let seqs: Vec<_> = left.iter().map(|block| block.number.seq).collect();
        assert_eq!(seqs, [0, 512, 1024]);
        assert_eq!(
            (left[1].digest, left[2].digest),
            (flying[2].digest, flying[4].digest)
        );
        // A word on numbers that end in the middle of the range; and a hello's, which knows nothing any more.
        let epoch = store.epoch;
        commit(
            store,
            columns,
            &settle(vec![Settlement::Range(epoch, Stream::Live, 0, 49)]),
        );
        let (left, _) = store.next_to_send(live, 0, false, 1, now).unwrap();
        assert_eq!(left[0].number.seq, 50);
        let hello = store.held(0).unwrap().hello;
        // What is left of a piece is a piece of its own.
        let (piece, _) = store.next_to_send(live, 0, false, 1, now).unwrap();
        assert_eq!((piece[0].number.seq, closes(&piece[0])), (50, (255, 0)));
        let lost = Settlement::Closed {
            epoch,
            stream: Stream::Live,
            done: vec![(0, 9), (20, 29)],
            hello,
        };
        commit(store, columns, &settle(vec![lost]));
        let (left, _) = store.next_to_send(live, 0, false, 5, now).unwrap();
        let ranges: Vec<_> = left
            .iter()
            .map(|block| (block.number.seq, closes(block).0))
            .collect();
        let expected = [(10, 19), (30, 49), (50, 255), (256, 511), (512, 767)];
        assert_eq!(ranges, expected);
        let all = settle(vec![Settlement::Range(epoch, Stream::Live, 0, u64::MAX)]);
        commit(store, columns, &all);
        for block in to_send(store) {
            commit(store, columns, &settle(vec![stored(&block)]));
        }
        assert!(to_send(store).is_empty());
        assert!(
            store
                .totals()
                .unwrap()
                .iter()
                .all(|totals| totals.buffered == 0)
        );
    });
}

/// A database of the version before keeps what it holds, in its order; a damaged one, too.
#[test]
fn the_version_before_is_brought_up() {
    for suspect in [false, true] {
        bring_up(suspect);
    }
}

fn bring_up(suspect: bool) {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(DATABASE)).unwrap();
    old.execute_batch(&MIGRATIONS[..2].concat()).unwrap();
    old.execute_batch(
        "PRAGMA user_version = 2;
         INSERT INTO meta VALUES ('gateway', 'depot-1'), ('gateway again', 'depot-1');
         INSERT INTO epoch VALUES (1, 4, 9);
         INSERT INTO stream (epoch, stream, next_seq, produced, buffered, dropped) VALUES (1, 3, 6, 90, 45, 45);",
    )
    .unwrap();
    let epoch = Epoch {
        counter: 4,
        nonce: 9,
    };
    let mut expected = Vec::new();
    for seq in 0..6u64 {
        let is_gap = seq < 3;
        let header = BlockHeader {
            gateway: maker().gateway,
            number: BlockNumber {
                epoch,
                stream: Stream::Bulk,
                seq,
            },
            boot: 5,
            wall_offset_us: None,
            samples: 15,
            thinned: 0,
            columns: 1,
        };
        let body = if is_gap {
            Body::Gap(DropReason::Quota)
        } else {
            Body::Samples(SampleBody::from_samples((0..15).map(|n| (0, n, n))))
        };
        let bytes = Block { header, body }.seal(&maker().key).unwrap();
        let digest = Digest::of(&bytes);
        let held = if is_gap { 0 } else { 15 };
        old.execute(
            "INSERT INTO block (epoch, stream, seq, priority, samples, length, digest, offered) VALUES (1, 3, ?1, 4, ?2, ?3, ?4, 0)",
            params![seq.cast_signed(), held, signed(bytes.len()), digest.0],
        )
        .unwrap();
        old.execute(
            "INSERT INTO payload VALUES (last_insert_rowid(), ?1)",
            [bytes],
        )
        .unwrap();
        expected.push((seq, digest));
    }
    drop(old);
    let columns = Columns::default();
    let known = Known {
        suspect,
        ..Known::default()
    };
    let (mut store, saved) = Store::open(folder.path(), QUOTA, maker(), &columns, known).unwrap();
    assert_eq!(saved.map(|saved| saved.blocks), suspect.then_some(6));
    store
        .connection
        .pragma_update(None, "synchronous", "OFF")
        .unwrap();
    let now = Instant::now();
    let (blocks, _) = store.next_to_send(4, 0, false, 100, now).unwrap();
    let mut found: Vec<_> = blocks
        .iter()
        .map(|block| (block.number.seq, block.digest))
        .collect();
    if suspect {
        // Saved in the order of its pages.
        found.sort_unstable();
    }
    assert_eq!(found, expected);
    let bulk = |store: &Store| {
        let totals = store.totals().unwrap();
        *totals
            .iter()
            .find(|totals| totals.stream == Stream::Bulk)
            .unwrap()
    };
    assert_eq!((bulk(&store).produced, bulk(&store).dropped), (90, 45));
    store.asked = None;
    produce(&mut store, &columns, 0..3000);
    assert!(bulk(&store).conserved() && bulk(&store).dropped > 45);
    records(&store);
    drain(&mut store, &columns);
}

/// Records outlive a damaged database as they were, also those whose own bytes were hit.
#[test]
fn a_damaged_ledger_keeps_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let columns = Columns::default();
    let mut store = on_disk(folder.path(), &columns);
    produce(&mut store, &columns, 0..6000);
    let totals = store.totals().unwrap();
    let numbers = "SELECT sum(last - seq + 1) FROM block WHERE gap IS NOT NULL";
    let count = |store: &Store| -> i64 {
        let found = store.connection.query_row(numbers, [], |row| row.get(0));
        found.unwrap()
    };
    let before = (count(&store), records(&store));
    let hit = "UPDATE payload SET bytes = zeroblob(100) WHERE block IN
        (SELECT id FROM block WHERE gap IS NOT NULL ORDER BY last - seq DESC LIMIT 3)";
    assert_eq!(store.connection.execute(hit, []).unwrap(), 3);
    drop(store);
    let known = Known {
        suspect: true,
        ..Known::default()
    };
    let columns = Columns::default();
    let (mut store, saved) = Store::open(folder.path(), QUOTA, maker(), &columns, known).unwrap();
    assert_eq!(saved.map(|saved| saved.lost), Some(0));
    assert_eq!(store.totals().unwrap(), totals);
    assert_eq!((count(&store), records(&store)), before);
    examine(&store);
    drain(&mut store, &columns);
}
