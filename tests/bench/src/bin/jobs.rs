//! `scripts/bench jobs`: jobs done a second, against graphile_worker (the Rust port of Graphile Worker, which lives on
//! PostgreSQL, too) on the same server in the same run, with the same number of connections and the same effect: one row.
//!
//! Each is measured twice: one job at a time, and with what it offers for many short jobs (here: jobs of an organisation
//! share a transaction; there: jobs are fetched and completed in batches). Here the effect and the end of the job are one
//! transaction in both; there the effect commits first, and a crash in between does it again.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bench::Figures;
use jobs::{About, Bell, Effect, Fault, Job, Policy, Priority, Settings, Tx, Worker, enqueue_many};
use platform::{
    Clock, Db, OrganizationId, Scope, migrate,
    testing::{TestDatabase, on_each_database},
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

const JOBS: i64 = 20_000;
const ORGANIZATIONS: i64 = 4;
const CONCURRENCY: usize = 8;

/// A number to be written; `alone`, or together with others.
#[derive(Serialize, Deserialize)]
struct Alone {
    number: i64,
}

#[derive(Serialize, Deserialize)]
struct Together {
    number: i64,
}

impl Job for Alone {
    const KIND: &'static str = "bench.alone";
}

impl Job for Together {
    const KIND: &'static str = "bench.together";
    const POLICY: Policy = Policy {
        together: 32,
        ..Policy::DEFAULT
    };
}

const WRITE: &str = "INSERT INTO public.effect (number) VALUES ($1)";

struct WriteAlone;
struct WriteTogether;

impl Effect for WriteAlone {
    type Job = Alone;

    async fn run(&self, job: Alone, _: &About, tx: &Tx) -> Result<(), Fault> {
        let statement = tx.prepare_cached(WRITE).await?;
        tx.execute(&statement, &[&job.number]).await?;
        Ok(())
    }
}

impl Effect for WriteTogether {
    type Job = Together;

    async fn run(&self, job: Together, _: &About, tx: &Tx) -> Result<(), Fault> {
        let statement = tx.prepare_cached(WRITE).await?;
        tx.execute(&statement, &[&job.number]).await?;
        Ok(())
    }
}

async fn prepared(database: &TestDatabase) -> Result<(Db, Vec<Scope>)> {
    let db = database.connect().await;
    migrate(&db, &[platform::room(), jobs::room()]).await?;
    db.owner()
        .await?
        .batch_execute("CREATE TABLE public.effect (number bigint); GRANT ALL ON public.effect TO patio_app, patio_system")
        .await?;
    let mut scopes = Vec::new();
    for at in 0..ORGANIZATIONS {
        let row = db
            .system()
            .await?
            .query_one(
                "INSERT INTO platform.organization (name) VALUES ($1) RETURNING id",
                &[&format!("o{at}")],
            )
            .await?;
        scopes.push(Scope::of_system(OrganizationId(row.get(0)), "bench"));
    }
    Ok((db, scopes))
}

/// Asks for the jobs, then measures how long a worker takes for them.
async fn ours<J: Job>(
    db: &Db,
    url: &str,
    scopes: &[Scope],
    make: fn(i64) -> J,
    handled: impl FnOnce(Worker) -> Worker,
) -> Result<f64> {
    for (scope, first) in scopes.iter().zip(0..) {
        let share: Vec<J> = (0..JOBS / ORGANIZATIONS)
            .map(|n| make(first * JOBS + n))
            .collect();
        let tx = db.tenant(scope).await?;
        enqueue_many(
            &tx,
            Some(scope),
            &share,
            Priority::Normal,
            Clock::system().now(),
        )
        .await?;
        tx.commit().await?;
    }
    let settings = Settings {
        concurrency: CONCURRENCY,
        per_organization: CONCURRENCY,
        prefetch: 512,
        ..Settings::default()
    };
    let worker = Worker::new(
        db.clone(),
        Clock::system(),
        Bell::listen(url, "jobs"),
        settings,
    );
    let stop = CancellationToken::new();
    let begun = Instant::now();
    let running = tokio::spawn(handled(worker).run(stop.clone()));
    until_written(db).await?;
    let took = begun.elapsed();
    stop.cancel();
    running.await??;
    Ok(JOBS as f64 / took.as_secs_f64())
}

/// Waits until all rows are there, each once, and clears them away.
async fn until_written(db: &Db) -> Result<()> {
    let client = db.system().await?;
    loop {
        let row = client
            .query_one(
                "SELECT count(*), count(DISTINCT number) FROM public.effect",
                &[],
            )
            .await?;
        let (rows, numbers): (i64, i64) = (row.get(0), row.get(1));
        if rows >= JOBS {
            ensure!(
                (rows, numbers) == (JOBS, JOBS),
                "{rows} rows, {numbers} numbers"
            );
            db.owner()
                .await?
                .batch_execute("TRUNCATE public.effect")
                .await?;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the peer does, in a program of its own (`peer-jobs`).
async fn peer(db: &Db, url: &str, how: &str) -> Result<f64> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/peer-jobs/Cargo.toml");
    let output = tokio::process::Command::new(cargo)
        .args([
            "run",
            "--quiet",
            "--locked",
            "--release",
            "--manifest-path",
            manifest,
            "--",
        ])
        .args([url, &JOBS.to_string(), &CONCURRENCY.to_string(), how])
        .stderr(Stdio::inherit())
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "the peer ended with {}",
        output.status
    );
    until_written(db).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim()
        .parse()
        .with_context(|| format!("the peer said `{said}`"))
}

async fn measure(database: &TestDatabase) -> Result<Figures> {
    let (db, scopes) = prepared(database).await?;
    let url = &database.url;
    let mut figures = Figures::default();
    let together = ours(
        &db,
        url,
        &scopes,
        |number| Together { number },
        |worker| worker.effect(WriteTogether),
    )
    .await?;
    let peer_together = peer(&db, url, "batched").await?;
    let alone = ours(
        &db,
        url,
        &scopes,
        |number| Alone { number },
        |worker| worker.effect(WriteAlone),
    )
    .await?;
    let peer_alone = peer(&db, url, "alone").await?;
    figures.add(
        "jobs_per_s",
        together,
        "short jobs, up to 32 of an organisation in a transaction",
    );
    figures.add(
        "peer_jobs_per_s",
        peer_together,
        "graphile_worker, fetched and completed in batches",
    );
    figures.add("ratio_to_peer", together / peer_together, "");
    figures.add("alone_jobs_per_s", alone, "a transaction each");
    figures.add(
        "alone_peer_jobs_per_s",
        peer_alone,
        "graphile_worker, one by one",
    );
    figures.add("alone_ratio_to_peer", alone / peer_alone, "");
    Ok(figures)
}

fn main() -> Result<()> {
    let outcome: Arc<Mutex<Option<Result<Figures>>>> = Arc::default();
    let shared = Arc::clone(&outcome);
    // On the first database that is named; the others have the same tables.
    on_each_database(move |database| {
        let shared = Arc::clone(&shared);
        async move {
            let known = shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some();
            if !known {
                let figures = measure(&database).await;
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
            }
        }
    });
    let figures = outcome
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .context("PATIO_TEST_DATABASE_URLS names no database: scripts/bench jobs starts one")??;
    figures.print();
    Ok(())
}
