//! Out of the quarantine after a fix, once; and what a gateway may not fill tables with.

use std::time::Duration;

use platform::testing::on_each_database;
use shared_protocol::{Encoding, Stream};
use telemetry::{OutcomeKind, ReadmitError, Reason, read};

use crate::world::{
    Gateway, World, columns, is_stored, latest_of, named, now, raw, stored, stored_latest, truth,
};

async fn ledger(world: &World, gateway: &Gateway, stream: &str) -> read::LedgerRow {
    let client = world.client().await;
    let rows = read::ledger(&client, Some(&[gateway.id.as_str()]))
        .await
        .unwrap();
    rows.into_iter().find(|row| row.stream == stream).unwrap()
}

/// The number of the newest row of the quarantine.
async fn newest(world: &World) -> i64 {
    world
        .count("SELECT max(id) FROM telemetry.quarantine")
        .await
}

#[test]
fn what_the_database_refused_is_stored_after_the_fix_once() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let owner = world.db.owner().await.unwrap();
        owner
            .batch_execute("ALTER TABLE telemetry.sample ADD CONSTRAINT fault CHECK (speed <> 77)")
            .await
            .unwrap();
        let block = gateway.samples(Stream::Live, &[(0, 0, 77), (0, 5, 78), (4, 5, 9)]);
        let result = world.one(&block).await;
        assert!(
            matches!(
                result,
                OutcomeKind::Quarantined {
                    reason: Reason::DatabaseRefused,
                    ..
                }
            ),
            "{result:?}"
        );
        let id = newest(&world).await;
        // Not fixed yet: it stays.
        let again = world.ingestor.readmit(id).await.unwrap().result;
        assert!(
            matches!(again, OutcomeKind::Quarantined { .. }),
            "{again:?}"
        );
        let before = ledger(&world, &gateway, "live").await;
        assert_eq!(
            (before.blocks, before.samples, before.quarantined),
            (1, 0, 3)
        );
        owner
            .batch_execute("ALTER TABLE telemetry.sample DROP CONSTRAINT fault")
            .await
            .unwrap();
        let other = world.another();
        let (one, two) = tokio::join!(world.ingestor.readmit(id), other.readmit(id));
        let results = [one.unwrap().result, two.unwrap().result];
        assert!(results.iter().all(is_stored), "{results:?}");
        let new = |result: &&OutcomeKind| matches!(result, OutcomeKind::Stored { new: true, .. });
        assert_eq!(results.iter().filter(new).count(), 1, "{results:?}");
        // The gateway may not have heard of it.
        assert!(is_stored(&world.one(&block).await));
        let client = world.client().await;
        let mut truth = truth(&gateway, &block);
        truth.sort();
        assert_eq!(stored(&client, &gateway).await, truth);
        assert_eq!(stored_latest(&client, &gateway).await, latest_of(&truth));
        let after = ledger(&world, &gateway, "live").await;
        assert_eq!((after.blocks, after.samples, after.quarantined), (1, 3, 0));
        let row = read::quarantine(&client, Some(id - 1), 1)
            .await
            .unwrap()
            .remove(0);
        assert_eq!(row.readmitted_at, Some(now()));
        let payload = read::quarantined_payload(&client, id).await.unwrap();
        assert_eq!(payload.as_deref(), Some(block.bytes.as_ref()));
        assert_eq!(
            read::quarantined_payload(&client, id + 1).await.unwrap(),
            None
        );
    });
}

#[test]
fn an_unknown_gateway_is_readmitted_once_it_is_registered() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = Gateway::new("depot-late");
        let blocks = [
            gateway.define(&columns()),
            gateway.samples(Stream::Bulk, &[(0, 0, 5)]),
        ];
        for block in &blocks {
            assert!(matches!(
                world.one(block).await,
                OutcomeKind::Rejected { .. }
            ));
        }
        world.gateway("depot-late").await;
        // What was looked up in vain a moment ago is not looked up at once again.
        world.hand.advance(Duration::from_secs(10));
        let last = newest(&world).await;
        for id in [last - 1, last] {
            assert!(is_stored(&world.ingestor.readmit(id).await.unwrap().result));
        }
        for block in &blocks {
            let result = world.one(block).await;
            assert!(matches!(result, OutcomeKind::Stored { new: false, .. }));
        }
        assert_eq!(stored(&world.client().await, &gateway).await.len(), 1);
        // What is no block stays none; what was cut off cannot be read.
        let delivery = raw(&gateway, b"nonsense".to_vec());
        world.ingestor.ingest(vec![delivery]).await;
        let id = newest(&world).await;
        let result = world.ingestor.readmit(id).await.unwrap().result;
        assert!(matches!(result, OutcomeKind::Rejected { .. }), "{result:?}");
        let long = raw(&gateway, vec![1; 600 * 1024]);
        world.ingestor.ingest(vec![long]).await;
        let error = world
            .ingestor
            .readmit(newest(&world).await)
            .await
            .unwrap_err();
        assert!(
            matches!(error, ReadmitError::CutOff { size: 614_400, .. }),
            "{error}"
        );
        let error = world.ingestor.readmit(9999).await.unwrap_err();
        assert!(matches!(error, ReadmitError::Unknown(9999)));
    });
}

#[test]
fn a_gateway_begins_and_names_no_more_than_it_may() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let mut neighbour = world.gateway("depot-2").await;
        world.one(&gateway.define(&columns())).await;
        let client = world.client().await;
        client
            .batch_execute(
                "INSERT INTO telemetry.epoch (gateway_id, counter, nonce, key_id)
                 SELECT e.gateway_id, e.counter, n, e.key_id FROM telemetry.epoch AS e, generate_series(1, 9998) AS n;
                 INSERT INTO telemetry.extra_signal (asset_id, source, name, unit, encoding, scale, shift)
                 SELECT min(asset_id), 1, 'X' || n, '', 0, 1, 0 FROM platform.gateway_asset, generate_series(1, 99996) AS n
                 GROUP BY n",
            )
            .await
            .unwrap();
        // Three are there already.
        let fits = gateway.define(&[named("car-a", "Last.One", Encoding::PLAIN)]);
        assert!(is_stored(&world.one(&fits).await));
        let beyond = gateway.define(&[
            named("car-a", "Last.One", Encoding::PLAIN),
            named("car-a", "One.More", Encoding::PLAIN),
        ]);
        let result = world.one(&beyond).await;
        assert!(
            matches!(&result, OutcomeKind::Quarantined { reason: Reason::TooManySignals, detail } if detail.contains("One.More")),
            "{result:?}"
        );
        gateway.new_epoch();
        assert!(is_stored(
            &world
                .one(&gateway.define(&[named("car-a", "Last.One", Encoding::PLAIN)]))
                .await
        ));
        gateway.new_epoch();
        let result = world.one(&gateway.define(&columns()[..1])).await;
        assert!(
            matches!(&result, OutcomeKind::Refused { detail } if detail.contains("10000 epochs")),
            "{result:?}"
        );
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.epoch").await,
            10_000
        );
        assert!(is_stored(&world.one(&neighbour.define(&columns())).await));
    });
}
