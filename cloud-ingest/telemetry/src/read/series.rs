//! Series of one signal of one asset, a page at a time.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use platform::DbError;
use serde::Serialize;
use shared_protocol::catalogue;
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

use super::{limit, source_name};
use crate::layout::{self, value};

/// One value of a series.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Point {
    /// When it was measured.
    pub time: Timestamp,
    /// The way it was read.
    pub source: String,
    /// The value.
    pub value: f64,
    /// Its unit; definitions outside the catalogue may change theirs.
    pub unit: String,
}

/// Which values of which signal.
#[derive(Clone, Debug)]
pub struct SeriesQuery {
    /// The asset.
    pub asset: i32,
    /// The signal's name: the catalogue's, or that of a definition outside it.
    pub signal: String,
    /// Only what was read this way: a source's number.
    pub source: Option<i16>,
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub to: Timestamp,
    /// Most values of one page, at most [`super::MOST_ROWS`].
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// Where a page ended: the time of its last value, and how many values of that time were given already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    time_us: i64,
    skip: u32,
}

impl Cursor {
    /// The time from which to go on, and how many values of it to leave out.
    pub(super) fn place(self, from: Timestamp) -> (Timestamp, u32) {
        let time = Timestamp::from_microsecond(self.time_us).unwrap_or(from);
        (time.max(from), self.skip)
    }
}

/// A text that is not a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cursor: give back what the page before gave as `next`")]
pub struct BadCursor(String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.time_us, self.skip)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let read = || {
            let (time, skip) = text.split_once('.')?;
            Some(Self {
                time_us: time.parse().ok()?,
                skip: skip.parse().ok()?,
            })
        };
        read().ok_or_else(|| BadCursor(text.chars().take(40).collect()))
    }
}

/// Values, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Page {
    /// The values.
    pub points: Vec<Point>,
    /// Cursor of the next page; null: this is the last one.
    pub next: Option<String>,
}

/// Values of one signal of one asset, oldest first, a page at a time. A signal of which nothing was ever stored has
/// none.
pub async fn series(client: &Client, query: &SeriesQuery) -> Result<Page, DbError> {
    let (from, skip) = query
        .cursor
        .map_or((query.from, 0), |cursor| cursor.place(query.from));
    let most = limit(query.limit);
    let asked = most + 1;
    let offset = i64::from(skip);
    let points: Vec<Point> = match catalogue().by_name(&query.signal) {
        Some(signal) => {
            let column = &signal.column;
            let shown = if layout::is_position(&signal.name) {
                "AND platform.position_shown(asset_id, time)"
            } else {
                ""
            };
            let sql = format!(
                "SELECT time, source, \"{column}\"::bigint AS steps FROM telemetry.sample \
                 WHERE asset_id = $1 AND time >= $2 AND time < $3 AND \"{column}\" IS NOT NULL {shown} \
                 AND ($4::smallint IS NULL OR source = $4) \
                 ORDER BY time, source, \"{column}\" OFFSET $5 LIMIT $6"
            );
            let rows = client
                .query(
                    &sql,
                    &[
                        &query.asset,
                        &from,
                        &query.to,
                        &query.source,
                        &offset,
                        &asked,
                    ],
                )
                .await?;
            let point = |row: &Row| Point {
                time: row.get("time"),
                source: source_name(row.get("source")),
                value: value(row.get("steps"), signal.resolution),
                unit: signal.unit.clone(),
            };
            rows.iter().map(point).collect()
        }
        None => {
            let sql = include_str!("../../queries/extra_series.sql");
            let rows = client
                .query(
                    sql,
                    &[
                        &query.asset,
                        &query.signal,
                        &from,
                        &query.to,
                        &query.source,
                        &offset,
                        &asked,
                    ],
                )
                .await?;
            let point = |row: &Row| Point {
                time: row.get("time"),
                source: source_name(row.get("source")),
                value: row.get("value"),
                unit: row.get("unit"),
            };
            rows.iter().map(point).collect()
        }
    };
    Ok(page(
        points,
        usize::try_from(most).unwrap_or(usize::MAX),
        from,
        skip,
    ))
}

/// Cuts the page, and says where it ended.
fn page(mut points: Vec<Point>, most: usize, from: Timestamp, skip: u32) -> Page {
    let more = points.len() > most;
    points.truncate(most);
    let times: Vec<Timestamp> = points.iter().map(|point| point.time).collect();
    let next = more.then(|| next(&times, from, skip)).flatten();
    Page { points, next }
}

/// The cursor after a page with these times that began at `from`, behind `skip` values of that time.
pub(super) fn next(times: &[Timestamp], from: Timestamp, skip: u32) -> Option<String> {
    let last = *times.last()?;
    let given = times.iter().rev().take_while(|time| **time == last).count() as u32;
    let before = if last == from { skip } else { 0 };
    let cursor = Cursor {
        time_us: last.as_microsecond(),
        skip: given + before,
    };
    Some(cursor.to_string())
}
