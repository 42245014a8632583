//! `cloud-ingest quarantine …`: messages that could not be used, and why.

use std::process::ExitCode;

use clap::Subcommand;
use telemetry::read::{self, Quarantined};

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
            let client = place.connect().await?.get().await?;
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
            let client = place.connect().await?.get().await?;
            let found = read::quarantine(&client, Some(id.saturating_sub(1)), 1).await?;
            let message = found
                .iter()
                .find(|message| message.id == id)
                .ok_or_else(|| {
                    Failure::bad_input(format!("nothing in the quarantine has the number {id}"))
                })?;
            show(message);
        }
    }
    Ok(ExitCode::SUCCESS)
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
    ];
    for (name, value) in lines {
        println!("{name:<12} {value}");
    }
}
