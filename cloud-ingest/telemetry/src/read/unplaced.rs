//! Blocks that wait for the time of their boot. One that ended without ever knowing it has them wait for ever: nothing of it is
//! stored at a time that nobody measured, but what its neighbours say of it is told.

use jiff::Timestamp;
use platform::DbError;
use serde::Serialize;
use tokio_postgres::{Client, Row};

/// A boot whose blocks wait for the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unplaced {
    /// The gateway.
    pub gateway: String,
    /// The boot: 16 hexadecimal digits.
    pub boot: String,
    /// How many blocks wait.
    pub blocks: i64,
    /// How many samples and records are in them.
    pub samples: i64,
    /// When the first of them arrived.
    pub first_received_at: Timestamp,
    /// When the last of them arrived.
    pub last_received_at: Timestamp,
    /// They were measured after this: the last that earlier epochs of the gateway measured. Null: nothing earlier has its time.
    pub after: Option<Timestamp>,
    /// They were measured before this: the first that later epochs measured, and no later than they arrived.
    pub before: Timestamp,
}

/// All boots that wait, by gateway.
pub async fn unplaced(client: &Client) -> Result<Vec<Unplaced>, DbError> {
    let sql = include_str!("../../queries/unplaced.sql");
    let of = |row: &Row| Unplaced {
        gateway: row.get("gateway"),
        boot: format!("{:016x}", row.get::<_, i64>("boot")),
        blocks: row.get("blocks"),
        samples: row.get("samples"),
        first_received_at: row.get("first_received_at"),
        last_received_at: row.get("last_received_at"),
        after: row.get("after"),
        before: row.get("before"),
    };
    Ok(client.query(sql, &[]).await?.iter().map(of).collect())
}
