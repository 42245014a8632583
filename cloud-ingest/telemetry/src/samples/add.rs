//! Into the tables: what is not there yet.
//!
//! The samples themselves say what is stored already; nothing is remembered beside them. In one transaction: lock the rows of
//! latest values, which whoever writes samples of an asset and source locks before COMMIT; count how often each sample of
//! these instants is stored; write what is missing. So the same samples may be given again after a crash, by two at a time, or
//! to the database from which they came.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use platform::{Client, Failure};
use shared_protocol::{SignalId, Source};

use super::Sample;
use crate::{
    decode::{self, Checked, Stored},
    ingest::write,
    layout::layout,
    readings::{self, Reading, ReadingsError},
    trouble::Trouble,
};

/// Why nothing of a list was stored.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// One of them cannot be stored at all.
    #[error("{why}")]
    Unfit {
        /// Its place in the list.
        at: usize,
        /// Why, for people.
        why: String,
    },
    /// The database is in trouble.
    #[error(transparent)]
    Database(#[from] ReadingsError),
}

impl AddError {
    /// Whether doing it all again can help.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Unfit { .. } => Failure::Data,
            Self::Database(error) => error.failure(),
        }
    }
}

impl From<Trouble> for AddError {
    fn from(trouble: Trouble) -> Self {
        Self::Database(trouble.into())
    }
}

impl From<tokio_postgres::Error> for AddError {
    fn from(error: tokio_postgres::Error) -> Self {
        Trouble::from(error).into()
    }
}

fn reading(sample: &Sample) -> Reading<'_> {
    Reading {
        asset: sample.asset,
        time: sample.time,
        signal: &sample.signal,
        raw: sample.raw,
    }
}

/// Why a sample cannot be stored: its time, its value, its signal. Asks nobody.
pub fn check(sample: &Sample, now: Timestamp) -> Result<(), String> {
    readings::check(sample.source, &reading(sample), now)
}

/// Stores those samples that are not there yet, and returns how many these were. All samples of an asset at an instant have to
/// be in one call: of several that are equal as many are stored as there are.
pub async fn add_missing(
    client: &mut Client,
    samples: &[Sample],
    now: Timestamp,
) -> Result<u64, AddError> {
    let mut by_source: BTreeMap<Source, Vec<usize>> = BTreeMap::new();
    for (at, sample) in samples.iter().enumerate() {
        by_source.entry(sample.source).or_default().push(at);
    }
    let mut prepared = Vec::new();
    for (source, places) in &by_source {
        let readings: Vec<Reading<'_>> = places.iter().map(|at| reading(&samples[*at])).collect();
        let (ready, unfit) = readings::prepare(client, *source, &readings, now).await?;
        if let Some(unfit) = unfit.into_iter().next() {
            return Err(AddError::Unfit {
                at: places[unfit.at],
                why: unfit.why,
            });
        }
        prepared.push(ready);
    }
    let tx = client.transaction().await?;
    let all = || {
        prepared
            .iter()
            .flat_map(|ready| ready.values().map(|one| (ready.source(), one)))
    };
    lock(&tx, all()).await?;
    let mut copies = stored(&tx, all()).await?;
    let mut rows = Vec::new();
    let mut count = 0;
    for ready in &prepared {
        let source = ready.source();
        let missing = ready.values().filter(|one| {
            let there = copies.get_mut(&(source, one.stored()));
            match there {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    false
                }
                _ => true,
            }
        });
        let (of_source, len) = decode::rows_of(source, missing);
        count += len;
        rows.push(of_source);
    }
    if let (Some(first), true) = (prepared.first(), count > 0) {
        let rows: Vec<&decode::Rows> = rows.iter().collect();
        write::rows(&tx, &rows, now, first.states()).await?;
    }
    tx.commit().await?;
    Ok(count)
}

/// Locks the rows of latest values in the order of their keys, as everybody does: from now on nobody else commits samples of
/// these assets and sources.
async fn lock(
    tx: &Transaction<'_>,
    all: impl Iterator<Item = (i16, Checked)>,
) -> Result<(), tokio_postgres::Error> {
    let mut wide = BTreeSet::new();
    let mut extra = BTreeSet::new();
    for (source, one) in all {
        let which = if one.is_extra() {
            &mut extra
        } else {
            &mut wide
        };
        which.insert((one.asset(), source));
    }
    for (sql, keys) in [
        (include_str!("../../queries/lock_latest.sql"), wide),
        (include_str!("../../queries/lock_extra_latest.sql"), extra),
    ] {
        let (assets, sources): (Vec<i32>, Vec<i16>) = keys.into_iter().unzip();
        if !assets.is_empty() {
            tx.query(sql, &[&assets, &sources]).await?;
        }
    }
    Ok(())
}

/// How often the values are stored that are stored at the instants of these.
async fn stored(
    tx: &Transaction<'_>,
    all: impl Iterator<Item = (i16, Checked)>,
) -> Result<HashMap<(i16, Stored), i64>, Trouble> {
    let mut wide: (Vec<Timestamp>, Vec<i32>, Vec<i16>) = Default::default();
    let mut extra: (Vec<Timestamp>, Vec<i32>) = Default::default();
    // Of a signal outside the catalogue rows have the number alone.
    let mut whose: HashMap<i32, (i16, i32)> = HashMap::new();
    for (source, one) in all {
        let key = one.stored();
        let time = Timestamp::from_microsecond(key.time_us).unwrap_or(Timestamp::MAX);
        if one.is_extra() {
            extra.0.push(time);
            extra.1.push(key.signal);
            whose.insert(key.signal, (source, key.asset));
        } else {
            wide.0.push(time);
            wide.1.push(key.asset);
            wide.2.push(source);
        }
    }
    let mut copies = HashMap::new();
    if let (Some(least), Some(greatest)) = (wide.0.iter().min(), wide.0.iter().max()) {
        let sql = include_str!("../../queries/stored_steps.sql");
        let rows = tx
            .query(sql, &[&wide.0, &wide.1, &wide.2, least, greatest])
            .await?;
        for row in rows {
            let id = u16::try_from(row.get::<_, i32>("signal_id")).map(SignalId);
            let Some(slot) = id.ok().and_then(|id| layout().slot_of(id)) else {
                continue;
            };
            let key = Stored {
                time_us: row.get::<_, Timestamp>("time").as_microsecond(),
                asset: row.get("asset_id"),
                is_extra: false,
                signal: slot.into(),
                bits: row.get("steps"),
            };
            copies.insert((row.get("source"), key), row.get("copies"));
        }
    }
    if let (Some(least), Some(greatest)) = (extra.0.iter().min(), extra.0.iter().max()) {
        let sql = include_str!("../../queries/stored_extra.sql");
        let rows = tx
            .query(sql, &[&extra.0, &extra.1, least, greatest])
            .await?;
        for row in rows {
            let signal: i32 = row.get("signal_id");
            let Some(&(source, asset)) = whose.get(&signal) else {
                continue;
            };
            let float = row
                .get::<_, Option<&[u8]>>("bits")
                .and_then(|bits| <[u8; 8]>::try_from(bits).ok());
            let bits = match float {
                Some(bits) => i64::from_be_bytes(bits),
                None => row.get("raw"),
            };
            let key = Stored {
                time_us: row.get::<_, Timestamp>("time").as_microsecond(),
                asset,
                is_extra: true,
                signal,
                bits,
            };
            copies.insert((source, key), row.get("copies"));
        }
    }
    Ok(copies)
}
