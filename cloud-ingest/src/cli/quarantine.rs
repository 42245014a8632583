//! `cloud-ingest quarantine …`: messages that could not be used, and why.

use std::{fs::File, io::Write as _, path::PathBuf, process::ExitCode};

use clap::Subcommand;
use platform::Clock;
use telemetry::{
    Ingestor, OutcomeKind, ReadmitError,
    read::{self, Quarantined},
};

use super::{Failure, Where};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what is in the quarantine, oldest first.
    List {
        /// Only what comes after this number.
        #[arg(long, value_name = "NUMBER")]
        after: Option<i64>,
        /// Most lines.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        place: Where,
    },
    /// Deal with a message as if it had just arrived: after a gateway or key was registered, or a program was put right.
    /// Doing it again changes nothing. Status 0: its content is stored; 1: it still cannot be used.
    Readmit {
        /// Its number.
        id: i64,
        #[command(flatten)]
        place: Where,
    },
    /// Write the bytes of a message to a file.
    Export {
        /// Its number.
        id: i64,
        /// The file to make.
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        place: Where,
    },
    /// Show all that is known of one message.
    Show {
        /// Its number.
        id: i64,
        #[command(flatten)]
        place: Where,
    },
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List {
            after,
            limit,
            place,
        } => {
            let client = place.connect().await?.system().await?;
            let found = read::quarantine(&client, after, limit).await?;
            println!(
                "{:>8}  {:<20}  {:<24}  {:<16}  DETAIL",
                "NUMBER", "LAST SEEN", "GATEWAY", "REASON"
            );
            for message in &found {
                let gateway = message.gateway.as_deref().unwrap_or("-");
                println!(
                    "{:>8}  {:<20.0}  {gateway:<24}  {:<16}  {}",
                    message.id, message.last_at, message.reason, message.detail
                );
            }
            if found.len() == limit as usize
                && let Some(last) = found.last()
            {
                println!("more: --after {}", last.id);
            }
        }
        Command::Show { id, place } => {
            let client = place.connect().await?.system().await?;
            let found = read::quarantine(&client, Some(id.saturating_sub(1)), 1).await?;
            let message = found
                .iter()
                .find(|message| message.id == id)
                .ok_or_else(|| unknown(id))?;
            show(message);
        }
        Command::Readmit { id, place } => {
            let ingestor = Ingestor::new(place.connect().await?, Clock::system());
            let outcome = ingestor.readmit(id).await.map_err(|error| match error {
                ReadmitError::Later(_) => Failure::run(error.to_string()),
                _ => Failure::bad_input(error.to_string()),
            })?;
            return match said(&outcome.result) {
                Ok(text) => {
                    println!("{text}");
                    Ok(ExitCode::SUCCESS)
                }
                Err(text) => Err(Failure::run(text)),
            };
        }
        Command::Export { id, out, place } => {
            let client = place.connect().await?.system().await?;
            let payload = read::quarantined_payload(&client, id)
                .await?
                .ok_or_else(|| unknown(id))?;
            let mut file = File::create_new(&out)
                .map_err(|error| Failure::bad_input(format!("{}: {error}", out.display())))?;
            file.write_all(&payload)
                .map_err(|error| Failure::run(format!("{}: {error}", out.display())))?;
            println!("{} bytes", payload.len());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn unknown(id: i64) -> Failure {
    Failure::bad_input(format!("nothing in the quarantine has the number {id}"))
}

/// What became of a readmitted message: it is stored, or why it is not.
fn said(result: &OutcomeKind) -> Result<String, String> {
    match result {
        OutcomeKind::Stored { new: true, samples } => Ok(format!("stored: {samples} samples")),
        OutcomeKind::Stored { new: false, .. } => Ok("stored already".to_owned()),
        OutcomeKind::Superseded { .. } => {
            Ok("a gap whose block is stored: there is nothing to do".to_owned())
        }
        OutcomeKind::Quarantined { reason, detail } | OutcomeKind::Rejected { reason, detail } => {
            Err(format!("it stays where it is: {}: {detail}", reason.name()))
        }
        OutcomeKind::Refused { detail } => Err(format!("it stays where it is: {detail}")),
        OutcomeKind::ColumnsNeeded(first) => Err(format!(
            "it stays where it is: its epoch's columns from number {first} on are not known"
        )),
        OutcomeKind::NotStored { detail } => Err(format!("try again later: {detail}")),
    }
}

fn show(message: &Quarantined) {
    let certain = if message.closed {
        "yes: it was told that it may free the block"
    } else {
        "no: the signature does not say so"
    };
    let lines = [
        ("number", message.id.to_string()),
        ("gateway", message.gateway.clone().unwrap_or_default()),
        ("certain", certain.to_owned()),
        ("block", message.number.clone().unwrap_or_default()),
        ("reason", message.reason.clone()),
        ("detail", message.detail.clone()),
        ("topic", message.topic.clone()),
        ("samples", message.samples.to_string()),
        ("bytes", message.size.to_string()),
        ("deliveries", message.deliveries.to_string()),
        ("first seen", message.received_at.to_string()),
        ("last seen", message.last_at.to_string()),
        (
            "readmitted",
            message
                .readmitted_at
                .map_or_else(|| "no".to_owned(), |at| at.to_string()),
        ),
    ];
    for (name, value) in lines {
        println!("{name:<12} {value}");
    }
}
