//! Versions of depots in the database.

use std::collections::BTreeMap;

use depot_config::Document;
use jiff::Timestamp;
use platform::Tenant;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use utoipa::ToSchema;

use crate::condition::etag;

/// A version of a depot.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepotVersion {
    /// The depot's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Which version of its file this is, from 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// Its ETag, for `If-Match`.
    #[schema(example = "\"4-9f86d081884c7d65\"")]
    pub etag: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// Who wrote it: user, key or job with its number.
    pub written_by: String,
    /// The depot file (TOML).
    pub text: String,
    /// The texts of the files that it names, by their paths.
    pub files: BTreeMap<String, String>,
}

impl DepotVersion {
    fn of(row: &Row) -> Self {
        let files: Value = row.get("files");
        let digest: &[u8] = row.get("digest");
        let version = row.get("version");
        Self {
            id: row.get("id"),
            name: row.get("name"),
            version,
            etag: etag(version, digest),
            written_at: row.get("written_at"),
            written_by: row.get("written_by"),
            text: row.get("text"),
            files: serde_json::from_value(files).unwrap_or_default(),
        }
    }

    /// What it says.
    pub(crate) fn document(self) -> Document {
        Document {
            text: self.text,
            files: self.files,
        }
    }
}

/// The version that holds, locked until the transaction ends: number and ETag.
pub(crate) async fn lock(
    tx: &Tenant,
    id: &str,
) -> Result<Option<(i32, String)>, tokio_postgres::Error> {
    let row = tx
        .query_opt(include_str!("../queries/lock.sql"), &[&id])
        .await?;
    Ok(row.map(|row| (row.get("version"), row.get("etag"))))
}

/// A version; without a number the one that holds.
pub(crate) async fn read(
    tx: &Tenant,
    id: &str,
    version: Option<i32>,
) -> Result<Option<DepotVersion>, tokio_postgres::Error> {
    let sql = include_str!("../queries/read.sql");
    let row = tx.query_opt(sql, &[&id, &version]).await?;
    Ok(row.as_ref().map(DepotVersion::of))
}

/// Writes the next version. False when the depot is there by now although it is to be the first one.
pub(crate) async fn write(
    tx: &Tenant,
    (id, name, version): (&str, &str, i32),
    document: &Document,
    now: Timestamp,
) -> Result<bool, tokio_postgres::Error> {
    let scope = tx.scope();
    let (organization, by) = (scope.organization, scope.actor.to_string());
    let digest = document.digest().to_vec();
    let etag = etag(version, &digest);
    if version == 1 {
        let sql = include_str!("../queries/create.sql");
        if tx.execute(sql, &[&organization, &id, &name, &etag]).await? == 0 {
            return Ok(false);
        }
    } else {
        let sql = include_str!("../queries/replace.sql");
        tx.execute(sql, &[&id, &name, &version, &etag]).await?;
    }
    let files = serde_json::json!(document.files);
    let (text, sql) = (&document.text, include_str!("../queries/write.sql"));
    tx.execute(
        sql,
        &[
            &organization,
            &id,
            &version,
            text,
            &files,
            &digest,
            &now,
            &by,
        ],
    )
    .await?;
    Ok(true)
}
