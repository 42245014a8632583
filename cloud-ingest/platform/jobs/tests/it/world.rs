//! A migrated database with organisations, a table of effects, and workers on it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use jobs::{
    About, Bell, Effect, Enqueued, Fault, Job, New, Policy, Retry, Settings, Task, Tx, Verdict,
    Worker, enqueue,
};
use platform::{Clock, Db, Hand, OrganizationId, Scope, migrate, testing::TestDatabase};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where the effects of the jobs of these tests go.
pub(crate) const EFFECTS: &str = "
    CREATE TABLE public.effects (at bigint GENERATED ALWAYS AS IDENTITY, number bigint, attempt bigint);
    GRANT SELECT, INSERT ON public.effects TO patio_app, patio_system";

pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) url: String,
    pub(crate) clock: Clock,
    pub(crate) hand: Hand,
}

pub(crate) fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

impl World {
    pub(crate) async fn on(database: &TestDatabase) -> Self {
        let db = database.connect().await;
        migrate(&db, &[platform::room(), jobs::room()])
            .await
            .unwrap();
        db.owner()
            .await
            .unwrap()
            .batch_execute(EFFECTS)
            .await
            .unwrap();
        let (clock, hand) = Clock::by_hand(start());
        Self {
            db,
            url: database.url.clone(),
            clock,
            hand,
        }
    }

    pub(crate) async fn organization(&self, name: &str) -> Scope {
        let row = self
            .db
            .system()
            .await
            .unwrap()
            .query_one(
                "INSERT INTO platform.organization (name) VALUES ($1) RETURNING id",
                &[&name],
            )
            .await
            .unwrap();
        Scope::of_system(OrganizationId(row.get(0)), "test")
    }

    /// Asks for a job in a transaction of its own.
    pub(crate) async fn ask(&self, scope: Option<&Scope>, new: &New) -> Enqueued {
        match scope {
            Some(scope) => {
                let tx = self.db.tenant(scope).await.unwrap();
                let asked = enqueue(&tx, Some(scope), new, self.clock.now())
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
                asked
            }
            None => {
                let client = self.db.system().await.unwrap();
                enqueue(&client, None, new, self.clock.now()).await.unwrap()
            }
        }
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let client = self.db.system().await.unwrap();
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn numbers(&self) -> Vec<i64> {
        let client = self.db.system().await.unwrap();
        let rows = client
            .query("SELECT number FROM public.effects ORDER BY at", &[])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, what: &str, sql: &str) {
        for _ in 0..6000 {
            let client = self.db.system().await.unwrap();
            if client.query_one(sql, &[]).await.unwrap().get(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    }

    pub(crate) async fn until_empty(&self) {
        self.until("all jobs done", "SELECT NOT EXISTS (SELECT FROM jobs.job)")
            .await;
    }

    pub(crate) fn worker(&self, settings: Settings) -> Worker {
        Worker::new(
            self.db.clone(),
            self.clock.clone(),
            Bell::silent(),
            settings,
        )
    }
}

/// Short looks, for tests that move the clock by hand.
pub(crate) fn quick() -> Settings {
    Settings {
        look: Duration::from_millis(10),
        // Longer than anything here takes on a busy machine: the clock stands, so what a dead worker had would stay there.
        lease: Duration::from_secs(60),
        ..Settings::default()
    }
}

/// A worker that runs.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(worker: Worker) -> Self {
        let stop = CancellationToken::new();
        let asked = stop.clone();
        let task = tokio::spawn(async move { worker.run(asked).await.unwrap() });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A number that is to be written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Number {
    pub(crate) number: i64,
}

impl Number {
    pub(crate) fn job(number: i64) -> New {
        New::of(&Self { number })
    }
}

impl Job for Number {
    const KIND: &'static str = "test.number";
    const POLICY: Policy = Policy {
        attempts: 3,
        retry: Retry::Steps(&[Duration::from_secs(60), Duration::from_secs(600)]),
        timeout: Duration::from_secs(5),
        together: 1,
    };
}

pub(crate) async fn write(
    tx: &Tx,
    about: &About,
    number: i64,
) -> Result<(), tokio_postgres::Error> {
    let attempt = i64::from(about.attempt);
    tx.execute(
        "INSERT INTO public.effects (number, attempt) VALUES ($1, $2)",
        &[&number, &attempt],
    )
    .await?;
    Ok(())
}

/// What becomes of a number once it is written, by itself and the attempt.
type Then = dyn Fn(i64, u32) -> Result<(), Fault> + Send + Sync;

/// Writes the number, and then asks what becomes of it.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Then>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self::then(|_, _| Ok(()))
    }

    pub(crate) fn then(
        then: impl Fn(i64, u32) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(then))
    }
}

impl Effect for Writer {
    type Job = Number;

    async fn run(&self, job: Number, about: &About, tx: &Tx) -> Result<(), Fault> {
        write(tx, about, job.number).await?;
        (self.0)(job.number, about.attempt)
    }
}

/// The same in two steps: the work says what is to become of it, and takes its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Slow {
    pub(crate) number: i64,
    pub(crate) milliseconds: u64,
    pub(crate) fails: bool,
}

impl Job for Slow {
    const KIND: &'static str = "test.slow";
    const POLICY: Policy = Number::POLICY;
}

pub(crate) struct Slowly;

impl Task for Slowly {
    type Job = Slow;
    type Outcome = Verdict;

    async fn work(&self, job: &Slow, _: &About) -> Result<Verdict, Fault> {
        tokio::time::sleep(Duration::from_millis(job.milliseconds)).await;
        Ok(if job.fails {
            Verdict::Again("it said no".to_owned())
        } else {
            Verdict::Done
        })
    }

    async fn settle(
        &self,
        job: &Slow,
        verdict: Verdict,
        about: &About,
        tx: &Tx,
    ) -> Result<Verdict, Fault> {
        write(tx, about, job.number).await?;
        Ok(verdict)
    }
}
