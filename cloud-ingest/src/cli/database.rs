//! `cloud-ingest database …`: what the database is, what it lacks, and bringing its tables up to date.

use std::process::ExitCode;

use clap::Subcommand;
use telemetry::read;

use super::{Failure, Where};
use crate::rooms;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what the database is and what is missing, and which streams of gateways wait for a block. Status 0 when it can be used as it is, else 1. Changes nothing.
    Check {
        #[command(flatten)]
        place: Where,
    },
    /// Bring the tables to what this program needs; doing it again changes nothing.
    Migrate {
        #[command(flatten)]
        place: Where,
    },
}

/// The streams that wait, in words; none where the tables are not there yet.
async fn waiting(client: &platform::Client) -> Result<Vec<String>, Failure> {
    let there = "SELECT to_regclass('telemetry.ledger') IS NOT NULL";
    let there: bool = client
        .query_one(there, &[])
        .await
        .map_err(platform::DbError::from)?
        .get(0);
    if !there {
        return Ok(Vec::new());
    }
    let words = |one: read::Waiting| {
        format!(
            "waiting: {}, epoch {}.{}, stream {}: {} blocks from number {} on are missing, since {}",
            one.gateway,
            one.counter,
            one.nonce,
            one.stream,
            one.blocks,
            one.first,
            one.since
                .map_or_else(|| "long ago".to_owned(), |since| since.to_string())
        )
    };
    let found = read::waiting(client).await?;
    Ok(found.into_iter().map(words).collect())
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Check { place } => {
            let db = place.connect().await?;
            let server = db.server().await?;
            println!("{server}");
            let client = db.system().await?;
            for stream in waiting(&client).await? {
                println!("{stream}");
            }
            let missing = rooms::missing(&db, &server).await?;
            if missing.is_empty() {
                println!("nothing is missing");
                return Ok(ExitCode::SUCCESS);
            }
            for what in &missing {
                println!("missing: {what}");
            }
            Ok(ExitCode::FAILURE)
        }
        Command::Migrate { place } => {
            let db = place.connect().await?;
            let server = rooms::prepare(&db).await?;
            println!("{server}: up to date");
            Ok(ExitCode::SUCCESS)
        }
    }
}
