//! Blocks without wall time.

use std::time::Duration;

use platform::testing::on_each_database;
use shared_protocol::Stream;
use telemetry::{OutcomeKind, Reason, read};

use crate::world::{Gateway, NOW_US, World, columns, is_stored, stored, stored_latest, truth};

#[test]
fn blocks_without_time_wait_for_their_boot() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let offset = gateway.offset.take();
        let definitions = gateway.define(&columns());
        let early = gateway.samples(Stream::Live, &[(0, 1000, 5), (4, 2000, 6)]);
        let record = gateway.record("power.on", "[1]");
        let other_boot = {
            gateway.boot = 5;
            let sent = gateway.samples(Stream::Live, &[(0, 0, 5)]);
            gateway.boot = u64::MAX - 9;
            sent
        };
        let bad = gateway.samples(Stream::Live, &[(0, 1000, 99_999_999)]);
        assert!(matches!(
            world.one(&early).await,
            OutcomeKind::ColumnsNeeded(0)
        ));
        let outcomes = world
            .ingest(&[&definitions, &early, &record, &other_boot, &bad])
            .await;
        for outcome in &outcomes[1..4] {
            assert!(is_stored(&outcome.result), "the ledger moved: {outcome:?}");
        }
        assert!(matches!(
            outcomes[4].result,
            OutcomeKind::Quarantined {
                reason: Reason::Impossible,
                ..
            }
        ));
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.unplaced").await,
            3
        );
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.sample").await,
            0
        );
        assert_eq!(
            world.one(&early).await,
            OutcomeKind::Stored {
                new: false,
                samples: 2
            }
        );
        assert_eq!(
            world.ingestor.place().await.unwrap(),
            0,
            "nobody knows the time yet"
        );

        gateway.offset = offset;
        let knows = gateway.samples(Stream::Live, &[(1, 3000, 7)]);
        assert!(is_stored(
            &world.another().ingest(vec![knows.delivery()]).await[0].result
        ));
        let client = world.client().await;
        let mut expected = [truth(&gateway, &early), truth(&gateway, &knows)].concat();
        expected.sort();
        assert_eq!(stored(&client, &gateway).await, expected);
        assert_eq!(stored_latest(&client, &gateway).await, expected);
        let time = "SELECT (extract(epoch FROM time) * 1000000)::bigint FROM telemetry.record";
        assert_eq!(world.count(time).await, offset.unwrap() + 77);
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.unplaced").await,
            1,
            "the other boot's"
        );
        let ledger = read::ledger(&client, Some(&[gateway.id.as_str()]))
            .await
            .unwrap();
        let live = ledger.iter().find(|row| row.stream == "live").unwrap();
        assert_eq!(
            (live.blocks, live.samples, live.unplaced, live.quarantined),
            (4, 3, 1, 1)
        );

        // What comes without time from now on is placed at once, also by others.
        gateway.offset = None;
        let late = gateway.samples(Stream::Bulk, &[(0, 4000, 8)]);
        assert!(is_stored(
            &world.another().ingest(vec![late.delivery()]).await[0].result
        ));
        gateway.offset = offset;
        expected.extend(truth(&gateway, &late));
        expected.sort();
        assert_eq!(stored(&client, &gateway).await, expected);
        assert_eq!(
            world.one(&early).await,
            OutcomeKind::Stored {
                new: false,
                samples: 2
            }
        );
    });
}

#[test]
fn a_block_that_cannot_be_placed_is_quarantined() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let offset = gateway.offset.take();
        world.one(&gateway.define(&columns())).await;
        // A hundred days after the boot: with the boot's time that is in the future.
        let far = gateway.samples(Stream::Live, &[(0, 100 * 86_400_000_000, 5)]);
        let near = gateway.samples(Stream::Live, &[(0, 0, 5)]);
        let outcomes = world.ingest(&[&far, &near]).await;
        assert!(outcomes.iter().all(|outcome| is_stored(&outcome.result)));
        gateway.offset = offset;
        let knows = gateway.samples(Stream::Live, &[(0, 1, 5)]);
        assert!(is_stored(&world.one(&knows).await));
        assert!(matches!(
            world.one(&far).await,
            OutcomeKind::Quarantined {
                reason: Reason::Impossible,
                ..
            }
        ));
        assert!(is_stored(&world.one(&near).await));
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.unplaced").await,
            0
        );
        let client = world.client().await;
        assert_eq!(stored(&client, &gateway).await.len(), 2);
        let ledger = read::ledger(&client, Some(&[gateway.id.as_str()]))
            .await
            .unwrap();
        let live = ledger.iter().find(|row| row.stream == "live").unwrap();
        assert_eq!(
            (live.blocks, live.samples, live.unplaced, live.quarantined),
            (3, 2, 0, 1)
        );
    });
}

#[test]
fn an_impossible_offset_teaches_nothing() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let offset = gateway.offset.take();
        world.one(&gateway.define(&columns())).await;
        let early = gateway.samples(Stream::Live, &[(0, 0, 5)]);
        assert!(is_stored(&world.one(&early).await));
        for wrong in [0, NOW_US * 2, i64::MAX, i64::MIN] {
            gateway.offset = Some(wrong);
            let sent = gateway.samples(Stream::Live, &[(0, 0, 5)]);
            let result = world.one(&sent).await;
            assert!(
                matches!(
                    result,
                    OutcomeKind::Quarantined {
                        reason: Reason::Impossible,
                        ..
                    }
                ),
                "{result:?}"
            );
        }
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.unplaced").await,
            1
        );
        gateway.offset = offset;
        let knows = gateway.samples(Stream::Live, &[(0, 1, 5)]);
        assert!(is_stored(&world.one(&knows).await));
        let mut expected = [truth(&gateway, &early), truth(&gateway, &knows)].concat();
        expected.sort();
        assert_eq!(stored(&world.client().await, &gateway).await, expected);
    });
}

/// Whoever keeps a block without time and whoever learns the time wait for each other: else the one would not see
/// the block, the other not the time, and the block would wait for ever.
#[test]
fn keeping_and_learning_exclude_each_other() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let offset = gateway.offset.take();
        world.one(&gateway.define(&columns())).await;
        let first = gateway.samples(Stream::Live, &[(0, 0, 5)]);
        assert!(is_stored(&world.one(&first).await));
        let second = gateway.samples(Stream::Live, &[(0, 1, 5)]);
        gateway.offset = offset;
        let knows = gateway.samples(Stream::Live, &[(0, 2, 5)]);
        for (lock, sent) in [("FOR NO KEY UPDATE", &second), ("FOR SHARE", &knows)] {
            let mut client = world.client().await;
            let tx = client.transaction().await.unwrap();
            let sql = format!("SELECT FROM telemetry.boot {lock}");
            assert_eq!(tx.query(&sql, &[]).await.unwrap().len(), 1);
            let ingestor = world.another();
            let delivery = sent.delivery();
            let mut waiting = tokio::spawn(async move { ingestor.ingest(vec![delivery]).await });
            let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
            assert!(early.is_err(), "{lock} is waited for");
            tx.commit().await.unwrap();
            assert!(is_stored(&waiting.await.unwrap()[0].result));
        }
        assert_eq!(stored(&world.client().await, &gateway).await.len(), 3);
    });
}

#[test]
fn a_long_backlog_is_expanded_bit_by_bit_by_any_number_of_ingestors() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let offset = gateway.offset.take();
        world.one(&gateway.define(&columns())).await;
        let early: Vec<_> = (0..450)
            .map(|n| gateway.samples(Stream::Bulk, &[(0, n * 1000, n % 200), (4, n * 1000, n)]))
            .collect();
        let outcomes = world.ingest(&early.iter().collect::<Vec<_>>()).await;
        assert!(outcomes.iter().all(|outcome| is_stored(&outcome.result)));
        gateway.offset = offset;
        let knows = gateway.samples(Stream::Live, &[(0, 0, 5)]);
        assert!(is_stored(&world.one(&knows).await));
        let left = world.count("SELECT count(*) FROM telemetry.unplaced").await;
        assert_eq!(left, 350, "a delivery does not wait for all of them");
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let ingestor = world.another();
                tokio::spawn(async move { ingestor.place().await.unwrap() })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let mut expected: Vec<_> = early
            .iter()
            .flat_map(|sent| truth(&gateway, sent))
            .collect();
        expected.extend(truth(&gateway, &knows));
        expected.sort();
        let client = world.client().await;
        assert_eq!(stored(&client, &gateway).await, expected);
        let ledger = read::ledger(&client, Some(&[gateway.id.as_str()]))
            .await
            .unwrap();
        let bulk = ledger.iter().find(|row| row.stream == "bulk").unwrap();
        assert_eq!((bulk.blocks, bulk.samples, bulk.unplaced), (450, 900, 0));
    });
}

#[test]
fn a_boot_that_never_learnt_the_time_is_bounded_by_its_neighbours() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let offset = gateway.offset.unwrap();
        let begin = async |gateway: &mut Gateway, counter: u32, offset: Option<i64>| {
            gateway.epoch.counter = counter - 1;
            gateway.new_epoch();
            gateway.boot = u64::MAX - u64::from(counter);
            gateway.offset = offset;
            let definitions = gateway.define(&columns());
            assert!(is_stored(&world.one(&definitions).await));
        };
        let send = async |gateway: &mut Gateway, seconds: &[i64]| {
            let samples: Vec<_> = seconds.iter().map(|at| (0, at * 1_000_000, 5)).collect();
            let sent = gateway.samples(Stream::Live, &samples);
            assert!(is_stored(&world.one(&sent).await));
        };
        let at =
            |second: i64| jiff::Timestamp::from_microsecond(offset + second * 1_000_000).unwrap();
        let unplaced = async || {
            let client = world.client().await;
            read::unplaced(&client).await.unwrap()
        };

        begin(&mut gateway, 7, None).await;
        send(&mut gateway, &[5, 6]).await;
        let found = unplaced().await;
        let [boot] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(boot.boot, format!("{:016x}", gateway.boot));
        assert_eq!((boot.blocks, boot.samples), (1, 2));
        assert_eq!(
            (boot.after, boot.before),
            (None, boot.last_received_at),
            "nobody knows more"
        );

        // What was measured before arrives later.
        begin(&mut gateway, 3, Some(offset)).await;
        send(&mut gateway, &[1, 90]).await;
        send(&mut gateway, &[2]).await;
        begin(&mut gateway, 9, Some(offset)).await;
        send(&mut gateway, &[500, 300]).await;
        send(&mut gateway, &[400]).await;
        let found = unplaced().await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].after, Some(at(90)));
        assert_eq!(found[0].before, at(300).min(found[0].last_received_at));
        assert_eq!(
            world.ingestor.place().await.unwrap(),
            0,
            "and nothing is made up"
        );
    });
}
