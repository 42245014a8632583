//! Publishing: checked, with the transaction, in order.

use std::{collections::HashMap, path::Path};

use events::{Event, PublishError, publish};
use platform::testing::{assert_commented, on_each_database, prepare_all};
use serde_json::json;

use crate::world::{World, ready};

#[test]
fn everything_is_commented_and_every_query_is_sound() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        assert_commented(&world.db, "events").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&world.db, &queries).await > 25);
    });
}

#[test]
fn what_is_not_in_the_catalogue_is_not_published_and_nothing_of_it() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let tx = world.db.tenant(&acme).await.unwrap();
        let wrong = Event {
            payload: json!({"asset": 1, "state_of_charge": "full"}),
            ..ready("1", 1, 80.0)
        };
        let both = [ready("1", 1, 80.0), wrong];
        let error = publish(&tx, &acme, &both, world.now()).await.unwrap_err();
        assert!(matches!(error, PublishError::Payload(_)), "{error}");
        let unknown = Event {
            name: "vehicle.flew",
            ..ready("1", 1, 80.0)
        };
        let error = publish(&tx, &acme, &[unknown], world.now())
            .await
            .unwrap_err();
        assert!(matches!(error, PublishError::Unknown(_)), "{error}");
        tx.commit().await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM events.outbox").await, 0);
    });
}

#[test]
fn events_of_a_subject_are_in_the_order_in_which_they_happened_whoever_writes_and_relays() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let (acme, other) = (
            world.organization("acme").await,
            world.organization("other").await,
        );
        let writers: Vec<_> = (0..6_i64)
            .map(|writer| {
                let db = world.db.clone();
                let now = world.now();
                let scope = if writer % 3 == 0 {
                    other.clone()
                } else {
                    acme.clone()
                };
                tokio::spawn(async move {
                    for n in 0..30_i64 {
                        let tx = db.tenant(&scope).await.unwrap();
                        let (one, two) = ((n % 4).to_string(), ((n + writer) % 4).to_string());
                        let events = [ready(&one, n % 4, 1.0), ready(&two, (n + writer) % 4, 2.0)];
                        publish(&tx, &scope, &events, now).await.unwrap();
                        if n % 5 == 4 {
                            tx.rollback().await.unwrap();
                        } else {
                            tx.commit().await.unwrap();
                        }
                    }
                })
            })
            .collect();
        let relays: Vec<_> = (0..3)
            .map(|_| {
                let relay = world.relay();
                tokio::spawn(async move {
                    for _ in 0..40 {
                        relay.round().await.unwrap();
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                })
            })
            .collect();
        for task in writers.into_iter().chain(relays) {
            task.await.unwrap();
        }
        while world.relay().round().await.unwrap() > 0 {}

        let client = world.db.system().await.unwrap();
        let rows = client
            .query("SELECT organization_id, position, aggregate, sequence FROM events.log ORDER BY organization_id, position", &[])
            .await
            .unwrap();
        assert_eq!(
            rows.len(),
            6 * 24 * 2,
            "what was rolled back never happened"
        );
        let (mut positions, mut sequences) = (HashMap::new(), HashMap::new());
        for row in &rows {
            let organization: i32 = row.get(0);
            let position = positions.entry(organization).or_insert(0_i64);
            *position += 1;
            assert_eq!(row.get::<_, i64>(1), *position, "without gaps");
            let sequence = sequences
                .entry((organization, row.get::<_, String>(2)))
                .or_insert(0_i64);
            *sequence += 1;
            assert_eq!(row.get::<_, i64>(3), *sequence, "in their order");
        }
        assert_eq!(world.count("SELECT count(*) FROM events.outbox").await, 0);

        let tx = world.db.tenant(&other).await.unwrap();
        let others = "SELECT count(*) FROM events.log WHERE organization_id <> $1";
        let seen = tx.query_one(others, &[&other.organization]).await.unwrap();
        assert_eq!(seen.get::<_, i64>(0), 0);
        let forbidden = tx
            .batch_execute("DELETE FROM events.log")
            .await
            .unwrap_err();
        assert_eq!(forbidden.code().unwrap().code(), "42501");
    });
}
