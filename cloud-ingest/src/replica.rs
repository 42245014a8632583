//! A streaming replica that answers what only reads samples, so that questions over months do not slow the primary down.
//!
//! What it answers is never older than `database.replica_lag`: one that is further behind, or does not answer, is left alone and
//! the primary answers. Whose an asset is, the primary says in any case.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use platform::{Client, Clock, Db, DbError};
use tokio::{sync::OnceCell, time::timeout};

/// How long a replica may take to say how far behind it is.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long one that did not answer is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// A replica. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Replica(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    connections: usize,
    longest_lag: Duration,
    clock: Clock,
    db: OnceCell<Db>,
    /// Until when it is left alone, in milliseconds of the clock's monotonic time.
    paused_until: AtomicU64,
}

impl Replica {
    /// The one at this URL. It is reached when it is needed, so that a replica that is down holds up nothing.
    pub fn new(url: String, connections: usize, longest_lag: Duration, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            url,
            connections,
            longest_lag,
            clock,
            db: OnceCell::new(),
            paused_until: AtomicU64::new(0),
        }))
    }

    /// A connection to it that sees every organisation, when it answers and is not too far behind.
    pub async fn fresh(&self) -> Option<Client> {
        let inner = &*self.0;
        let now = u64::try_from(inner.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        if now < inner.paused_until.load(Ordering::Relaxed) {
            return None;
        }
        match timeout(PATIENCE, self.ask()).await {
            Ok(Ok((client, Some(lag)))) if lag <= inner.longest_lag.as_secs_f64() => {
                crate::metrics::replica_answered();
                return Some(client);
            }
            Ok(Ok((_, lag))) => tracing::warn!(
                lag_s = lag,
                "the replica is too far behind: the primary answers"
            ),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the replica does not answer: the primary does");
            }
            Err(_) => tracing::warn!("the replica takes too long to answer: the primary does"),
        }
        let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
        inner
            .paused_until
            .store(now.saturating_add(pause), Ordering::Relaxed);
        None
    }

    async fn ask(&self) -> Result<(Client, Option<f64>), DbError> {
        let inner = &*self.0;
        let connect = || Db::connect(&inner.url, inner.connections);
        let client = inner.db.get_or_try_init(connect).await?.system().await?;
        let sql = include_str!("../queries/replica_lag.sql");
        let lag = client.query_one(sql, &[]).await?.get(0);
        Ok((client, lag))
    }
}
