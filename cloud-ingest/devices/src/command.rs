//! What devices are told to do. A command is marked as sent before it is sent, and sent once: the codecs give a device no
//! way to tell a command from the same command sent again, and some must not be carried out twice.

use std::time::Duration;

use jiff::Timestamp;
use platform::{Db, DbError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Kind, RegisterError};

/// Longest command, in characters.
pub const LONGEST: usize = 1000;
const LONGEST_ANSWER: usize = 4000;

/// A command that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// What the device is to do.
    pub text: String,
}

/// A command, as people see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Command {
    /// Its number.
    pub id: i64,
    /// What the device is.
    pub kind: String,
    /// To whom.
    pub device: String,
    /// What it is to do.
    pub text: String,
    /// queued, sent, done, refused, expired.
    pub state: String,
    /// What the device said.
    pub answer: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// After when it is not sent any more.
    pub expires_at: Timestamp,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Queues a command and returns its number.
pub async fn send(
    db: &Db,
    kind: Kind,
    key: &str,
    text: &str,
    now: Timestamp,
    valid: Duration,
) -> Result<i64, RegisterError> {
    let client = db.system().await?;
    let expires = now.saturating_add(valid).unwrap_or(Timestamp::MAX);
    let sql = include_str!("../queries/send_command.sql");
    let row = client
        .query_opt(sql, &[&kind.word(), &key, &text, &now, &expires])
        .await?;
    row.map(|row| row.get(0))
        .ok_or_else(|| RegisterError::NoDevice(key.to_owned()))
}

/// Takes the next command of a device: from now on it is sent.
pub async fn next(db: &Db, device: i32, now: Timestamp) -> Result<Option<Order>, DbError> {
    let client = db.system().await?;
    let statement = client
        .prepare_cached(include_str!("../queries/next_command.sql"))
        .await?;
    let row = client.query_opt(&statement, &[&device, &now]).await?;
    Ok(row.map(|row| Order {
        id: row.get("id"),
        text: row.get("text"),
    }))
}

/// Keeps what a device answered: to this command, or to the oldest that waits. `None`: to none.
pub async fn answer(
    db: &Db,
    device: i32,
    order: Option<i64>,
    refused: bool,
    text: &str,
    now: Timestamp,
) -> Result<Option<i64>, DbError> {
    let client = db.system().await?;
    let state = if refused { "refused" } else { "done" };
    let text: String = text
        .chars()
        .filter(|c| *c != '\0')
        .take(LONGEST_ANSWER)
        .collect();
    let sql = include_str!("../queries/answer_command.sql");
    let row = client
        .query_opt(sql, &[&device, &order, &state, &text, &now])
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Ends what was not answered in time.
pub async fn expire(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    let client = db.system().await?;
    Ok(client
        .execute(include_str!("../queries/expire_commands.sql"), &[&now])
        .await?)
}

/// The newest commands.
pub async fn list(db: &Db, limit: i64) -> Result<Vec<Command>, DbError> {
    let client = db.system().await?;
    let rows = client
        .query(include_str!("../queries/commands.sql"), &[&limit])
        .await?;
    let command = |row: &tokio_postgres::Row| Command {
        id: row.get("id"),
        kind: row.get("kind"),
        device: row.get("key"),
        text: row.get("text"),
        state: row.get("state"),
        answer: row.get("answer"),
        issued_at: row.get("issued_at"),
        expires_at: row.get("expires_at"),
        sent_at: row.get("sent_at"),
        ended_at: row.get("ended_at"),
    };
    Ok(rows.iter().map(command).collect())
}

/// The devices for which commands wait.
pub async fn waiting(db: &Db, now: Timestamp) -> Result<Vec<i32>, DbError> {
    let client = db.system().await?;
    let statement = client
        .prepare_cached(include_str!("../queries/waiting_commands.sql"))
        .await?;
    let rows = client.query(&statement, &[&now]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
