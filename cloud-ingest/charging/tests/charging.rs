//! From what stations and cars have told to the vehicle of a transaction, on each flavour.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use charging::{match_all, vehicles};
use jiff::{SignedDuration, Timestamp};
use platform::{
    Db, OrganizationId, Scope,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use serde_json::{Value, json};

/// Two organisations, a gateway, a station and three cars of the first one.
struct World {
    db: Db,
    now: Timestamp,
    acme: OrganizationId,
    other: OrganizationId,
    gateway: i32,
    station: i32,
    cars: Vec<i32>,
}

impl World {
    async fn on(database: &TestDatabase) -> Self {
        let db = database.connect().await;
        let rooms = [
            platform::room(),
            audit::room(),
            telemetry::room(),
            charging::room(),
        ];
        platform::migrate(&db, &rooms).await.unwrap();
        let now: Timestamp = "2026-09-21T22:00:00Z".parse().unwrap();
        telemetry::prepare_storage(&db, now).await.unwrap();
        let (clock, _) = platform::Clock::by_hand(now);
        let register = platform::Register::new(db.clone(), clock);
        let acme = register.add_organization("acme").await.unwrap();
        let other = register.add_organization("other").await.unwrap();
        let mut world = Self {
            db,
            now,
            acme,
            other,
            gateway: 0,
            station: 0,
            cars: Vec::new(),
        };
        let add =
            "INSERT INTO platform.gateway (organization_id, name) VALUES ($1, 'gw-1') RETURNING id";
        let client = world.db.system().await.unwrap();
        world.gateway = client.query_one(add, &[&acme]).await.unwrap().get(0);
        world.station = world.asset("charger", Some("s-1")).await;
        for _ in 0..3 {
            let car = world.asset("vehicle", None).await;
            world.cars.push(car);
        }
        world
    }

    async fn asset(&self, kind: &str, key: Option<&str>) -> i32 {
        let client = self.db.system().await.unwrap();
        let add = "INSERT INTO platform.asset (organization_id, kind, name) VALUES ($1, $2, 'one') RETURNING id";
        let id = client
            .query_one(add, &[&self.acme, &kind])
            .await
            .unwrap()
            .get(0);
        if let Some(key) = key {
            let add = "INSERT INTO platform.gateway_asset (gateway_id, local_key, organization_id, asset_id) VALUES ($1, $2, $3, $4)";
            client
                .execute(add, &[&self.gateway, &key, &self.acme, &id])
                .await
                .unwrap();
        }
        id
    }

    fn ago(&self, seconds: i64) -> Timestamp {
        self.now - SignedDuration::from_secs(seconds)
    }

    /// A transaction that goes on, begun so many seconds ago at an EVSE of the station.
    async fn transaction(&self, name: &str, ago: i64, evse: i32, token: &str) -> i64 {
        let client = self.db.system().await.unwrap();
        let add = "INSERT INTO telemetry.charging_transaction (gateway_id, station, name, asset_id, evse, token, started_at, energy_mwh, \
                   register_resets, beginning_unknown, incomplete, entry, entries, told_at) \
                   VALUES ($1, 'CP-1', $2, $3, $4, $5, $6, 0, 0, false, false, 0, '{[0,1)}', $6) RETURNING id";
        let started = self.ago(ago);
        client
            .query_one(
                add,
                &[&self.gateway, &name, &self.station, &evse, &token, &started],
            )
            .await
            .unwrap()
            .get(0)
    }

    async fn signal(&self, column: &str) -> (i32, f64) {
        let client = self.db.system().await.unwrap();
        let ask =
            "SELECT id, resolution::double precision FROM telemetry.signal WHERE column_name = $1";
        let row = client.query_one(ask, &[&column]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Means by minute from so many seconds ago until now.
    async fn minutes(&self, asset: i32, column: &str, ago: i64, value: f64) {
        let client = self.db.system().await.unwrap();
        let (signal, resolution) = self.signal(column).await;
        let steps = (value / resolution).round() as i64;
        let add = "INSERT INTO telemetry.rollup_minute (bucket, asset_id, signal_id, source, count, least, greatest, first, last, sum) \
                   SELECT date_trunc('minute', t), $1::int, $2::int, 1, 2, $3::bigint, $3::bigint, $3::bigint, $3::bigint, 2 * $3::bigint \
                   FROM generate_series($4::timestamptz, $5::timestamptz, interval '1 minute') AS t";
        client
            .execute(add, &[&asset, &signal, &steps, &self.ago(ago), &self.now])
            .await
            .unwrap();
    }

    /// A state that changed so many seconds ago.
    async fn changed(&self, asset: i32, column: &str, ago: i64, (before, steps): (i64, i64)) {
        let client = self.db.system().await.unwrap();
        let (signal, _) = self.signal(column).await;
        let add = "INSERT INTO telemetry.state_change (asset_id, signal_id, source, time, before, steps) VALUES ($1, $2, 1, $3, $4, $5)";
        client
            .execute(add, &[&asset, &signal, &self.ago(ago), &before, &steps])
            .await
            .unwrap();
    }

    /// A car that told of a cable so many seconds ago, 20 s after it had told of none, and has told since.
    async fn plugged(&self, car: i32, ago: i64, watts: f64) {
        self.changed(car, "is_cable_connected", ago, (0, 1)).await;
        let client = self.db.system().await.unwrap();
        let add = "INSERT INTO telemetry.sample (time, asset_id, source, is_cable_connected) VALUES ($1, $2, 1, 0)";
        client
            .execute(add, &[&self.ago(ago + 20), &car])
            .await
            .unwrap();
        self.minutes(car, "battery_power", ago, watts).await;
        let mut latest = Vec::new();
        for (column, value) in [("is_cable_connected", 1), ("battery_power", watts as i64)] {
            latest.push((self.signal(column).await.0, value));
        }
        let signals: Vec<i32> = latest.iter().map(|(signal, _)| *signal).collect();
        let steps: Vec<i64> = latest.iter().map(|(_, steps)| *steps).collect();
        let times = vec![self.ago(5); latest.len()];
        let add = "INSERT INTO telemetry.latest (asset_id, source, signals, times, steps) VALUES ($1, 1, $2, $3, $4)";
        client
            .execute(add, &[&car, &signals, &times, &steps])
            .await
            .unwrap();
    }

    /// What is known of transactions.
    async fn known(&self, ids: &[i64]) -> Vec<Value> {
        let scope = Scope::of_system(self.acme, "test");
        let tenant = self.db.tenant(&scope).await.unwrap();
        let mut found = vehicles(&tenant, ids).await.unwrap();
        tenant.commit().await.unwrap();
        ids.iter().map(|id| json!(found.remove(id))).collect()
    }
}

#[test]
fn the_room_is_documented_and_its_statements_fit() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        assert_commented(&world.db, "charging").await;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&world.db, &folder).await > 10);
    });
}

#[test]
fn cars_are_found_by_what_was_measured_and_by_cards() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let [one, two, three] = world.cars[..] else {
            panic!("three cars")
        };
        let second = world.asset("charger", Some("s-1.2")).await;
        // At the first EVSE: nobody's card, and a car that was plugged in then and takes that power.
        let measured = world.transaction("a", 1200, 1, "GUARD").await;
        world
            .changed(world.station, "charger_status", 1220, (0, 1))
            .await;
        world
            .minutes(world.station, "charger_power", 1200, 7000.0)
            .await;
        world.plugged(one, 1210, 6300.0).await;
        // At the second, whose samples are of another asset: another car that came later, and takes less.
        let later = world.transaction("b", 600, 2, "GUARD").await;
        world.changed(second, "charger_status", 620, (0, 1)).await;
        world.minutes(second, "charger_power", 600, 3000.0).await;
        world.plugged(two, 610, 2700.0).await;
        // A card of a car that tells nothing, and one of nobody.
        let card = world.transaction("c", 300, 3, "CARD-3").await;
        let nobody = world.transaction("d", 300, 4, "NEW").await;
        let client = world.db.system().await.unwrap();
        let add = "INSERT INTO charging.sign (organization_id, kind, value, asset_id) VALUES ($1, 'card', 'card-3', $2)";
        client.execute(add, &[&world.acme, &three]).await.unwrap();

        assert_eq!(match_all(&world.db, world.now).await.unwrap(), 4);
        let known = world.known(&[measured, later, card, nobody]).await;
        assert_eq!(
            (&known[0]["asset"], &known[1]["asset"]),
            (&json!(one), &json!(two)),
            "{known:?}"
        );
        for known in &known[..2] {
            let by = known["by"].as_array().unwrap();
            assert!(
                by.contains(&json!("plug_in")) && by.contains(&json!("power")),
                "{known}"
            );
        }
        assert_eq!(
            (&known[2]["asset"], &known[2]["by"]),
            (&json!(three), &json!(["card"]))
        );
        assert_eq!(known[2]["certain"], false, "{}", known[2]);
        assert_eq!(known[3], Value::Null);
        // Again, and nothing new.
        assert_eq!(match_all(&world.db, world.now).await.unwrap(), 0);

        // What somebody has said stays, and the car is not looked for elsewhere.
        let said = "UPDATE charging.vehicle SET asset_id = $2, assigned_by = 'user:1', certain = true, confidence = 1 \
                    WHERE transaction_id = $1";
        client.execute(said, &[&nobody, &three]).await.unwrap();
        match_all(&world.db, world.now).await.unwrap();
        let known = world.known(&[card, nobody]).await;
        assert_eq!(known[0], Value::Null, "it is at the other connector");
        assert_eq!(
            (&known[1]["asset"], &known[1]["assigned_by"]),
            (&json!(three), &json!("user:1"))
        );

        // Another organisation sees none of it.
        let scope = Scope::of_system(world.other, "test");
        let tenant = world.db.tenant(&scope).await.unwrap();
        assert!(
            vehicles(&tenant, &[measured, later, card, nobody])
                .await
                .unwrap()
                .is_empty()
        );
        tenant.commit().await.unwrap();
        // What is forgotten of a transaction is forgotten here, too.
        client
            .execute(
                "DELETE FROM telemetry.charging_transaction WHERE id = $1",
                &[&measured],
            )
            .await
            .unwrap();
        assert_eq!(world.known(&[measured]).await, [Value::Null]);
    });
}
