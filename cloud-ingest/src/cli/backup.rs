//! `cloud-ingest backup` · `restore`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{Failure, OWNER_VARIABLE, Where, from_environment};
use crate::backup::{self, BackupError, Tools};

/// What is saved, and where to.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The folder to make. It is there when the backup is complete, and not before.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The folder of stored files, when they are kept in one.
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// The folder of pg_dump, when it is not the one that the shell finds.
    #[arg(long, value_name = "DIR")]
    tools: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

/// What is brought back, and where to.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// A backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The folder for stored files; it has to be empty.
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// The folder of pg_restore, when it is not the one that the shell finds.
    #[arg(long, value_name = "DIR")]
    tools: Option<PathBuf>,
    /// URL of the database, which has to be empty: a configuration file is not asked, so that nobody restores over what
    /// is in service.
    #[arg(long, value_name = "URL")]
    database: String,
}

pub(super) async fn backup(command: Backup) -> Result<ExitCode, Failure> {
    let (url, owner) = command.place.urls()?;
    let url = from_environment(OWNER_VARIABLE).or(owner).unwrap_or(url);
    let tools = Tools::new(command.tools);
    let manifest = backup::backup(&url, command.files.as_deref(), &command.to, &tools).await?;
    let rows: i64 = manifest.tables.values().sum();
    println!(
        "{}: {} tables, {rows} rows, {} files; without {}",
        command.to.display(),
        manifest.tables.len(),
        manifest.files.len() - 1,
        manifest.without
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn restore(command: Restore) -> Result<ExitCode, Failure> {
    let tools = Tools::new(command.tools);
    let files = command.files.as_deref();
    let restored = backup::restore(&command.from, &command.database, files, &tools).await?;
    let (manifest, server) = restored;
    println!(
        "{server}: {} tables as they were at {}, and up to date",
        manifest.tables.len(),
        manifest.made_at
    );
    Ok(ExitCode::SUCCESS)
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Unfit(what) => Self::bad_input(what),
            BackupError::Db(error) => error.into(),
            BackupError::Migrate(error) => error.into(),
            other => Self::run(other.to_string()),
        }
    }
}
