//! Roll-ups of one signal of one asset, a page at a time.

use jiff::Timestamp;
use platform::DbError;
use serde::Serialize;
use shared_protocol::catalogue;
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

use super::{Cursor, limit, series::next, source_name};
use crate::{layout::value, rollup::Resolution};

/// Which roll-ups of which signal.
#[derive(Clone, Debug)]
pub struct RollupQuery {
    /// The asset.
    pub asset: i32,
    /// The signal's name in the catalogue.
    pub signal: String,
    /// Only what was read this way: a source's number.
    pub source: Option<i16>,
    /// How much is taken together.
    pub resolution: Resolution,
    /// Buckets that begin at this time or later …
    pub from: Timestamp,
    /// … and before this one.
    pub to: Timestamp,
    /// Most buckets of one page, at most [`super::MOST_ROWS`].
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// What was measured within a bucket, in the signal's unit.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Rollup {
    /// When the bucket begins.
    pub time: Timestamp,
    /// The way it was read.
    pub source: String,
    /// How many samples.
    pub count: i32,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// The first.
    pub first: f64,
    /// The last.
    pub last: f64,
    /// The mean: the exact sum divided by the count, rounded once.
    pub mean: f64,
}

/// Roll-ups, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RollupPage {
    /// The buckets that have samples.
    pub buckets: Vec<Rollup>,
    /// Cursor of the next page; null: this is the last one.
    pub next: Option<String>,
}

/// Roll-ups of one signal of one asset, oldest first, a page at a time. Signals outside the catalogue have none.
pub async fn rollups(client: &Client, query: &RollupQuery) -> Result<RollupPage, DbError> {
    let Some(signal) = catalogue().by_name(&query.signal) else {
        return Ok(RollupPage {
            buckets: Vec::new(),
            next: None,
        });
    };
    let (from, skip) = query
        .cursor
        .map_or((query.from, 0), |cursor| cursor.place(query.from));
    let most = limit(query.limit);
    let sql = match query.resolution {
        Resolution::Minute => include_str!("../../queries/minutes.sql"),
        Resolution::Quarter => include_str!("../../queries/quarters.sql"),
        Resolution::Day => include_str!("../../queries/days.sql"),
    };
    let rows = client
        .query(
            sql,
            &[
                &query.asset,
                &i32::from(signal.id.0),
                &from,
                &query.to,
                &query.source,
                &i64::from(skip),
                &(most + 1),
            ],
        )
        .await?;
    let of = |row: &Row, column: &str| value(row.get(column), signal.resolution);
    let bucket = |row: &Row| Rollup {
        time: row.get("bucket"),
        source: source_name(row.get("source")),
        count: row.get("count"),
        least: of(row, "least"),
        greatest: of(row, "greatest"),
        first: of(row, "first"),
        last: of(row, "last"),
        mean: row.get("mean"),
    };
    let mut buckets: Vec<Rollup> = rows.iter().map(bucket).collect();
    let more = buckets.len() as i64 > most;
    buckets.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let times: Vec<Timestamp> = buckets.iter().map(|bucket| bucket.time).collect();
    Ok(RollupPage {
        next: more.then(|| next(&times, from, skip)).flatten(),
        buckets,
    })
}
