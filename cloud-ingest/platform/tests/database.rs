//! The floor on real databases of every flavour.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::HashSet, path::Path, time::Duration};

use jiff::Timestamp;
use platform::{
    Clock, Db, DbError, MigrateError, Register, RegisterError, Room, migrate,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use shared_protocol::{AssetKey, GatewayId, SigningKey};

async fn migrated(database: &TestDatabase) -> Db {
    let db = database.connect().await;
    migrate(&db, &[platform::room()]).await.unwrap();
    db
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

#[test]
fn migrating_finds_the_flavour_and_twice_is_nothing() {
    on_each_database(|database| async move {
        let db = database.connect().await;
        let all = (0..4).map(|_| {
            let db = db.clone();
            tokio::spawn(async move { migrate(&db, &[platform::room()]).await })
        });
        for one in all.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap().unwrap().flavour, database.flavour());
        }
        let dump = || async {
            let client = db.owner().await.unwrap();
            let columns = "SELECT string_agg(c::text, ';' ORDER BY c::text) FROM information_schema.columns AS c WHERE table_schema = 'platform'";
            let history =
                "SELECT string_agg(m::text, ';' ORDER BY m::text) FROM platform.migration AS m";
            let columns: String = client.query_one(columns, &[]).await.unwrap().get(0);
            let history: String = client.query_one(history, &[]).await.unwrap().get(0);
            (columns, history)
        };
        let before = dump().await;
        migrate(&db, &[platform::room()]).await.unwrap();
        assert_eq!(dump().await, before);
    });
}

#[test]
fn everything_is_commented_and_every_query_is_sound() {
    on_each_database(|database| async move {
        let db = migrated(&database).await;
        assert_commented(&db, "platform").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&db, &queries).await > 10);
    });
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    on_each_database(|database| async move {
        let db = migrated(&database).await;
        let client = db.owner().await.unwrap();
        client
            .batch_execute(
                "INSERT INTO platform.migration VALUES (99, 'later', '2026-01-01T00:00:00Z', '1')",
            )
            .await
            .unwrap();
        let error = migrate(&db, &[platform::room()]).await.unwrap_err();
        assert!(matches!(error, MigrateError::Newer { .. }), "{error}");
        client
            .batch_execute("DELETE FROM platform.migration WHERE version = 99; UPDATE platform.migration SET checksum = '1'")
            .await
            .unwrap();
        let error = migrate(&db, &[platform::room()]).await.unwrap_err();
        assert!(matches!(error, MigrateError::Edited { .. }), "{error}");
    });
}

#[test]
fn a_migration_that_fails_says_why_and_changes_nothing() {
    fn runner() -> refinery::Runner {
        let sql = "CREATE TABLE broken.a (b int); SELECT 1 / 0";
        refinery::Runner::new(&[refinery::Migration::unapplied("V1__bad", sql).unwrap()])
    }
    on_each_database(|database| async move {
        let db = database.connect().await;
        let broken = Room {
            schema: "broken",
            runner,
        };
        let error = migrate(&db, &[broken]).await.unwrap_err().to_string();
        assert!(
            error.contains("broken") && error.contains("division by zero"),
            "{error}"
        );
        let client = db.owner().await.unwrap();
        let row = client
            .query_one("SELECT to_regclass('broken.a') IS NULL", &[])
            .await
            .unwrap();
        assert!(row.get::<_, bool>(0));
    });
}

#[test]
fn what_cannot_be_connected_says_why() {
    on_each_database(|database| async move {
        let missing = format!("{}_not", database.url.split('?').next().unwrap());
        let error = Db::connect(&missing, 1).await.unwrap_err();
        assert!(matches!(error, DbError::NoDatabase { .. }), "{error}");
        let error = Db::connect("postgres://u@127.0.0.1:1/x", 1)
            .await
            .unwrap_err();
        assert!(matches!(error, DbError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");

        let db = migrated(&database).await;
        db.health(Duration::from_secs(5)).await.unwrap();
        assert_eq!(
            db.generation(),
            1,
            "one connection was made, and used again"
        );
    });
}

#[test]
fn all_connections_in_use_is_an_error_in_time() {
    on_each_database(|database| async move {
        let db = Db::connect(&database.url, 1).await.unwrap();
        migrate(&db, &[platform::room()]).await.unwrap();
        let _held = db.system().await.unwrap();
        let error = db.health(Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, DbError::Late(_)), "{error}");
    });
}

#[test]
fn gateways_are_registered_once_and_revoked() {
    on_each_database(|database| async move {
        let db = migrated(&database).await;
        let (clock, hand) = Clock::by_hand(Timestamp::UNIX_EPOCH);
        let register = Register::new(db.clone(), clock.clone());
        let elsewhere = Register::new(db, clock);
        let name: GatewayId = "depot-1".parse().unwrap();
        let (one, two) = (key(1).verifying_key(), key(2).verifying_key());

        assert!(register.keys(&name).await.unwrap().is_none());
        let id = register.add_gateway("acme", &name, &one).await.unwrap();
        assert_eq!(register.add_gateway("acme", &name, &one).await.unwrap(), id);
        for (organization, key) in [("acme", &two), ("other", &one)] {
            let error = register
                .add_gateway(organization, &name, key)
                .await
                .unwrap_err();
            assert!(matches!(error, RegisterError::Taken(_)), "{error}");
        }
        register.add_key(&name, &two, 7).await.unwrap();
        let known = elsewhere.keys(&name).await.unwrap().unwrap();
        assert_eq!((known.id, known.keys.len(), known.revoked), (id, 2, false));
        assert_eq!((known.keys[0].public, known.keys[0].from_counter), (two, 7));

        // Another process sees a revocation within the age of its cache.
        register.revoke_key(&name, &one).await.unwrap();
        assert!(!elsewhere.keys(&name).await.unwrap().unwrap().keys[1].revoked);
        hand.advance(Duration::from_secs(2));
        assert!(!elsewhere.keys(&name).await.unwrap().unwrap().keys[1].revoked);
        assert!(elsewhere.keys_again(&name).await.unwrap().unwrap().keys[1].revoked);
        register.revoke_gateway(&name).await.unwrap();
        hand.advance(platform::register::FRESH);
        assert!(elsewhere.keys(&name).await.unwrap().unwrap().revoked);

        let listed = register.gateways().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].name.as_str(), listed[0].keys), ("depot-1", 1));
        assert!(listed[0].revoked_at.is_some());
        let nobody: GatewayId = "nobody".parse().unwrap();
        assert!(matches!(
            register.revoke_gateway(&nobody).await,
            Err(RegisterError::NoGateway(_))
        ));
        assert!(matches!(
            register.revoke_key(&nobody, &one).await,
            Err(RegisterError::NoKey { .. })
        ));
        assert!(matches!(
            register.add_key(&nobody, &one, 0).await,
            Err(RegisterError::NoGateway(_))
        ));
    });
}

#[test]
fn assets_are_created_once_however_many_ask() {
    on_each_database(|database| async move {
        let db = migrated(&database).await;
        let register = Register::new(db.clone(), Clock::system());
        let name: GatewayId = "depot-1".parse().unwrap();
        let id = register
            .add_gateway("acme", &name, &key(1).verifying_key())
            .await
            .unwrap();
        let tasks: Vec<_> = (0..8usize)
            .map(|shift| {
                let (register, db, name) = (register.clone(), db.clone(), name.clone());
                tokio::spawn(async move {
                    let keys: Vec<AssetKey> = (0..20)
                        .map(|n| format!("car-{}", (n + shift * 3) % 30).parse().unwrap())
                        .collect();
                    let mut client = db.system().await.unwrap();
                    let found = register
                        .map_assets(&mut client, &name, id, &keys)
                        .await
                        .unwrap();
                    assert_eq!(found.len(), 20);
                    found
                })
            })
            .collect();
        let mut pairs = HashSet::new();
        for task in tasks {
            pairs.extend(task.await.unwrap());
        }
        assert_eq!(pairs.len(), 30, "one asset for each key");
        let client = db.system().await.unwrap();
        let row = client
            .query_one(
                "SELECT count(*), count(*) FILTER (WHERE kind IS NULL) FROM platform.asset",
                &[],
            )
            .await
            .unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (30, 30));
    });
}
