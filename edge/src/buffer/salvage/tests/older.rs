//! A database of the first version: what it holds and what it had journalled is there, once, and what of it is
//! unreadable is counted; whole or damaged.

use super::*;
use crate::buffer::{StreamTotals, database::MIGRATIONS};

const HELD: i64 = 30;
const JOURNALLED: i64 = 30;
const UNREADABLE: i64 = 10;

/// What the first version journalled: zigzag varints, times as differences of differences, raw integers as differences. Samples
/// of column 0, `count` milliseconds from `first` on, whose raw integer is their millisecond.
fn version_1(first: u8, count: u8) -> Vec<u8> {
    let zigzag = |n: u8| n << 1;
    let mut bytes = vec![1, count, 0xe8, 0x07, zigzag(first), zigzag(1)];
    bytes.extend(vec![0; usize::from(count) - 2]);
    bytes.extend([1, 0, 0, zigzag(first)]);
    bytes.extend(vec![zigzag(1); usize::from(count) - 1]);
    bytes
}

/// One run's database, as the first version left it when the power went.
fn write(path: &Path) {
    let old = Connection::open(path).unwrap();
    old.execute_batch(MIGRATIONS[0]).unwrap();
    old.execute_batch(&format!(
        "PRAGMA user_version = 1;
         INSERT INTO meta VALUES ('gateway', 'depot-1');
         INSERT INTO epoch VALUES (1, 4, 9);
         INSERT INTO stream (epoch, stream, next_seq) VALUES (1, 0, 1);
         INSERT INTO stream (epoch, stream, next_seq, produced, open, buffered)
            VALUES (1, 3, 2, {HELD} + {JOURNALLED} + {UNREADABLE}, {JOURNALLED} + {UNREADABLE}, {HELD});"
    ))
    .unwrap();
    let air = catalogue()
        .by_name("Vehicle.Exterior.AirTemperature")
        .unwrap();
    let column = Column {
        asset: "car-01".parse().unwrap(),
        source: Source::Can,
        def: SignalDef {
            signal: SignalRef::Catalogue(air.id),
            encoding: Encoding::PLAIN,
        },
    };
    let def = bincode::encode_to_vec(&column, bincode::config::standard()).unwrap();
    old.execute("INSERT INTO column_def VALUES (1, 0, ?1)", [def])
        .unwrap();
    let columns = Body::Columns {
        first: 0,
        columns: vec![column],
    };
    let half = HELD / 2;
    let samples = |from: i64| {
        let samples = (from..from + half).map(|n| (0, n * 1000, n));
        Body::Samples(shared_protocol::SampleBody::from_samples(samples))
    };
    for (stream, seq, body) in [
        (Stream::Columns, 0, columns),
        (Stream::Bulk, 0, samples(0)),
        (Stream::Bulk, 1, samples(half)),
    ] {
        let is_bulk = stream == Stream::Bulk;
        let header = BlockHeader {
            gateway: maker().gateway,
            number: BlockNumber {
                epoch: Epoch {
                    counter: 4,
                    nonce: 9,
                },
                stream,
                seq,
            },
            boot: 5,
            wall_offset_us: None,
            samples: if is_bulk { half as u32 } else { 1 },
            thinned: 0,
            columns: u32::from(is_bulk),
        };
        let bytes = Block { header, body }.seal(&maker().key).unwrap();
        old.execute(
            "INSERT INTO block (epoch, stream, seq, priority, samples, length, digest) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                stream.number(),
                seq.cast_signed(),
                priority(stream),
                if is_bulk { half } else { 0 },
                signed(bytes.len()),
                Digest::of(&bytes).0
            ],
        )
        .unwrap();
        old.execute(
            "INSERT INTO payload VALUES (last_insert_rowid(), ?1)",
            [bytes],
        )
        .unwrap();
    }
    let journalled = [
        (JOURNALLED, version_1(HELD as u8, JOURNALLED as u8)),
        (UNREADABLE, vec![0xff; 40]),
    ];
    for (samples, bytes) in journalled {
        old.execute(
            "INSERT INTO journal (epoch, stream, boot, offset, samples, bytes) VALUES (1, 3, 5, NULL, ?1, ?2)",
            params![samples, bytes],
        )
        .unwrap();
    }
}

#[test]
fn the_first_version_is_brought_up() {
    for suspect in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join(DATABASE));
        let columns = Columns::default();
        let known = Known {
            suspect,
            ..Known::default()
        };
        let (mut store, saved) =
            Store::open(folder.path(), 1 << 30, maker(), &columns, known).unwrap();
        assert_eq!(saved.is_some(), suspect);
        let (blocks, _) = store
            .next_to_send(4, 0, false, 1000, Instant::now())
            .unwrap();
        let mut found = Vec::new();
        for block in blocks {
            if let Body::Samples(body) = SealedBlock::open(&block.bytes).unwrap().content().unwrap()
            {
                found.extend(body.iter().map(|(_, time, raw)| (time / 1000, raw)));
            }
        }
        found.sort_unstable();
        let expected: Vec<_> = (0..HELD + JOURNALLED).map(|n| (n, n)).collect();
        assert_eq!(found, expected, "suspect {suspect}");
        let totals = store.totals().unwrap();
        assert!(totals.iter().all(StreamTotals::conserved));
        let bulk = totals
            .iter()
            .find(|one| one.stream == Stream::Bulk)
            .unwrap();
        assert_eq!(
            (bulk.produced, bulk.buffered, bulk.damaged),
            (
                (HELD + JOURNALLED + UNREADABLE).unsigned_abs(),
                (HELD + JOURNALLED).unsigned_abs(),
                UNREADABLE.unsigned_abs()
            ),
            "suspect {suspect}"
        );
    }
}
