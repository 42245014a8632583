//! Roll-ups are what a look at the samples gives, bit for bit, whatever came late, in disorder or not at all.
//!
//! The rates of faults are those of the Time Series Benchmark Suite's IoT case: 5 % of batches out of order, 30 % of
//! entries out of order, 1 % of batches and 10 % of entries missing.

use std::{collections::BTreeMap, time::Instant};

use jiff::{Timestamp, ToSpan as _};
use platform::testing::{budget, on_each_database};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use shared_protocol::{Source, Stream, catalogue};
use telemetry::{Resolution, prepare_storage, read, read::RollupQuery, roll_up};

use crate::world::{Gateway, NOW_US, Sent, World, is_stored, known, now, stored};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// Asset, source, column, begin of the bucket.
type Key = (String, i16, String, i64);
/// Count, least, greatest, first, last, sum.
type Numbers = (i64, i64, i64, i64, i64, i128);

/// The roll-ups that stored values have to give.
fn expected(values: &[(String, i16, String, i64, i64)], length: i64) -> BTreeMap<Key, Numbers> {
    let mut buckets: BTreeMap<Key, Vec<(i64, i64)>> = BTreeMap::new();
    for (asset, source, column, time, steps) in values {
        let key = (
            asset.clone(),
            *source,
            column.clone(),
            time - time.rem_euclid(length),
        );
        buckets.entry(key).or_default().push((*time, *steps));
    }
    let numbers = |mut samples: Vec<(i64, i64)>| {
        samples.sort_unstable();
        let steps = || samples.iter().map(|(_, steps)| *steps);
        (
            samples.len() as i64,
            steps().min().unwrap(),
            steps().max().unwrap(),
            samples[0].1,
            samples[samples.len() - 1].1,
            steps().map(i128::from).sum(),
        )
    };
    buckets
        .into_iter()
        .map(|(key, samples)| (key, numbers(samples)))
        .collect()
}

/// What a table of roll-ups says of a gateway's assets.
async fn found(world: &World, gateway: &Gateway, resolution: Resolution) -> BTreeMap<Key, Numbers> {
    let sql = format!(
        "SELECT m.local_key, r.source, s.column_name, (extract(epoch FROM r.bucket) * 1000000)::bigint, r.count::bigint,
                r.least, r.greatest, r.first, r.last, r.sum::text
         FROM telemetry.rollup_{} AS r
         JOIN telemetry.signal AS s ON s.id = r.signal_id
         JOIN platform.gateway_asset AS m ON m.asset_id = r.asset_id
         JOIN platform.gateway AS g ON g.id = m.gateway_id
         WHERE g.name = $1",
        resolution.name()
    );
    let rows = world
        .client()
        .await
        .query(&sql, &[&gateway.id.as_str()])
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let sum: i128 = row.get::<_, &str>(9).parse().unwrap();
            (
                (row.get(0), row.get(1), row.get(2), row.get(3)),
                (
                    row.get(4),
                    row.get(5),
                    row.get(6),
                    row.get(7),
                    row.get(8),
                    sum,
                ),
            )
        })
        .collect()
}

async fn check(world: &World, gateway: &Gateway, what: &str) {
    let values = stored(&world.client().await, gateway).await;
    for (resolution, length) in [
        (Resolution::Minute, MINUTE),
        (Resolution::Quarter, 15 * MINUTE),
        (Resolution::Day, DAY),
    ] {
        let expected = expected(&values, length);
        let found = found(world, gateway, resolution).await;
        assert_eq!(found.len(), expected.len(), "{what}: {}", resolution.name());
        for (key, numbers) in &expected {
            assert_eq!(found.get(key), Some(numbers), "{what}: {key:?}");
        }
    }
    let left = "SELECT count(*) FROM telemetry.dirty";
    assert_eq!(world.count(left).await, 0, "{what}");
}

fn signals() -> Vec<shared_protocol::Column> {
    vec![
        known("car-a", Source::Can, "Vehicle.Speed", "0.01"),
        known("car-a", Source::Obd, "Vehicle.Speed", "1"),
        known(
            "car-b",
            Source::Can,
            "Vehicle.CurrentLocation.Latitude",
            "0.0000001",
        ),
        known("meter-1", Source::Modbus, "TotWhImp", "1"),
    ]
}

/// Blocks of a minute, from `from` for so many seconds, with a sample of every column each `every` seconds.
fn blocks(
    gateway: &mut Gateway,
    random: &mut StdRng,
    from: i64,
    seconds: i64,
    every: i64,
) -> Vec<Sent> {
    let mut blocks: Vec<(bool, Sent)> = Vec::new();
    let mut held: Vec<(u32, i64, i64)> = Vec::new();
    let mut samples = Vec::new();
    for second in (0..seconds).step_by(every as usize) {
        for column in 0..4u32 {
            let raw = match column {
                2 => random.random_range(-900_000_000..900_000_000),
                3 => 1_000_000_000_000 + second * 3,
                _ => random.random_range(0..250),
            };
            let time = from + second * SECOND + random.random_range(0..2) * 7;
            if random.random_bool(0.1) {
                continue;
            }
            if random.random_bool(0.3) {
                held.push((column, time, raw));
            } else {
                samples.push((column, time, raw));
            }
        }
        if (second + every) % 60 < every {
            // What was held back comes with a later block.
            let missing = random.random_bool(0.01);
            if !samples.is_empty() && !missing {
                let sent = gateway.samples(Stream::Bulk, &samples);
                blocks.push((random.random_bool(0.05), sent));
            }
            samples = std::mem::take(&mut held);
        }
    }
    let (late, mut in_order): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|(late, _)| *late);
    for block in late {
        let at = random.random_range(0..=in_order.len());
        in_order.insert(at, block);
    }
    in_order.into_iter().map(|(_, sent)| sent).collect()
}

#[test]
fn roll_ups_are_exact_whatever_comes_late() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let begun = Instant::now();
        let mut seed = 1u64;
        loop {
            let mut random = StdRng::seed_from_u64(seed);
            let mut gateway = world.gateway(&format!("depot-{seed}")).await;
            gateway.epoch.nonce = seed;
            gateway.boot = seed;
            gateway.offset = Some(0);
            assert!(is_stored(&world.one(&gateway.define(&signals())).await));
            // Four hours, as they come.
            let live = blocks(
                &mut gateway,
                &mut random,
                NOW_US - 7 * 3600 * SECOND,
                4 * 3600,
                10,
            );
            // Two workers beside the ingestor.
            for (n, some) in live.chunks(20).enumerate() {
                let later = now() + (n as i64).minutes();
                let some: Vec<&Sent> = some.iter().collect();
                let (outcomes, ..) = tokio::join!(
                    world.ingest(&some),
                    async { roll_up(&world.db, later).await.unwrap() },
                    async { roll_up(&world.db, later).await.unwrap() },
                );
                assert!(
                    outcomes.iter().all(|outcome| is_stored(&outcome.result)),
                    "seed {seed}"
                );
            }
            let end = now() + 48.hours();
            roll_up(&world.db, end).await.unwrap();
            check(
                &world,
                &gateway,
                &format!("{}, seed {seed}, live", database.label),
            )
            .await;
            // A day that was missing, and then what comes again.
            let backlog = blocks(&mut gateway, &mut random, NOW_US - 9 * DAY, 86_400, 120);
            for some in backlog.chunks(100) {
                world.ingest(&some.iter().collect::<Vec<_>>()).await;
            }
            world
                .ingest(&live.iter().take(50).collect::<Vec<_>>())
                .await;
            let (a, b) = tokio::join!(roll_up(&world.db, end), roll_up(&world.db, end));
            a.unwrap();
            b.unwrap();
            check(
                &world,
                &gateway,
                &format!("{}, seed {seed}, backlog", database.label),
            )
            .await;
            seed += 1;
            if begun.elapsed() > budget() {
                break;
            }
        }
        eprintln!("{}: {} seeds", database.label, seed - 1);
    });
}

#[test]
fn a_week_of_backlog_is_rolled_up() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        gateway.offset = Some(0);
        world.one(&gateway.define(&signals())).await;
        let mut random = StdRng::seed_from_u64(7);
        let begun = Instant::now();
        let week = blocks(&mut gateway, &mut random, NOW_US - 8 * DAY, 7 * 86_400, 60);
        for some in week.chunks(256) {
            let outcomes = world.ingest(&some.iter().collect::<Vec<_>>()).await;
            assert!(outcomes.iter().all(|outcome| is_stored(&outcome.result)));
        }
        let buckets = roll_up(&world.db, now() + 48.hours()).await.unwrap();
        assert!(buckets > 3 * 7 * 1000);
        check(&world, &gateway, &database.label).await;
        eprintln!(
            "{}: {buckets} buckets in {:?}",
            database.label,
            begun.elapsed()
        );
        // Partitions that came later take their rows out of the default one.
        prepare_storage(&world.db, now()).await.unwrap();
        check(&world, &gateway, &database.label).await;
    });
}

#[test]
fn roll_ups_are_read_in_pages_and_in_units() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        gateway.offset = Some(0);
        world.one(&gateway.define(&signals())).await;
        let from = NOW_US - NOW_US.rem_euclid(DAY);
        // 1 km/h by CAN at 0 s, 3 km/h at 30 s; 5 km/h by OBD; an hour's register.
        let mut samples = vec![];
        for minute in 0..60 {
            let time = from + minute * MINUTE;
            samples.extend([(0, time, 100), (0, time + 30 * SECOND, 300), (1, time, 5)]);
            samples.push((3, time, 1000 + 10 * minute));
        }
        assert!(is_stored(
            &world.one(&gateway.samples(Stream::Bulk, &samples)).await
        ));
        assert_eq!(
            roll_up(&world.db, now() - 3.hours()).await.unwrap(),
            0,
            "none is over yet"
        );
        roll_up(&world.db, now() + 48.hours()).await.unwrap();
        let client = world.client().await;
        let assets = read::assets(&client, None, 10).await.unwrap();
        let id = |key: &str| {
            assets
                .iter()
                .find(|a| a.known_as[0].local_key == key)
                .unwrap()
                .id
        };
        let mut query = RollupQuery {
            asset: id("car-a"),
            signal: "Vehicle.Speed".into(),
            source: None,
            resolution: Resolution::Minute,
            from: Timestamp::UNIX_EPOCH,
            to: now() + 24.hours(),
            limit: 1000,
            cursor: None,
        };
        let whole = read::rollups(&client, &query).await.unwrap();
        assert_eq!((whole.buckets.len(), whole.next.as_deref()), (120, None));
        let can = &whole.buckets[0];
        assert_eq!(
            (
                can.count,
                can.least,
                can.greatest,
                can.first,
                can.last,
                can.mean
            ),
            (2, 1.0, 3.0, 1.0, 3.0, 2.0)
        );
        assert_eq!(
            (can.source.as_str(), whole.buckets[1].source.as_str()),
            ("can", "obd")
        );
        query.limit = 7;
        let mut paged = Vec::new();
        loop {
            let page = read::rollups(&client, &query).await.unwrap();
            paged.extend(page.buckets);
            let Some(next) = page.next else { break };
            query.cursor = Some(next.parse().unwrap());
        }
        assert_eq!(paged, whole.buckets);
        for (resolution, count) in [(Resolution::Quarter, 4), (Resolution::Day, 1)] {
            let query = RollupQuery {
                source: Some(1),
                resolution,
                limit: 100,
                cursor: None,
                ..query.clone()
            };
            let page = read::rollups(&client, &query).await.unwrap();
            assert_eq!(page.buckets.len(), count);
            assert!(page.buckets.iter().all(|bucket| bucket.mean == 2.0));
            assert_eq!(Resolution::from_name(resolution.name()), Some(resolution));
        }
        query.signal = "No.Such".into();
        assert!(
            read::rollups(&client, &query)
                .await
                .unwrap()
                .buckets
                .is_empty()
        );
        // A register's growth: 140 Wh within the first quarter, 150 between the lasts of quarters.
        let sql = "SELECT wh::bigint FROM telemetry.energy_quarter WHERE asset_id = $1 AND signal_id = $2 ORDER BY bucket";
        let signal = i32::from(catalogue().by_name("TotWhImp").unwrap().id.0);
        let rows = client.query(sql, &[&id("meter-1"), &signal]).await.unwrap();
        let energy: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(energy, [140, 150, 150, 150]);
    });
}
