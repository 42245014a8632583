//! Photos and documents. What is known of a file is a row; its bytes are in a [`Store`] under the organisation and the
//! SHA-256 of the content, so that the same content is kept once and a changed one is noticed when it is read.
//!
//! - [`store`]: where bytes are, a directory ([`store::Directory`]) or S3-compatible storage ([`s3::Bucket`])
//! - [`scan`]: the hook for virus scanners, with clamd's protocol; [`links`]: links that expire
//!
//! Order: the bytes are scanned, then stored, and the row is written last, in the business transaction. What is rolled
//! back leaves bytes that no row knows, never a row without bytes.

pub mod links;
pub mod s3;
pub mod scan;
pub mod store;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use platform::{OrganizationId, Scope};
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;

use crate::Tx;
use scan::{Scan, ScanError, Verdict};
use store::{Store, StoreError};

/// Longest file, in bytes.
pub const LONGEST: usize = 32 * 1024 * 1024;
/// Number of the lock of contents (`pg_advisory_xact_lock`, first half).
const LOCK: i32 = 0x7661_756c;

/// Why a file is not kept or not given.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is too long.
    #[error("a file has at most {LONGEST} bytes, and this one has {0}")]
    TooLong(usize),
    /// Its name or its media type is none.
    #[error("{field} must be {rule}, and is `{value}`")]
    Field {
        /// Which.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        value: String,
    },
    /// The scanner found something; nothing was kept.
    #[error("the file is refused: the scanner found {0}")]
    Infected(String),
    /// The scanner could not look; nothing was kept.
    #[error("the file could not be scanned: {0}; try again later")]
    Scan(#[from] ScanError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such file, or it belongs to somebody else.
    #[error("there is no file {0}")]
    Missing(i64),
    /// The content is not what was stored.
    #[error("the content of file {0} was changed in the store: restore it from a backup")]
    Changed(i64),
    /// The database failed.
    #[error("{}", platform::failure::in_words(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its number.
    pub id: i64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
    /// Its length in bytes.
    pub size: u64,
    /// What it is, such as `image/jpeg`.
    pub media_type: String,
    /// Its name, for people.
    pub name: String,
    /// Whether a virus scanner has looked at it.
    pub scanned: bool,
    /// Who brought it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// A file that may be kept. Only [`Files::look`] makes one.
#[derive(Clone, Debug)]
pub struct Looked {
    sha256: [u8; 32],
    name: String,
    media_type: String,
    scanned: bool,
    content: Bytes,
}

impl Looked {
    /// SHA-256 of its content.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

/// What is known of a file that the transaction may see.
pub async fn about(tx: &Tx, id: i64) -> Result<File, FileError> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/file.sql"))
        .await?;
    let row = tx.query_opt(&statement, &[&id]).await?;
    read(&row.ok_or(FileError::Missing(id))?)
}

/// Files by number, from the one after `after` on, of one content or of any.
pub async fn list(
    tx: &Tx,
    after: Option<i64>,
    sha256: Option<&[u8; 32]>,
    limit: u32,
) -> Result<Vec<File>, FileError> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/files.sql"))
        .await?;
    let sha256 = sha256.map(|digest| &digest[..]);
    let rows = tx
        .query(
            &statement,
            &[&after.unwrap_or(0), &sha256, &i64::from(limit)],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<File, FileError> {
    let id = row.get("id");
    Ok(File {
        id,
        sha256: row
            .get::<_, &[u8]>("sha256")
            .try_into()
            .map_err(|_| FileError::Changed(id))?,
        size: row.get::<_, i64>("size").unsigned_abs(),
        media_type: row.get("media_type"),
        name: row.get("name"),
        scanned: row.get("scanned"),
        created_by: row.get("created_by"),
        created_at: row.get("created_at"),
    })
}

/// Keeps files.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn Store>,
    scan: Arc<dyn Scan>,
}

impl Files {
    /// In this store, looked at by this scanner.
    pub fn new(store: Arc<dyn Store>, scan: Arc<dyn Scan>) -> Self {
        Self { store, scan }
    }

    /// Checks name, type and length of a file and has it scanned, which may take a while: no transaction need be open.
    pub async fn look(
        &self,
        name: &str,
        media_type: &str,
        content: Bytes,
    ) -> Result<Looked, FileError> {
        check(name, media_type, content.len())?;
        let scanned = match self.scan.scan(&content).await? {
            Verdict::Infected(what) => return Err(FileError::Infected(what)),
            Verdict::Clean => true,
            Verdict::Unscanned => false,
        };
        Ok(Looked {
            sha256: Sha256::digest(&content).into(),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            scanned,
            content,
        })
    }

    /// Keeps a file for the scope's organisation: stores the bytes, and writes the row in the caller's transaction.
    pub async fn keep(
        &self,
        tx: &Tx,
        scope: &Scope,
        looked: Looked,
        now: Timestamp,
    ) -> Result<File, FileError> {
        let Looked {
            sha256,
            name,
            media_type,
            scanned,
            content,
        } = looked;
        let size = content.len() as u64;
        lock(tx, scope.organization, &sha256).await?;
        self.store
            .put(&key(scope.organization, &sha256), content)
            .await?;
        let statement = tx
            .prepare_cached(include_str!("../../queries/add_file.sql"))
            .await?;
        let created_by = scope.actor.to_string();
        let (digest, length) = (&sha256[..], size as i64);
        let row = tx
            .query_one(
                &statement,
                &[
                    &scope.organization,
                    &digest,
                    &length,
                    &media_type,
                    &name,
                    &scanned,
                    &created_by,
                    &now,
                ],
            )
            .await?;
        Ok(File {
            id: row.get(0),
            sha256,
            size,
            media_type,
            name,
            scanned,
            created_by,
            created_at: now,
        })
    }

    /// Looks at a file and keeps it.
    pub async fn add(
        &self,
        tx: &Tx,
        scope: &Scope,
        name: &str,
        media_type: &str,
        content: Bytes,
        now: Timestamp,
    ) -> Result<File, FileError> {
        let looked = self.look(name, media_type, content).await?;
        self.keep(tx, scope, looked, now).await
    }

    /// The content of a file, if it is what was stored.
    pub async fn content(
        &self,
        organization: OrganizationId,
        file: &File,
    ) -> Result<Bytes, FileError> {
        let content = self.store.get(&key(organization, &file.sha256)).await?;
        let digest: [u8; 32] = Sha256::digest(&content).into();
        if digest == file.sha256 {
            Ok(content)
        } else {
            Err(FileError::Changed(file.id))
        }
    }

    /// Forgets a file: its row, in the caller's transaction, and its content when no other file of the organisation has
    /// the same. The content goes at once; so call it shortly before COMMIT.
    pub async fn forget(&self, tx: &Tx, scope: &Scope, id: i64) -> Result<(), FileError> {
        let statement = tx
            .prepare_cached(include_str!("../../queries/forget_file.sql"))
            .await?;
        let row = tx
            .query_opt(&statement, &[&id])
            .await?
            .ok_or(FileError::Missing(id))?;
        let sha256: [u8; 32] = row
            .get::<_, &[u8]>(0)
            .try_into()
            .map_err(|_| FileError::Changed(id))?;
        lock(tx, scope.organization, &sha256).await?;
        let statement = tx
            .prepare_cached(include_str!("../../queries/used.sql"))
            .await?;
        let row = tx
            .query_one(&statement, &[&scope.organization, &&sha256[..]])
            .await?;
        if !row.get::<_, bool>(0) {
            self.store.delete(&key(scope.organization, &sha256)).await?;
        }
        Ok(())
    }
}

fn check(name: &str, media_type: &str, length: usize) -> Result<(), FileError> {
    let wrong = |field, rule, value: &str| FileError::Field {
        field,
        rule,
        value: value.chars().take(100).collect(),
    };
    if length > LONGEST {
        return Err(FileError::TooLong(length));
    }
    let letters = name.chars().count();
    if !(1..=200).contains(&letters) || name.chars().any(|c| c.is_control() || c == '/') {
        return Err(wrong("name", "1 to 200 characters without `/`", name));
    }
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match media_type.split_once('/') {
        Some((kind, sub)) if token(kind) && token(sub) && media_type.len() <= 200 => Ok(()),
        _ => Err(wrong(
            "media_type",
            "type/subtype, such as image/jpeg",
            media_type,
        )),
    }
}

fn key(organization: OrganizationId, sha256: &[u8; 32]) -> String {
    let digest = hex::encode(sha256);
    format!("{organization}/{}/{digest}", &digest[..2])
}

async fn lock(
    tx: &Tx,
    organization: OrganizationId,
    sha256: &[u8; 32],
) -> Result<(), tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/lock_content.sql"))
        .await?;
    let [a, b, c, d, ..] = *sha256;
    let content = i32::from_be_bytes([a, b, c, d]) ^ organization.0;
    tx.execute(&statement, &[&LOCK, &content]).await?;
    Ok(())
}
