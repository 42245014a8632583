//! The columnstore of TimescaleDB Community: what is compressed is read, completed, rolled up and removed like the rest.

use jiff::ToSpan as _;
use platform::{Flavour, OrganizationId, Scope, testing::on_each_database};
use shared_protocol::Stream;
use telemetry::{retain, roll_up};
use tokio_postgres::error::SqlState;

use crate::world::{
    NOW_US, World, columns, is_stored, latest_of, now, stored, stored_latest, truth,
};

const DAY_US: i64 = 86_400_000_000;
const TABLES: [&str; 4] = ["sample", "extra", "rollup_minute", "rollup_quarter"];

/// Sums of what is rolled up and of what is there, which have to be equal.
const DIFFERENCE: &str = "SELECT count(*) FROM (
        SELECT telemetry.bucket(0::smallint, time) AS bucket, asset_id, source, count(speed)::int AS count,
               min(speed)::bigint AS least, max(speed)::bigint AS greatest, sum(speed)::numeric AS sum
        FROM telemetry.sample WHERE speed IS NOT NULL GROUP BY 1, 2, 3) AS raw
    FULL JOIN (
        SELECT r.* FROM telemetry.rollup_minute AS r JOIN telemetry.signal AS s ON s.id = r.signal_id
        WHERE s.column_name = 'speed') AS r USING (bucket, asset_id, source)
    WHERE (raw.count, raw.least, raw.greatest, raw.sum) IS DISTINCT FROM (r.count, r.least, r.greatest, r.sum)";

#[test]
fn compressed_chunks_are_like_others() {
    on_each_database(|database| async move {
        if database.flavour() != Flavour::Community {
            eprintln!(
                "skipped: {} compresses nothing, TimescaleDB Community does",
                database.label
            );
            return;
        }
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot").await;
        gateway.offset = Some(NOW_US - 20 * DAY_US);
        world.one(&gateway.define(&columns())).await;
        let mut values = Vec::new();
        let mut deliver = async |gateway: &mut crate::world::Gateway, from: i64| {
            for minute in from..from + 3 {
                let at = |second: i64| minute * 45_000_000 + second * 1_000_000;
                let samples: Vec<_> = (0..20)
                    .flat_map(|s| {
                        [
                            (0, at(s), 100 + s),
                            (2, at(s), s),
                            (3, at(s), 7 * s),
                            (4, at(s), s),
                        ]
                    })
                    .collect();
                let block = gateway.samples(Stream::Bulk, &samples);
                assert!(is_stored(&world.one(&block).await));
                // The same again changes nothing.
                assert!(is_stored(&world.one(&block).await));
                values.extend(truth(gateway, &block));
            }
        };
        deliver(&mut gateway, 0).await;
        roll_up(&world.db, now() + 1.minutes()).await.unwrap();
        retain(&world.db, now()).await.unwrap();
        let policies = "SELECT count(*) FROM timescaledb_information.jobs
            WHERE proc_name = 'policy_compression' AND hypertable_schema = 'telemetry'";
        assert_eq!(world.count(policies).await, 4);
        // What the policies do in their own time, and may be doing.
        let owner = world.db.owner().await.unwrap();
        for table in TABLES {
            let sql = format!(
                "SELECT compress_chunk(c, true) FROM show_chunks('telemetry.{table}') AS c"
            );
            let mut done = owner.query(&sql, &[]).await;
            while let Err(error) = &done
                && error.code() == Some(&SqlState::DUPLICATE_OBJECT)
            {
                done = owner.query(&sql, &[]).await;
            }
            assert!(!done.unwrap().is_empty(), "{table}");
        }
        let compressed =
            "SELECT count(DISTINCT hypertable_name) FROM timescaledb_information.chunks
            WHERE is_compressed AND hypertable_schema = 'telemetry'";
        assert_eq!(world.count(compressed).await, 4);

        // Late: between what is compressed (same minutes) and behind it.
        deliver(&mut gateway, 1).await;
        deliver(&mut gateway, 5).await;
        roll_up(&world.db, now() + 1.minutes()).await.unwrap();
        let client = world.client().await;
        values.sort();
        assert_eq!(stored(&client, &gateway).await, values);
        let mut latest = latest_of(&values);
        latest.retain(|value| value.2 != "M.Float");
        latest.sort();
        assert_eq!(stored_latest(&client, &gateway).await, latest);
        assert_eq!(world.count(DIFFERENCE).await, 0);
        let days = "SELECT sum(count)::bigint FROM telemetry.rollup_day";
        let wide = values.iter().filter(|value| value.2 == "speed").count();
        assert_eq!(world.count(days).await, wide as i64);

        // Organisations read their own of it, and nothing else.
        let own: i32 = client
            .query_one("SELECT organization_id FROM platform.gateway", &[])
            .await
            .unwrap()
            .get(0);
        for (organization, seen) in [(own, wide as i64), (own + 1000, 0)] {
            let scope = Scope::of_system(OrganizationId(organization), "test");
            let tenant = world.db.tenant(&scope).await.unwrap();
            for sql in [
                "SELECT count(speed) FROM telemetry.own_reading",
                "SELECT coalesce(sum(count), 0)::bigint FROM telemetry.own_rollup_minute",
            ] {
                let found: i64 = tenant.query_one(sql, &[]).await.unwrap().get(0);
                assert_eq!(found, seen, "{sql}");
            }
            tenant.commit().await.unwrap();
        }

        // And it goes when its time has come.
        let sql = "UPDATE telemetry.retention SET keep = interval '5 days' WHERE what IN ('sample', 'extra')";
        owner.batch_execute(sql).await.unwrap();
        assert!(retain(&world.db, now()).await.unwrap().partitions >= 2);
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.sample").await,
            0
        );
        assert_eq!(world.count(days).await, wide as i64);
    });
}
