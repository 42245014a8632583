//! A power cut tears the last commit: nothing of those before it is lost, and nothing of it is stored twice.

use std::time::Instant;

use shared_protocol::{Column, Encoding, SignalDef, SignalRef, SigningKey, Source, catalogue};

use super::*;
use crate::buffer::{
    Columns,
    doubt::Known,
    store::{DATABASE, Store, Tick},
};

mod older;

/// Odd, so that samples are told apart; their blocks are long.
const NOISE: i64 = 0x1e37_79b9_7f4a_7c15;
/// The lengths of the log's header, and of a frame with its header.
const LOG: usize = 32;
const FRAME: usize = 24 + 4096;

fn maker() -> Maker {
    Maker {
        gateway: "depot-1".parse().unwrap(),
        key: SigningKey::from_seed([3; 32]),
        boot: 7,
    }
}

fn open(folder: &Path, quota: u64, columns: &Columns) -> Store {
    let (store, _) = Store::open(folder, quota, maker(), columns, Known::default()).unwrap();
    store
}

fn samples(columns: &Columns, from: i64, count: i64) -> Vec<Sample> {
    let air = catalogue()
        .by_name("Vehicle.Exterior.AirTemperature")
        .unwrap();
    let column = columns.number(&Column {
        asset: "car-01".parse().unwrap(),
        source: Source::Can,
        def: SignalDef {
            signal: SignalRef::Catalogue(air.id),
            encoding: Encoding::PLAIN,
        },
    });
    let sample = |n: i64| Sample {
        column,
        time_us: n * 1000,
        raw: n.wrapping_mul(NOISE),
    };
    (from..from + count).map(sample).collect()
}

/// Bulk samples are journalled, then sealed together with new ones, and the power takes one frame of that commit, each in its turn.
#[test]
fn what_was_journalled_is_there_once() {
    const DURABLE: i64 = 900;
    const ALL: i64 = 9000;
    let (live, columns) = (tempfile::tempdir().unwrap(), Columns::default());
    let mut store = open(live.path(), 1 << 30, &columns);
    let mut commit = |tick: Tick| store.commit(&tick, &columns, None, Instant::now()).unwrap();
    for part in 0..3 {
        commit(Tick {
            journal: vec![(Stream::Bulk, samples(&columns, part * 300, 300))],
            ..Tick::default()
        });
    }
    let log = live.path().join(format!("{DATABASE}-wal"));
    let durable = fs::metadata(&log).unwrap().len() as usize;
    commit(Tick {
        seal: vec![(Stream::Bulk, samples(&columns, 0, ALL))],
        ..Tick::default()
    });
    let whole = [live.path().join(DATABASE), log].map(|path| fs::read(path).unwrap());
    let frames = (whole[1].len() - durable) / FRAME;
    assert!(
        frames > 3 && (durable - LOG).is_multiple_of(FRAME),
        "{frames} frames"
    );
    let mut kept = [0; 2];
    for torn in 0..frames {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE);
        fs::write(&path, &whole[0]).unwrap();
        let mut log = whole[1].clone();
        log[durable + torn * FRAME + 24..][..4096].fill(0xa5);
        fs::write(with(&path, "-wal"), log).unwrap();
        let columns = Columns::default();
        let mut store = open(folder.path(), 1 << 30, &columns);
        let (blocks, _) = store
            .next_to_send(4, 0, false, 1000, Instant::now())
            .unwrap();
        let mut raws = Vec::new();
        for block in blocks {
            if let Body::Samples(body) = SealedBlock::open(&block.bytes).unwrap().content().unwrap()
            {
                raws.extend(body.iter().map(|(_, time, raw)| (time / 1000, raw)));
            }
        }
        raws.sort_unstable();
        let all_is_there = raws.len() as i64 == ALL;
        let expected = if all_is_there { ALL } else { DURABLE };
        assert_eq!(
            raws,
            (0..expected)
                .map(|n| (n, n.wrapping_mul(NOISE)))
                .collect::<Vec<_>>(),
            "frame {torn} of {frames}"
        );
        kept[usize::from(all_is_there)] += 1;
        for totals in store.totals().unwrap() {
            assert!(
                totals.conserved() && totals.damaged == 0,
                "frame {torn}: {totals:?}"
            );
        }
    }
    assert!(kept.iter().all(|count| *count > 0), "{kept:?}");
}
