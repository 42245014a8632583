//! Every start of the gateway adds an epoch: what old ones leave in the ledger has a bound, however often it starts.

use rusqlite::Transaction;

use super::{error::StoreError, store::ACKNOWLEDGED};

/// Epochs that are kept for the day on which the cloud asks again for what it had acknowledged, and hold nothing else.
const MOST_ACKNOWLEDGED: u32 = 256;

/// Takes away what an epoch before this one leaves without use:
///
/// - Definitions of columns, when none of its blocks is here that needs them: who has no samples needs no columns.
/// - Acknowledged blocks of more than [`MOST_ACKNOWLEDGED`] epochs, oldest first.
/// - The rows of epochs without blocks, but for one, which counts for all of them.
/// - What they knew of columns: that is for the journal, which is empty when this is called.
pub(super) fn tidy(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction.execute_batch("CREATE TEMP TABLE IF NOT EXISTS gone (id INTEGER PRIMARY KEY)")?;
    // The youngest block stays, so that places in the buffer only grow.
    for blocks in [
        "SELECT b.id FROM block b WHERE b.stream = 0 AND b.epoch <> (SELECT max(id) FROM epoch) AND NOT EXISTS
                (SELECT 1 FROM block o WHERE o.epoch = b.epoch AND o.stream <> 0 AND o.gap IS NULL)"
            .to_owned(),
        format!(
            "SELECT b.id FROM block b WHERE b.epoch IN (SELECT e.id FROM epoch e
                WHERE e.id <> (SELECT max(id) FROM epoch)
                    AND NOT EXISTS (SELECT 1 FROM block o WHERE o.epoch = e.id AND o.state <> {ACKNOWLEDGED})
                    AND EXISTS (SELECT 1 FROM block o WHERE o.epoch = e.id)
                ORDER BY e.id DESC LIMIT -1 OFFSET {MOST_ACKNOWLEDGED})"
        ),
    ] {
        transaction.execute_batch(&format!(
            "DELETE FROM gone;
             INSERT INTO gone {blocks};
             DELETE FROM gone WHERE id = (SELECT max(id) FROM block);
             DELETE FROM payload WHERE block IN gone;
             DELETE FROM block WHERE id IN gone;"
        ))?;
    }
    transaction.execute_batch(
        "DELETE FROM gone;
         INSERT INTO gone SELECT id FROM epoch WHERE id NOT IN (SELECT epoch FROM block) AND id <> (SELECT max(id) FROM epoch);
         UPDATE stream SET (produced, open, buffered, acknowledged, dropped, thinned, refused, damaged) =
            (SELECT sum(produced), sum(open), sum(buffered), sum(acknowledged), sum(dropped), sum(thinned), sum(refused),
                sum(damaged) FROM stream o WHERE o.stream = stream.stream AND o.epoch IN gone)
            WHERE epoch = (SELECT max(id) FROM gone);
         DELETE FROM column_def WHERE epoch <> (SELECT max(id) FROM epoch);
         DELETE FROM gone WHERE id = (SELECT max(id) FROM gone);
         DELETE FROM stream WHERE epoch IN gone;
         DELETE FROM epoch WHERE id IN gone;",
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use rusqlite::params;
    use shared_protocol::{
        Column, Encoding, SignalDef, SignalRef, SigningKey, Source, Stream, Verdict, catalogue,
    };

    use super::*;
    use crate::buffer::{
        Columns, Sample, Settlement, StreamTotals,
        doubt::Known,
        store::{DATABASE, Maker, Store, Tick},
    };

    /// What a start does: samples that it seals, and whether the cloud is there.
    #[derive(Clone, Copy, Debug)]
    struct Start {
        samples: i64,
        acknowledged: bool,
    }

    /// Starts a gateway so often; returns rows of epochs, streams, columns and blocks, and the bytes of the database.
    fn starts(count: u32, start: Start) -> [i64; 5] {
        let folder = tempfile::tempdir().unwrap();
        let maker = Maker {
            gateway: "depot-1".parse().unwrap(),
            key: SigningKey::from_seed([3; 32]),
            boot: 7,
        };
        let air = catalogue()
            .by_name("Vehicle.Exterior.AirTemperature")
            .unwrap();
        for n in 1..=count {
            let columns = Columns::default();
            let known = Known::default();
            let (mut store, saved) =
                Store::open(folder.path(), 1 << 30, maker.clone(), &columns, known).unwrap();
            assert_eq!(saved, None);
            let column = columns.number(&Column {
                asset: "car-01".parse().unwrap(),
                source: Source::Can,
                def: SignalDef {
                    signal: SignalRef::Catalogue(air.id),
                    encoding: Encoding::PLAIN,
                },
            });
            // What is tried here is not the disk.
            store
                .connection
                .pragma_update(None, "synchronous", "OFF")
                .unwrap();
            let now = Instant::now();
            let sample = |raw| Sample {
                column,
                time_us: raw,
                raw,
            };
            let seal = (Stream::Bulk, (0..start.samples).map(sample).collect());
            let tick = Tick {
                seal: Vec::from_iter((start.samples > 0).then_some(seal)),
                ..Tick::default()
            };
            store.commit(&tick, &columns, None, now).unwrap();
            if start.acknowledged {
                let mut settle = Vec::new();
                for priority in 0..5 {
                    let (blocks, _) = store.next_to_send(priority, 0, false, 999, now).unwrap();
                    settle.extend(blocks.into_iter().map(|block| {
                        Settlement::Block(block.number, block.digest, Verdict::Stored)
                    }));
                }
                let tick = Tick {
                    settle,
                    ..Tick::default()
                };
                store.commit(&tick, &columns, None, now).unwrap();
            }
            let totals = store.totals().unwrap();
            assert!(totals.iter().all(StreamTotals::conserved));
            let produced: u64 = totals.iter().map(|totals| totals.produced).sum();
            assert_eq!(produced, u64::from(n) * start.samples.unsigned_abs());
            if n == count {
                let rows = ["epoch", "stream", "column_def", "block"].map(|table| {
                    let count = format!("SELECT count(*) FROM {table}");
                    store
                        .connection
                        .query_row(&count, params![], |row| row.get(0))
                        .unwrap()
                });
                drop(store);
                let length = fs::metadata(folder.path().join(DATABASE)).unwrap().len();
                return [rows[0], rows[1], rows[2], rows[3], length.cast_signed()];
            }
        }
        unreachable!("the last start returns")
    }

    #[test]
    fn starts_without_samples_leave_nothing() {
        for acknowledged in [false, true] {
            let start = Start {
                samples: 0,
                acknowledged,
            };
            let (few, many) = (starts(10, start), starts(150, start));
            assert_eq!(few, many, "{start:?}");
            assert!(many[0] <= 3 && many[3] <= 2, "{start:?}: {many:?}");
        }
    }

    #[test]
    fn acknowledged_blocks_of_so_many_starts_are_kept_and_no_more() {
        let start = Start {
            samples: 20,
            acknowledged: true,
        };
        let most = i64::from(MOST_ACKNOWLEDGED);
        let [epochs, streams, columns, blocks, _] = starts(MOST_ACKNOWLEDGED + 150, start);
        assert!((most..=most + 2).contains(&epochs), "{epochs} epochs");
        assert_eq!((streams, columns), (epochs * 5, 1));
        assert!(blocks <= 2 * (most + 1), "{blocks} blocks");
    }

    #[test]
    fn what_was_not_acknowledged_stays() {
        let start = Start {
            samples: 20,
            acknowledged: false,
        };
        let [epochs, _, columns, blocks, _] = starts(100, start);
        assert_eq!((epochs, columns, blocks), (100, 1, 200));
    }
}
