//! The command `virtual-depot`: runs a simulated depot until it is told to stop.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use virtual_depot::{Config, Depot, Keys, Plan, Rates, Setup, yard::Wiring};

/// A simulated depot: electric cars on CAN buses, chargers and a meter, on loopback ports of this machine.
///
/// Prints `ready DIR/depot.json` when everything listens. Reads lines from its standard input: `pause`, `resume`,
/// `stop`. Ends at `stop`, at the end of the input, at SIGTERM and at SIGINT: then nothing more is given to anybody and
/// DIR/truth.jsonl is complete.
#[derive(Parser)]
struct Arguments {
    /// Folder for depot.json, truth.jsonl and the car's profile.
    #[arg(long)]
    dir: PathBuf,
    /// Where all chance comes from: the same seed gives the same depot.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many cars.
    #[arg(long, default_value_t = 20)]
    cars: usize,
    /// How many chargers.
    #[arg(long, default_value_t = 20)]
    chargers: usize,
    /// What the chargers are called, between commas; then there are as many.
    #[arg(
        long,
        value_delimiter = ',',
        conflicts_with = "chargers",
        requires = "meter_key"
    )]
    charger_keys: Vec<String>,
    /// The phases that they are wired to, between commas: L1-L2,L2-L3; in turn if absent.
    #[arg(long, value_delimiter = ',', requires = "charger_keys")]
    charger_phases: Vec<Wiring>,
    /// What the meter is called.
    #[arg(long, requires = "charger_keys")]
    meter_key: Option<String>,
    /// Simulated seconds in a second.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// What the fleet does.
    #[arg(long, value_enum, default_value_t = Plan::Shifts)]
    plan: Plan,
    /// What goes wrong, as rates: late=0.01,drop=0.005 or all=0.01.
    #[arg(long, default_value = "")]
    faults: Rates,
    /// First port: cars here, chargers and meter on those that follow. Any free ports if absent.
    #[arg(long)]
    port_base: Option<u16>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let arguments = Arguments::parse();
    let stations = arguments.charger_keys;
    let chargers = if stations.is_empty() {
        arguments.chargers
    } else {
        stations.len()
    };
    let config = Config {
        dir: arguments.dir.clone(),
        setup: Setup {
            seed: arguments.seed,
            cars: arguments.cars,
            chargers,
            speed: arguments.speed,
            plan: arguments.plan,
            wiring: arguments.charger_phases,
        },
        faults: arguments.faults,
        port_base: arguments.port_base,
        keys: arguments.meter_key.map(|meter| Keys { stations, meter }),
    };
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let depot = Depot::start(config).await?;
    say(&format!(
        "ready {}",
        arguments.dir.join("depot.json").display()
    ))?;
    let mut lines = lines_of_input();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            line = lines.recv() => match line.as_deref().map(str::trim) {
                None | Some("stop") => break,
                Some("pause") => {
                    depot.pause().await;
                    say("paused")?;
                }
                Some("resume") => {
                    depot.resume();
                    say("resumed")?;
                }
                Some("") => {}
                Some(other) => say(&format!("`{other}` is not pause, resume or stop"))?,
            }
        }
    }
    let summary = depot.stop().await?;
    say(&summary.to_string())
}

/// The lines of standard input; the channel closes at its end. A thread of its own waits for them, which does not keep
/// the process from ending.
fn lines_of_input() -> mpsc::Receiver<String> {
    let (lines, received) = mpsc::channel(16);
    std::thread::spawn(move || {
        let input = std::io::stdin().lines().map_while(Result::ok);
        for line in input {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    received
}

/// Prints a line at once: whoever started this waits for it.
fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("standard output is closed")
}
