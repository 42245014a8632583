//! Why the ledger cannot be used, and which way out there is.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use shared_protocol::{GatewayId, SealError};

/// Why the ledger cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder.
    #[error(
        "{0} is in use by another gateway: stop that one, or give this one its own `data` folder"
    )]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error("{path}: {source}: the folder for the buffer must exist on a writable disk")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database belongs to another gateway.
    #[error(
        "{path} holds the samples of gateway {found}, this is {expected}: give it its own `data` folder"
    )]
    OtherGateway {
        /// The database.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who we are.
        expected: GatewayId,
    },
    /// The database's content contradicts itself; nothing of the transaction happened.
    #[error("the buffer's database is damaged: {0}")]
    Damaged(String),
    /// SQLite failed; nothing of the transaction happened.
    #[error("the buffer's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A block could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No randomness for the epoch.
    #[error("the system has no randomness for a new epoch: {0}")]
    Random(#[from] getrandom::Error),
    /// The definition of a column cannot be encoded.
    #[error("a column cannot be encoded: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

/// What kind of trouble it is: each has its own way out (`writer.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The disk is full: make room below what is used, with the reserve's help.
    Full,
    /// Reading or writing failed: open the database anew, in a new epoch.
    Io,
    /// The file is not what it was: save what can be read into a new database.
    Damaged,
    /// Nothing can be written here: go on in memory, say so, and try the disk again from time to time.
    ReadOnly,
    /// None of these: try again.
    Other,
}

impl StoreError {
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Folder { source, .. } => match source.kind() {
                std::io::ErrorKind::ReadOnlyFilesystem => Trouble::ReadOnly,
                std::io::ErrorKind::StorageFull => Trouble::Full,
                _ => Trouble::Other,
            },
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => match failure.code {
                ErrorCode::DiskFull => Trouble::Full,
                ErrorCode::SystemIoFailure => Trouble::Io,
                ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                    Trouble::ReadOnly
                }
                // Our statements and what we write are right: what contradicts them is damage, be it to the schema.
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::Unknown => Trouble::Damaged,
                _ => Trouble::Other,
            },
            // And so does a value of another type or range than was written.
            Self::Damaged(_)
            | Self::Sqlite(
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::QueryReturnedNoRows
                | rusqlite::Error::SqlInputError { .. },
            ) => Trouble::Damaged,
            _ => Trouble::Other,
        }
    }
}
