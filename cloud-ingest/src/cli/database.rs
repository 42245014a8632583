//! `cloud-ingest database …`: what the database is, what it lacks, and bringing its tables up to date.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, Where};
use crate::rooms;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what the database is and what is missing. Status 0 when it can be used as it is, else 1. Changes nothing.
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

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Check { place } => {
            let db = place.connect().await?;
            let server = db.server().await?;
            println!("{server}");
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
