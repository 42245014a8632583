//! Streams whose blocks have come but for some in between: what is missing, and since when.

use jiff::Timestamp;
use platform::DbError;
use serde::Serialize;
use shared_protocol::Stream;
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

/// A stream whose watermark waits for a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waiting {
    /// The gateway.
    pub gateway: String,
    /// The epoch: its counter.
    pub counter: i64,
    /// The epoch: its nonce, 16 hexadecimal digits.
    pub nonce: String,
    /// The stream's name.
    pub stream: String,
    /// The least number that is missing.
    pub first: i64,
    /// How many blocks are missing below the greatest number that came.
    pub blocks: i64,
    /// When the first block behind it came; null: so long ago that nobody knows.
    pub since: Option<Timestamp>,
}

/// All streams that wait, by gateway. An old one whose gateway is well has lost blocks without a record of it.
pub async fn waiting(client: &Client) -> Result<Vec<Waiting>, DbError> {
    let sql = include_str!("../../queries/waiting.sql");
    let of = |row: &Row| {
        let stream = row.get::<_, i16>("stream");
        let known = u8::try_from(stream).ok().and_then(Stream::from_number);
        Waiting {
            gateway: row.get("gateway"),
            counter: row.get("counter"),
            nonce: format!("{:016x}", row.get::<_, i64>("nonce")),
            stream: known.map_or_else(|| stream.to_string(), |stream| stream.name().to_owned()),
            first: row.get("first"),
            blocks: row.get("blocks"),
            since: row.get("since"),
        }
    };
    Ok(client.query(sql, &[]).await?.iter().map(of).collect())
}
