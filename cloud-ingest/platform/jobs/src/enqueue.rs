//! Asking for a job, in the caller's transaction: when that is rolled back the job was never asked for.

use jiff::Timestamp;
use platform::{OrganizationId, Scope};
use serde_json::Value;

use crate::{
    Tx,
    job::{Job, Priority},
};

/// The number of a job.
pub type JobId = i64;

/// Why a job cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The payload is not JSON: a map with keys that are no texts, or a number that JSON does not know.
    #[error("the payload of a job of kind {kind} cannot be written as JSON: {reason}")]
    Payload {
        /// The kind.
        kind: &'static str,
        /// Why.
        reason: String,
    },
    /// The database refused.
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
}

/// What became of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// A new job.
    New(JobId),
    /// One with this key is not finished yet. If it is running it will run once more afterwards, so that it sees what
    /// the caller changed.
    Already(JobId),
}

impl Enqueued {
    /// The number of the job.
    pub const fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Already(id) => id,
        }
    }
}

/// A job that is to be asked for.
#[derive(Clone, Debug)]
pub struct New {
    pub(crate) kind: &'static str,
    pub(crate) payload: Result<Value, String>,
    pub(crate) priority: Priority,
    pub(crate) run_at: Option<Timestamp>,
    pub(crate) max_attempts: u32,
    key: Option<String>,
}

impl New {
    /// A job of this kind, as soon as possible.
    pub fn of<J: Job>(job: &J) -> Self {
        Self {
            kind: J::KIND,
            payload: serde_json::to_value(job).map_err(|error| error.to_string()),
            priority: Priority::default(),
            run_at: None,
            max_attempts: J::POLICY.attempts,
            key: None,
        }
    }

    /// Not before this time.
    #[must_use]
    pub fn at(mut self, time: Timestamp) -> Self {
        self.run_at = Some(time);
        self
    }

    /// With this priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// With a key (1 to 200 characters): at most one unfinished job of the kind and organisation has it.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn json(&self) -> Result<&Value, EnqueueError> {
        self.payload
            .as_ref()
            .map_err(|reason| EnqueueError::Payload {
                kind: self.kind,
                reason: reason.clone(),
            })
    }

    pub(crate) fn attempts(&self) -> i32 {
        i32::try_from(self.max_attempts.max(1)).unwrap_or(i32::MAX)
    }
}

/// Asks for a job in the caller's transaction, for an organisation or (`None`) for the house itself. The request of the
/// scope goes with it. The workers hear of it when the transaction commits.
pub async fn enqueue(
    tx: &Tx,
    scope: Option<&Scope>,
    new: &New,
    now: Timestamp,
) -> Result<Enqueued, EnqueueError> {
    let payload = new.json()?;
    let (organization, request) = (
        scope.map(|scope| scope.organization),
        scope.map(|scope| scope.request.as_str()),
    );
    let (run_at, attempts) = (new.run_at.unwrap_or(now), new.attempts());
    let priority = new.priority.number();
    let statement = tx
        .prepare_cached(include_str!("../queries/enqueue.sql"))
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &organization,
        &new.kind,
        payload,
        &priority,
        &run_at,
        &attempts,
        &new.key,
        &request,
        &now,
    ];
    let row = tx.query_one(&statement, &parameters).await?;
    if new.priority != Priority::Bulk {
        notify(tx).await?;
    }
    let id = row.get("id");
    Ok(if row.get("fresh") {
        Enqueued::New(id)
    } else {
        Enqueued::Already(id)
    })
}

/// Asks for many jobs of one kind at once, without keys: one statement for all of them.
pub async fn enqueue_many<J: Job>(
    tx: &Tx,
    scope: Option<&Scope>,
    jobs: &[J],
    priority: Priority,
    now: Timestamp,
) -> Result<u64, EnqueueError> {
    let request = scope.map(|scope| scope.request.as_str());
    let asked: Vec<_> = jobs.iter().map(|job| (job, request)).collect();
    let organization = scope.map(|scope| scope.organization);
    enqueue_each(tx, organization, &asked, priority, now).await
}

/// The same for jobs of which each was asked for by a request of its own.
pub async fn enqueue_each<J: Job>(
    tx: &Tx,
    organization: Option<OrganizationId>,
    jobs: &[(&J, Option<&str>)],
    priority: Priority,
    now: Timestamp,
) -> Result<u64, EnqueueError> {
    let payloads = jobs
        .iter()
        .map(|(job, _)| serde_json::to_value(job))
        .collect::<Result<Vec<Value>, _>>()
        .map_err(|error| EnqueueError::Payload {
            kind: J::KIND,
            reason: error.to_string(),
        })?;
    let requests: Vec<Option<&str>> = jobs.iter().map(|(_, request)| *request).collect();
    let attempts = i32::try_from(J::POLICY.attempts.max(1)).unwrap_or(i32::MAX);
    let statement = tx
        .prepare_cached(include_str!("../queries/enqueue_many.sql"))
        .await?;
    let number = priority.number();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
        &organization,
        &J::KIND,
        &payloads,
        &number,
        &now,
        &attempts,
        &requests,
        &now,
    ];
    let count = tx.execute(&statement, &parameters).await?;
    if priority != Priority::Bulk && count > 0 {
        notify(tx).await?;
    }
    Ok(count)
}

pub(crate) async fn notify(tx: &Tx) -> Result<(), tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/notify.sql"))
        .await?;
    tx.execute(&statement, &[]).await?;
    Ok(())
}
