//! Gaps: numbers that stay open, and numbers whose block was dropped.

use platform::testing::on_each_database;
use shared_protocol::{Body, Stream, Verdict, block::DropReason};
use telemetry::{OutcomeKind, acks, ranges::MOST_RANGES, read};

use crate::world::{World, columns, is_stored, now, stored, truth};

#[test]
fn a_ledger_has_so_many_ranges_and_no_more() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let blocks: Vec<_> = (0..700)
            .map(|n| gateway.samples(Stream::Bulk, &[(0, n * 1000, n % 100)]))
            .collect();
        let odd: Vec<_> = blocks.iter().skip(1).step_by(2).collect();
        let outcomes = world.ingest(&odd).await;
        let taken = outcomes
            .iter()
            .filter(|outcome| is_stored(&outcome.result))
            .count();
        assert_eq!(taken, MOST_RANGES - 1, "room is kept for the oldest gap");
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.done.len() < MOST_RANGES)
        );
        let refused = outcomes.iter().find(|outcome| !outcome.settled()).unwrap();
        assert!(
            matches!(&refused.result, OutcomeKind::NotStored { detail } if detail.contains("too many gaps"))
        );
        assert!(
            acks(std::slice::from_ref(refused), now()).is_empty(),
            "nothing is said of it"
        );
        // Oldest first, everything gets in.
        for chunk in blocks.chunks(97) {
            let chunk: Vec<_> = chunk.iter().collect();
            let outcomes = world.ingest(&chunk).await;
            assert!(outcomes.iter().all(|outcome| is_stored(&outcome.result)));
            assert!(
                outcomes
                    .iter()
                    .all(|outcome| outcome.done.len() <= MOST_RANGES)
            );
        }
        let client = world.client().await;
        let mut expected: Vec<_> = blocks
            .iter()
            .flat_map(|sent| truth(&gateway, sent))
            .collect();
        expected.sort();
        assert_eq!(stored(&client, &gateway).await, expected);
        let ledger = read::ledger(&client, Some(&[gateway.id.as_str()]))
            .await
            .unwrap();
        let bulk = ledger.iter().find(|row| row.stream == "bulk").unwrap();
        assert_eq!((bulk.blocks, bulk.samples, bulk.done.len()), (700, 700, 1));
    });
}

#[test]
fn a_dropped_block_is_closed_by_its_gap_and_the_block_wins() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let block = gateway.samples(Stream::Bulk, &[(0, 0, 1), (1, 0, 2)]);
        let gap = gateway.seal_as(block.number(), Body::Gap(DropReason::Damaged), 2, 3);
        let again = gateway.seal_as(block.number(), Body::Gap(DropReason::Quota), 2, 3);
        let dropped = || async {
            let client = world.client().await;
            let ledger = read::ledger(&client, Some(&[gateway.id.as_str()]))
                .await
                .unwrap();
            let bulk = ledger.into_iter().find(|row| row.stream == "bulk").unwrap();
            let gaps = world.count("SELECT count(*) FROM telemetry.gap").await;
            (bulk.blocks, bulk.samples, bulk.dropped, bulk.thinned, gaps)
        };
        assert_eq!(
            world.one(&gap).await,
            OutcomeKind::Stored {
                new: true,
                samples: 2
            }
        );
        assert_eq!(dropped().await, (1, 0, 2, 3, 1));
        assert!(is_stored(&world.one(&gap).await));
        assert!(
            is_stored(&world.one(&again).await),
            "said twice in other words"
        );
        assert_eq!(dropped().await, (1, 0, 2, 3, 1));

        // The block had been on its way after all.
        assert_eq!(
            world.one(&block).await,
            OutcomeKind::Stored {
                new: true,
                samples: 2
            }
        );
        assert_eq!(dropped().await, (1, 2, 0, 0, 0));
        assert_eq!(stored(&world.client().await, &gateway).await, {
            let mut expected = truth(&gateway, &block);
            expected.sort();
            expected
        });
        assert_eq!(
            world.one(&block).await,
            OutcomeKind::Stored {
                new: false,
                samples: 2
            }
        );
        // And the gap, delivered again, is told so.
        let outcome = world.ingest(&[&gap]).await.remove(0);
        assert_eq!(
            outcome.result,
            OutcomeKind::Superseded { kept: block.digest }
        );
        let ack = acks(&[outcome], now()).remove(0);
        for digest in [gap.digest, block.digest] {
            let verdict = ack.answers[0].verdict(&block.number(), &digest);
            assert_eq!(verdict, Some(&Verdict::Stored));
        }
        assert_eq!(dropped().await, (1, 2, 0, 0, 0));

        // Both in one batch, in either order.
        for flip in [false, true] {
            let block = gateway.samples(Stream::Bulk, &[(0, 9, 1)]);
            let gap = gateway.seal_as(block.number(), Body::Gap(DropReason::Quota), 1, 0);
            let batch = if flip { [&gap, &block] } else { [&block, &gap] };
            let outcomes = world.ingest(&batch).await;
            let kept = block.digest;
            assert_eq!(
                outcomes[usize::from(flip)].result,
                OutcomeKind::Stored {
                    new: true,
                    samples: 1
                }
            );
            assert_eq!(
                outcomes[usize::from(!flip)].result,
                OutcomeKind::Superseded { kept }
            );
        }
        assert_eq!(
            world
                .count("SELECT count(*) FROM telemetry.quarantine")
                .await,
            0
        );
    });
}

/// One message closes a range, once; the blocks that are there stay, also those of its own batch, and what comes later wins.
#[test]
fn a_range_of_gaps_closes_what_is_open_of_it() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let mut blocks: Vec<_> = (0..100)
            .map(|n| gateway.samples(Stream::Bulk, &[(0, n * 1000, n % 100)]))
            .collect();
        let body = |last| Body::Gaps {
            reason: DropReason::Quota,
            last,
        };
        let range = gateway.seal_as(blocks[10].number(), body(59), 777, 5);
        let id = gateway.id.clone();
        let books = || async {
            let client = world.client().await;
            let ledger = read::ledger(&client, Some(&[id.as_str()])).await.unwrap();
            let bulk = ledger.into_iter().find(|row| row.stream == "bulk").unwrap();
            let gaps = world.count("SELECT count(*) FROM telemetry.gap").await;
            let digests = world
                .count("SELECT count(*) FROM telemetry.block_digest WHERE stream = 3 AND fate = 2")
                .await;
            (
                (bulk.blocks, bulk.samples, bulk.dropped, bulk.thinned),
                (gaps, digests),
                bulk.done
                    .iter()
                    .map(|range| (range.first, range.last))
                    .collect::<Vec<_>>(),
            )
        };
        assert!(is_stored(&world.one(&blocks[12]).await));
        let outcomes = world.ingest(&[&range, &blocks[59], &range]).await;
        assert!(outcomes.iter().all(|outcome| is_stored(&outcome.result)));
        let ack = acks(&outcomes, now()).remove(0);
        let verdict = ack.answers[0].verdict(&range.number(), &range.digest);
        assert_eq!(verdict, Some(&Verdict::Stored));
        // 10 to 59 without 12 and 59, and those two.
        let expected = ((50, 2, 777, 5), (1, 48), vec![(10, 59)]);
        assert_eq!(books().await, expected);
        assert!(is_stored(&world.one(&range).await), "said again");
        let cut = gateway.seal_as(blocks[40].number(), body(59), 0, 0);
        assert!(is_stored(&world.one(&cut).await), "a part of it");
        assert_eq!(books().await, expected);

        // A block that had been on its way after all.
        assert!(is_stored(&world.one(&blocks[30]).await));
        assert_eq!(books().await, ((50, 3, 777, 5), (1, 47), vec![(10, 59)]));
        let overlapping = gateway.seal_as(blocks[50].number(), body(69), 9, 0);
        assert!(is_stored(&world.one(&overlapping).await));
        assert_eq!(books().await, ((60, 3, 786, 5), (2, 57), vec![(10, 69)]));

        // As many ranges as a ledger has, and then one that would need another: nothing of it is taken.
        for n in 0..=2 * MOST_RANGES {
            let block = gateway.samples(Stream::Bulk, &[(0, n as i64, 1)]);
            if n % 2 == 1 {
                blocks.push(block);
            }
        }
        let more: Vec<_> = blocks[100..].iter().collect();
        world.ingest(&more).await;
        let before = books().await;
        assert_eq!(before.2.len(), MOST_RANGES - 1);
        let far = gateway.samples(Stream::Bulk, &[(0, 1, 1)]).number();
        let far = shared_protocol::BlockNumber {
            seq: far.seq + 10,
            ..far
        };
        let refused = gateway.seal_as(far, body(far.seq + 20), 5, 0);
        let outcome = world.ingest(&[&refused]).await.remove(0);
        assert!(matches!(outcome.result, OutcomeKind::NotStored { .. }));
        assert_eq!(books().await, before);
    });
}

#[test]
fn a_gap_says_how_much_and_why() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let number = gateway.number(Stream::Live);
        let gap = gateway.seal_as(number, Body::Gap(DropReason::Quota), 123, 0);
        assert!(is_stored(&world.one(&gap).await));
        let client = world.client().await;
        let row = client
            .query_one("SELECT reason, samples, stream FROM telemetry.gap", &[])
            .await
            .unwrap();
        assert_eq!(
            (
                row.get::<_, &str>(0),
                row.get::<_, i64>(1),
                row.get::<_, i16>(2)
            ),
            ("quota", 123, 2)
        );
    });
}

#[test]
fn a_stream_that_waits_is_named() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot").await;
        world.one(&gateway.define(&columns())).await;
        let blocks: Vec<_> = (0..7)
            .map(|second| gateway.samples(Stream::Live, &[(0, second, 1)]))
            .collect();
        let client = world.client().await;
        world.ingest(&[&blocks[0], &blocks[1]]).await;
        assert_eq!(read::waiting(&client).await.unwrap(), []);
        world.ingest(&[&blocks[4], &blocks[6]]).await;
        let waiting = read::waiting(&client).await.unwrap();
        let found: Vec<_> = waiting
            .iter()
            .map(|one| {
                (
                    one.gateway.as_str(),
                    one.stream.as_str(),
                    one.first,
                    one.blocks,
                    one.since,
                )
            })
            .collect();
        assert_eq!(found, [("depot", "live", 2, 3, Some(now()))]);
        world.ingest(&[&blocks[2], &blocks[3], &blocks[5]]).await;
        assert_eq!(read::waiting(&client).await.unwrap(), []);
    });
}
