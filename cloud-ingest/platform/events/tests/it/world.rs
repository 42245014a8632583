//! A migrated database with organisations, a relay, and a worker that delivers.

use std::time::Duration;

use events::{
    Event, Relay, publish,
    webhooks::{Deliverer, Endpoints},
};
use jiff::Timestamp;
use jobs::{Bell, Settings, Worker};
use outbound::{Client, Rules};
use platform::{Clock, Db, Hand, OrganizationId, Scope, migrate, testing::TestDatabase};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use vault::Ring;

pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) url: String,
    pub(crate) clock: Clock,
    pub(crate) hand: Hand,
    pub(crate) ring: Ring,
}

impl World {
    pub(crate) async fn on(database: &TestDatabase) -> Self {
        let db = database.connect().await;
        migrate(&db, &[platform::room(), jobs::room(), events::room()])
            .await
            .unwrap();
        let (clock, hand) = Clock::by_hand("2026-03-02T12:00:00Z".parse().unwrap());
        Self {
            db,
            url: database.url.clone(),
            clock,
            hand,
            ring: Ring::read(&Ring::new_line(1).unwrap()).unwrap(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn organization(&self, name: &str) -> Scope {
        let client = self.db.system().await.unwrap();
        let add = "INSERT INTO platform.organization (name) VALUES ($1) RETURNING id";
        let row = client.query_one(add, &[&name]).await.unwrap();
        Scope::of_system(OrganizationId(row.get(0)), "test")
    }

    /// For stand-ins on loopback.
    pub(crate) fn client() -> Client {
        Client::new(Rules {
            plain_http: true,
            any_address: true,
            // Nothing answers late but where a test says so, and the machine may be busy.
            total: Duration::from_secs(3),
            ..Rules::STRANGERS
        })
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Endpoints::new(self.ring.clone(), Self::client())
    }

    pub(crate) fn relay(&self) -> Relay {
        let look = Duration::from_millis(10);
        Relay::new(self.db.clone(), self.clock.clone(), Bell::silent(), look)
    }

    /// A relay and a worker, until what is returned is dropped.
    pub(crate) fn start(&self, client: Client) -> DropGuard {
        let stop = CancellationToken::new();
        tokio::spawn(self.relay().run(stop.clone()));
        let settings = Settings {
            look: Duration::from_millis(10),
            lease: Duration::from_secs(600),
            ..Settings::default()
        };
        let deliverer = Deliverer::new(self.db.clone(), self.ring.clone(), client);
        let worker = Worker::new(
            self.db.clone(),
            self.clock.clone(),
            Bell::silent(),
            settings,
        );
        tokio::spawn(worker.task(deliverer).run(stop.clone()));
        stop.drop_guard()
    }

    pub(crate) async fn ready(&self, scope: &Scope, vehicle: i64, charge: f64) {
        let tx = self.db.tenant(scope).await.unwrap();
        let of = vehicle.to_string();
        publish(&tx, scope, &[ready(&of, vehicle, charge)], self.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let client = self.db.system().await.unwrap();
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until this is so and no job is in a worker's hands. What a handler wrote shows before
    /// its job is settled; whoever moves the clock in between moves the job's next turn with it.
    pub(crate) async fn settled(&self, what: &str, sql: &str) {
        self.until(what, sql).await;
        let idle = "SELECT count(*) = 0 FROM jobs.job WHERE worker IS NOT NULL";
        self.until("the workers are idle", idle).await;
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, what: &str, sql: &str) {
        for _ in 0..1500 {
            let client = self.db.system().await.unwrap();
            if client.query_one(sql, &[]).await.unwrap().get(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    }
}

pub(crate) fn ready(of: &str, vehicle: i64, charge: f64) -> Event<'_> {
    let payload: Value = json!({"asset": vehicle, "state_of_charge": charge});
    Event {
        name: "vehicle.ready",
        of,
        payload,
    }
}
