//! Backup and restore: the database, by PostgreSQL's own `pg_dump` and `pg_restore`, and the store of files, as one folder
//! with a manifest that says what must be in it.
//!
//! - [`manifest`]: what the folder holds, with lengths, SHA-256 and numbers of rows; checking it
//! - [`make`](mod@make): a backup of a running service: dump, numbers of rows and list of files are of one snapshot
//! - [`restore`](mod@restore): into an empty database; [`tools`]: finding the programs of PostgreSQL and telling them where
//!
//! ```text
//! FOLDER/manifest.json       what follows, and of which versions
//! FOLDER/manifest.sha256     its checksum
//! FOLDER/database.dump       pg_dump, custom format
//! FOLDER/files/…             the store of files, under its own keys
//! ```
//!
//! What is not in it, on purpose: the key ring that opens sealed secrets (`keys.vault`), the signing key, the configuration,
//! and the passwords of dashboards' logins. Whoever finds a backup does not have the secrets in it; whoever restores needs
//! the key ring from elsewhere. What people had erased after a backup was made is still in it.

pub mod make;
pub mod manifest;
pub mod restore;
pub mod tools;

pub use make::make;
pub use manifest::{Manifest, check};
pub use restore::restore;

use std::{io, path::Path};

use platform::{DbError, MigrateError};

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Refused(String),
    /// The folder is not what its manifest says.
    #[error("the backup is damaged: {0}; use another one")]
    Damaged(String),
    /// Something failed on the way.
    #[error("{0}")]
    Failed(String),
    /// The tables cannot be made ready.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The database is out of reach or refuses.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for BackupError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

fn at(path: &Path, error: &io::Error) -> BackupError {
    BackupError::Failed(format!("{}: {error}", path.display()))
}

/// Numbers of rows by table.
async fn counts(
    client: &tokio_postgres::Client,
) -> Result<std::collections::BTreeMap<String, i64>, BackupError> {
    let mut counts = std::collections::BTreeMap::new();
    let sql = include_str!("../../queries/backup_tables.sql");
    for row in client.query(sql, &[]).await? {
        let table: String = row.get(0);
        let sql = format!("SELECT count(*) FROM {table}");
        let one = client.query_one(&sql, &[]).await?;
        counts.insert(table, one.get(0));
    }
    Ok(counts)
}
