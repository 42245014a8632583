//! The command line. Exit status: 0 done, 1 it failed while running, 2 something given to it is wrong and nothing was
//! started, 70 a loop of the gateway stood still and nothing helped but a new start.

mod commission;
mod decode;
mod keygen;
mod learn;
mod pin;
mod run;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use edge::gateway::Around;
use shared_protocol::AssetKey;

#[derive(Parser)]
#[command(
    name = "edge",
    version,
    about = "The depot gateway",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C.
    Run {
        /// Its configuration; `firmware-config schema gateway` explains every key.
        #[arg(long)]
        config: PathBuf,
        /// Print one JSON line about its state on standard output every second.
        #[arg(long)]
        report: bool,
        /// End when every recording has been played to its end and acknowledged (or after a minute without).
        #[arg(long)]
        until_played: bool,
        /// Show metrics over HTTP at this address of this machine (127.0.0.1:9187), at /metrics.
        #[arg(long, value_name = "ADDRESS", env = "PATIO_METRICS")]
        metrics: Option<SocketAddr>,
        /// Feed this hardware watchdog (/dev/watchdog) as long as all that matters moves.
        #[arg(long, value_name = "DEVICE", env = "PATIO_WATCHDOG")]
        watchdog: Option<PathBuf>,
        /// Make samples of the metrics this often, in seconds, instead of each minute.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
        metrics_every: Option<u64>,
    },
    /// Print every metric with its cause and what to do about it.
    Metrics,
    /// Check a configuration and everything that it names, start nothing.
    Check {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Have the gateway that runs test a station at which a car charges: whether it ends by itself what it was told for a
    /// time. What was found is kept; a station that goes on counts with its maximum when nobody hears it.
    Commission {
        /// The configuration with which the gateway runs.
        #[arg(long)]
        config: PathBuf,
        /// The station, by its id in the depot file.
        station: AssetKey,
    },
    /// Make a secret key for a gateway and print its public half.
    Keygen {
        /// The new file; an existing one is never overwritten.
        #[arg(long)]
        out: PathBuf,
    },
    /// Read a PIN from standard input and print its hash, for `pin` under [page] of the configuration.
    Pin,
    /// Decode recordings: print samples as JSON lines.
    Decode(decode::Arguments),
    /// Learn what an unknown car says: record its bus, and rank what explains readings of the dashboard.
    #[command(subcommand)]
    Learn(learn::Learn),
}

/// What a command ends with when it does not end well.
pub(crate) enum Failure {
    /// Something that was given is wrong; nothing was started.
    Input(String),
    /// It failed while running.
    Running(String),
}

impl Failure {
    fn input(error: impl std::fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    fn running(error: impl std::fmt::Display) -> Self {
        Self::Running(error.to_string())
    }
}

pub(crate) fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run {
            config,
            report,
            until_played,
            metrics,
            watchdog,
            metrics_every,
        } => {
            let around = Around {
                metrics,
                watchdog,
                metrics_every: metrics_every.map(Duration::from_secs),
            };
            run::run(&config, &around, report, until_played)
        }
        Command::Metrics => {
            print!("{}", edge::health::markdown());
            Ok(())
        }
        Command::Check { config } => run::check(&config),
        Command::Commission { config, station } => commission::commission(&config, &station),
        Command::Keygen { out } => keygen::keygen(&out),
        Command::Pin => pin::pin(),
        Command::Learn(learn) => learn::learn(learn),
        Command::Decode(arguments) => decode::decode(&arguments),
    };
    let (message, status) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Input(message)) => (message, 2),
        Err(Failure::Running(message)) => (message, 1),
    };
    eprintln!("{}", message.trim_end());
    ExitCode::from(status)
}
