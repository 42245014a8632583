//! Doing jobs: what they write and their end are one transaction.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures::FutureExt as _;
use platform::{Clock, Db, DbError};
use tracing::Instrument as _;
use uuid::Uuid;

use super::{claim::Taken, life::later, open::Open};
use crate::{
    Tx,
    enqueue::JobId,
    handler::{About, ErasedEffect, ErasedTask, Fault, Handler, Verdict, Worked},
    job::Policy,
    metrics,
};

/// Whether it is known what became of the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// They are done, wait again, or were given up.
    Settled,
    /// One failed, and that could not be written down.
    Unknown,
}

/// What is needed to do jobs of one kind.
pub(super) struct Chunk {
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) worker: Uuid,
    pub(super) handler: Arc<Handler>,
}

impl Chunk {
    /// Does jobs of one kind and one organisation.
    pub(super) async fn run(&self, jobs: Vec<Taken>) -> Ended {
        let kind = jobs[0].kind.clone();
        let begun = Instant::now();
        let ended = match &*self.handler {
            Handler::Effect(policy, effect) => self.effects(*policy, &**effect, jobs).await,
            Handler::Task(policy, task) => {
                let mut ended = Ended::Settled;
                for job in jobs {
                    let span = job.span();
                    let work = self.task(*policy, &**task, job).instrument(span);
                    ended = ended.and(work.await);
                }
                ended
            }
        };
        metrics::took(&kind, begun.elapsed());
        ended
    }

    /// All of them in one transaction; when one fails, each in its own.
    async fn effects(&self, policy: Policy, effect: &dyn ErasedEffect, jobs: Vec<Taken>) -> Ended {
        if jobs.len() > 1 {
            let whole = guarded(policy, self.write(effect, &jobs)).await;
            match whole {
                Ok(()) => return Ended::Settled,
                Err(fault) => tracing::debug!(%fault, "{} jobs are done one by one", jobs.len()),
            }
        }
        let mut ended = Ended::Settled;
        for job in jobs {
            let one = std::slice::from_ref(&job);
            if let Err(fault) = guarded(policy, self.write(effect, one)).await {
                let written = self.failed(policy, &job, fault).instrument(job.span());
                ended = ended.and(written.await);
            }
        }
        ended
    }

    async fn write(&self, effect: &dyn ErasedEffect, jobs: &[Taken]) -> Result<(), Fault> {
        let tx = Open::begin(&self.db, jobs[0].scope.as_ref()).await?;
        let ours = self.finish(&tx, jobs).await?;
        let mut done = Vec::with_capacity(ours.len());
        for job in jobs.iter().filter(|job| ours.contains(&job.id)) {
            let (about, span) = (job.about(self.clock.now()), job.span());
            let work = effect.run(job.payload.clone(), &about, &tx);
            if let Err(fault) = work.instrument(span.clone()).await {
                tx.rollback().await;
                return Err(fault);
            }
            done.push(span);
        }
        tx.commit().await?;
        metrics::done(&jobs[0].kind, done.len() as u64);
        for span in done {
            span.in_scope(|| tracing::debug!("a job is done"));
        }
        Ok(())
    }

    async fn task(&self, policy: Policy, task: &dyn ErasedTask, job: Taken) -> Ended {
        let about = job.about(self.clock.now());
        let outcome = match guarded(policy, task.work(job.payload.clone(), &about)).await {
            Ok(worked) => guarded(policy, self.settle(policy, task, &job, worked, &about)).await,
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok(()) => Ended::Settled,
            Err(fault) => self.failed(policy, &job, fault).await,
        }
    }

    async fn settle(
        &self,
        policy: Policy,
        task: &dyn ErasedTask,
        job: &Taken,
        worked: Worked,
        about: &About,
    ) -> Result<(), Fault> {
        let tx = Open::begin(&self.db, about.scope.as_ref()).await?;
        let statement = tx
            .prepare_cached(include_str!("../../queries/fence.sql"))
            .await?;
        let ours = tx
            .query_opt(&statement, &[&job.id, &self.worker, &job.attempt])
            .await?;
        if ours.is_none() {
            tx.rollback().await;
            return Ok(());
        }
        match task.settle(worked, about, &tx).await {
            Ok(Verdict::Done) => {
                self.finish(&tx, std::slice::from_ref(job)).await?;
                tx.commit().await?;
                metrics::done(&job.kind, 1);
                tracing::debug!("a job is done");
            }
            Ok(Verdict::Again(reason)) => {
                self.again(&tx, policy, job, &reason).await?;
                tx.commit().await?;
            }
            Ok(Verdict::Never(reason)) => {
                self.bury(&tx, job, &reason).await?;
                tx.commit().await?;
            }
            Err(fault) => {
                tx.rollback().await;
                return Err(fault);
            }
        }
        Ok(())
    }

    /// An attempt has failed and all it wrote is rolled back: the job waits, or is given up.
    async fn failed(&self, policy: Policy, job: &Taken, fault: Fault) -> Ended {
        let written = async {
            let tx = Open::begin(&self.db, job.scope.as_ref()).await?;
            match &fault {
                Fault::Again(reason) => self.again(&tx, policy, job, reason).await?,
                Fault::Never(reason) => self.bury(&tx, job, reason).await?,
            }
            tx.commit().await?;
            Ok::<_, DbError>(())
        };
        match written.await {
            Ok(()) => Ended::Settled,
            Err(error) => {
                tracing::error!(%fault, %error, "that a job failed could not be written down");
                Ended::Unknown
            }
        }
    }

    /// Ends jobs in the transaction; returns those that were still this worker's.
    async fn finish(&self, tx: &Tx, jobs: &[Taken]) -> Result<Vec<JobId>, tokio_postgres::Error> {
        let (ids, attempts): (Vec<JobId>, Vec<i32>) =
            jobs.iter().map(|job| (job.id, job.attempt)).unzip();
        let statement = tx
            .prepare_cached(include_str!("../../queries/finish.sql"))
            .await?;
        let now = self.clock.now();
        let rows = tx
            .query(&statement, &[&ids, &self.worker, &attempts, &now])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn again(
        &self,
        tx: &Tx,
        policy: Policy,
        job: &Taken,
        reason: &str,
    ) -> Result<(), tokio_postgres::Error> {
        if job.attempt >= job.max_attempts {
            return self.bury(tx, job, reason).await;
        }
        tracing::info!(
            attempt = job.attempt,
            reason,
            "a job failed and is tried again"
        );
        metrics::failed(&job.kind);
        let wait = policy
            .retry
            .wait(job.attempt.unsigned_abs(), rand::random());
        let at = later(self.clock.now(), wait);
        let statement = tx
            .prepare_cached(include_str!("../../queries/put_back.sql"))
            .await?;
        let reason = short(reason);
        tx.execute(
            &statement,
            &[&job.id, &self.worker, &job.attempt, &at, &reason],
        )
        .await?;
        Ok(())
    }

    async fn bury(&self, tx: &Tx, job: &Taken, reason: &str) -> Result<(), tokio_postgres::Error> {
        tracing::error!(attempt = job.attempt, reason, "a job is given up");
        metrics::buried(&job.kind);
        let statement = tx
            .prepare_cached(include_str!("../../queries/bury.sql"))
            .await?;
        let (now, reason) = (self.clock.now(), short(reason));
        tx.execute(
            &statement,
            &[&job.id, &self.worker, &job.attempt, &now, &reason],
        )
        .await?;
        Ok(())
    }
}

impl Ended {
    fn and(self, other: Self) -> Self {
        if self == Self::Settled { other } else { self }
    }
}

/// Within the time of the policy, and with a panic as a fault.
async fn guarded<T>(
    policy: Policy,
    work: impl Future<Output = Result<T, Fault>> + Send,
) -> Result<T, Fault> {
    match tokio::time::timeout(policy.timeout, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let words = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Err(Fault::Again(format!("the handler panicked: {words}")))
        }
        Err(_) => Err(Fault::Again(format!(
            "it took longer than {:?}",
            policy.timeout
        ))),
    }
}

fn short(reason: &str) -> String {
    reason.chars().filter(|c| *c != '\0').take(2000).collect()
}
