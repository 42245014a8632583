//! State changes are what a look at all samples gives, in whatever order they came; and which source counts.

use std::time::Instant;

use platform::testing::{budget, on_each_database};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use shared_protocol::{Source, Stream};

use crate::world::{Sent, World, is_stored, known};

const SECOND: i64 = 1_000_000;

/// By SQL over all samples.
const TRUTH: &str = "SELECT asset_id, source, signal_id, time, before, steps FROM (
        SELECT s.*, lag(steps) OVER (PARTITION BY asset_id, source, signal_id ORDER BY time, steps) AS before
        FROM telemetry.sample_step AS s
        WHERE signal_id IN (SELECT id FROM telemetry.signal JOIN telemetry.state_signal USING (column_name))) AS s
    WHERE before IS DISTINCT FROM steps";
const KEPT: &str =
    "SELECT asset_id, source, signal_id, time, before, steps FROM telemetry.state_change";

#[test]
fn changes_are_exact_in_any_order() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let begun = Instant::now();
        let mut seed = 1u64;
        loop {
            let mut random = StdRng::seed_from_u64(seed);
            let mut gateway = world.gateway(&format!("depot-{seed}")).await;
            gateway.epoch.nonce = seed;
            gateway.boot = seed;
            let name = "Vehicle.Powertrain.TractionBattery.Charging";
            let columns = ["car-a", "car-b"].map(|car| {
                [
                    known(car, Source::Can, &format!("{name}.IsCharging"), "1"),
                    known(
                        car,
                        Source::Can,
                        &format!("{name}.IsChargingCableConnected"),
                        "1",
                    ),
                    known(car, Source::Teltonika, &format!("{name}.IsCharging"), "1"),
                    known(car, Source::Can, "Vehicle.Speed", "0.01"),
                ]
            });
            world.one(&gateway.define(&columns.concat())).await;
            let mut blocks = Vec::new();
            // Every other time states that hardly ever change.
            let change = seed.is_multiple_of(2).then(|| random.random_range(0..400));
            for block in 0..40 {
                let samples: Vec<_> = (0..random.random_range(1..12))
                    .map(|_| {
                        let second = block * 10 + random.random_range(0..14);
                        let glitch = change.is_none() || random.random_bool(0.02);
                        let steps = match change {
                            Some(change) if !glitch => i64::from(second > change),
                            _ => random.random_range(0..2),
                        };
                        (random.random_range(0..8), second * SECOND, steps)
                    })
                    .collect();
                blocks.push(gateway.samples(Stream::Live, &samples));
            }
            // Half of it in order.
            blocks[20..].shuffle(&mut random);
            let other = world.another();
            let (left, right) = blocks.split_at(30);
            for some in left.chunks(random.random_range(1..7)) {
                let outcomes = world.ingest(&some.iter().collect::<Vec<_>>()).await;
                assert!(
                    outcomes.iter().all(|outcome| is_stored(&outcome.result)),
                    "seed {seed}"
                );
            }
            // Two ingestors at once, and some of it again.
            let halves = right.split_at(5);
            let (one, two) = tokio::join!(
                world
                    .ingestor
                    .ingest(halves.0.iter().map(Sent::delivery).collect()),
                other.ingest(
                    halves
                        .1
                        .iter()
                        .chain(left.first())
                        .map(Sent::delivery)
                        .collect()
                ),
            );
            assert!(
                one.iter()
                    .chain(&two)
                    .all(|outcome| is_stored(&outcome.result)),
                "seed {seed}"
            );
            for (a, b) in [(TRUTH, KEPT), (KEPT, TRUTH)] {
                let differing = format!("SELECT count(*) FROM ({a} EXCEPT ALL {b}) AS d");
                assert_eq!(
                    world.count(&differing).await,
                    0,
                    "{}, seed {seed}: {a}",
                    database.label
                );
            }
            seed += 1;
            if begun.elapsed() > budget() {
                break;
            }
        }
        eprintln!("{}: {} seeds", database.label, seed - 1);
        assert!(
            world
                .count("SELECT count(*) FROM telemetry.event WHERE event = 'charging' AND active")
                .await
                > 0
        );
    });
}

#[test]
fn the_source_that_counts_is_the_best_of_the_fresh_ones() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let columns = [Source::Geotab, Source::Can, Source::Teltonika]
            .map(|source| known("car-a", source, "Vehicle.Speed", "0.01"));
        world.one(&gateway.define(&columns)).await;
        for (column, seconds, counts) in [
            (0, 0, Source::Geotab),
            (2, 1, Source::Teltonika),
            (1, 2, Source::Can),
            (0, 500, Source::Can),
            (2, 603, Source::Teltonika),
            (0, 604, Source::Teltonika),
            (1, 700, Source::Can),
        ] {
            let block = gateway.samples(Stream::Live, &[(column, seconds * SECOND, 100)]);
            assert!(is_stored(&world.one(&block).await));
            let source = world
                .count("SELECT source::bigint FROM telemetry.latest_value WHERE preferred")
                .await;
            assert_eq!(source, i64::from(counts.number()), "at {seconds} s");
        }
        assert_eq!(
            world
                .count("SELECT count(*) FROM telemetry.latest_value")
                .await,
            3,
            "all are visible"
        );
    });
}
