//! What is stored, for the API: assets, latest values, series, and the sums that prove that nothing was lost or
//! counted twice. Values are in the signal's unit.

mod events;
mod rollup;
mod series;
mod sums;
mod unplaced;
mod waiting;

use jiff::Timestamp;
use platform::DbError;
use serde::Serialize;
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

pub use self::{
    events::{Event, EventPage, EventQuery, events},
    rollup::{Rollup, RollupPage, RollupQuery, rollups},
    series::{BadCursor, Cursor, Page, Point, SeriesQuery, series},
    sums::{
        LedgerRow, Quarantined, Range, SignalCount, counts, ledger, quarantine, quarantine_of,
        quarantined_payload,
    },
};
pub use self::{
    unplaced::{Unplaced, unplaced},
    waiting::{Waiting, waiting},
};
use crate::layout::{source, value};

/// Most rows that one call returns.
pub const MOST_ROWS: u32 = 10_000;

/// Something that is measured.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Asset {
    /// Its number.
    pub id: i32,
    /// Its name, for people.
    pub name: String,
    /// vehicle, charger, meter or gateway; null: not assigned yet.
    pub kind: Option<String>,
    /// Who owns it.
    pub organization: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Which gateways know it.
    pub known_as: Vec<KnownAs>,
    /// Time of the latest sample of it.
    pub last_seen: Option<Timestamp>,
}

/// A gateway's name for an asset.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct KnownAs {
    /// The gateway.
    pub gateway: String,
    /// Its local key for the asset.
    pub local_key: String,
}

/// The latest value of a signal by one source.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Latest {
    /// The signal's name.
    pub signal: String,
    /// The value.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// When it was measured.
    pub time: Timestamp,
    /// The way it was read.
    pub source: String,
}

pub(crate) fn source_name(number: i16) -> String {
    source(number).map_or_else(|| number.to_string(), |source| source.name().to_owned())
}

pub(crate) fn limit(asked: u32) -> i64 {
    asked.clamp(1, MOST_ROWS).into()
}

/// Assets by number, from the one after `after` on.
pub async fn assets(client: &Client, after: Option<i32>, most: u32) -> Result<Vec<Asset>, DbError> {
    let sql = include_str!("../../queries/assets.sql");
    let rows = client
        .query(sql, &[&after.unwrap_or(0), &limit(most)])
        .await?;
    Ok(rows.iter().map(asset).collect())
}

fn asset(row: &Row) -> Asset {
    let gateways: Option<Vec<String>> = row.get("gateways");
    let keys: Option<Vec<String>> = row.get("local_keys");
    let known_as = gateways
        .into_iter()
        .flatten()
        .zip(keys.into_iter().flatten());
    Asset {
        id: row.get("id"),
        name: row.get("name"),
        kind: row.get("kind"),
        organization: row.get("organization"),
        created_at: row.get("created_at"),
        known_as: known_as
            .map(|(gateway, local_key)| KnownAs { gateway, local_key })
            .collect(),
        last_seen: row.get("last_seen"),
    }
}

/// The latest values of an asset, by signal and source.
pub async fn latest(client: &Client, asset: i32) -> Result<Vec<Latest>, DbError> {
    let wide = include_str!("../../queries/latest.sql");
    let extra = include_str!("../../queries/extra_latest.sql");
    let mut latest = Vec::new();
    for row in client.query(wide, &[&asset]).await? {
        // It was a Decimal when it was written.
        let Ok(resolution) = row.get::<_, &str>("resolution").parse() else {
            continue;
        };
        latest.push(one_latest(&row, value(row.get("steps"), resolution)));
    }
    for row in client.query(extra, &[&asset]).await? {
        latest.push(one_latest(&row, row.get("value")));
    }
    Ok(latest)
}

fn one_latest(row: &Row, value: f64) -> Latest {
    Latest {
        signal: row.get("name"),
        value,
        unit: row.get("unit"),
        time: row.get("time"),
        source: source_name(row.get("source")),
    }
}
