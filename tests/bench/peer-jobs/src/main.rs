//! The peer of `scripts/bench jobs`: `peer-jobs URL JOBS CONCURRENCY batched|alone` does so many jobs with graphile_worker,
//! each of which writes one row into public.effect, and prints how many it did a second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use deadpool_postgres::{Manager, Pool};
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext,
    WorkerOptions, tokio_postgres::TokioPostgresDatabase,
};
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;

#[derive(Serialize, Deserialize)]
struct Write {
    number: i64,
}

#[derive(Clone, Debug)]
struct Rows(Pool);

impl TaskHandler for Write {
    const IDENTIFIER: &'static str = "write";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let written = write(&context, self.number).await;
        written.map_err(|error| error.to_string())
    }
}

async fn write(context: &WorkerContext, number: i64) -> Result<()> {
    let Rows(pool) = context.get_ext::<Rows>().context("the pool")?;
    let client = pool.get().await?;
    let statement = client
        .prepare_cached("INSERT INTO public.effect (number) VALUES ($1)")
        .await?;
    client.execute(&statement, &[&number]).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, jobs, concurrency, how] = &words[..] else {
        bail!("usage: peer-jobs URL JOBS CONCURRENCY batched|alone");
    };
    let (jobs, concurrency): (i64, usize) = (jobs.parse()?, concurrency.parse()?);
    let manager = Manager::new(url.parse()?, NoTls);
    let pool = Pool::builder(manager).max_size(concurrency).build()?;
    let mut options = WorkerOptions::default()
        .concurrency(concurrency)
        .schema("peer")
        .listen_os_shutdown_signals(false)
        .database(TokioPostgresDatabase::from_url(url, concurrency)?)
        .add_extension(Rows(pool))
        .define_job::<Write>();
    if how == "batched" {
        options = options
            .local_queue(LocalQueueConfig::default().with_size(512))
            .complete_job_batch_delay(Duration::from_millis(5));
    }
    let worker = options.init().await?;
    let wanted: Vec<RawJobSpec> = (0..jobs)
        .map(|number| {
            Ok(RawJobSpec {
                identifier: Write::IDENTIFIER.to_owned(),
                payload: serde_json::to_value(Write { number })?,
                spec: JobSpec::default(),
            })
        })
        .collect::<Result<_>>()?;
    worker.create_utils().add_raw_jobs(&wanted).await?;
    let begun = Instant::now();
    worker.run_once().await?;
    println!("{}", jobs as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}
