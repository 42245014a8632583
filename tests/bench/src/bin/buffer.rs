//! `scripts/bench buffer`: the gateway's ledger on this machine's disk, with `synchronous=FULL` as always.
//!
//! First as fast as it goes, the whole process on one core, beside a baseline on the same disk: SQLite with a row for each
//! sample, as fast as SQLite can, FULL and a commit for each 1,000 rows. Then a minute of the demo depot as it is in real
//! time, which says what a day writes to a card; and another one in which critical samples come at any moment.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bench::{Figures, percentile};
use edge::{
    buffer::{Buffer, Options, Sample},
    clock::Clock,
};
use rusqlite::{Connection, params};
use shared_protocol::{Column, Encoding, SignalDef, SignalRef, SigningKey, Source, catalogue};

const ASSETS: u32 = 40;
const SAMPLES: usize = 3_000_000;
const BASELINE: usize = 1_000_000;
/// Samples that the demo depot makes in a second: 20 cars, 20 chargers, a meter. About half of them are live.
const DEPOT: u32 = 2_000;
const MINUTE: Duration = Duration::from_secs(60);
const PROBES: usize = 300;
/// A card of 32 GB bears 3,000 writes of each cell; a third of that is left for what its controller moves about.
const CARD: f64 = 32e9 * 3000.0 / 3.0;

fn columns(buffer: &Buffer, signal: &str, count: u32) -> Result<Vec<u32>> {
    let signal = catalogue()
        .by_name(signal)
        .context("a signal of the catalogue")?
        .id;
    (0..count)
        .map(|asset| {
            let def = SignalDef {
                signal: SignalRef::Catalogue(signal),
                encoding: Encoding::PLAIN,
            };
            let column = Column {
                asset: format!("asset-{asset:04}").parse()?,
                source: Source::Can,
                def,
            };
            Ok(buffer.columns().number(&column))
        })
        .collect()
}

/// Goes on as the same program on the last of the cores that it may use (taskset, of util-linux), unless it has only one.
fn on_one_core() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let cores = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .context("Cpus_allowed_list")?
        .trim();
    if cores.parse::<u32>().is_ok() {
        return Ok(());
    }
    let last = cores.rsplit(['-', ',']).next().context("a core")?;
    let error = Command::new("taskset")
        .arg("--cpu-list")
        .arg(last)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(error).context("taskset, of Debian's util-linux")
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

fn open(folder: &Path, clock: &Arc<Clock>) -> Result<Buffer> {
    let options = Options {
        folder: folder.to_owned(),
        quota: 4 << 30,
        gateway: "bench-1".parse()?,
        key: SigningKey::from_seed([1; 32]),
    };
    Ok(Buffer::open(options, clock.clone())?)
}

/// What sources give: a value that moves a little.
fn value(round: i64, column: u32) -> i64 {
    (round * 7 + i64::from(column)) % 10_000
}

/// As fast as it goes: one round is all assets at one instant.
async fn rush(folder: &Path, clock: &Arc<Clock>, figures: &mut Figures) -> Result<f64> {
    let buffer = open(folder, clock)?;
    let live = columns(&buffer, "Vehicle.Speed", ASSETS)?;
    let (began, cpu, disk) = (Instant::now(), cpu_seconds()?, written()?);
    for round in 0..(SAMPLES / ASSETS as usize) as i64 {
        let time_us = round * 1_000_000;
        let samples = live.iter().map(|&column| Sample {
            column,
            time_us,
            raw: value(round, column),
        });
        buffer.push(samples.collect()).await?;
    }
    buffer.flush().await?;
    let took = began.elapsed().as_secs_f64();
    let (cpu, disk) = (cpu_seconds()? - cpu, written()? - disk);
    buffer.stop().await?;
    let database = Connection::open(folder.join("buffer.sqlite"))?;
    let payload: f64 =
        database.query_row("SELECT total(length) FROM block", [], |row| row.get(0))?;
    let speed = SAMPLES as f64 / took;
    figures.add(
        "samples_per_s",
        speed,
        "samples made durable, the whole process on one core (bound 300,000)",
    );
    figures.add(
        "samples_per_cpu_s",
        SAMPLES as f64 / cpu,
        "the same for a second of processor time: what the disk and other processes leave out",
    );
    figures.add(
        "written_bytes_per_payload_byte",
        disk / payload,
        "bytes to the disk for a byte of a sealed block",
    );
    figures.add("payload_bytes_per_sample", payload / SAMPLES as f64, "");
    Ok(speed)
}

/// The same samples as rows.
fn baseline(folder: &Path) -> Result<f64> {
    let mut database = Connection::open(folder.join("rows.sqlite"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(
        "CREATE TABLE sample (id INTEGER PRIMARY KEY, col INTEGER, time INTEGER, raw INTEGER)",
    )?;
    let began = Instant::now();
    let rounds = (BASELINE / ASSETS as usize) as i64;
    for first in (0..rounds).step_by(25) {
        let transaction = database.transaction()?;
        for round in first..rounds.min(first + 25) {
            for column in 0..ASSETS {
                transaction
                    .prepare_cached("INSERT INTO sample (col, time, raw) VALUES (?1, ?2, ?3)")?
                    .execute(params![column, round * 1_000_000, value(round, column)])?;
            }
        }
        transaction.commit()?;
    }
    Ok(BASELINE as f64 / began.elapsed().as_secs_f64())
}

/// The demo depot: live and bulk signals, twice a second.
struct Depot {
    columns: Vec<u32>,
    round: i64,
    tick: tokio::time::Interval,
}

impl Depot {
    fn new(buffer: &Buffer) -> Result<Self> {
        let of_each = DEPOT / 4;
        let mut all = columns(buffer, "Vehicle.Speed", of_each)?;
        all.extend(columns(buffer, "Vehicle.Exterior.AirTemperature", of_each)?);
        Ok(Self {
            columns: all,
            round: 0,
            tick: tokio::time::interval(Duration::from_millis(500)),
        })
    }

    async fn give(&mut self, buffer: &Buffer, clock: &Clock) -> Result<()> {
        self.tick.tick().await;
        self.round += 1;
        let time_us = clock.tick_us();
        let samples = self.columns.iter().map(|&column| Sample {
            column,
            time_us,
            raw: value(self.round, column),
        });
        Ok(buffer.push(samples.collect()).await?)
    }
}

/// The demo depot without anything critical.
async fn quiet(buffer: &Buffer, clock: &Clock, figures: &mut Figures) -> Result<()> {
    let mut depot = Depot::new(buffer)?;
    // What a start writes is not what a day writes.
    for _ in 0..10 {
        depot.give(buffer, clock).await?;
    }
    let syncs = || buffer.state().borrow().syncs;
    let (began, before, disk) = (Instant::now(), syncs(), written()?);
    while began.elapsed() < MINUTE {
        depot.give(buffer, clock).await?;
    }
    let took = began.elapsed().as_secs_f64();
    let per_day = (written()? - disk) / took * 86_400.0;
    figures.add(
        "quiet_fsync_per_s",
        (syncs() - before) as f64 / took,
        "fsyncs a second, checkpoints included, at the demo depot's 2,000 samples/s (bound 1)",
    );
    figures.add(
        "card_gb_per_day",
        per_day / 1e9,
        "written to the card in a day at that rate",
    );
    figures.add(
        "card_years",
        CARD / per_day / 365.25,
        "that a 32 GB card of 3,000 cycles bears it, a third of them for us (bound 10)",
    );
    Ok(())
}

/// From push to COMMIT of critical samples that come at any moment, while the depot goes on.
async fn critical(buffer: &Buffer, clock: &Clock, figures: &mut Figures) -> Result<()> {
    let column = columns(buffer, "ErrorCode", 1)?[0];
    let mut depot = Depot::new(buffer)?;
    let (began, before) = (Instant::now(), buffer.state().borrow().syncs);
    let probes = async {
        let mut waits = Vec::new();
        for probe in 0..PROBES as u64 {
            // Something critical is open all the time: the next one comes within a tick.
            tokio::time::sleep(Duration::from_millis(probe * 37 % 101)).await;
            let produced = |state: &edge::buffer::State| {
                let critical = |one: &&edge::buffer::StreamTotals| {
                    one.stream == shared_protocol::Stream::Critical
                };
                state
                    .totals
                    .iter()
                    .find(critical)
                    .map_or(0, |one| one.produced)
            };
            let mut state = buffer.state();
            let before = produced(&state.borrow());
            let began = Instant::now();
            let sample = Sample {
                column,
                time_us: clock.tick_us(),
                raw: probe as i64,
            };
            buffer.push(vec![sample]).await?;
            state.wait_for(|state| produced(state) > before).await?;
            waits.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        Ok::<_, anyhow::Error>(waits)
    };
    let goes_on = async {
        loop {
            if let Err(error) = depot.give(buffer, clock).await {
                return error;
            }
        }
    };
    let mut waits = tokio::select! {
        waits = probes => waits?,
        error = goes_on => return Err(error),
    };
    let took = began.elapsed().as_secs_f64();
    figures.add(
        "fsync_per_s",
        (buffer.state().borrow().syncs - before) as f64 / took,
        "fsyncs a second, checkpoints included, while something critical is open (bound 8)",
    );
    figures.add(
        "durable_p50_ms",
        percentile(&mut waits, 0.5),
        "from push to COMMIT of a critical sample",
    );
    figures.add(
        "durable_p99_ms",
        percentile(&mut waits, 0.99),
        "the same (bound 250)",
    );
    Ok(())
}

fn main() -> Result<()> {
    on_one_core()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Where the disk is: a temporary folder may be in memory.
        let folder = tempfile::tempdir_in(std::env::current_dir()?)?;
        let clock = Arc::new(Clock::start()?);
        let mut figures = Figures::default();
        let speed = rush(&folder.path().join("rush"), &clock, &mut figures).await?;
        let rows = baseline(folder.path())?;
        figures.add(
            "row_samples_per_s",
            rows,
            "baseline: a row for each sample in SQLite, FULL, 1,000 rows a commit, the same core",
        );
        figures.add("ratio_to_rows", speed / rows, "ours over the baseline");
        let buffer = open(&folder.path().join("depot"), &clock)?;
        quiet(&buffer, &clock, &mut figures).await?;
        critical(&buffer, &clock, &mut figures).await?;
        buffer.stop().await?;
        figures.print();
        Ok(())
    })
}
