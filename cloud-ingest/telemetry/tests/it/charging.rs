//! Charging transactions are what their steps tell, in whatever order and however often these come.

use jiff::{Timestamp, ToSpan as _};
use platform::{Scope, testing::on_each_database};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};
use shared_protocol::{Body, Record, Stream};
use telemetry::charging::{ChargingTransaction, Wanted, transactions};

use crate::world::{Gateway, Sent, World, is_stored, now};

fn start() -> Timestamp {
    "2026-09-20T20:00:00Z".parse().unwrap()
}

/// What a gateway tells of a transaction: its steps, by number.
fn steps(station: &str, name: &str, count: i64, base: i64) -> Vec<(String, Value)> {
    let step = |entry: i64| {
        let (kind, more) = match entry {
            0 => ("started", json!({"authorization": "Accepted"})),
            _ if entry + 1 == count => ("ended", json!({"reason": "EVDisconnected"})),
            _ => ("updated", json!({})),
        };
        let mut payload = json!({
            "station": station, "transaction": name, "entry": entry, "evse": 1, "token": "TAG-7", "started": start(),
            "time": start() + (entry * 60).seconds(), "register_mwh": base + entry * 1_234_567, "energy_mwh": entry * 1_234_567,
            "register_resets": 0, "received": null,
        });
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        (format!("transaction.{kind}"), payload)
    };
    (0..count).map(step).collect()
}

fn block(gateway: &mut Gateway, steps: &[(String, Value)]) -> Sent {
    let record = |(kind, payload): &(String, Value)| Record {
        time_us: 77,
        asset: Some("charger-1".parse().unwrap()),
        kind: kind.clone(),
        payload: payload.to_string(),
    };
    let records = steps.iter().map(record).collect();
    gateway.seal(Stream::Transactions, Body::Records(records))
}

/// What the organisation reads that has everything here.
async fn read(world: &World, wanted: &Wanted) -> Vec<ChargingTransaction> {
    let organization = world
        .count("SELECT id::bigint FROM platform.organization LIMIT 1")
        .await;
    let organization = platform::OrganizationId(i32::try_from(organization).unwrap());
    let tenant = world
        .db
        .tenant(&Scope::of_system(organization, "test"))
        .await
        .unwrap();
    let found = transactions(&tenant, wanted, 1000).await.unwrap();
    tenant.commit().await.unwrap();
    found
}

#[test]
fn steps_in_any_order_and_twice_make_one_transaction() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        for seed in 0..12u64 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut all = Vec::new();
            let counts: Vec<i64> = (0..4).map(|_| random.random_range(2..40)).collect();
            for (at, &count) in counts.iter().enumerate() {
                all.extend(steps(
                    &format!("CS-{at}"),
                    &format!("{seed}"),
                    count,
                    5_000_000,
                ));
            }
            // The gateway was restarted between its two databases: some go out again.
            let again: Vec<_> = (0..10)
                .map(|_| all[random.random_range(0..all.len())].clone())
                .collect();
            all.extend(again);
            all.shuffle(&mut random);
            let mut blocks: Vec<Sent> = Vec::new();
            let mut rest = all.as_slice();
            while !rest.is_empty() {
                let (some, more) = rest.split_at(random.random_range(1..=rest.len().min(9)));
                blocks.push(block(&mut gateway, some));
                rest = more;
            }
            blocks.shuffle(&mut random);
            let (one, two) = blocks.split_at(blocks.len() / 2);
            let other = world.another();
            let one: Vec<&Sent> = one.iter().collect();
            let (first, second) = tokio::join!(
                world.ingest(&one),
                other.ingest(two.iter().map(Sent::delivery).collect())
            );
            assert!(
                first
                    .iter()
                    .chain(&second)
                    .all(|done| is_stored(&done.result)),
                "seed {seed}"
            );
            let found = read(&world, &Wanted::default()).await;
            let name = seed.to_string();
            let of = |station: &str| {
                let mut of = found
                    .iter()
                    .filter(|one| one.transaction == name && one.station == station);
                (of.next().unwrap().clone(), of.count())
            };
            for (at, &count) in counts.iter().enumerate() {
                let (one, others) = of(&format!("CS-{at}"));
                assert_eq!(others, 0, "seed {seed}");
                let energy = (count - 1) as f64 * 1234.567;
                assert!(
                    (one.energy_wh - energy).abs() < 1e-9,
                    "seed {seed}: {one:?}"
                );
                assert!(
                    (one.register_wh.unwrap() - energy - 5000.0).abs() < 1e-9,
                    "seed {seed}: {one:?}"
                );
                assert_eq!(one.started_at, Some(start()));
                assert_eq!(one.ended_at, Some(start() + ((count - 1) * 60).seconds()));
                assert_eq!(
                    (
                        one.reason.as_deref(),
                        one.token.as_deref(),
                        one.evse,
                        one.whole
                    ),
                    (Some("EVDisconnected"), Some("TAG-7"), Some(1), true),
                    "seed {seed}"
                );
            }
        }
        assert_eq!(
            world
                .count("SELECT count(*) FROM telemetry.charging_transaction")
                .await,
            48
        );
    });
}

#[test]
fn what_is_missing_is_seen_and_what_is_no_step_stays_a_record() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let mut all = steps("CS-1", "a", 5, 0);
        let late = all.remove(2);
        let bad = |payload: Value| ("transaction.ended".to_owned(), payload);
        let mut strange = steps("CS-1", "b", 2, 0);
        // Nobody's clock is right for ever, and a card may have any number.
        strange[0].1["started"] = json!("0001-01-01T00:00:00Z");
        strange[1].1["started"] = json!("0001-01-01T00:00:00Z");
        strange[1].1["time"] = json!("9999-01-01T00:00:00Z");
        strange[1].1["token"] = json!("TAG\u{0}7");
        let unknown = json!({
            "station": "CS-1", "transaction": "unknown.7.1", "entry": 0, "energy_mwh": 0, "register_mwh": 9000, "register_resets": 0,
            "beginning_unknown": true, "time": start(), "reason": "Local",
        });
        all.extend(strange);
        all.extend([
            bad(json!({"station": "CS-1"})),
            bad(json!([1, 2])),
            bad(json!({"station": "x".repeat(300), "transaction": "c", "entry": 0, "energy_mwh": 0, "register_resets": 0})),
            bad(json!({"station": "CS-1", "transaction": "c", "entry": -1, "energy_mwh": 0, "register_resets": 0})),
            bad(unknown),
        ]);
        assert!(is_stored(&world.one(&block(&mut gateway, &all)).await));
        let count = all.len() as i64;
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.record").await,
            count
        );
        let clean =
            "SELECT count(*) FROM telemetry.record WHERE payload->>'token' = E'TAG\\uFFFD7'";
        assert_eq!(world.count(clean).await, 1);

        let found = read(&world, &Wanted::default()).await;
        let of = |name: &str| found.iter().find(|one| one.transaction == name).unwrap();
        assert_eq!(found.len(), 3);
        assert!(
            !of("a").whole && of("a").ended_at.is_some(),
            "a step is missing"
        );
        assert!(!of("unknown.7.1").whole && of("unknown.7.1").started_at.is_none());
        let received = now() - 1.hour() + 77.microseconds();
        let b = of("b");
        assert_eq!(
            (b.started_at, b.ended_at, b.token.as_deref()),
            (None, Some(received), Some("TAG\u{fffd}7"))
        );
        // It comes after all.
        world.one(&block(&mut gateway, &[late])).await;
        let found = read(&world, &Wanted::default()).await;
        assert!(found.iter().any(|one| one.transaction == "a" && one.whole));

        // One that goes on, and which of all are asked for.
        let going = steps("CS-2", "d", 4, 0);
        world.one(&block(&mut gateway, &going[..3])).await;
        let names = async |wanted: Wanted| -> Vec<String> {
            let found = read(&world, &wanted).await;
            found.into_iter().map(|one| one.transaction).collect()
        };
        let open = Wanted {
            open: Some(true),
            ..Wanted::default()
        };
        assert_eq!(names(open).await, ["d"]);
        let ended = Wanted {
            open: Some(false),
            ..Wanted::default()
        };
        assert_eq!(names(ended).await.len(), 3);
        let late = Wanted {
            from: Some(start() + 1.second()),
            ..Wanted::default()
        };
        // `b` and its clock: it began when it was told.
        assert_eq!(names(late).await, ["b"]);
        let early = Wanted {
            to: Some(start()),
            ..Wanted::default()
        };
        assert_eq!(names(early).await, Vec::<String>::new());
        let none = Wanted {
            asset: Some(i32::MAX),
            ..Wanted::default()
        };
        assert_eq!(names(none).await, Vec::<String>::new());
    });
}
