//! A worker in a process of its own, which the fault tests kill: `jobs-victim URL`.
//!
//! Every job writes one row into `effects`; half of them ask for another job in the same transaction.

use std::time::Duration;

use jobs::{
    About, Bell, Effect, Fault, Job, New, Policy, Settings, Task, Tx, Verdict, Worker, enqueue,
};
use platform::{Clock, Db};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// A number that is to be written once, and how many more are to follow.
#[derive(Debug, Serialize, Deserialize)]
struct Short {
    number: i64,
    follow: u8,
}

impl Job for Short {
    const KIND: &'static str = "test.short";
    const POLICY: Policy = Policy {
        attempts: 1000,
        together: 8,
        ..Policy::DEFAULT
    };
}

/// The same, done in two steps.
#[derive(Debug, Serialize, Deserialize)]
struct Long {
    number: i64,
}

impl Job for Long {
    const KIND: &'static str = "test.long";
    const POLICY: Policy = Policy {
        attempts: 1000,
        ..Policy::DEFAULT
    };
}

struct Write;

impl Effect for Write {
    type Job = Short;

    async fn run(&self, job: Short, about: &About, tx: &Tx) -> Result<(), Fault> {
        write(tx, about, job.number).await?;
        if job.follow > 0 {
            let next = Short {
                number: job.number + 1_000_000,
                follow: job.follow - 1,
            };
            enqueue(tx, about.scope.as_ref(), &New::of(&next), about.now).await?;
        }
        Ok(())
    }
}

struct WorkThenWrite;

impl Task for WorkThenWrite {
    type Job = Long;
    type Outcome = i64;

    async fn work(&self, job: &Long, _: &About) -> Result<i64, Fault> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(job.number)
    }

    async fn settle(
        &self,
        _: &Long,
        number: i64,
        about: &About,
        tx: &Tx,
    ) -> Result<Verdict, Fault> {
        write(tx, about, number).await?;
        Ok(Verdict::Done)
    }
}

async fn write(tx: &Tx, about: &About, number: i64) -> Result<(), tokio_postgres::Error> {
    tx.execute(
        "INSERT INTO public.effects (number, attempt) VALUES ($1, $2)",
        &[&number, &i64::from(about.attempt)],
    )
    .await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(lease)) = (args.next(), args.next()) else {
        return Err("usage: jobs-victim URL LEASE_MS".into());
    };
    let db = Db::connect(&url, 8).await?;
    let settings = Settings {
        lease: Duration::from_millis(lease.parse()?),
        look: Duration::from_millis(50),
        ..Settings::default()
    };
    Worker::new(db, Clock::system(), Bell::listen(&url, "jobs"), settings)
        .effect(Write)
        .task(WorkThenWrite)
        .run(CancellationToken::new())
        .await?;
    Ok(())
}
