//! Writing entries, and reading them.

use jiff::Timestamp;
use platform::{OrganizationId, Scope};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

use crate::Tx;

/// What was done to something.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What was done, `room.what`: `fleet.assign_driver`.
    pub action: &'a str,
    /// To what: `vehicle:17`.
    pub subject: &'a str,
    /// As it was; `None`: it was not there.
    pub before: Option<&'a Value>,
    /// As it is since; `None`: it is gone.
    pub after: Option<&'a Value>,
}

/// Where an entry stands in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its number, from 1.
    pub seq: i64,
    /// Its hash, 32 bytes.
    pub hash: Vec<u8>,
}

/// Adds an entry in the caller's transaction: in the chain of the scope's organisation, by its actor, in its request.
pub async fn record(
    tx: &Tx,
    scope: &Scope,
    entry: &Entry<'_>,
    now: Timestamp,
) -> Result<Recorded, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/record.sql"))
        .await?;
    // What PostgreSQL keeps is what is hashed: microseconds.
    let actor = scope.actor.to_string();
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &scope.organization,
        &now,
        &actor,
        &entry.action,
        &entry.subject,
        &entry.before,
        &entry.after,
        &scope.request.as_str(),
    ];
    let row = tx.query_one(&statement, &parameters).await?;
    Ok(Recorded {
        seq: row.get("seq"),
        hash: row.get("hash"),
    })
}

/// An entry that was read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Was {
    /// Its number in the chain.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who, as [`platform::Actor`] writes it.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// As it was; null: it was not there.
    pub before: Option<Value>,
    /// As it is since; null: it is gone.
    pub after: Option<Value>,
    /// In which request.
    pub request_id: String,
}

/// Which entries are looked for; all of them when nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Done to this: `vehicle:17`.
    pub subject: Option<&'a str>,
    /// Done by this one: `user:12`.
    pub actor: Option<&'a str>,
    /// In this request.
    pub request: Option<&'a str>,
}

/// What was done, the newest first, before a number or from the last on.
pub async fn trail(
    tx: &Tx,
    organization: OrganizationId,
    filter: Filter<'_>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Was>, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/trail.sql"))
        .await?;
    let rows = tx
        .query(
            &statement,
            &[
                &filter.subject,
                &filter.actor,
                &filter.request,
                &before,
                &organization,
                &i64::from(limit),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Was {
            seq: row.get("seq"),
            at: row.get("at"),
            actor: row.get("actor"),
            action: row.get("action"),
            subject: row.get("subject"),
            before: row.get("before"),
            after: row.get("after"),
            request_id: row.get("request_id"),
        })
        .collect())
}
