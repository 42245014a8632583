//! Roll-ups: minutes from samples, quarters of an hour from minutes, days from quarters. What is out of date is marked
//! by the transaction that made it so (`telemetry.dirty`); any number of workers take marks and read those buckets again.
//! Why that is exact however late and disordered samples come stands in `migrations/V3__rollups.sql`.

mod coarser;
mod minutes;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use platform::{Client, Db};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    copy::CopyRows,
    metrics,
    micros::Micros,
    storage::StorageError,
    trouble::{GaveUp, Tries, Trouble, in_time},
};

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
/// How long after its end a minute is read: what belongs to it has mostly arrived then.
const SETTLE_US: i64 = 15_000_000;
/// Most marks of one transaction.
const MOST_MARKS: i64 = 10_000;

/// How much a roll-up takes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// 1 minute.
    Minute,
    /// A quarter of an hour.
    Quarter,
    /// 1 day (UTC).
    Day,
}

impl Resolution {
    /// From the finest to the coarsest.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Quarter, Self::Day];

    /// The word in queries and in tables' names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Quarter => "quarter",
            Self::Day => "day",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Its number in `telemetry.dirty`.
    const fn level(self) -> i16 {
        self as i16
    }

    /// Buckets that are read by one statement lie in one part of this length: a partition of what is read.
    const fn part_us(self) -> i64 {
        match self {
            Self::Minute | Self::Quarter => DAY_US,
            Self::Day => 32 * DAY_US,
        }
    }
}

/// The minutes of rows: source, asset, begin in microseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Minutes(Vec<(i16, i32, i64)>);

impl Minutes {
    /// Adds those of an asset's source, given the times of all its rows.
    pub(crate) fn add(&mut self, (asset, source): (i32, i16), times: impl Iterator<Item = i64>) {
        let first = self.0.len();
        for time_us in times {
            let mark = (source, asset, time_us - time_us.rem_euclid(MINUTE_US));
            if self.0.last() != Some(&mark) {
                self.0.push(mark);
            }
        }
        // Blocks come in any order: each minute is marked once.
        self.0[first..].sort_unstable();
        self.0.dedup();
    }

    /// The marks, as rows of `telemetry.dirty`.
    pub(crate) fn marks(&self, now: Timestamp) -> CopyRows {
        let (now_us, late_us) = (now.as_microsecond(), late_us(now));
        let mut marks = CopyRows::new();
        for &(source, asset, minute) in &self.0 {
            marks.row(5);
            marks.smallint(Resolution::Minute.level());
            marks.smallint(source);
            marks.integer(asset);
            marks.time(minute);
            let settled = minute + MINUTE_US + SETTLE_US;
            marks.time(if settled > now_us { settled } else { late_us });
        }
        marks
    }
}

/// When buckets are due that were over long ago, in microseconds since 1970: in a while, for more of them may come, and
/// at one instant for all that are marked about now, so that the marks of a bucket are found together.
fn late_us(now: Timestamp) -> i64 {
    let now_us = now.as_microsecond();
    now_us - now_us.rem_euclid(SETTLE_US) + 2 * SETTLE_US
}

/// The end of a statement that writes `fresh` buckets. Of two readings of one the one that counts more is the newer.
fn upsert(resolution: Resolution) -> String {
    format!(
        "INSERT INTO telemetry.rollup_{} AS r (bucket, asset_id, signal_id, source, count, least, greatest, first, last, sum)
    SELECT bucket, asset_id, signal_id, source, count, least, greatest, first, last, sum
    FROM fresh
    ORDER BY asset_id, signal_id, source, bucket
    ON CONFLICT (asset_id, signal_id, source, bucket) DO UPDATE
    SET count = EXCLUDED.count, least = EXCLUDED.least, greatest = EXCLUDED.greatest, first = EXCLUDED.first,
        last = EXCLUDED.last, sum = EXCLUDED.sum
    WHERE r.count < EXCLUDED.count",
        resolution.name()
    )
}

/// Brings roll-ups up to date, as far as they are due at `now`; returns how many buckets were read again. Any number may
/// do it at the same time; call it every few seconds.
pub async fn roll_up(db: &Db, now: Timestamp) -> Result<u64, StorageError> {
    let mut buckets = 0;
    for resolution in Resolution::ALL {
        let mut tries = Tries::new();
        loop {
            match in_time(some(db, resolution, now)).await {
                Ok(0) => break,
                Ok(some) => {
                    buckets += some;
                    metrics::rolled_up(some);
                    tries = Tries::new();
                }
                Err(trouble) => tries.after(trouble).await.map_err(|why| {
                    let (GaveUp::Data(detail) | GaveUp::Later(detail)) = why;
                    StorageError::Later { detail }
                })?,
            }
        }
    }
    Ok(buckets)
}

/// One transaction; returns how many buckets it read.
async fn some(db: &Db, resolution: Resolution, now: Timestamp) -> Result<u64, Trouble> {
    let mut client: Client = db.system().await?;
    let tx = client.transaction().await?;
    // Each statement is planned for its own day.
    tx.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan")
        .await?;
    let take = tx
        .prepare_cached(include_str!("../queries/take_dirty.sql"))
        .await?;
    let marks = tx
        .query(&take, &[&resolution.level(), &now, &MOST_MARKS])
        .await?;
    let mut parts: BTreeMap<i64, BTreeSet<(i32, i16, i64)>> = BTreeMap::new();
    for mark in &marks {
        let bucket = mark.get::<_, Micros>("bucket").0;
        let part = bucket - bucket.rem_euclid(resolution.part_us());
        let key = (mark.get("asset_id"), mark.get("source"), bucket);
        parts.entry(part).or_default().insert(key);
    }
    let mut buckets = 0;
    for (part, keys) in parts {
        buckets += keys.len() as u64;
        let assets: Vec<i32> = keys.iter().map(|key| key.0).collect();
        let sources: Vec<i16> = keys.iter().map(|key| key.1).collect();
        let begins: Vec<Micros> = keys.iter().map(|key| Micros(key.2)).collect();
        let (from, to) = (Micros(part), Micros(part + resolution.part_us()));
        match resolution {
            Resolution::Minute => {
                let columns = minutes::used(&tx, &assets, &sources).await?;
                if columns.is_empty() {
                    continue;
                }
                let sql = minutes::sql(&columns);
                tx.execute(&sql, &[&assets, &sources, &begins, &from, &to, &now])
                    .await?;
            }
            Resolution::Quarter => {
                let statement = tx.prepare_cached(&coarser::sql(resolution)).await?;
                tx.execute(&statement, &[&assets, &sources, &begins, &from, &to, &now])
                    .await?;
            }
            Resolution::Day => {
                let statement = tx.prepare_cached(&coarser::sql(resolution)).await?;
                let to = Micros(to.0 + DAY_US);
                tx.execute(&statement, &[&assets, &sources, &begins, &from, &to])
                    .await?;
            }
        }
    }
    tx.commit().await?;
    Ok(buckets)
}
