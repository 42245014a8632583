//! Tables, columns, partitions, and the metrics' table.

use std::path::Path;

use jiff::{Timestamp, ToSpan as _};
use metrics_exporter_prometheus::PrometheusBuilder;
use platform::{
    Db, Flavour, migrate,
    testing::{assert_commented, on_each_database, prepare_all},
};
use shared_protocol::{Stream, catalogue};
use telemetry::{
    Retained, StorageError, metrics, prepare_storage, retain, roll_up, storage::missing,
};

use crate::world::{World, columns, is_stored, now, raw};

async fn dump(db: &Db) -> String {
    let client = db.owner().await.unwrap();
    let sql = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT c::text AS line FROM information_schema.columns AS c WHERE table_schema = 'telemetry'
        UNION ALL SELECT s::text FROM telemetry.signal AS s
        UNION ALL SELECT m::text FROM telemetry.migration AS m
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'telemetry') AS lines";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[test]
fn preparing_twice_is_nothing_and_everything_is_commented() {
    on_each_database(|database| async move {
        let db = database.connect().await;
        let error = prepare_storage(&db, now()).await.unwrap_err();
        assert!(matches!(error, StorageError::NotMigrated), "{error}");
        let rooms = [platform::room(), telemetry::room()];
        let all = (0..3).map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let server = migrate(&db, &rooms).await.unwrap();
                (server, prepare_storage(&db, now()).await.unwrap())
            })
        });
        let mut columns = 0;
        for one in all.collect::<Vec<_>>() {
            let (server, prepared) = one.await.unwrap();
            assert_eq!(server.flavour, database.flavour());
            columns += prepared.columns;
        }
        assert_eq!(
            columns,
            catalogue().signals().len(),
            "each column is added once"
        );
        let before = dump(&db).await;
        migrate(&db, &rooms).await.unwrap();
        let prepared = prepare_storage(&db, now()).await.unwrap();
        assert_eq!((prepared.columns, prepared.days), (0, 0));
        assert_eq!(dump(&db).await, before);
        assert_commented(&db, "telemetry").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&db, &queries).await > 30);
    });
}

#[test]
fn a_catalogue_that_contradicts_what_is_stored_is_refused() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let client = world.db.owner().await.unwrap();
        for (change, back, says) in [
            (
                "resolution = 0.1",
                "resolution = 0.01",
                "its resolution was 0.1, and is 0.01 now",
            ),
            ("unit = 'mph'", "unit = 'km/h'", "its unit was mph"),
            (
                "column_name = 'velocity'",
                "column_name = 'speed'",
                "its column was velocity",
            ),
            (
                "column_type = 'bigint'",
                "column_type = 'integer'",
                "its range needs a column of type integer",
            ),
        ] {
            let set =
                |what| format!("UPDATE telemetry.signal SET {what} WHERE name = 'Vehicle.Speed'");
            client.batch_execute(&set(change)).await.unwrap();
            let error = prepare_storage(&world.db, now()).await.unwrap_err();
            assert!(matches!(error, StorageError::Changed { .. }), "{error}");
            assert!(error.to_string().contains(says), "{error}");
            client.batch_execute(&set(back)).await.unwrap();
        }
        prepare_storage(&world.db, now()).await.unwrap();
        // A column that a newer program added stays in the view of an older one.
        client
            .batch_execute(
                "ALTER TABLE telemetry.sample ADD COLUMN newer smallint;
                 INSERT INTO telemetry.signal (id, column_name, column_type, name, standard, unit, resolution, least, greatest, class, about)
                 VALUES (60000, 'newer', 'smallint', 'Newer', 'patio', 'V', 0.5, 0, 10, 'live', 'New.');
                 DELETE FROM telemetry.signal WHERE name = 'Vehicle.Speed';
                 DROP VIEW telemetry.reading CASCADE;
                 DROP VIEW telemetry.sample_step;
                 ALTER TABLE telemetry.sample DROP COLUMN speed",
            )
            .await
            .unwrap();
        assert_eq!(prepare_storage(&world.db, now()).await.unwrap().columns, 1);
        client
            .query("SELECT newer, speed FROM telemetry.reading", &[])
            .await
            .unwrap();
    });
}

#[test]
fn days_have_partitions_ahead_and_late_rows_find_theirs() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let day = 86_400_000_000;
        // Today, and forty days ago.
        let samples = [(0, 0, 1), (4, 0, 1), (0, -40 * day, 2), (4, -40 * day, 2)];
        assert!(is_stored(
            &world.one(&gateway.samples(Stream::Bulk, &samples)).await
        ));
        let client = world.client().await;
        if database.flavour() != Flavour::Plain {
            let chunks = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema = 'telemetry'";
            assert_eq!(world.count(chunks).await, 4);
            return;
        }
        let rest = "SELECT (SELECT count(*) FROM telemetry.sample_rest) + (SELECT count(*) FROM telemetry.extra_rest)";
        assert_eq!(world.count(rest).await, 2, "the old ones");
        let days =
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'telemetry.sample'::regclass";
        assert_eq!(
            world.count(days).await,
            10,
            "yesterday to a week ahead, and the rest"
        );
        let prepared = prepare_storage(&world.db, now()).await.unwrap();
        assert_eq!(prepared.days, 2);
        assert_eq!(world.count(rest).await, 0);
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.sample").await,
            2
        );
        // A program that was down for weeks.
        let later: Timestamp = now() + (24 * 20).hours();
        world.hand.set(later);
        gateway.offset = Some(later.as_microsecond());
        assert!(is_stored(
            &world
                .one(&gateway.samples(Stream::Bulk, &[(0, 0, 3)]))
                .await
        ));
        assert_eq!(world.count(rest).await, 1);
        prepare_storage(&world.db, later).await.unwrap();
        assert_eq!(world.count(rest).await, 0);
        let plan = "EXPLAIN SELECT * FROM telemetry.sample WHERE asset_id = 1 AND time >= '2026-09-21' AND time < '2026-09-22'";
        let rows = client.query(plan, &[]).await.unwrap();
        let text: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(
            !text.join("\n").contains("_20260812"),
            "other days are not looked at: {text:?}"
        );
    });
}

#[test]
fn every_metric_that_moves_is_in_the_table() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let definitions = gateway.define(&columns());
        let bad = gateway.samples(Stream::Live, &[(0, 0, 99_999_999)]);
        let mut deliveries = vec![definitions.delivery(), bad.delivery()];
        deliveries.extend((0..400u32).map(|n| raw(&gateway, n.to_le_bytes())));
        let ingestor = world.ingestor.clone();
        // A recorder belongs to a thread: everything has to happen on this one.
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            ::metrics::with_local_recorder(&recorder, || {
                metrics::describe();
                runtime.block_on(ingestor.ingest(deliveries));
            });
        })
        .await
        .unwrap();
        let text = handle.render();
        let mut seen = 0;
        for line in text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = name
                .trim_end_matches("_sum")
                .trim_end_matches("_count")
                .trim_end_matches("_bucket");
            let metric = metrics::TABLE.iter().find(|metric| metric.name == base);
            let metric = metric.unwrap_or_else(|| panic!("{name} is not in the table"));
            for label in metric.labels {
                assert!(line.contains(&format!("{label}=\"")), "{line}");
            }
            seen += 1;
        }
        assert!(seen >= 5, "{text}");
        assert!(
            text.contains("telemetry_blocks_total{verdict=\"stored\"} 1"),
            "{text}"
        );
        assert!(text.contains("telemetry_samples_total 8"), "{text}");
        assert!(
            text.contains("telemetry_quarantined_total{reason=\"impossible\"} 1"),
            "{text}"
        );
        for metric in metrics::TABLE {
            assert!(!metric.cause.is_empty() && !metric.action.is_empty());
        }
    });
}

#[test]
fn what_is_old_goes_and_roll_ups_stay() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let day = 86_400_000_000;
        // Yesterday, a hundred days ago, and so long ago that nobody made a partition for it.
        let samples = [-1, -100, -200].map(|age| (0, age * day, 5));
        assert!(is_stored(
            &world.one(&gateway.samples(Stream::Bulk, &samples)).await
        ));
        world
            .one(&gateway.samples(Stream::Live, &[(0, 0, 99_999_999)]))
            .await;
        let rows = "SELECT count(*) FROM telemetry.sample";
        let minutes = "SELECT count(*) FROM telemetry.rollup_minute";
        let owner = world.db.owner().await.unwrap();
        let keep = async |days: &str| {
            let sql = format!(
                "UPDATE telemetry.retention SET keep = {days} WHERE what IN ('sample', 'extra')"
            );
            owner.batch_execute(&sql).await.unwrap();
        };
        keep("'90 days'").await;
        // Its minutes were not read yet: it stays.
        assert_eq!(retain(&world.db, now()).await.unwrap(), Retained::default());
        assert_eq!(world.count(rows).await, 3);
        roll_up(&world.db, now() + 48.hours()).await.unwrap();
        prepare_storage(&world.db, now()).await.unwrap();
        // Nothing measured goes unless somebody has said so.
        keep("NULL").await;
        assert_eq!(retain(&world.db, now()).await.unwrap(), Retained::default());
        keep("'90 days'").await;
        let gone = retain(&world.db, now()).await.unwrap();
        assert_eq!((gone.partitions, gone.rows), (2, 0), "{}", database.label);
        assert_eq!(
            (world.count(rows).await, world.count(minutes).await),
            (1, 3)
        );
        // What comes again that late is in its roll-up once.
        world
            .one(&gateway.samples(Stream::Bulk, &[(0, -100 * day, 5)]))
            .await;
        roll_up(&world.db, now() + 48.hours()).await.unwrap();
        assert_eq!(
            world
                .count("SELECT sum(count)::bigint FROM telemetry.rollup_minute")
                .await,
            3
        );
        // Digests and quarantine; the ledger stays, and knows what was delivered.
        let later = now() + (24 * 100).hours();
        let gone = retain(&world.db, later).await.unwrap();
        assert_eq!(
            gone.rows,
            5 + u64::from(database.flavour() == Flavour::Plain)
        );
        let left = "SELECT (SELECT count(*) FROM telemetry.block_digest) + (SELECT count(*) FROM telemetry.quarantine)";
        assert_eq!(world.count(left).await, 0);
        owner
            .batch_execute(
                "UPDATE telemetry.retention SET keep = '7 days' WHERE what LIKE 'rollup%'",
            )
            .await
            .unwrap();
        retain(&world.db, later).await.unwrap();
        assert_eq!(world.count(minutes).await, 0);
        assert_eq!(
            world
                .count("SELECT count(*) FROM telemetry.rollup_day")
                .await,
            0
        );
    });
}

#[test]
fn what_storage_lacks_is_said() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let none: Vec<String> = Vec::new();
        assert_eq!(missing(&world.db, now()).await.unwrap(), none);
        let owner = world.db.owner().await.unwrap();
        owner
            .batch_execute("DELETE FROM telemetry.signal WHERE name = 'Vehicle.Speed'")
            .await
            .unwrap();
        let later = missing(&world.db, now() + (24 * 30).hours()).await.unwrap();
        assert!(later[0].contains("columns of the catalogue"), "{later:?}");
        assert_eq!(
            later.len(),
            1 + usize::from(database.flavour() == Flavour::Plain)
        );
    });
}
