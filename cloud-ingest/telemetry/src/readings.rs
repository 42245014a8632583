//! Readings of devices that seal no blocks: trackers, vendors' clouds, files. They become the same rows as samples of
//! gateways, in the transaction of whoever brings them, so that its cursor or its keys move with them.
//!
//! 1. Before the transaction [`prepare`] checks readings, turns them into rows and makes sure of every row that the
//!    transaction will lock. What does not fit is told, one by one, and is not stored.
//! 2. In the transaction [`take`] says which keys are new. A key is a digest of what makes a record itself; another
//!    transaction that takes the same one waits for this one's end. Keys are forgotten after a while
//!    (`telemetry.retention`): what was measured before [`earliest`] is not to be stored.
//! 3. [`Readings::store`] writes rows, marks of roll-ups, latest values and state changes. It comes last before COMMIT:
//!    it locks rows of latest values in the order of their keys.
//!
//! An error names what can be done by [`ReadingsError::failure`]: roll back, and begin again with 1 when it is a
//! conflict or a connection.

use std::collections::{BTreeSet, HashMap, HashSet};

use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use platform::{Client, Failure};
use shared_protocol::{Column, Digest, SignalDef, SignalRef, Source};

use crate::{
    columns::{ColumnPlan, Target, unfit},
    decode::{self, Checked, Times},
    ingest::{ExtraKey, IsState, Known, Latest, number_signals, write},
    layout::layout,
    trouble::Trouble,
};

/// One value of one signal.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// Whose, of `platform.asset`.
    pub asset: i32,
    /// When it was measured.
    pub time: Timestamp,
    /// Which signal, and what the raw integer means.
    pub signal: &'a SignalDef,
    /// The raw integer as it was read.
    pub raw: i64,
}

/// A reading that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Its place in the list.
    pub at: usize,
    /// Why, for people: which signal, what was found, what was expected.
    pub why: String,
}

/// Readings that can be stored.
#[derive(Debug)]
pub struct Readings {
    /// With their places in the list.
    ready: Vec<(usize, Checked)>,
    source: i16,
    is_state: IsState,
}

/// Why readings were not stored; nothing has changed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadingsError(#[from] Trouble);

impl ReadingsError {
    /// Whether doing it all again can help.
    pub fn failure(&self) -> Failure {
        self.0.failure()
    }
}

impl From<tokio_postgres::Error> for ReadingsError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(Trouble::Postgres(error))
    }
}

/// Checks readings of one source. The second list names those that are left out: a time before 2000 or more than a day
/// after `now`, a value outside the signal's range, a signal of a newer catalogue. Runs outside of transactions.
pub async fn prepare(
    client: &Client,
    source: Source,
    readings: &[Reading<'_>],
    now: Timestamp,
) -> Result<(Readings, Vec<Unfit>), ReadingsError> {
    let number = source.number();
    let times = Times::until(now);
    let mut plans: HashMap<(i32, &SignalDef), Result<ColumnPlan, String>> = HashMap::new();
    for reading in readings {
        plans
            .entry((reading.asset, reading.signal))
            .or_insert_with(|| plan(source, reading));
    }
    let named: Vec<ExtraKey<'_>> = plans
        .iter()
        .filter(|(_, plan)| matches!(plan, Ok(plan) if matches!(plan.target, Target::Extra(_))))
        .map(|((asset, def), _)| (*asset, number, *def))
        .collect();
    let numbers = number_signals(client, &named, &vec![true; named.len()]).await?;
    for ((asset, def), plan) in &mut plans {
        if let (Ok(plan), Some(&id)) = (plan, numbers.get(&(*asset, number, *def))) {
            plan.target = Target::Extra(id);
        }
    }
    let mut ready = Vec::with_capacity(readings.len());
    let mut left_out = Vec::new();
    let mut wide = BTreeSet::new();
    let mut extra = BTreeSet::new();
    for (at, reading) in readings.iter().enumerate() {
        let checked = match &plans[&(reading.asset, reading.signal)] {
            Ok(plan) => times
                .at(reading.time.as_microsecond())
                .and_then(|time_us| decode::check_one(plan, time_us, reading.raw)),
            Err(why) => Err(why.clone()),
        };
        match checked {
            Ok(one) => {
                let places = if one.is_extra() {
                    &mut extra
                } else {
                    &mut wide
                };
                places.insert((reading.asset, number));
                ready.push((at, one));
            }
            Err(why) => left_out.push(Unfit { at, why }),
        }
    }
    let known = Known::default();
    known
        .ensure_latest(client, Latest::Catalogue, &wide)
        .await?;
    known.ensure_latest(client, Latest::Extra, &extra).await?;
    let prepared = Readings {
        ready,
        source: number,
        is_state: known.states(client).await?,
    };
    Ok((prepared, left_out))
}

/// Why a reading cannot be stored, as [`prepare`] would say it; asks nobody.
pub fn check(source: Source, reading: &Reading<'_>, now: Timestamp) -> Result<(), String> {
    let plan = plan(source, reading)?;
    let time_us = Times::until(now).at(reading.time.as_microsecond())?;
    decode::check_one(&plan, time_us, reading.raw).map(|_| ())
}

/// What a reading's signal is; one outside the catalogue has no number yet.
fn plan(source: Source, reading: &Reading<'_>) -> Result<ColumnPlan, String> {
    let name = format!("asset-{}", reading.asset);
    let column = Column {
        asset: name.parse().map_err(|_| format!("{name} is no asset"))?,
        source,
        def: reading.signal.clone(),
    };
    if let Some(why) = unfit(0, std::slice::from_ref(&column)) {
        return Err(why);
    }
    let target = match &reading.signal.signal {
        SignalRef::Catalogue(id) => Target::Wide(
            layout()
                .slot_of(*id)
                .ok_or_else(|| format!("signal {id} is not in the catalogue"))?,
        ),
        SignalRef::Named { .. } => Target::Extra(0),
    };
    Ok(ColumnPlan {
        column,
        asset: reading.asset,
        target,
    })
}

/// Takes keys of an origin (a device, a feed; at most 200 characters): those that are new in the transaction, of which
/// the readings are to be stored. What is not among them was stored before.
pub async fn take(
    tx: &Transaction<'_>,
    source: Source,
    origin: &str,
    keys: &[Digest],
    now: Timestamp,
) -> Result<HashSet<Digest>, ReadingsError> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
    let statement = tx
        .prepare_cached(include_str!("../queries/take.sql"))
        .await?;
    let rows = tx
        .query(&statement, &[&source.number(), &origin, &keys, &now])
        .await?;
    let digest = |row: &tokio_postgres::Row| <[u8; 16]>::try_from(row.get::<_, &[u8]>(0));
    Ok(rows
        .iter()
        .filter_map(|row| digest(row).ok())
        .map(Digest)
        .collect())
}

/// Before when records are not taken: whether one measured earlier was stored before is not known any more. Nothing is
/// forgotten until the transaction ends.
pub async fn earliest(tx: &Transaction<'_>) -> Result<Timestamp, ReadingsError> {
    let statement = tx
        .prepare_cached(include_str!("../queries/forgotten.sql"))
        .await?;
    let until: Timestamp = tx.query_one(&statement, &[]).await?.get("until");
    // No record was taken more than a day before it was measured.
    Ok(until
        .saturating_add(SignedDuration::from_hours(24))
        .unwrap_or(Timestamp::MAX))
}

impl Readings {
    /// The number of their source.
    pub(crate) fn source(&self) -> i16 {
        self.source
    }

    /// Which slots are states.
    pub(crate) fn states(&self) -> &IsState {
        &self.is_state
    }

    /// Those that can be stored.
    pub(crate) fn values(&self) -> impl Iterator<Item = Checked> {
        self.ready.iter().map(|(_, one)| *one)
    }

    /// How many there are to be stored.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Writes those whose place in the list `wanted` wants, and returns how many these are. What it changes commits with
    /// the caller's transaction, which should end soon: others that measure the same assets by the same source wait.
    pub async fn store(
        &self,
        tx: &Transaction<'_>,
        wanted: impl Fn(usize) -> bool,
        now: Timestamp,
    ) -> Result<u64, ReadingsError> {
        let chosen = self.ready.iter().filter(|(at, _)| wanted(*at));
        let (rows, len) = decode::rows_of(self.source, chosen.map(|(_, one)| *one));
        if len > 0 {
            write::rows(tx, &[&rows], now, &self.is_state).await?;
        }
        Ok(len)
    }
}
