//! From the outbox into the log, and to the endpoints: one relay at a time for an organisation, any number of relays.

use std::time::Duration;

use jobs::{Bell, House};
use platform::{Backoff, Clock, Db, DbError, OrganizationId};
use tokio_util::sync::CancellationToken;

use crate::webhooks::Deliver;

/// How many events of an organisation are moved in one transaction.
const BATCH: i64 = 200;
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Moves events.
#[derive(Clone, Debug)]
pub struct Relay {
    db: Db,
    clock: Clock,
    bell: Bell,
    look: Duration,
}

impl Relay {
    /// A relay that looks every so often although the bell (channel `outbox`) has not rung.
    pub const fn new(db: Db, clock: Clock, bell: Bell, look: Duration) -> Self {
        Self {
            db,
            clock,
            bell,
            look,
        }
    }

    /// Moves events until it is stopped. While the database is away it waits.
    pub async fn run(self, stop: CancellationToken) {
        let patience = || Backoff::new(Duration::from_millis(100), LONGEST_WAIT, u32::MAX);
        let mut backoff = patience();
        loop {
            let wait = match self.round().await {
                Ok(0) => {
                    backoff = patience();
                    self.bell.wait(self.look)
                }
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%error, "events stay in the outbox");
                    let wait = backoff.wait().unwrap_or(LONGEST_WAIT);
                    let _ = tokio::time::timeout(wait, stop.cancelled()).await;
                    self.bell.wait(Duration::ZERO)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wait => {}
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// Moves what is there; returns how many events were moved.
    pub async fn round(&self) -> Result<u64, DbError> {
        let client = self.db.system().await?;
        let statement = client
            .prepare_cached(include_str!("../queries/waiting.sql"))
            .await?;
        let rows = client.query(&statement, &[]).await?;
        drop(client);
        let mut moved = 0;
        for row in rows {
            moved += self.relay(row.get(0)).await?;
        }
        Ok(moved)
    }

    async fn relay(&self, organization: OrganizationId) -> Result<u64, DbError> {
        let tx = House::begin(&self.db).await?;
        let statement = tx
            .prepare_cached(include_str!("../queries/make_head.sql"))
            .await?;
        tx.execute(&statement, &[&organization]).await?;
        let statement = tx
            .prepare_cached(include_str!("../queries/lock_head.sql"))
            .await?;
        let Some(head) = tx.query_opt(&statement, &[&organization]).await? else {
            // Another relay is at it.
            tx.rollback().await?;
            return Ok(0);
        };
        let head: i64 = head.get(0);
        let statement = tx
            .prepare_cached(include_str!("../queries/move.sql"))
            .await?;
        let moved: i64 = tx
            .query_one(&statement, &[&organization, &head, &BATCH])
            .await?
            .get(0);
        if moved == 0 {
            tx.rollback().await?;
            return Ok(0);
        }
        let now = self.clock.now();
        let statement = tx
            .prepare_cached(include_str!("../queries/deliver.sql"))
            .await?;
        let rows = tx
            .query(&statement, &[&organization, &head, &(head + moved), &now])
            .await?;
        let deliveries: Vec<(Deliver, String)> = rows
            .iter()
            .map(|row| {
                (
                    Deliver {
                        delivery: row.get("id"),
                    },
                    row.get("request_id"),
                )
            })
            .collect();
        if !deliveries.is_empty() {
            // A delivery is of the request in which its event happened.
            let each: Vec<_> = deliveries
                .iter()
                .map(|(deliver, request)| (deliver, Some(request.as_str())))
                .collect();
            let priority = jobs::Priority::Normal;
            let asked = jobs::enqueue_each(&tx, Some(organization), &each, priority, now);
            asked.await.map_err(|error| match error {
                jobs::EnqueueError::Database(error) => DbError::Query(error),
                // Numbers are always JSON.
                payload @ jobs::EnqueueError::Payload { .. } => {
                    unreachable!("a delivery is a number: {payload}")
                }
            })?;
        }
        let statement = tx
            .prepare_cached(include_str!("../queries/notify_events.sql"))
            .await?;
        tx.execute(&statement, &[]).await?;
        tx.commit().await?;
        Ok(moved.unsigned_abs())
    }
}
