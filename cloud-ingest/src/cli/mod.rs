//! The command line. Exit status 0: done; 1: it failed; 2: bad input, and nothing was started or changed.
//!
//! - `failure`: what is said, and the status
//! - `gateways` · `devices` · `commands` · `database` · `backup` · `quarantine` · `configuration`: one command each; `people`: organisations, users, keys
//! - `privacy`: personal data, and what people ask about theirs
//! - `transfer`: samples leave and come in as files
//! - `safety`: the audit trail and the keys that seal secrets
//! - the long-running ones are `crate::serve` and `crate::broker::child`

mod backup;
mod commands;
mod configuration;
mod database;
mod devices;
mod failure;
mod gateways;
mod oidc;
mod people;
mod privacy;
mod quarantine;
mod safety;
mod transfer;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use platform::Db;

pub use failure::Failure;

use crate::{
    broker::{Pace, child},
    config::Config,
    keys, log, serve,
};

/// The variable that names the database; it wins over configuration files.
pub const DATABASE_VARIABLE: &str = "PATIO_DATABASE_URL";
/// The variable that names the login that owns the tables, where it is another one; it wins, too.
pub const OWNER_VARIABLE: &str = "PATIO_DATABASE_OWNER_URL";

/// The cloud of Patio: takes blocks from gateways, keeps them in PostgreSQL, and answers.
#[derive(Debug, Parser)]
#[command(name = "cloud-ingest", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run: ingest, HTTP API, and the embedded broker when it is configured.
    Serve {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// How long to wait for a database that cannot be reached yet, in seconds.
        #[arg(long, default_value_t = 30, value_name = "SECONDS")]
        database_wait: u64,
    },
    /// Run the embedded MQTT broker alone.
    Broker {
        /// IP address and port; port 0 takes a free one.
        #[arg(long)]
        listen: SocketAddr,
        /// Everybody who reaches an address outside this machine may publish and listen.
        #[arg(long)]
        trusted_network: bool,
        /// Where `serve` finds it.
        #[arg(long, hide = true)]
        inner: Option<SocketAddr>,
        /// Bytes that a client may publish each second; twice as many at once.
        #[arg(long, default_value_t = Pace::DEFAULT.bytes)]
        client_bytes: NonZeroU32,
        /// Messages that a client may publish each second; twice as many at once.
        #[arg(long, default_value_t = Pace::DEFAULT.messages)]
        client_messages: NonZeroU32,
        /// End when standard input ends.
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
        /// Least serious thing that is logged.
        #[arg(long, default_value = "warn", value_parser = ["error", "warn", "info", "debug", "trace"])]
        log_level: String,
        /// For people or for programs.
        #[arg(long, default_value = "text", value_parser = ["text", "json"])]
        log_format: String,
    },
    /// Make a secret key and print its public half.
    Keygen {
        /// The file to make.
        #[arg(long)]
        out: PathBuf,
    },
    /// Look at a configuration file, or learn what may stand in it.
    #[command(subcommand)]
    Config(configuration::Command),
    /// The register of gateways.
    #[command(subcommand)]
    Gateway(Box<gateways::Command>),
    /// The register of devices that are no gateways: trackers, vehicles of telematics services, devices that speak JSON.
    #[command(subcommand)]
    Device(Box<devices::Device>),
    /// The MyGeotab databases that are asked.
    #[command(subcommand)]
    Geotab(Box<devices::Geotab>),
    /// Organisations: who owns gateways and assets.
    #[command(subcommand)]
    Organization(people::Organization),
    /// People who sign in.
    #[command(subcommand)]
    User(people::User),
    /// API keys of programs.
    #[command(subcommand)]
    Key(people::Key),
    /// Providers at which people sign in (OpenID Connect).
    #[command(subcommand)]
    Oidc(oidc::Command),
    /// Database logins of dashboards.
    #[command(subcommand)]
    Reader(people::Reader),
    /// The database and its tables.
    #[command(subcommand)]
    Database(database::Command),
    /// Backups of the database and of the store of files.
    #[command(subcommand)]
    Backup(Box<backup::Command>),
    /// What gateways are told to do.
    #[command(subcommand)]
    Command(commands::Command),
    /// Messages that could not be used.
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Write stored samples to a file, CSV or Parquet, in the order of time: of some assets, or of all of an organisation.
    ///
    /// Each row carries the raw integer with its exact scale, so that what is imported from the file is the same bit for bit.
    /// The file appears when it is whole, and when the audit trail says that it does.
    Export(Box<transfer::Export>),
    /// Store the samples of a file that `export` has written, each once.
    ///
    /// A file with anything wrong in it is refused as a whole, with line (or row), column and reason. What is stored already is
    /// not stored again: importing twice, or where the file came from, changes nothing, and after a crash it stores the rest.
    Import(Box<transfer::Import>),
    /// The audit trail: who did what.
    #[command(subcommand)]
    Audit(safety::Audit),
    /// Personal data: what is kept, and what people ask about theirs.
    #[command(subcommand)]
    Privacy(privacy::Command),
    /// The keys that seal secrets.
    #[command(subcommand)]
    Vault(safety::Vault),
}

/// Which database a command is about.
#[derive(Debug, Args)]
struct Where {
    /// URL of the database.
    #[arg(long, env = DATABASE_VARIABLE, hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// A configuration file that names the database.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Where {
    /// The URL, and that of the login that owns the tables, where a file names another one.
    fn urls(self) -> Result<(String, Option<String>), Failure> {
        match (self.database, self.config) {
            (Some(url), _) => Ok((url, None)),
            (None, Some(file)) => Ok(Config::database_urls(&file)?),
            (None, None) => Err(Failure::bad_input(format!(
                "which database? give --database URL or --config FILE, or set {DATABASE_VARIABLE}"
            ))),
        }
    }

    async fn connect(self) -> Result<Db, Failure> {
        let (url, owner) = self.urls()?;
        let owner = from_environment(OWNER_VARIABLE).or(owner);
        let owner = owner.as_deref().unwrap_or(&url);
        Ok(Db::connect_with(&url, owner, 2).await?)
    }
}

/// What the environment names; an empty name is none.
fn from_environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty())
}

/// A configuration file, with what the environment says of the database.
fn read_config(file: &std::path::Path) -> Result<Config, Failure> {
    let (url, owner) = (
        from_environment(DATABASE_VARIABLE),
        from_environment(OWNER_VARIABLE),
    );
    Ok(Config::read(file, url, owner)?)
}

/// Runs the program.
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve {
            config,
            database_wait,
        } => {
            let config = read_config(&config)?;
            log::start(&config.log.level, &config.log.format);
            in_runtime(serve::run(config, Duration::from_secs(database_wait)))
        }
        Command::Broker {
            listen,
            trusted_network,
            inner,
            client_bytes,
            client_messages,
            until_stdin_closes,
            log_level,
            log_format,
        } => {
            if !(listen.ip().is_loopback() || trusted_network || until_stdin_closes) {
                return Err(Failure::bad_input(format!(
                    "--listen {listen} can be reached from outside this machine, and the broker asks nobody who they \
                     are: listen on 127.0.0.1, or say --trusted-network if you mean it"
                )));
            }
            log::start(&log_level, &log_format);
            child::run(child::Options {
                listen,
                inner,
                pace: Pace {
                    bytes: client_bytes,
                    messages: client_messages,
                },
                until_stdin_closes,
            })
        }
        Command::Keygen { out } => {
            let public = keys::generate(&out).map_err(|error| {
                let advice = error.advice(&out);
                Failure::bad_input(format!("{}: {error} ({advice})", out.display()))
            })?;
            println!("{public}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(command) => configuration::run(command),
        Command::Organization(command) => in_runtime(people::organization(command)),
        Command::User(command) => in_runtime(people::user(command)),
        Command::Key(command) => in_runtime(people::key(command)),
        Command::Oidc(command) => in_runtime(oidc::run(command)),
        Command::Reader(command) => in_runtime(people::reader(command)),
        Command::Gateway(command) => in_runtime(gateways::run(*command)),
        Command::Device(command) => in_runtime(devices::device(*command)),
        Command::Geotab(command) => in_runtime(devices::geotab(*command)),
        Command::Database(command) => {
            log::start("warn", "text");
            in_runtime(database::run(command))
        }
        Command::Backup(command) => in_runtime(backup::run(*command)),
        Command::Command(command) => in_runtime(commands::run(command)),
        Command::Quarantine(command) => in_runtime(quarantine::run(command)),
        Command::Export(command) => in_runtime(transfer::export(*command)),
        Command::Import(command) => in_runtime(transfer::import(*command)),
        Command::Audit(command) => in_runtime(safety::audit(command)),
        Command::Privacy(command) => in_runtime(privacy::run(command)),
        Command::Vault(command) => in_runtime(safety::vault(command)),
    }
}

fn in_runtime(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(format!("the operating system gives no threads: {error}")))?
        .block_on(work)
}
