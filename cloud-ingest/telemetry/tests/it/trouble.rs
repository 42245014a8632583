//! A database that is away, or not what it should be: nothing is acknowledged, and nothing is lost.

use std::time::{Duration, Instant};

use platform::testing::on_each_database;
use shared_protocol::Stream;
use telemetry::{OutcomeKind, acks};
use tokio_postgres::NoTls;

use crate::world::{Sent, World, columns, is_stored, now, raw, stored, truth};

/// Runs statements on a connection of its own, each in its own transaction.
async fn command(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    for sql in statements.split(";;") {
        client.batch_execute(sql).await.unwrap();
    }
    drop(client);
    let _ = connection.await;
}

const END_CONNECTIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[test]
fn what_is_not_committed_is_not_acknowledged() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let definitions = gateway.define(&columns());
        assert!(is_stored(&world.one(&definitions).await));
        let blocks: Vec<_> = (0..5)
            .map(|n| gateway.samples(Stream::Live, &[(0, n, n), (4, n, n)]))
            .collect();
        let deliveries = || {
            let mut all: Vec<_> = blocks.iter().map(Sent::delivery).collect();
            all.push(raw(&gateway, "garbage"));
            all
        };
        let read_only = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = %L', current_database(), '";
        let troubles = [
            // The primary has become a standby: every connection is read-only.
            (
                format!("{read_only}on'); END $$;;{END_CONNECTIONS}"),
                format!("SET default_transaction_read_only = off;;{read_only}off'); END $$;;{END_CONNECTIONS}"),
                "read-only",
            ),
            // Half of a migration is missing.
            (
                "ALTER TABLE telemetry.ledger RENAME TO elsewhere".to_owned(),
                "ALTER TABLE telemetry.elsewhere RENAME TO ledger".to_owned(),
                "telemetry.ledger",
            ),
            // The disk is full, as far as the samples are concerned.
            (
                "CREATE FUNCTION telemetry.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
                 END $$;
                 CREATE TRIGGER full_disk BEFORE INSERT ON telemetry.block_digest EXECUTE FUNCTION telemetry.full()".to_owned(),
                "DROP TRIGGER full_disk ON telemetry.block_digest".to_owned(),
                "No space left",
            ),
        ];
        for (break_it, mend_it, says) in troubles {
            command(&database.url, &break_it).await;
            let start = Instant::now();
            let outcomes = world.ingestor.ingest(deliveries()).await;
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{:?}",
                start.elapsed()
            );
            for outcome in &outcomes[..blocks.len()] {
                match &outcome.result {
                    OutcomeKind::NotStored { detail } => assert!(detail.contains(says), "{detail}"),
                    other => panic!("{other:?}"),
                }
                assert!(!outcome.settled());
            }
            assert!(acks(&outcomes, now()).is_empty());
            command(&database.url, &mend_it).await;
            assert_eq!(
                world.count("SELECT count(*) FROM telemetry.sample").await,
                0
            );
        }
        let outcomes = world.ingestor.ingest(deliveries()).await;
        assert!(outcomes[..blocks.len()].iter().all(|outcome| {
            outcome.result
                == OutcomeKind::Stored {
                    new: true,
                    samples: 2,
                }
        }));
        let mut expected: Vec<_> = blocks
            .iter()
            .flat_map(|sent| truth(&gateway, sent))
            .collect();
        expected.sort();
        world.count("SELECT 1::bigint").await;
        assert_eq!(stored(&world.client().await, &gateway).await, expected);
    });
}

#[test]
fn a_database_that_was_put_back_is_found_out() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let definitions = gateway.define(&columns());
        let first = gateway.samples(Stream::Live, &[(0, 0, 1), (4, 0, 1)]);
        let outcomes = world.ingest(&[&definitions, &first]).await;
        assert!(outcomes.iter().all(|outcome| is_stored(&outcome.result)));
        // An older backup: what the ingestor remembers is not there any more.
        command(
            &database.url,
            "TRUNCATE telemetry.epoch, telemetry.ledger, telemetry.block_digest, telemetry.column_def, telemetry.latest,
                 telemetry.extra_latest, telemetry.extra_signal, telemetry.sample, telemetry.extra CASCADE",
        )
        .await;
        command(&database.url, END_CONNECTIONS).await;
        let second = gateway.samples(Stream::Live, &[(0, 5, 1), (4, 5, 1)]);
        assert_eq!(world.one(&second).await, OutcomeKind::ColumnsNeeded(0));
        let outcomes = world.ingest(&[&second, &definitions, &first]).await;
        assert!(
            outcomes.iter().all(|outcome| is_stored(&outcome.result)),
            "{outcomes:?}"
        );
        let mut expected = [truth(&gateway, &first), truth(&gateway, &second)].concat();
        expected.sort();
        assert_eq!(stored(&world.client().await, &gateway).await, expected);
    });
}
