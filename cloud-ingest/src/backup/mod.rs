//! Backups of a database and its files, and bringing them back.
//!
//! - `tools`: pg_dump and pg_restore, which have to be as new as the server
//! - `manifest`: what a backup holds: versions, rows of each table, checksums of each file
//!
//! A backup is a folder: `manifest.json`, `database.dump` (custom format) and `files/`. It is made beside its place under
//! the name `….partial`, and moved there when all of it is on disk, so what was interrupted never looks complete. The rows
//! are counted in the snapshot that is dumped. The vault's key ring is never in it: keep it elsewhere, for whoever has
//! both has the secrets. Logins of dashboards are the server's: make them anew (`reader add`).

mod manifest;
mod tools;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use platform::{Db, DbError, MigrateError, Server, failure::in_words};
use tokio_postgres::Client;

pub use manifest::{Entry, Manifest};
pub use tools::Tools;

use crate::rooms;

/// The dump's name in the folder.
const DUMP: &str = "database.dump";
/// The folder of files.
const FILES: &str = "files";

/// Why there is no backup, or no restored database.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder or the database is not fit for it; nothing was changed.
    #[error("{0}")]
    Unfit(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A tool failed.
    #[error("{tool} failed: {said}")]
    Tool {
        /// Which.
        tool: &'static str,
        /// Its words.
        said: String,
    },
    /// What was restored is not what was saved.
    #[error("the restored database is not what was saved: {0}; drop it, and look at the backup")]
    Differs(String),
    /// The migrations failed.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for BackupError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    move |source| BackupError::File {
        path: path.to_owned(),
        source,
    }
}

/// Saves the database behind this URL, and the folder of files, in a new folder.
pub async fn backup(
    url: &str,
    files: Option<&Path>,
    to: &Path,
    tools: &Tools,
) -> Result<Manifest, BackupError> {
    if fs::exists(to).map_err(at(to))? {
        return Err(BackupError::Unfit(format!(
            "{} is there already: name a folder that is not",
            to.display()
        )));
    }
    let db = Db::connect(url, 1).await?;
    let server = db.server().await?;
    tools.fit(server.version)?;
    let partial = partial(to);
    if fs::exists(&partial).map_err(at(&partial))? {
        // What was interrupted is of no use to anybody.
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    fs::create_dir_all(&partial).map_err(at(&partial))?;
    let client = db.owner().await?;
    client
        .batch_execute(
            "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        .await?;
    let snapshot: String = client
        .query_one("SELECT pg_export_snapshot()", &[])
        .await?
        .get(0);
    tools.dump(url, &snapshot, &partial.join(DUMP)).await?;
    let tables = manifest::count(&client).await?;
    let rooms = manifest::migrations(&client).await?;
    client.batch_execute("COMMIT").await?;
    if let Some(files) = files {
        copy(files, &partial.join(FILES))?;
    }
    let manifest = Manifest::new(&server, tables, rooms, manifest::sums(&partial)?);
    manifest.write(&partial)?;
    fs::rename(&partial, to).map_err(at(to))?;
    manifest::flush(to.parent().unwrap_or(to))?;
    Ok(manifest)
}

fn partial(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Brings a backup into an empty database and, with `files`, into an empty folder; then migrates it to what this program
/// needs.
pub async fn restore(
    from: &Path,
    url: &str,
    files: Option<&Path>,
    tools: &Tools,
) -> Result<(Manifest, Server), BackupError> {
    let manifest = Manifest::read(from)?;
    manifest.verify(from)?;
    let unfit = |what: String| Err(BackupError::Unfit(what));
    let has_files = manifest.files.iter().any(|file| file.path != DUMP);
    match files {
        None if has_files => {
            return unfit("the backup has files: name the folder for them (--files)".to_owned());
        }
        Some(folder) if fs::read_dir(folder).is_ok_and(|mut all| all.next().is_some()) => {
            return unfit(format!("{} is not empty", folder.display()));
        }
        _ => {}
    }
    let db = Db::connect(url, 1).await?;
    let server = db.server().await?;
    tools.fit(server.version)?;
    let client = db.owner().await?;
    let there: i64 = client
        .query_one(include_str!("queries/anything.sql"), &[])
        .await?
        .get(0);
    if there > 0 {
        return unfit(format!(
            "the database {} is not empty ({there} tables and the like): make a new one with `createdb`",
            server.database
        ));
    }
    platform::roles::ensure(&client).await?;
    if let Some(version) = &manifest.timescale {
        let create = format!("CREATE EXTENSION IF NOT EXISTS timescaledb VERSION '{version}'");
        if let Err(error) = client.batch_execute(&create).await {
            return unfit(format!(
                "the backup needs TimescaleDB {version}, which this server does not give: {}",
                in_words(&error)
            ));
        }
        client
            .batch_execute("SELECT timescaledb_pre_restore()")
            .await?;
    }
    let restored = tools.restore(url, &from.join(DUMP)).await;
    if manifest.timescale.is_some() {
        client
            .batch_execute("SELECT timescaledb_post_restore()")
            .await?;
    }
    restored?;
    client
        .batch_execute("SET statement_timeout = 0; ANALYZE")
        .await?;
    let found = manifest::count(&client).await?;
    manifest.compare(&found)?;
    if let (Some(folder), true) = (files, has_files) {
        copy(&from.join(FILES), folder)?;
    }
    let server = rooms::prepare(&db).await?;
    Ok((manifest, server))
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(to).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(at(&path))?.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(at(&path))?;
            manifest::flush(&target)?;
        }
    }
    manifest::flush(to)
}

/// The rows of each table, for who compares databases.
pub async fn rows(client: &Client) -> Result<std::collections::BTreeMap<String, i64>, BackupError> {
    manifest::count(client).await
}
