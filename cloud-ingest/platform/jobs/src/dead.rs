//! Dead letters: jobs that were given up. They are kept until somebody replays or discards them.

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use crate::Tx;
use crate::enqueue::{self, JobId};

/// A job that was given up.
#[derive(Clone, Debug)]
pub struct Dead {
    /// The number that it had.
    pub id: JobId,
    /// Number of the organisation; `None`: for the house itself.
    pub organization: Option<i32>,
    /// What was to be done.
    pub kind: String,
    /// What with.
    pub payload: Value,
    /// How often it was tried.
    pub attempts: u32,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was given up.
    pub died_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// Those that the transaction may see, the latest asked for first, before a number or from the last on, of one kind or
/// of all.
pub async fn dead(
    tx: &Tx,
    kind: Option<&str>,
    before: Option<JobId>,
    limit: u32,
) -> Result<Vec<Dead>, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/dead.sql"))
        .await?;
    let rows = tx
        .query(&statement, &[&kind, &before, &i64::from(limit)])
        .await?;
    Ok(rows.iter().map(read).collect())
}

/// One of them.
pub async fn dead_letter(tx: &Tx, id: JobId) -> Result<Option<Dead>, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/dead_letter.sql"))
        .await?;
    Ok(tx.query_opt(&statement, &[&id]).await?.as_ref().map(read))
}

fn read(row: &Row) -> Dead {
    Dead {
        id: row.get("id"),
        organization: row.get("organization_id"),
        kind: row.get("kind"),
        payload: row.get("payload"),
        attempts: row.get::<_, i32>("attempts").unsigned_abs(),
        request_id: row.get("request_id"),
        created_at: row.get("created_at"),
        died_at: row.get("died_at"),
        reason: row.get("reason"),
    }
}

/// Throws one away for good; says whether it was there.
pub async fn discard(tx: &Tx, id: JobId) -> Result<bool, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/discard.sql"))
        .await?;
    Ok(tx.execute(&statement, &[&id]).await? == 1)
}

/// Lets dead letters be tried again from their first attempt, as new jobs; returns the numbers of those that were
/// there and that the transaction may see.
pub async fn replay(
    tx: &Tx,
    ids: &[JobId],
    now: Timestamp,
) -> Result<Vec<JobId>, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/replay.sql"))
        .await?;
    let rows = tx.query(&statement, &[&ids, &now]).await?;
    if !rows.is_empty() {
        enqueue::notify(tx).await?;
    }
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
