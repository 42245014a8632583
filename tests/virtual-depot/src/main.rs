//! The command `virtual-depot`: runs a simulated depot until it is told to stop.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Parser;
use isotp::uds::Dtc;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use virtual_depot::{
    Config, Depot, Handle, Keys, Plan, Rates, Setup,
    stations::{Central, Speaks},
    yard::Wiring,
};

/// A simulated depot: electric cars on CAN buses, chargers and a meter, on loopback ports of this machine.
///
/// Prints `ready DIR/depot.json` when everything listens. Reads lines from its standard input: `pause`, `resume`,
/// `stop`, and of cars and of the stations that speak OCPP: `cut KEY` (its connection breaks), `power KEY` (it is without power for a
/// moment), `code CAR P0A1B-11` (its first ECU stores a trouble code), `codes CAR` (says which the car has), `finish` (all transactions end; says so when all of them were told and answered). Ends at `stop`, at the end of the input, at SIGTERM and at SIGINT: then nothing more is given to anybody and
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
    /// Where stations that speak OCPP connect: ws://127.0.0.1:9210/ocpp. Their identity is added.
    #[arg(long, requires = "speaks")]
    central: Option<String>,
    /// How stations are spoken with, in turn, between commas: modbus, ocpp1.6, ocpp2.0.1, or with an identity, ocpp1.6:CP-01.
    #[arg(long, value_delimiter = ',', requires = "central")]
    speaks: Vec<Speaks>,
    /// Drivers at stations that speak OCPP leave after about so many seconds, and come back.
    #[arg(long, requires = "central")]
    restless: Option<f64>,
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
        central: arguments.central.map(|url| Central {
            url,
            speaks: arguments.speaks,
            restless: arguments.restless,
        }),
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
                Some("finish") => {
                    let (told, refused) = depot.plugs().finish().await;
                    say(&format!("finished {told} {refused}"))?;
                }
                Some("") => {}
                Some(other) => match codes(&depot, other).await {
                    Some(said) => say(&said)?,
                    None => say(&asked(&depot, other))?,
                },
            }
        }
    }
    let summary = depot.stop().await?;
    say(&summary.to_string())
}

/// Does what is asked of a car's trouble codes, if it is that.
async fn codes(depot: &Handle, line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (verb, car) = (words.next()?, words.next()?);
    if !["code", "codes"].contains(&verb) {
        return None;
    }
    let Some(bus) = depot.car(car) else {
        return Some(format!("`{line}`: no car has this key"));
    };
    if verb == "code" {
        match words.next().unwrap_or_default().parse() {
            Ok(dtc) => bus.store(dtc).await,
            Err(error) => return Some(format!("`{line}`: {error}")),
        }
    }
    let codes: Vec<String> = bus.codes().await.iter().map(Dtc::to_string).collect();
    Some(format!("codes {car}: {}", codes.join(" ")))
}

/// Does what is asked of one station; what there is to say about it.
fn asked(depot: &Handle, line: &str) -> String {
    let done = match line.split_once(' ') {
        Some(("cut", key)) => depot.plugs().cut(key),
        Some(("power", key)) => {
            let index = depot.plugs().index(key);
            index.map(|index| depot.reboot(index)).is_some()
        }
        _ => {
            return format!(
                "`{line}` is not pause, resume, finish, code CAR CODE, codes CAR, cut KEY, power KEY or stop"
            );
        }
    };
    if done {
        format!("done {line}")
    } else {
        format!("`{line}`: no station that speaks OCPP has this key")
    }
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
