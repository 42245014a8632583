//! Whatever is delivered in whatever order, how often, to whomever, and whatever breaks meanwhile: the tables are the
//! truth, row for row.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use platform::testing::{budget, on_each_database};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use shared_protocol::{Body, Stream, block::DropReason};
use telemetry::{Ingestor, Outcome, OutcomeKind, Reason, acks, read};
use tokio_postgres::NoTls;

use crate::world::{
    FLOAT_COLUMN, Gateway, Sent, Value, World, columns, latest_of, now, stored, stored_latest,
    truth,
};

/// What a block has to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Stored,
    Quarantined(Reason),
}

/// A gateway's blocks with what they have to become.
struct Scenario {
    gateway: Gateway,
    blocks: Vec<(Sent, Expected)>,
    records: i64,
    dropped: i64,
    thinned: i64,
}

fn some_samples(random: &mut StdRng) -> Vec<(u32, i64, i64)> {
    let mut samples = Vec::new();
    for _ in 0..random.random_range(1..60) {
        let column = random.random_range(0..columns().len() as u32);
        let raw = match column {
            FLOAT_COLUMN => random.random_range(-1e6..1e6f64).to_bits().cast_signed(),
            4 | 5 => random.random_range(i64::MIN..i64::MAX),
            _ => random.random_range(0..250),
        };
        samples.push((column, random.random_range(0..50) * 100_000, raw));
    }
    samples
}

impl Scenario {
    async fn new(world: &World, name: &str, random: &mut StdRng) -> Self {
        let mut gateway = world.gateway(name).await;
        gateway.epoch.nonce = random.random();
        gateway.boot = random.random();
        let all = columns();
        let cut = random.random_range(1..all.len());
        let mut blocks = vec![
            (gateway.define(&all[..cut]), Expected::Stored),
            (gateway.define(&all[cut..]), Expected::Stored),
        ];
        let (mut records, mut dropped, mut all_thinned) = (0, 0, 0);
        let offset = gateway.offset;
        for _ in 0..random.random_range(5..40) {
            let stream = [
                Stream::Critical,
                Stream::Live,
                Stream::Bulk,
                Stream::Transactions,
            ][random.random_range(0..4)];
            // Some blocks do not know the time; others of the same boot do.
            gateway.offset = if random.random_bool(0.2) {
                None
            } else {
                offset
            };
            let block = match random.random_range(0..10) {
                0 => {
                    records += 1;
                    let sent = gateway.record("command.answer", "{\"ok\": true}");
                    (sent, Expected::Stored)
                }
                1 => {
                    let number = gateway.number(stream);
                    dropped += 9;
                    let sent = gateway.seal_as(number, Body::Gap(DropReason::Quota), 9, 0);
                    (sent, Expected::Stored)
                }
                // The catalogue's range says that it cannot be true.
                2 => {
                    let sent = gateway.samples(stream, &[(0, 0, 5), (3, 0, 1_000_000)]);
                    (sent, Expected::Quarantined(Reason::Impossible))
                }
                // Valid JSON that a jsonb does not take: found by bisection.
                3 => {
                    let sent = gateway.record("odd", "{\"text\": \"\\ud800\"}");
                    (sent, Expected::Quarantined(Reason::DatabaseRefused))
                }
                _ => {
                    let body = shared_protocol::SampleBody::from_samples(some_samples(random));
                    let (number, samples) = (gateway.number(stream), body.len() as u32);
                    let thinned = random.random_range(0..3);
                    all_thinned += i64::from(thinned);
                    let body = Body::Samples(body);
                    (
                        gateway.seal_as(number, body, samples, thinned),
                        Expected::Stored,
                    )
                }
            };
            blocks.push(block);
        }
        // The boot learns the time at last.
        gateway.offset = offset;
        let last = gateway.samples(Stream::Live, &some_samples(random));
        blocks.push((last, Expected::Stored));
        Self {
            gateway,
            blocks,
            records,
            dropped,
            thinned: all_thinned,
        }
    }

    async fn check(&self, world: &World, seed: u64) {
        let client = world.client().await;
        let mut expected: Vec<Value> = self
            .blocks
            .iter()
            .filter(|(_, expected)| *expected == Expected::Stored)
            .flat_map(|(sent, _)| truth(&self.gateway, sent))
            .collect();
        expected.sort();
        let found = stored(&client, &self.gateway).await;
        assert_eq!(found.len(), expected.len(), "values of seed {seed}");
        assert_eq!(found, expected, "values of seed {seed}");

        let not_float = |value: &Value| value.2 != "M.Float";
        let expected: Vec<_> = latest_of(&found).into_iter().filter(not_float).collect();
        let found = stored_latest(&client, &self.gateway).await;
        assert_eq!(found, expected, "latest values of seed {seed}");

        let name = self.gateway.id.as_str();
        let records: i64 = client
            .query_one(
                "SELECT count(*) FROM telemetry.record AS r JOIN platform.gateway AS g ON g.id = r.gateway_id WHERE g.name = $1",
                &[&name],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(records, self.records, "records of seed {seed}");

        let ledger = read::ledger(&client, Some(&[self.gateway.id.as_str()]))
            .await
            .unwrap();
        let sum = |of: fn(&read::LedgerRow) -> i64| ledger.iter().map(of).sum::<i64>();
        let samples = |wanted: fn(&Expected) -> bool| -> i64 {
            let blocks = self.blocks.iter();
            blocks
                .filter(|(sent, expected)| {
                    wanted(expected) && !matches!(sent.block.body, Body::Gap(_))
                })
                .map(|(sent, _)| i64::from(sent.block.header.samples))
                .sum()
        };
        assert_eq!(
            sum(|row| row.blocks),
            self.blocks.len() as i64,
            "seed {seed}"
        );
        assert_eq!(
            sum(|row| row.samples),
            samples(|e| *e == Expected::Stored),
            "seed {seed}"
        );
        assert_eq!(
            sum(|row| row.quarantined),
            samples(|e| *e != Expected::Stored),
            "seed {seed}"
        );
        assert_eq!(sum(|row| row.dropped), self.dropped, "seed {seed}");
        assert_eq!(sum(|row| row.thinned), self.thinned, "seed {seed}");
        assert_eq!(sum(|row| row.unplaced), 0, "seed {seed}");
        for row in &ledger {
            let closed: u64 = row
                .done
                .iter()
                .map(|range| range.last - range.first + 1)
                .sum();
            assert_eq!(row.blocks, closed as i64, "seed {seed}: {row:?}");
            assert_eq!(row.done.len(), 1, "seed {seed}: {row:?}");
        }
        let unplaced: i64 = client
            .query_one(
                "SELECT count(*) FROM telemetry.unplaced AS u JOIN platform.gateway AS g ON g.id = u.gateway_id WHERE g.name = $1",
                &[&name],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(unplaced, 0, "seed {seed}");
    }
}

/// What a gateway does with an answer: frees, keeps, or sends again.
fn judge(outcome: &Outcome, sent: &Sent, expected: Expected, seed: u64) -> bool {
    match (&outcome.result, expected) {
        (OutcomeKind::Stored { .. }, Expected::Stored) => true,
        // Kept unexpanded: the database sees what is in it only when the boot has learnt the time.
        (OutcomeKind::Stored { .. }, Expected::Quarantined(Reason::DatabaseRefused))
            if sent.block.header.wall_offset_us.is_none() =>
        {
            true
        }
        (OutcomeKind::Quarantined { reason, .. }, Expected::Quarantined(wanted)) => {
            assert_eq!(*reason, wanted, "seed {seed}");
            true
        }
        (OutcomeKind::NotStored { .. } | OutcomeKind::ColumnsNeeded(_), _) => false,
        (other, _) => panic!("seed {seed}: {other:?} instead of {expected:?}"),
    }
}

/// Delivers until everything is settled: in any order, some of it several times, in batches of any size.
async fn deliver(
    ingestor: Ingestor,
    mut blocks: Vec<(Sent, Expected)>,
    mut random: StdRng,
    seed: u64,
) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut said = Vec::new();
    while !blocks.is_empty() {
        assert!(
            Instant::now() < deadline,
            "seed {seed}: never settled: {said:?}"
        );
        blocks.shuffle(&mut random);
        let size = random.random_range(1..=blocks.len()).min(64);
        let batch: Vec<_> = blocks.drain(..size).collect();
        let deliveries = batch.iter().map(|(sent, _)| sent.delivery()).collect();
        let outcomes = ingestor.ingest(deliveries).await;
        assert_eq!(outcomes.len(), batch.len());
        acks(&outcomes, now());
        said.clear();
        for (outcome, (sent, expected)) in outcomes.iter().zip(batch) {
            assert_eq!(outcome.digest, sent.digest);
            if !judge(outcome, &sent, expected, seed) {
                blocks.push((sent, expected));
                said.push(outcome.result.clone());
            }
        }
        if !said.is_empty() {
            // Whoever sends again waits: its columns may be with another ingestor.
            tokio::time::sleep(Duration::from_millis(random.random_range(1..20))).await;
        }
    }
}

/// Ends random connections of the ingestors until told to stop; returns how many.
async fn kill(url: String, stop: Arc<AtomicBool>, mut random: StdRng) -> u64 {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut killed = 0;
    // Ever more rarely, so that slow machines come to an end too.
    let mut longest = 0.03f64;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.001..longest))).await;
        longest *= 1.1;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM (
            SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'patio' AND state <> 'idle'
            ORDER BY random() LIMIT 1) AS victim";
        killed += client
            .query_one(sql, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            .unsigned_abs();
    }
    drop(client);
    let _ = connection.await;
    killed
}

/// Connections that have to be ended in the middle of something on each flavour; and when all are wanted (`PATIO_DEEP`).
const KILLS: u64 = 50;
const ALL_KILLS: u64 = 1000;

#[test]
fn exactly_once_whatever_breaks() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let start = Instant::now();
        let (mut seed, mut blocks, mut deliveries, mut killed) = (0u64, 0, 0, 0);
        let deep = std::env::var_os("PATIO_DEEP").is_some();
        let wanted = if deep { ALL_KILLS } else { KILLS };
        while seed == 0 || start.elapsed() < budget() || killed < wanted {
            let mut random = StdRng::seed_from_u64(seed);
            let mut scenarios = Vec::new();
            for n in 0..random.random_range(1..3) {
                scenarios.push(Scenario::new(&world, &format!("gw-{seed}-{n}"), &mut random).await);
            }
            let stop = Arc::new(AtomicBool::new(false));
            let killer = random.random_bool(0.7).then(|| {
                let random = StdRng::seed_from_u64(seed);
                tokio::spawn(kill(database.url.clone(), Arc::clone(&stop), random))
            });
            let workers: Vec<_> = (0..random.random_range(1..4u64))
                .map(|n| {
                    let ingestor = if n == 0 {
                        world.ingestor.clone()
                    } else {
                        world.another()
                    };
                    let mut mine = Vec::new();
                    for block in scenarios.iter().flat_map(|scenario| &scenario.blocks) {
                        // The first worker gets everything; the others some of it, some of that twice.
                        for _ in 0..if n == 0 { 1 } else { random.random_range(0..3) } {
                            mine.push(block.clone());
                        }
                    }
                    deliveries += mine.len();
                    let random = StdRng::seed_from_u64(seed * 100 + n);
                    tokio::spawn(deliver(ingestor, mine, random, seed))
                })
                .collect();
            for worker in workers {
                worker.await.unwrap();
            }
            stop.store(true, Ordering::Relaxed);
            if let Some(killer) = killer {
                killed += killer.await.unwrap();
            }
            world.ingestor.place().await.unwrap();
            for scenario in &scenarios {
                scenario.check(&world, seed).await;
                blocks += scenario.blocks.len();
            }
            seed += 1;
        }
        eprintln!(
            "{}: {seed} seeds, {blocks} blocks, {deliveries} deliveries, {killed} connections ended",
            database.label
        );
    });
}
