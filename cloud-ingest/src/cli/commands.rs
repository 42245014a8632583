//! `cloud-ingest command …`: what gateways are told to do. A running `cloud-ingest serve` signs and sends it.

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;
use jiff::Timestamp;
use shared_protocol::GatewayId;
use telemetry::command::{self, CommandError};

use super::{Failure, Where};
use crate::plans;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Queue a command, and print its name.
    Send {
        /// The gateway's name.
        #[arg(long, value_parser = parse_id)]
        gateway: GatewayId,
        /// How long it is valid, in seconds.
        #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
        valid: u64,
        /// What to do: ping, send-columns, plan, clear-trouble-codes, station.
        kind: String,
        /// With what; for send-columns the epoch, for plan its JSON, for clear-trouble-codes the vehicle, for station the
        /// order as JSON.
        #[arg(default_value = "")]
        argument: String,
        #[command(flatten)]
        place: Where,
    },
    /// List commands and what became of them, newest first.
    List {
        /// Only of this gateway.
        #[arg(long, value_parser = parse_id)]
        gateway: Option<GatewayId>,
        /// Most lines.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        place: Where,
    },
}

fn parse_id(text: &str) -> Result<GatewayId, String> {
    text.parse::<GatewayId>().map_err(|error| error.to_string())
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Send {
            gateway,
            valid,
            kind,
            argument,
            place,
        } => {
            let db = place.connect().await?;
            let valid = Duration::from_secs(valid);
            let client = db.system().await?;
            let argument = plans::argument(&client, &gateway, (&kind, &argument)).await?;
            let what = (&*kind, &*argument);
            let sent = command::queue(&client, &gateway, what, Timestamp::now(), valid).await;
            let id = sent.map_err(|error| match error {
                CommandError::Db(error) => Failure::from(error),
                other => Failure::bad_input(other.to_string()),
            })?;
            println!("{id}");
        }
        Command::List {
            gateway,
            limit,
            place,
        } => {
            let client = place.connect().await?.system().await?;
            let found = command::list(&client, gateway.as_ref(), limit).await?;
            println!(
                "{:<32}  {:<20}  {:<24}  {:<8}  COMMAND",
                "NAME", "ISSUED", "GATEWAY", "STATE"
            );
            for one in &found {
                println!(
                    "{}  {:<20.0}  {:<24}  {:<8}  {} {}{}",
                    one.id,
                    one.issued_at,
                    one.gateway,
                    one.state,
                    one.kind,
                    one.argument,
                    if one.detail.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", one.detail)
                    }
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
