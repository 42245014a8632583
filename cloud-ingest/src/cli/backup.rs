//! `cloud-ingest backup …`: making, checking and restoring backups.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use platform::{Clock, Db};

use super::{Failure, OWNER_VARIABLE, Where, from_environment};
use crate::backup::{self, BackupError, make::Store, tools::Tools};

#[derive(Debug, Args)]
pub(super) struct Means {
    /// The folder of the store of files (files.folder). Without it the backup has none: for stores in a bucket.
    #[arg(long, value_name = "FOLDER")]
    files: Option<PathBuf>,
    /// The folder of PostgreSQL's programs, where they are not on the search path.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a backup of the database and of the store of files, while the service runs. The keys are not in it: keep them
    /// elsewhere.
    Make {
        /// The folder to make.
        folder: PathBuf,
        #[command(flatten)]
        means: Means,
    },
    /// Look whether a backup is as it was made. Status 0 when it is, else 2.
    Verify {
        /// Its folder.
        folder: PathBuf,
    },
    /// Restore a backup into an empty database.
    Restore {
        /// Its folder.
        folder: PathBuf,
        #[command(flatten)]
        means: Means,
    },
}

/// The database as the login that owns the tables, and the programs for it.
async fn open(means: Means) -> Result<(Db, Tools, Store), Failure> {
    let (url, owner) = means.place.urls()?;
    let owner = from_environment(OWNER_VARIABLE)
        .or(owner)
        .unwrap_or_else(|| url.clone());
    let db = Db::connect_with(&url, &owner, 2).await?;
    let tools = Tools::new(&owner, means.programs)?;
    let store = means.files.map_or(Store::Elsewhere, Store::Folder);
    Ok((db, tools, store))
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Make { folder, means } => {
            let (db, tools, store) = open(means).await?;
            let now = Clock::system().now();
            let manifest = backup::make(&db, &tools, &store, &folder, now).await?;
            println!("{}: {}", folder.display(), words(&manifest));
            for what in &manifest.not_in_it {
                eprintln!("not in it: {what}");
            }
        }
        Command::Verify { folder } => {
            let manifest = backup::check(&folder)?;
            println!("{}: as it was made; {}", folder.display(), words(&manifest));
        }
        Command::Restore { folder, means } => {
            let (db, tools, store) = open(means).await?;
            let restored = backup::restore(&db, &tools, &store, &folder).await?;
            println!(
                "{}: restored; {}",
                folder.display(),
                words(&restored.manifest)
            );
            for reader in restored.lost_readers {
                eprintln!(
                    "the dashboard's login {reader} is not on this server: `reader revoke` and `reader add` make it again"
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn words(manifest: &backup::Manifest) -> String {
    format!(
        "made {:.0}, {} tables, {} rows, {} files of the store",
        manifest.made_at,
        manifest.rows.len(),
        manifest.rows.values().sum::<i64>(),
        manifest.parts.len() - 1
    )
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Db(error) => error.into(),
            BackupError::Migrate(error) => error.into(),
            BackupError::Failed(_) => Self::run(error.to_string()),
            BackupError::Refused(_) | BackupError::Damaged(_) => Self::bad_input(error.to_string()),
        }
    }
}
