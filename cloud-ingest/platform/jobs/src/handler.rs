//! Who does the jobs.
//!
//! *Effects once* means this, exactly: what a handler writes through the transaction it is given commits together with
//! the end of its job, or not at all. A worker that lost its job (it was taken for dead and another has the job now)
//! cannot commit: the row of the job, locked until the end of the transaction, is not its own any more. What a handler
//! does elsewhere (a mail, a payment) may happen again after a crash: it belongs into [`Task::work`], with [`About::id`]
//! as the idempotency key that it sends.

use std::{any::Any, pin::Pin};

use jiff::Timestamp;
use platform::{DbError, Scope};
use serde_json::Value;

use crate::{
    Tx,
    enqueue::{EnqueueError, JobId},
    job::{Job, Policy},
};

/// What a handler is told about the job besides its payload.
#[derive(Clone, Debug)]
pub struct About {
    /// Its number: the same at every attempt. It is the idempotency key for services outside.
    pub id: JobId,
    /// For whom, by which kind of job, and in which request it was asked for; `None`: for the house itself.
    pub scope: Option<Scope>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether it is the last: after it the job is given up.
    pub last: bool,
    /// When it was due.
    pub due: Timestamp,
    /// The time at which this attempt began.
    pub now: Timestamp,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It may work later: try again as the policy says.
    #[error("{0}")]
    Again(String),
    /// It never will: give up at once.
    #[error("{0}")]
    Never(String),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::from(DbError::from(error))
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Self::Again(error.to_string())
    }
}

impl From<EnqueueError> for Fault {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(error) => error.into(),
            payload @ EnqueueError::Payload { .. } => Self::Never(payload.to_string()),
        }
    }
}

/// What is to become of a job once [`Task::settle`] has written what it had to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It failed and is tried again as the policy says; when it was the last attempt it becomes a dead letter.
    Again(String),
    /// It failed for good and becomes a dead letter.
    Never(String),
}

/// Does jobs whose whole effect is in the database.
pub trait Effect: Send + Sync + 'static {
    /// The kind.
    type Job: Job;

    /// Writes the effect. The transaction also ends the job; it sees the rows of the job's organisation only. An error
    /// rolls all of it back.
    fn run(
        &self,
        job: Self::Job,
        about: &About,
        tx: &Tx,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Does jobs that reach outside the database: first the work, without a transaction; then what is to be kept of it.
pub trait Task: Send + Sync + 'static {
    /// The kind.
    type Job: Job;
    /// What the work brings, for `settle`; that it failed may be such a thing.
    type Outcome: Send + 'static;

    /// Does the work. No transaction is open; it may take as long as the policy permits.
    fn work(
        &self,
        job: &Self::Job,
        about: &About,
    ) -> impl Future<Output = Result<Self::Outcome, Fault>> + Send;

    /// Writes what came of it, in the transaction that ends the job or puts it back.
    fn settle(
        &self,
        job: &Self::Job,
        outcome: Self::Outcome,
        about: &About,
        tx: &Tx,
    ) -> impl Future<Output = Result<Verdict, Fault>> + Send;
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A handler without its types.
pub(crate) enum Handler {
    Effect(Policy, Box<dyn ErasedEffect>),
    Task(Policy, Box<dyn ErasedTask>),
}

impl Handler {
    pub(crate) fn effect<E: Effect>(effect: E) -> Self {
        Self::Effect(E::Job::POLICY, Box::new(effect))
    }

    pub(crate) fn task<T: Task>(task: T) -> Self {
        Self::Task(T::Job::POLICY, Box::new(Erase(task)))
    }

    pub(crate) const fn policy(&self) -> Policy {
        match self {
            Self::Effect(policy, _) | Self::Task(policy, _) => *policy,
        }
    }
}

pub(crate) trait ErasedEffect: Send + Sync {
    fn run<'a>(
        &'a self,
        payload: Value,
        about: &'a About,
        tx: &'a Tx,
    ) -> Boxed<'a, Result<(), Fault>>;
}

impl<E: Effect> ErasedEffect for E {
    fn run<'a>(
        &'a self,
        payload: Value,
        about: &'a About,
        tx: &'a Tx,
    ) -> Boxed<'a, Result<(), Fault>> {
        Box::pin(async move { Effect::run(self, parse::<E::Job>(payload)?, about, tx).await })
    }
}

/// A job with what its work has brought.
pub(crate) type Worked = Box<dyn Any + Send>;

pub(crate) trait ErasedTask: Send + Sync {
    fn work<'a>(&'a self, payload: Value, about: &'a About) -> Boxed<'a, Result<Worked, Fault>>;
    fn settle<'a>(
        &'a self,
        worked: Worked,
        about: &'a About,
        tx: &'a Tx,
    ) -> Boxed<'a, Result<Verdict, Fault>>;
}

struct Erase<T>(T);

impl<T: Task> ErasedTask for Erase<T> {
    fn work<'a>(&'a self, payload: Value, about: &'a About) -> Boxed<'a, Result<Worked, Fault>> {
        Box::pin(async move {
            let job = parse::<T::Job>(payload)?;
            let outcome = self.0.work(&job, about).await?;
            Ok(Box::new((job, outcome)) as Worked)
        })
    }

    fn settle<'a>(
        &'a self,
        worked: Worked,
        about: &'a About,
        tx: &'a Tx,
    ) -> Boxed<'a, Result<Verdict, Fault>> {
        let pair = worked
            .downcast::<(T::Job, T::Outcome)>()
            .expect("what `work` of the same handler returned");
        let (job, outcome) = *pair;
        Box::pin(async move { self.0.settle(&job, outcome, about, tx).await })
    }
}

fn parse<J: Job>(payload: Value) -> Result<J, Fault> {
    serde_json::from_value(payload).map_err(|error| {
        Fault::Never(format!(
            "the payload is not one of kind {}: {error}",
            J::KIND
        ))
    })
}
