//! `patio-run`: the whole house from one command. `scripts/run` installs and builds what it needs and calls it.

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use end_to_end::{
    check,
    house::{Habits, House, Options, Replay},
    live::{Report, Screen, latest},
};
use tokio::signal::unix::{SignalKind, signal};

/// How long charging transactions may take to be told to their end.
const FINISH: Duration = Duration::from_secs(60);

/// Run a depot end to end: a virtual depot, a gateway, the cloud.
#[derive(Debug, Parser)]
#[command(name = "scripts/run")]
struct Arguments {
    /// Stop after so many seconds; without it, at Ctrl-C.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// At the end compare the database with what the depot said, sample by sample; the exit status tells.
    #[arg(long)]
    check: bool,
    /// Play a recorded bus (GVRET CSV, candump, Vector ASC, PCAN TRC) instead of the virtual cars. Needs --dbc.
    #[arg(long, value_name = "FILE", requires = "dbc")]
    replay: Option<PathBuf>,
    /// DBC file for the recording, `FILE` or `FILE@BUS`; may be given several times.
    #[arg(long, value_name = "FILE[@BUS]", requires = "replay")]
    dbc: Vec<String>,
    /// How much faster than real the recording is played and the virtual cars live.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Virtual cars.
    #[arg(long, default_value_t = 20)]
    cars: u32,
    /// The depot file whose stations and meter are simulated.
    #[arg(long, value_name = "FILE", overrides_with = "depot")]
    depot: Option<PathBuf>,
    /// How the stations of the depot file are spoken with, in turn: modbus, ocpp1.6, ocpp2.0.1; `file`: as it says.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "modbus,ocpp1.6,ocpp2.0.1"
    )]
    speaks: Vec<String>,
    /// So many virtual charging stations of no depot file.
    #[arg(long, value_name = "N")]
    chargers: Option<u32>,
    /// Seed of the virtual depot.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for keys, configuration, buffer and logs.
    #[arg(long, default_value = ".patio/run")]
    folder: PathBuf,
    /// The database server; `scripts/db url` prints that of the private one.
    #[arg(long, env = "PATIO_DATABASE_URL")]
    database_url: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting")
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> Result<bool> {
    if arguments.check && arguments.replay.is_some() {
        bail!(
            "--check compares with the virtual depot's truth; a recording has none: leave one of the two out"
        );
    }
    let (folder, database_url) = if arguments.check {
        // A check begins with nothing, or the figures of an earlier run would be in it.
        let folder = arguments.folder.with_file_name("check");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        (
            folder,
            check::fresh_database(&arguments.database_url, "patio_check").await?,
        )
    } else {
        (
            arguments.folder.clone(),
            check::database(&arguments.database_url, "patio").await?,
        )
    };
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // A number of stations is asked for instead of a depot file.
    let file = arguments.depot.as_ref();
    let file = file.filter(|_| arguments.chargers.is_none());
    let options = Options {
        folder: folder.canonicalize()?,
        database_url: database_url.clone(),
        cars: arguments.cars,
        chargers: arguments.chargers.unwrap_or(20),
        seed: arguments.seed,
        speed: if arguments.replay.is_some() {
            1.0
        } else {
            arguments.speed
        },
        replay: replay(&arguments)?,
    };
    let mut house = match file {
        Some(file) => {
            let habits = Habits {
                speaks: match &arguments.speaks[..] {
                    [one] if one == "file" => Vec::new(),
                    names => names.to_vec(),
                },
                ..Habits::default()
            };
            House::of_depot(options, file, habits).await?
        }
        None => House::set_up(options).await?,
    };
    house.start_cloud().await?;
    house.start_edge()?;
    println!(
        "docs {http}/docs · metrics {http}/metrics · logs and key of the API {folder}\n\
         curl -H \"Authorization: Bearer $(cat {key})\" {http}/v1/assets",
        http = house.http(),
        folder = house.folder().display(),
        key = house.path("api.key").display(),
    );
    let watched = watch(&mut house, arguments.seconds.map(Duration::from_secs)).await;
    println!("\nstopping");
    let finished = if arguments.check {
        house.finish_depot(FINISH).await.map(drop)
    } else {
        Ok(())
    };
    let stopped = house.stop().await;
    watched.and(finished).and(stopped)?;
    if !arguments.check {
        return Ok(true);
    }
    let verdict = check::check(
        &database_url,
        &house.path("buffer"),
        &house.path("depot").join("truth.jsonl"),
    )
    .await?;
    println!("{}", verdict.report);
    let ledger = verdict.ledger;
    println!(
        "gateway: {} produced, {} acknowledged, {} waiting, {} dropped · database: {} stored",
        ledger.produced, ledger.acknowledged, ledger.waiting, ledger.dropped, verdict.stored
    );
    let transactions = house.path("depot").join("transactions.jsonl");
    let transactions = check::transactions(&database_url, &transactions).await?;
    println!("{transactions}");
    let good = verdict.is_conserved()
        && verdict.report.is_exact()
        && verdict.stored > 0
        && transactions.is_exact();
    println!(
        "{}",
        if good {
            "check: every sample and every charging transaction is stored exactly once"
        } else {
            "check: FAILED"
        }
    );
    Ok(good)
}

fn replay(arguments: &Arguments) -> Result<Option<Replay>> {
    let Some(log) = &arguments.replay else {
        return Ok(None);
    };
    let log = log
        .canonicalize()
        .with_context(|| log.display().to_string())?;
    let mut dbcs = Vec::new();
    for text in &arguments.dbc {
        let (path, bus) = match text.rsplit_once('@') {
            Some((path, bus)) => (
                path,
                Some(
                    bus.parse()
                        .with_context(|| format!("--dbc {text}: the bus is a number"))?,
                ),
            ),
            None => (text.as_str(), None),
        };
        dbcs.push((
            PathBuf::from(path)
                .canonicalize()
                .with_context(|| path.to_owned())?,
            bus,
        ));
    }
    Ok(Some(Replay {
        log,
        dbcs,
        speed: arguments.speed,
    }))
}

/// Shows the state until the time is over or somebody wants to stop; errors when a program ends by itself.
async fn watch(house: &mut House, duration: Option<Duration>) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let began = Instant::now();
    let (http, key) = (house.http(), house.api_key()?);
    let mut screen = Screen::default();
    let mut values = String::new();
    loop {
        let left = duration.map_or(Duration::MAX, |duration| {
            duration.saturating_sub(began.elapsed())
        });
        let edge = house.edge.as_mut().context("the gateway was started")?;
        let line = tokio::select! {
            line = edge.line() => line,
            () = tokio::time::sleep(left) => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        let Some(line) = line else {
            bail!("the gateway has ended:\n{}", edge.log_end())
        };
        let report: Report = serde_json::from_str(&line).with_context(|| line.clone())?;
        if !report.conserved() {
            bail!("the gateway's counters do not add up: {line}");
        }
        if began.elapsed().as_secs().is_multiple_of(2) {
            let (http, key) = (http.clone(), key.clone());
            let (station, meter) = house.shown();
            values =
                tokio::task::spawn_blocking(move || latest(&http, &key, &station, &meter)).await?;
        }
        screen.show(&report, &values);
        for process in [&mut house.cloud, &mut house.depot] {
            let process = process.as_mut().context("it was started")?;
            if !process.runs() {
                bail!("a program has ended:\n{}", process.log_end());
            }
        }
    }
}
