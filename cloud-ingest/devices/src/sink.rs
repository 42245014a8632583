//! Records become rows, each once.
//!
//! One transaction: lock the devices in the order of their numbers; remember the records, leaving out those that are
//! remembered already; write the rows of the new ones; count; whatever else has to be true with them ([`Along`]); COMMIT.
//! What this returns may be acknowledged.

use std::{
    collections::{BTreeMap, HashSet},
    pin::Pin,
    time::Duration,
};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use platform::{Backoff, Clock, Db, Failure};
use telemetry::{Reading, Readings, WriteError, judge_time};

use crate::{Digest, REMEMBERED, Record, Unread, Why, metrics};

/// Longest that one transaction may take.
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_DETAIL: usize = 500;

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
    /// Kept in `devices.refused`, for they cannot be true.
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
    readings: Readings,
}

/// A record, judged.
struct Judged<'a> {
    record: &'a Record,
    readings: Vec<Reading>,
    unread: Vec<Unread>,
    refusal: Option<String>,
}

fn judge(record: &Record, now: Timestamp) -> Judged<'_> {
    let mut judged = Judged {
        record,
        readings: Vec::new(),
        unread: record.unread.clone(),
        refusal: judge_time(record.time, now).err(),
    };
    for (code, def, raw) in &record.values {
        let reading = Reading {
            asset: record.device.asset,
            source: record.device.kind.source(),
            time: record.time,
            def: def.clone(),
            raw: *raw,
        };
        match reading.judge(now) {
            Ok(()) => judged.readings.push(reading),
            Err(detail) => judged.unread.push(Unread {
                code: code.clone(),
                why: Why::Impossible,
                detail,
            }),
        }
    }
    if judged.refusal.is_some() {
        judged.readings.clear();
        judged.unread.clear();
    }
    judged
}

/// The time by which a record is remembered: its own, or, where the database has no such time, that of its digest alone.
fn remembered(record: &Record) -> Timestamp {
    let range = Timestamp::UNIX_EPOCH..Timestamp::constant(32_503_680_000, 0);
    if range.contains(&record.time) { record.time } else { Timestamp::UNIX_EPOCH }
}

impl Sink {
    /// A sink of a database that [`telemetry::prepare_storage`] has prepared.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self {
            db,
            clock,
            readings: Readings::default(),
        }
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
    pub async fn store(&self, records: &[Record], along: Option<&dyn Along>) -> Result<Stored, StoreError> {
        let now = self.clock.now();
        let judged: Vec<Judged<'_>> = records.iter().map(|record| judge(record, now)).collect();
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2), 8);
        loop {
            let attempt = tokio::time::timeout(PATIENCE, self.attempt(&judged, along, now));
            let detail = match attempt.await {
                Ok(Ok(Some(stored))) => {
                    metrics::stored(records, stored);
                    for unread in judged.iter().flat_map(|judged| &judged.unread) {
                        metrics::unread(unread.why);
                    }
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

    async fn attempt(
        &self,
        judged: &[Judged<'_>],
        along: Option<&dyn Along>,
        now: Timestamp,
    ) -> Result<Option<Stored>, WriteError> {
        let mut client = self.db.system().await?;
        let all: Vec<Reading> = judged.iter().flat_map(|judged| judged.readings.clone()).collect();
        self.readings.prepare(&self.db, &client, &all).await?;
        let states = self.readings.states(&client).await?;
        let tx = client.transaction().await?;
        if let Some(along) = along
            && !along.write(&tx).await?
        {
            return Ok(None);
        }
        let new = take(&tx, judged, now).await?;
        let mut stored = Stored {
            again: (judged.len() - new.len()) as u64,
            ..Stored::default()
        };
        let new: Vec<&Judged<'_>> = new.into_iter().map(|at| &judged[at]).collect();
        let readings: Vec<Reading> = new.iter().flat_map(|judged| judged.readings.clone()).collect();
        if !readings.is_empty() {
            self.readings.write(&tx, &readings, &states, now).await?;
        }
        stored.refused = refuse(&tx, &new, now).await?;
        stored.new = new.len() as u64 - stored.refused;
        count(&tx, &new, now).await?;
        tx.commit().await?;
        Ok(Some(stored))
    }

    /// Forgets records whose devices will not send them again.
    pub async fn prune(&self) -> Result<u64, platform::DbError> {
        let client = self.db.system().await?;
        let seconds = REMEMBERED.as_secs().cast_signed();
        Ok(client.execute(include_str!("../queries/prune.sql"), &[&seconds]).await?)
    }
}

/// Remembers records and returns the places of those that are new.
async fn take(tx: &Transaction<'_>, judged: &[Judged<'_>], now: Timestamp) -> Result<Vec<usize>, WriteError> {
    let devices: Vec<i32> = judged.iter().map(|judged| judged.record.device.id).collect();
    let statement = tx.prepare_cached(include_str!("../queries/lock_devices.sql")).await?;
    tx.query(&statement, &[&devices]).await?;
    let times: Vec<Timestamp> = judged.iter().map(|judged| remembered(judged.record)).collect();
    let digests: Vec<&[u8]> = judged.iter().map(|judged| judged.record.digest.0.as_slice()).collect();
    let statement = tx.prepare_cached(include_str!("../queries/take.sql")).await?;
    let rows = tx.query(&statement, &[&devices, &times, &digests, &now]).await?;
    // The database keeps microseconds.
    let key = |device: i32, time: Timestamp, digest: &[u8]| {
        (device, time.as_microsecond(), Digest(digest.try_into().unwrap_or_default()))
    };
    let mut new: HashSet<_> = rows
        .iter()
        .map(|row| key(row.get("device_id"), row.get("time"), row.get("digest")))
        .collect();
    // The first of several that are the same.
    let is_new = |judged: &Judged<'_>, new: &mut HashSet<_>| {
        let record = judged.record;
        new.remove(&key(record.device.id, remembered(record), &record.digest.0))
    };
    let places = judged.iter().enumerate();
    Ok(places.filter(|(_, judged)| is_new(judged, &mut new)).map(|(at, _)| at).collect())
}

/// Keeps what cannot be true.
async fn refuse(tx: &Transaction<'_>, new: &[&Judged<'_>], now: Timestamp) -> Result<u64, WriteError> {
    let refused: Vec<_> = new
        .iter()
        .filter_map(|judged| Some((judged.record, judged.refusal.as_ref()?)))
        .collect();
    if refused.is_empty() {
        return Ok(0);
    }
    let devices: Vec<i32> = refused.iter().map(|(record, _)| record.device.id).collect();
    let digests: Vec<&[u8]> = refused.iter().map(|(record, _)| record.digest.0.as_slice()).collect();
    let reasons = vec!["impossible_time"; refused.len()];
    let details: Vec<&str> = refused.iter().map(|(_, detail)| detail.as_str()).collect();
    let payloads: Vec<&[u8]> = refused.iter().map(|(record, _)| record.payload.as_slice()).collect();
    let statement = tx.prepare_cached(include_str!("../queries/refuse.sql")).await?;
    tx.execute(&statement, &[&devices, &digests, &reasons, &details, &payloads, &now])
        .await?;
    Ok(refused.len() as u64)
}

/// Counts what was stored of each device, and what was not stored of it.
async fn count(tx: &Transaction<'_>, new: &[&Judged<'_>], now: Timestamp) -> Result<(), WriteError> {
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
        let statement = tx.prepare_cached(include_str!("../queries/count_records.sql")).await?;
        tx.execute(&statement, &[&devices, &counts, &times, &now]).await?;
    }
    if !unread.is_empty() {
        let devices: Vec<i32> = unread.keys().map(|key| key.0).collect();
        let codes: Vec<&str> = unread.keys().map(|key| key.1).collect();
        let reasons: Vec<&str> = unread.keys().map(|key| key.2).collect();
        let counts: Vec<i64> = unread.values().map(|sum| sum.0).collect();
        let details: Vec<String> = unread
            .values()
            .map(|sum| sum.1.chars().filter(|c| *c != '\0').take(LONGEST_DETAIL).collect())
            .collect();
        let times: Vec<Timestamp> = unread.values().map(|sum| sum.2).collect();
        let statement = tx.prepare_cached(include_str!("../queries/count_unread.sql")).await?;
        tx.execute(&statement, &[&devices, &codes, &reasons, &counts, &details, &times])
            .await?;
    }
    Ok(())
}
