//! Sums and ledgers: the proof that nothing was lost or counted twice; and the quarantine.

use jiff::Timestamp;
use platform::DbError;
use serde::Serialize;
use shared_protocol::Stream;
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

use super::{limit, source_name};
use crate::{
    layout::{Slot, layout},
    ranges::Ranges,
};

/// How many samples of a signal are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SignalCount {
    /// The asset.
    pub asset: i32,
    /// The way they were read.
    pub source: String,
    /// The signal's name.
    pub signal: String,
    /// How many.
    pub samples: i64,
}

/// Numbers of blocks, first and last inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// What the ledger says of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LedgerRow {
    /// The gateway.
    pub gateway: String,
    /// The epoch's counter.
    pub counter: i64,
    /// The epoch's nonce, 16 hexadecimal digits.
    pub nonce: String,
    /// The stream.
    pub stream: String,
    /// How many blocks are closed.
    pub blocks: i64,
    /// How many samples, records or definitions of them are stored.
    pub samples: i64,
    /// How many samples the gateway left out of them.
    pub thinned: i64,
    /// How many samples the gateway dropped.
    pub dropped: i64,
    /// How many samples are in blocks that could not be used.
    pub quarantined: i64,
    /// How many samples wait for the time of their boot.
    pub unplaced: i64,
    /// The closed numbers.
    pub done: Vec<Range>,
}

/// Something in the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Quarantined {
    /// Its number.
    pub id: i64,
    /// Who sent it: certain where `closed`, else what topic or header claim.
    pub gateway: Option<String>,
    /// The block's number, where its header could be read.
    pub number: Option<String>,
    /// Whether the gateway was told that it may free it.
    pub closed: bool,
    /// Why, in a word.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// Where it arrived.
    pub topic: String,
    /// How many samples its header announces.
    pub samples: i64,
    /// How many times it arrived.
    pub deliveries: i64,
    /// When it first arrived.
    pub received_at: Timestamp,
    /// When it last arrived.
    pub last_at: Timestamp,
    /// Its length in bytes.
    pub size: i32,
    /// When it was stored after all; null: it was not.
    pub readmitted_at: Option<Timestamp>,
}

/// How many samples are stored, by asset, source and signal: of one asset, or of all.
pub async fn counts(client: &Client, asset: Option<i32>) -> Result<Vec<SignalCount>, DbError> {
    let mut sql = "SELECT asset_id, source".to_owned();
    let counted = |slot: &Slot| format!(", count(\"{}\")", slot.signal.column);
    sql.extend(layout().slots.iter().map(counted));
    sql.push_str(
        " FROM telemetry.sample WHERE $1::int IS NULL OR asset_id = $1 \
         GROUP BY asset_id, source ORDER BY asset_id, source",
    );
    let mut counts = Vec::new();
    for row in client.query(&sql, &[&asset]).await? {
        for (index, slot) in layout().slots.iter().enumerate() {
            let samples: i64 = row.get(index + 2);
            if samples > 0 {
                counts.push(SignalCount {
                    asset: row.get(0),
                    source: source_name(row.get(1)),
                    signal: slot.signal.name.clone(),
                    samples,
                });
            }
        }
    }
    let extra = include_str!("../../queries/extra_counts.sql");
    for row in client.query(extra, &[&asset]).await? {
        counts.push(SignalCount {
            asset: row.get("asset_id"),
            source: source_name(row.get("source")),
            signal: row.get("name"),
            samples: row.get("samples"),
        });
    }
    Ok(counts)
}

/// What the ledgers say: of the gateways with these names, or of all.
pub async fn ledger(client: &Client, gateways: Option<&[&str]>) -> Result<Vec<LedgerRow>, DbError> {
    let sql = include_str!("../../queries/ledgers.sql");
    let rows = client.query(sql, &[&gateways]).await?;
    Ok(rows.iter().map(ledger_row).collect())
}

fn ledger_row(row: &Row) -> LedgerRow {
    let stream = row.get::<_, i16>("stream");
    let done: Ranges = row.get::<_, &str>("done").parse().unwrap_or_default();
    LedgerRow {
        gateway: row.get("gateway"),
        counter: row.get("counter"),
        nonce: format!("{:016x}", row.get::<_, i64>("nonce")),
        stream: u8::try_from(stream)
            .ok()
            .and_then(Stream::from_number)
            .map_or_else(|| stream.to_string(), |stream| stream.name().to_owned()),
        blocks: row.get("blocks"),
        samples: row.get("samples"),
        thinned: row.get("thinned"),
        dropped: row.get("dropped"),
        quarantined: row.get("quarantined"),
        unplaced: row.get("unplaced"),
        done: done
            .as_slice()
            .iter()
            .map(|&(first, last)| Range { first, last })
            .collect(),
    }
}

/// What is in the quarantine, oldest first, from the one after `after` on; without the bytes.
pub async fn quarantine(
    client: &Client,
    after: Option<i64>,
    most: u32,
) -> Result<Vec<Quarantined>, DbError> {
    quarantine_of(client, None, after, most).await
}

/// The same of messages that came from these gateways, or claim it (`closed` says which).
pub async fn quarantine_of(
    client: &Client,
    gateways: Option<&[String]>,
    after: Option<i64>,
    most: u32,
) -> Result<Vec<Quarantined>, DbError> {
    let sql = include_str!("../../queries/quarantined.sql");
    let rows = client
        .query(sql, &[&after.unwrap_or(0), &limit(most), &gateways])
        .await?;
    let quarantined = |row: &Row| Quarantined {
        id: row.get("id"),
        gateway: row.get("gateway"),
        number: row.get("number"),
        closed: row.get("closed"),
        reason: row.get("reason"),
        detail: row.get("detail"),
        topic: row.get("topic"),
        samples: row.get("samples"),
        deliveries: row.get("deliveries"),
        received_at: row.get("received_at"),
        last_at: row.get("last_at"),
        size: row.get("size"),
        readmitted_at: row.get("readmitted_at"),
    };
    Ok(rows.iter().map(quarantined).collect())
}

/// The bytes of a quarantined message, as far as they were kept; `None`: there is no such number.
pub async fn quarantined_payload(client: &Client, id: i64) -> Result<Option<Vec<u8>>, DbError> {
    let sql = include_str!("../../queries/quarantine_payload.sql");
    let row = client.query_opt(sql, &[&id]).await?;
    Ok(row.map(|row| row.get("payload")))
}
