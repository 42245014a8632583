//! `cloud-ingest device …` · `geotab …`: devices that are no gateways, and the services that know some of them.

use std::{io::Read as _, process::ExitCode, time::Duration};

use clap::Subcommand;
use devices::{Kind, Register, command, read};
use jiff::Timestamp;
use platform::Clock;

use super::{Failure, Where, read_config};

#[derive(Debug, Subcommand)]
pub(super) enum Device {
    /// Register a device; doing it again changes nothing.
    Add {
        /// What it is: teltonika, geotab, json.
        #[arg(long, value_parser = parse_kind)]
        kind: Kind,
        /// How it names itself: its IMEI; database/id at MyGeotab; the last level of its topic.
        key: String,
        /// The number of the asset that it measures; without it a vehicle is made.
        #[arg(long)]
        asset: Option<i32>,
        /// Name of the organisation that owns it.
        #[arg(long, default_value = "default")]
        organization: String,
        #[command(flatten)]
        place: Where,
    },
    /// List the devices, with what of theirs is not stored.
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Take nothing more of a device. What it has measured stays.
    Remove {
        /// What it is.
        #[arg(long, value_parser = parse_kind)]
        kind: Kind,
        /// How it names itself.
        key: String,
        #[command(flatten)]
        place: Where,
    },
    /// Tell a Teltonika tracker something, such as `getinfo`. A running `cloud-ingest serve` sends it, once, when the tracker
    /// is connected.
    Command {
        /// Its IMEI.
        imei: String,
        /// What it is to do.
        text: String,
        /// How long it is valid, in seconds.
        #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=2_592_000))]
        valid: u64,
        #[command(flatten)]
        place: Where,
    },
    /// List commands to devices and what they answered, newest first.
    Commands {
        #[command(flatten)]
        place: Where,
    },
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.into_iter().find(|kind| kind.word() == text);
    known.ok_or_else(|| "there are teltonika, geotab and json".to_owned())
}

pub(super) async fn device(command: Device) -> Result<ExitCode, Failure> {
    match command {
        Device::Add {
            kind,
            key,
            asset,
            organization,
            place,
        } => {
            let register = Register::new(place.connect().await?, Clock::system());
            let device = register.add(&organization, kind, &key, asset).await?;
            println!(
                "{key}: registered with {organization}, measures asset {}",
                device.asset
            );
        }
        Device::List { place } => {
            let client = place.connect().await?.system().await?;
            println!(
                "{:<10}  {:<24}  {:<20}  {:>6}  {:>10}  {:<20}  STATE",
                "KIND", "KEY", "ORGANIZATION", "ASSET", "RECORDS", "LATEST"
            );
            let mut after = 0;
            loop {
                let page = read::list(&client, after, 1000).await?;
                for device in &page {
                    let latest = device
                        .last_at
                        .map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
                    let state = device
                        .removed_at
                        .map_or_else(|| "in service".to_owned(), |at| format!("removed {at:.0}"));
                    println!(
                        "{:<10}  {:<24}  {:<20}  {:>6}  {:>10}  {latest:<20}  {state}",
                        device.kind, device.key, device.organization, device.asset, device.records
                    );
                    for unread in &device.unread {
                        println!(
                            "            not stored: {} {} × {} ({})",
                            unread.occurrences, unread.code, unread.reason, unread.detail
                        );
                    }
                }
                match page.last() {
                    Some(last) if page.len() == 1000 => after = last.id,
                    _ => break,
                }
            }
        }
        Device::Remove { kind, key, place } => {
            let register = Register::new(place.connect().await?, Clock::system());
            register.remove(kind, &key).await?;
            println!("{key}: nothing more of it is taken");
        }
        Device::Command {
            imei,
            text,
            valid,
            place,
        } => {
            if text.is_empty() || text.chars().count() > command::LONGEST {
                return Err(Failure::bad_input(format!(
                    "a command has 1 to {} characters",
                    command::LONGEST
                )));
            }
            let db = place.connect().await?;
            let (now, valid) = (Timestamp::now(), Duration::from_secs(valid));
            let id = command::send(&db, Kind::Teltonika, &imei, &text, now, valid).await?;
            println!("{id}: queued for {imei}");
        }
        Device::Commands { place } => {
            let db = place.connect().await?;
            println!(
                "{:>8}  {:<24}  {:<8}  {:<20}  COMMAND: ANSWER",
                "NUMBER", "DEVICE", "STATE", "ISSUED"
            );
            for command in command::list(&db, 200).await? {
                println!(
                    "{:>8}  {:<24}  {:<8}  {:<20.0}  {}: {}",
                    command.id,
                    command.device,
                    command.state,
                    command.issued_at,
                    command.text,
                    command.answer
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Subcommand)]
pub(super) enum Geotab {
    /// Ask a MyGeotab database from now on. The password comes on standard input and is kept sealed.
    Add {
        /// Name of the database at MyGeotab.
        #[arg(long)]
        name: String,
        /// The user that signs in; one of its own for Patio, with the right to read.
        #[arg(long)]
        user: String,
        /// The server to begin with; MyGeotab says which one it is.
        #[arg(long, default_value = "my.geotab.com")]
        server: String,
        /// Name of the organisation that owns the vehicles.
        #[arg(long, default_value = "default")]
        organization: String,
        /// The configuration file, which names the keys that seal secrets.
        #[arg(long, value_name = "FILE")]
        config: std::path::PathBuf,
    },
    /// List the databases that are asked.
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Ask a database no more. What came of it stays.
    Remove {
        /// Name of the database at MyGeotab.
        name: String,
        #[command(flatten)]
        place: Where,
    },
}

pub(super) async fn geotab(command: Geotab) -> Result<ExitCode, Failure> {
    match command {
        Geotab::Add {
            name,
            user,
            server,
            organization,
            config,
        } => {
            let settings = read_config(&config)?;
            let ring = settings.vault.ok_or_else(|| {
                Failure::bad_input("the configuration names no key ring: keys.vault is needed to seal the password")
            })?;
            let mut password = String::new();
            std::io::stdin()
                .read_to_string(&mut password)
                .map_err(|error| {
                    Failure::bad_input(format!("the password cannot be read: {error}"))
                })?;
            let place = Where {
                database: settings.database.url,
                config: None,
            };
            let db = place.connect().await?;
            let account = geotab::NewAccount {
                organization: &organization,
                server: &server,
                database: &name,
                user: &user,
                password: password.trim_end_matches(['\r', '\n']),
            };
            geotab::add(&db, &ring, &account, Timestamp::now()).await?;
            println!("{name}: asked from now on, as {user}");
        }
        Geotab::List { place } => {
            let db = place.connect().await?;
            println!(
                "{:<24}  {:<24}  {:<24}  STATE",
                "DATABASE", "ORGANIZATION", "USER"
            );
            for account in geotab::list(&db).await? {
                println!(
                    "{:<24}  {:<24}  {:<24}  {}",
                    account.database, account.organization, account.user, account.state
                );
            }
        }
        Geotab::Remove { name, place } => {
            geotab::remove(&place.connect().await?, &name).await?;
            println!("{name}: is asked no more");
        }
    }
    Ok(ExitCode::SUCCESS)
}
