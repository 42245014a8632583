//! `scripts/bench buffer`: the gateway's ledger on this machine's disk, with `synchronous=FULL` as always.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bench::{Figures, percentile};
use edge::{
    buffer::{Buffer, Options, Sample},
    clock::Clock,
};
use shared_protocol::{Column, Encoding, SignalDef, SignalRef, SigningKey, Source, catalogue};

const ASSETS: u32 = 40;
const SAMPLES: usize = 3_000_000;
const PROBES: usize = 60;

fn columns(buffer: &Buffer, signal: &str) -> Result<Vec<u32>> {
    let signal = catalogue()
        .by_name(signal)
        .context("a signal of the catalogue")?
        .id;
    (0..ASSETS)
        .map(|asset| {
            let def = SignalDef {
                signal: SignalRef::Catalogue(signal),
                encoding: Encoding::PLAIN,
            };
            let column = Column {
                asset: format!("asset-{asset:02}").parse()?,
                source: Source::Can,
                def,
            };
            Ok(buffer.columns().number(&column))
        })
        .collect()
}

/// CPU time of this process in seconds, all threads (user and system).
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .context("stat")?
        .split_whitespace()
        .collect();
    // Fields 14 and 15 of proc(5), counted after the name; 100 ticks a second on every Linux.
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

/// Bytes that this process has caused to be written to the disk.
fn written() -> Result<f64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .context("write_bytes")?;
    Ok(line.trim().parse()?)
}

/// Commits per second: each is one fsync of the write-ahead log.
async fn commits_per_second(
    buffer: &Buffer,
    columns: &[u32],
    clock: &Clock,
    every: Duration,
    seconds: u64,
) -> Result<f64> {
    let mut state = buffer.state();
    state.mark_unchanged();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut commits = 0u32;
    let mut tick = tokio::time::interval(every);
    while Instant::now() < end {
        tokio::select! {
            _ = tick.tick() => {
                let time_us = clock.tick_us();
                let samples = columns.iter().map(|&column| Sample { column, time_us, raw: time_us / 1000 });
                buffer.push(samples.collect()).await?;
            }
            _ = state.changed() => commits += 1,
        }
    }
    Ok(f64::from(commits) / seconds as f64)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<()> {
    // Where the disk is: a temporary folder may be in memory.
    let folder = tempfile::tempdir_in(std::env::current_dir()?)?;
    let clock = Arc::new(Clock::start()?);
    let options = Options {
        folder: folder.path().to_owned(),
        quota: 4 << 30,
        gateway: "bench-1".parse()?,
        key: SigningKey::from_seed([1; 32]),
    };
    let buffer = Buffer::open(options, clock.clone())?;
    let live = columns(&buffer, "Vehicle.Speed")?;
    let critical = columns(&buffer, "ErrorCode")?;
    let mut figures = Figures::default();

    // As fast as it goes: one round is all assets at one instant.
    let (began, cpu, disk) = (Instant::now(), cpu_seconds()?, written()?);
    for round in 0..SAMPLES / ASSETS as usize {
        let time_us = round as i64 * 1_000_000;
        let samples = live.iter().map(|&column| Sample {
            column,
            time_us,
            raw: (round as i64 * 7 + i64::from(column)) % 10_000,
        });
        buffer.push(samples.collect()).await?;
    }
    buffer.flush().await?;
    let (took, cpu, disk) = (
        began.elapsed().as_secs_f64(),
        cpu_seconds()? - cpu,
        written()? - disk,
    );
    let payload: u64 = fs::metadata(folder.path().join("buffer.sqlite"))?.len();
    figures.add(
        "samples_per_s",
        SAMPLES as f64 / took,
        "samples made durable, wall time",
    );
    figures.add(
        "samples_per_cpu_s",
        SAMPLES as f64 / cpu,
        "the same for a second of one core",
    );
    figures.add(
        "written_bytes_per_payload_byte",
        disk / payload as f64,
        "bytes to the disk for a byte of the database",
    );
    figures.add(
        "database_bytes_per_sample",
        payload as f64 / SAMPLES as f64,
        "",
    );

    // A quiet depot, without and with something critical open.
    let quiet = commits_per_second(&buffer, &live, &clock, Duration::from_secs(1), 10).await?;
    figures.add(
        "quiet_fsync_per_s",
        quiet,
        "commits a second with live samples each second (bound 1 + bulk)",
    );
    let busy =
        commits_per_second(&buffer, &critical, &clock, Duration::from_millis(50), 10).await?;
    figures.add(
        "fsync_per_s",
        busy,
        "commits a second while critical samples come at 20 Hz (bound 8)",
    );

    // From push to durable.
    let mut waits = Vec::new();
    for probe in 0..PROBES {
        tokio::time::sleep(Duration::from_millis(37 * (probe as u64 % 7))).await;
        let mut state = buffer.state();
        let produced = |state: &edge::buffer::State| {
            state
                .totals
                .iter()
                .map(|totals| totals.produced)
                .sum::<u64>()
        };
        let before = produced(&state.borrow());
        let began = Instant::now();
        buffer
            .push(vec![Sample {
                column: critical[0],
                time_us: clock.tick_us(),
                raw: probe as i64,
            }])
            .await?;
        state.wait_for(|state| produced(state) > before).await?;
        waits.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    figures.add(
        "durable_p99_ms",
        percentile(&mut waits, 0.99),
        "from push to COMMIT of a critical sample (bound 250)",
    );
    buffer.stop().await?;
    figures.print();
    Ok(())
}
