//! The register, the sink and the commands on each flavour: who is known, what is stored once, what is told once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod commands;
mod register;
mod sink;

use std::{path::Path, sync::Arc, time::Duration};

use devices::{Device, Digest, Kind, Record, Register, Sink, signal};
use jiff::{SignedDuration, Timestamp};
use platform::{
    Clock, Db, Hand, OrganizationId,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use shared_protocol::{Decimal, SignalDef};

const CHARGE: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed";
const IMEI: &str = "356307042441013";
const VALID: Duration = Duration::from_secs(600);

/// Two organisations on a migrated database, and a clock that stands still.
struct World {
    db: Db,
    clock: Clock,
    hand: Hand,
    register: Register,
    sink: Sink,
    acme: OrganizationId,
    other: OrganizationId,
}

impl World {
    async fn on(database: &TestDatabase) -> Self {
        let db = database.connect().await;
        let rooms = [platform::room(), telemetry::room(), devices::room()];
        platform::migrate(&db, &rooms).await.unwrap();
        let now = "2026-09-21T14:13:20Z".parse().unwrap();
        telemetry::prepare_storage(&db, now).await.unwrap();
        let (clock, hand) = Clock::by_hand(now);
        let organizations = platform::Register::new(db.clone(), clock.clone());
        Self {
            acme: organizations.add_organization("acme").await.unwrap(),
            other: organizations.add_organization("other").await.unwrap(),
            register: Register::new(db.clone(), clock.clone()),
            sink: Sink::new(db.clone(), clock.clone()),
            db,
            clock,
            hand,
        }
    }

    async fn tracker(&self, key: &str) -> Arc<Device> {
        let added = self.register.add("acme", Kind::Teltonika, key, None).await;
        Arc::new(added.unwrap())
    }

    async fn count(&self, sql: &str) -> i64 {
        let client = self.db.system().await.unwrap();
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// So many seconds before now.
    fn ago(&self, seconds: i64) -> Timestamp {
        self.clock.now() - SignedDuration::from_secs(seconds)
    }
}

fn charge() -> Arc<SignalDef> {
    let scale: Decimal = "1".parse().unwrap();
    Arc::new(signal(CHARGE, "percent", scale, Decimal::ZERO).unwrap())
}

/// A record with a state of charge.
fn record(device: &Arc<Device>, time: Timestamp, percent: i64) -> Record {
    let payload = format!("{time} {percent}").into_bytes();
    Record {
        device: Arc::clone(device),
        time,
        digest: Digest::of(&payload),
        values: vec![("charge".to_owned(), charge(), percent)],
        unread: Vec::new(),
        payload,
    }
}

#[test]
fn the_room_is_documented_and_its_statements_fit() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        assert_commented(&world.db, "devices").await;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&world.db, &folder).await > 10);
    });
}

#[test]
fn a_signal_of_the_catalogue_keeps_its_unit() {
    let named = signal("Maker.Thing", "V", Decimal::ONE, Decimal::ZERO).unwrap();
    let is_named =
        matches!(named.signal, shared_protocol::SignalRef::Named { ref unit, .. } if unit == "V");
    assert!(is_named, "{named:?}");
    let wrong = signal(CHARGE, "V", Decimal::ONE, Decimal::ZERO).unwrap_err();
    assert_eq!(wrong, format!("{CHARGE} is given in percent, not in V"));
}
