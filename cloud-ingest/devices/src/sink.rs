//! Records become rows, each once.
//!
//! One transaction: lock the devices in the order of their numbers; remember the records, leaving out those that are
//! remembered already, and those that are so old that they may have been forgotten; write the rows of the new ones; count; whatever else has to be true with them ([`Along`]); COMMIT.
//! What this returns may be acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::Duration,
};

use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use platform::{Backoff, Clock, Db, DbError, Failure};
use shared_protocol::{Digest, Source};
use telemetry::readings::{Reading, ReadingsError, earliest, prepare, take};

use crate::{Device, Record, Unread, Why, metrics};

/// Longest that one transaction may take.
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_DETAIL: usize = 500;
/// Most messages of one device that are kept although they cannot be read.
const MOST_UNREADABLE: i64 = 1000;
/// 2000-01-01, before all devices.
const EARLIEST: Timestamp = Timestamp::constant(946_684_800, 0);

/// What has to be written together with records.
pub trait Along: Send + Sync {
    /// Writes it. `false`: it is not to be, and the transaction is rolled back.
    fn write<'a>(
        &'a self,
        tx: &'a Transaction<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<bool, tokio_postgres::Error>> + Send + 'a>>;
}

/// What became of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Stored now.
    pub new: u64,
    /// Stored or refused before.
    pub again: u64,
    /// Kept in `devices.refused`, for they cannot be true, or come too late.
    pub refused: u64,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is in trouble: send it again later.
    #[error("{0}")]
    Later(String),
    /// What had to be written along is not to be.
    #[error("somebody else has gone on from there")]
    Moved,
}

/// Stores records. Cloning it is cheap. Any number of them may work on the same database.
#[derive(Clone, Debug)]
pub struct Sink {
    db: Db,
    clock: Clock,
}

/// A record, judged.
struct Judged<'a> {
    record: &'a Record,
    unread: Vec<Unread>,
    refusal: Option<Refusal>,
}

/// Why a record is kept in `devices.refused`: a word, and the rest for people.
type Refusal = (&'static str, String);

/// Why a record cannot have been made then.
fn impossible_time(time: Timestamp, now: Timestamp) -> Option<Refusal> {
    let latest = now
        .saturating_add(SignedDuration::from_hours(24))
        .unwrap_or(Timestamp::MAX);
    (!(EARLIEST..=latest).contains(&time)).then(|| {
        let detail =
            format!("{time} cannot be its time: it is before 2000 or more than a day ahead");
        ("impossible_time", detail)
    })
}

/// Why a record comes too late to know whether it was stored before.
fn too_old(time: Timestamp, earliest: Timestamp) -> Option<Refusal> {
    (time < earliest).then(|| {
        let detail = format!(
            "{time} is before {earliest}: whether it was stored before is not known any more (telemetry.retention, taken)"
        );
        ("too_old", detail)
    })
}

impl Sink {
    /// A sink of a database that [`telemetry::prepare_storage`] has prepared.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Its database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Stores records of one kind of device and returns after COMMIT, or after giving up.
    pub async fn store(
        &self,
        records: &[Record],
        along: Option<&dyn Along>,
    ) -> Result<Stored, StoreError> {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2), 8);
        loop {
            let attempt = tokio::time::timeout(PATIENCE, self.attempt(records, along));
            let detail = match attempt.await {
                Ok(Ok(Some((stored, unread)))) => {
                    metrics::stored(records, stored);
                    unread.into_iter().for_each(metrics::unread);
                    return Ok(stored);
                }
                Ok(Ok(None)) => return Err(StoreError::Moved),
                Ok(Err(error)) => {
                    let detail = error.to_string();
                    if matches!(error.failure(), Failure::Data | Failure::Other) {
                        tracing::error!(detail, "the database refuses what devices sent");
                        return Err(StoreError::Later(detail));
                    }
                    detail
                }
                Err(_) => format!("the database did not answer within {PATIENCE:?}"),
            };
            let Some(wait) = backoff.wait() else {
                return Err(StoreError::Later(detail));
            };
            tracing::warn!(detail, "what devices sent is not stored yet, trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Keeps a message that cannot be read, once, with the reason; of one device at most [`MOST_UNREADABLE`]. `false`: it was
    /// not kept.
    pub async fn refuse(
        &self,
        device: &Device,
        payload: &[u8],
        detail: &str,
    ) -> Result<bool, StoreError> {
        let later = |error: DbError| StoreError::Later(error.to_string());
        let client = self.db.system().await.map_err(later)?;
        let sql = include_str!("../queries/refuse_message.sql");
        let digest = Digest::of(payload);
        let detail: String = detail
            .chars()
            .filter(|c| *c != '\0')
            .take(LONGEST_DETAIL)
            .collect();
        let now = self.clock.now();
        let kept = client
            .execute(
                sql,
                &[
                    &device.id,
                    &digest.0.as_slice(),
                    &detail,
                    &payload,
                    &now,
                    &MOST_UNREADABLE,
                ],
            )
            .await
            .map_err(|error| later(error.into()))?;
        metrics::unreadable(device.kind);
        Ok(kept > 0)
    }

    async fn attempt(
        &self,
        records: &[Record],
        along: Option<&dyn Along>,
    ) -> Result<Option<(Stored, Vec<Why>)>, Problem> {
        let now = self.clock.now();
        let mut judged: Vec<Judged<'_>> = records
            .iter()
            .map(|record| Judged {
                record,
                unread: record.unread.clone(),
                refusal: impossible_time(record.time, now),
            })
            .collect();
        // Each reading with the place of its record, and the device's own name of it.
        let mut readings = Vec::new();
        let mut places = Vec::new();
        for (place, judged) in judged
            .iter()
            .enumerate()
            .filter(|(_, judged)| judged.refusal.is_none())
        {
            for (code, signal, raw) in &judged.record.values {
                readings.push(Reading {
                    asset: judged.record.device.asset,
                    time: judged.record.time,
                    signal,
                    raw: *raw,
                });
                places.push((place, code));
            }
        }
        let source = records
            .first()
            .map_or(Source::Json, |record| record.device.kind.source());
        let mut client = self.db.system().await?;
        let (ready, unfit) = prepare(&client, source, &readings, now).await?;
        for unfit in unfit {
            let (place, code) = places[unfit.at];
            judged[place].unread.push(Unread {
                code: code.clone(),
                why: Why::Impossible,
                detail: unfit.why,
            });
        }
        let tx = client.transaction().await?;
        if let Some(along) = along
            && !along.write(&tx).await?
        {
            return Ok(None);
        }
        let new = new_ones(&tx, source, &judged, now).await?;
        let earliest = earliest(&tx).await?;
        for judged in &mut judged {
            let time = judged.record.time;
            judged.refusal = judged.refusal.take().or_else(|| too_old(time, earliest));
        }
        let is_stored = |place: usize| new.contains(&place) && judged[place].refusal.is_none();
        ready.store(&tx, |at| is_stored(places[at].0), now).await?;
        let mut stored = Stored {
            again: (judged.len() - new.len()) as u64,
            ..Stored::default()
        };
        let new: Vec<&Judged<'_>> = new.into_iter().map(|place| &judged[place]).collect();
        stored.refused = refuse(&tx, &new, now).await?;
        stored.new = new.len() as u64 - stored.refused;
        count(&tx, &new, now).await?;
        tx.commit().await?;
        let unread = new
            .iter()
            .flat_map(|judged| judged.unread.iter().map(|unread| unread.why));
        Ok(Some((stored, unread.collect())))
    }
}

/// What went wrong in one attempt.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Readings(#[from] ReadingsError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

impl Problem {
    fn failure(&self) -> Failure {
        match self {
            Self::Readings(error) => error.failure(),
            Self::Db(DbError::Query(error)) => Failure::of(error),
            Self::Db(_) => Failure::Connection,
        }
    }
}

/// Remembers records and returns the places of those that are new: the first of several that are the same.
async fn new_ones(
    tx: &Transaction<'_>,
    source: Source,
    judged: &[Judged<'_>],
    now: Timestamp,
) -> Result<BTreeSet<usize>, Problem> {
    type OfDevice<'a> = (&'a str, Vec<(usize, Digest)>);
    let mut of: BTreeMap<i32, OfDevice<'_>> = BTreeMap::new();
    for (place, Judged { record, .. }) in judged.iter().enumerate() {
        let (_, digests) = of
            .entry(record.device.id)
            .or_insert_with(|| (&record.device.key, Vec::new()));
        digests.push((place, record.digest));
    }
    let devices: Vec<i32> = of.keys().copied().collect();
    let statement = tx
        .prepare_cached(include_str!("../queries/lock_devices.sql"))
        .await?;
    tx.query(&statement, &[&devices]).await?;
    let mut places = BTreeSet::new();
    for (key, digests) in of.into_values() {
        let wanted: Vec<Digest> = digests.iter().map(|(_, digest)| *digest).collect();
        let mut new = take(tx, source, key, &wanted, now).await?;
        places.extend(
            digests
                .iter()
                .filter(|(_, digest)| new.remove(digest))
                .map(|(place, _)| *place),
        );
    }
    Ok(places)
}

/// Keeps what cannot be true.
async fn refuse(tx: &Transaction<'_>, new: &[&Judged<'_>], now: Timestamp) -> Result<u64, Problem> {
    let refused: Vec<_> = new
        .iter()
        .filter_map(|judged| Some((judged.record, judged.refusal.as_ref()?)))
        .collect();
    if refused.is_empty() {
        return Ok(0);
    }
    let devices: Vec<i32> = refused.iter().map(|(record, _)| record.device.id).collect();
    let digests: Vec<&[u8]> = refused
        .iter()
        .map(|(record, _)| record.digest.0.as_slice())
        .collect();
    let reasons: Vec<&str> = refused.iter().map(|(_, refusal)| refusal.0).collect();
    let details: Vec<&str> = refused
        .iter()
        .map(|(_, refusal)| refusal.1.as_str())
        .collect();
    let payloads: Vec<&[u8]> = refused
        .iter()
        .map(|(record, _)| record.payload.as_slice())
        .collect();
    let statement = tx
        .prepare_cached(include_str!("../queries/refuse.sql"))
        .await?;
    tx.execute(
        &statement,
        &[&devices, &digests, &reasons, &details, &payloads, &now],
    )
    .await?;
    Ok(refused.len() as u64)
}

/// Counts what was stored of each device, and what was not stored of it.
async fn count(tx: &Transaction<'_>, new: &[&Judged<'_>], now: Timestamp) -> Result<(), Problem> {
    let mut records: BTreeMap<i32, (i64, Timestamp)> = BTreeMap::new();
    let mut unread: BTreeMap<(i32, &str, &str), (i64, &str, Timestamp)> = BTreeMap::new();
    for judged in new.iter().filter(|judged| judged.refusal.is_none()) {
        let (device, time) = (judged.record.device.id, judged.record.time);
        let sum = records.entry(device).or_insert((0, time));
        *sum = (sum.0 + 1, sum.1.max(time));
        for one in &judged.unread {
            let key = (device, one.code.as_str(), one.why.word());
            let sum = unread.entry(key).or_insert((0, "", time));
            *sum = (sum.0 + 1, one.detail.as_str(), sum.2.max(time));
        }
    }
    if !records.is_empty() {
        let devices: Vec<i32> = records.keys().copied().collect();
        let counts: Vec<i64> = records.values().map(|sum| sum.0).collect();
        let times: Vec<Timestamp> = records.values().map(|sum| sum.1).collect();
        let statement = tx
            .prepare_cached(include_str!("../queries/count_records.sql"))
            .await?;
        tx.execute(&statement, &[&devices, &counts, &times, &now])
            .await?;
    }
    if !unread.is_empty() {
        let devices: Vec<i32> = unread.keys().map(|key| key.0).collect();
        let codes: Vec<&str> = unread.keys().map(|key| key.1).collect();
        let reasons: Vec<&str> = unread.keys().map(|key| key.2).collect();
        let counts: Vec<i64> = unread.values().map(|sum| sum.0).collect();
        let details: Vec<String> = unread
            .values()
            .map(|sum| {
                sum.1
                    .chars()
                    .filter(|c| *c != '\0')
                    .take(LONGEST_DETAIL)
                    .collect()
            })
            .collect();
        let times: Vec<Timestamp> = unread.values().map(|sum| sum.2).collect();
        let statement = tx
            .prepare_cached(include_str!("../queries/count_unread.sql"))
            .await?;
        tx.execute(
            &statement,
            &[&devices, &codes, &reasons, &counts, &details, &times],
        )
        .await?;
    }
    Ok(())
}
