//! Errors on the way into the database, and whether doing it again can help.

use std::time::Duration;

use platform::{Backoff, DbError, Failure, failure::in_words};

/// Longest that one transaction may take before its connection is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What went wrong in one attempt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("{}", in_words(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// What the caches remember is not in the database (any more).
    #[error("what was known of the database is out of date")]
    Stale,
    /// No answer within [`PATIENCE`].
    #[error("the database did not answer within {PATIENCE:?}")]
    Late,
    /// The server took another number of rows than it was sent.
    #[error("{what}: {sent} rows were sent, {taken} taken")]
    Miscount { what: String, sent: u64, taken: u64 },
}

impl Trouble {
    /// What it means for whoever has to go on.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Db(DbError::Query(error)) | Self::Postgres(error) => Failure::of(error),
            Self::Db(_) | Self::Late => Failure::Connection,
            Self::Stale => Failure::Conflict,
            Self::Miscount { .. } => Failure::Other,
        }
    }
}

/// Why it was not done, after all attempts.
#[derive(Debug)]
pub(crate) enum GaveUp {
    /// The data is to blame.
    Data(String),
    /// It may work later.
    Later(String),
}

/// Attempts at one piece of work: conflicts again soon, a broken connection after a while, and not for ever.
pub(crate) struct Tries {
    backoff: Backoff,
}

impl Tries {
    pub(crate) fn new() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_secs(2), 8),
        }
    }

    /// After a failed attempt: returns when it is time for the next one, or says why there is none.
    pub(crate) async fn after(&mut self, trouble: Trouble) -> Result<(), GaveUp> {
        let failure = trouble.failure();
        let detail = trouble.to_string();
        let cause = match failure {
            Failure::Data => return Err(GaveUp::Data(detail)),
            Failure::Other => {
                tracing::error!(detail, "the database refuses what this program does");
                return Err(GaveUp::Later(detail));
            }
            Failure::Conflict => "conflict",
            Failure::Connection => "connection",
        };
        crate::metrics::retried(cause);
        match self.backoff.wait() {
            Some(wait) => {
                tracing::warn!(detail, ?wait, "the database was in trouble, trying again");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => Err(GaveUp::Later(detail)),
        }
    }
}

/// Runs one attempt with a deadline.
pub(crate) async fn in_time<T>(
    attempt: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(PATIENCE, attempt)
        .await
        .unwrap_or(Err(Trouble::Late))
}
