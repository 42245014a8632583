//! Readings of sources that are no gateways: trackers, feeds, devices that speak JSON. Their rows are written in a
//! transaction of the caller's, which is also the one that remembers what was taken: there is no ledger of blocks.
//!
//! 1. [`Reading::judge`]: what cannot be true is an error, not a value
//! 2. [`Readings::prepare`], outside the transaction: signals outside the catalogue get numbers, latest values rows
//! 3. [`Readings::write`], inside: samples, marks for roll-ups, latest values, state changes; the same as of a block

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use platform::{Client, Db, Failure};
use shared_protocol::{Encoding, SignalDef, SignalRef, Source};

use super::{
    known::{Known, Latest},
    latest::LatestValues,
    states::States,
    write::wide_rows,
};
use crate::{
    columns::parts,
    copy::CopyRows,
    decode::{Cell, ExtraRow, Number, Rows, Times, WideRow},
    layout::layout,
    rollup::Minutes,
    trouble::Trouble,
};

/// More definitions than all devices' lists have.
const MOST_SIGNALS: usize = 100_000;

/// One value of one signal of one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whose, by the number of the asset.
    pub asset: i32,
    /// The way by which it came.
    pub source: Source,
    /// When it was measured.
    pub time: Timestamp,
    /// Which signal, and what the raw integer means.
    pub def: Arc<SignalDef>,
    /// The raw integer.
    pub raw: i64,
}

/// Why readings were not written; nothing of the transaction may be kept.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WriteError(#[from] Trouble);

impl From<tokio_postgres::Error> for WriteError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(error.into())
    }
}

impl From<platform::DbError> for WriteError {
    fn from(error: platform::DbError) -> Self {
        Self(error.into())
    }
}

impl WriteError {
    /// What it means for whoever has to go on.
    pub fn failure(&self) -> Failure {
        self.0.failure()
    }
}

impl Reading {
    /// Whether it can be true now; the error says why not.
    pub fn judge(&self, now: Timestamp) -> Result<(), String> {
        judge_time(self.time, now)?;
        let name = self.def.signal.name();
        match self.def.signal {
            SignalRef::Catalogue(id) => {
                let slot = layout()
                    .slot_of(id)
                    .ok_or_else(|| format!("signal {id} is not in the catalogue"))?;
                let slot = layout().slot(slot);
                let signal = slot.signal;
                let steps = self.def.encoding.in_steps_of(self.raw, signal.resolution);
                if steps.is_none_or(|steps| !(slot.least..=slot.greatest).contains(&steps)) {
                    let value = self.def.encoding.value(self.raw);
                    return Err(format!(
                        "{name}: {value} {} cannot be true, it is from {} to {}",
                        signal.unit, signal.range.0, signal.range.1
                    ));
                }
            }
            SignalRef::Named { .. } => {
                if !self.def.encoding.value(self.raw).is_finite() {
                    return Err(format!("{name}: it is not a number"));
                }
            }
        }
        Ok(())
    }
}

/// Whether something can have been measured then: between 2000 and a day from now.
pub fn judge_time(time: Timestamp, now: Timestamp) -> Result<(), String> {
    Times::until(now).wall(time.as_microsecond(), 0).map(drop)
}

type Extra = (i32, i16, Arc<SignalDef>);

/// Writes readings; remembers what it has made sure of. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Readings(Arc<Memory>);

#[derive(Debug, Default)]
struct Memory {
    known: Known,
    /// With the generation of connections in which they were seen.
    extras: Mutex<(u64, HashMap<Extra, i32>)>,
}

impl Readings {
    /// Makes sure of what [`Readings::write`] needs. Idempotent, and not part of any transaction.
    pub async fn prepare(&self, db: &Db, client: &Client, readings: &[Reading]) -> Result<(), WriteError> {
        let generation = db.generation();
        self.0.known.be_sure(generation);
        let is_named = |reading: &&Reading| matches!(reading.def.signal, SignalRef::Named { .. });
        let of = |reading: &Reading| (reading.asset, reading.source.number());
        let wide: BTreeSet<_> = readings.iter().filter(|reading| !is_named(reading)).map(of).collect();
        let narrow: BTreeSet<_> = readings.iter().filter(is_named).map(of).collect();
        for (which, wanted) in [(Latest::Catalogue, wide), (Latest::Extra, narrow)] {
            self.0.known.ensure_latest(client, which, &wanted).await?;
        }
        let missing = {
            let mut extras = self.0.extras.lock().unwrap_or_else(PoisonError::into_inner);
            if extras.0 != generation || extras.1.len() > MOST_SIGNALS {
                *extras = (generation, HashMap::new());
            }
            let mut missing: Vec<Extra> = Vec::new();
            for reading in readings.iter().filter(is_named) {
                let key = (reading.asset, reading.source.number(), Arc::clone(&reading.def));
                if !extras.1.contains_key(&key) && !missing.contains(&key) {
                    missing.push(key);
                }
            }
            missing
        };
        if missing.is_empty() {
            return Ok(());
        }
        let found = number(client, &missing).await?;
        let mut extras = self.0.extras.lock().unwrap_or_else(PoisonError::into_inner);
        if extras.0 == generation {
            extras.1.extend(found);
        }
        Ok(())
    }

    /// Writes readings that were judged and prepared. After an error the transaction has to be rolled back.
    pub async fn write(
        &self,
        client: &Transaction<'_>,
        readings: &[Reading],
        is_state: &IsState,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let rows = match self.rows(readings) {
            Ok(rows) => rows,
            Err(trouble) => {
                self.forget();
                return Err(trouble.into());
            }
        };
        let (mut latest, mut minutes) = (LatestValues::default(), Minutes::default());
        let mut states = States::new(Arc::clone(&is_state.0));
        latest.add(&rows);
        states.add(&rows);
        minutes.add(&rows);
        let (target, wide) = wide_rows(&[&rows]);
        wide.send_once(client, &target).await?;
        let mut extra = CopyRows::new();
        for row in &rows.extra {
            extra.row(4);
            extra.time(row.time_us);
            extra.integer(row.signal);
            match row.number {
                Number::Raw(raw) => {
                    extra.bigint(raw);
                    extra.null();
                }
                Number::Value(value) => {
                    extra.null();
                    extra.double(value);
                }
            }
        }
        extra.send(client, "telemetry.extra (time, signal_id, raw, value)").await?;
        let target = "telemetry.dirty (level, source, asset_id, bucket, due)";
        minutes.marks(now).send(client, target).await?;
        let before = latest.write(client).await.inspect_err(|trouble| {
            if matches!(trouble, Trouble::Stale) {
                self.forget();
            }
        })?;
        states.write(client, &before).await?;
        Ok(())
    }

    /// Which signals are states, for [`Readings::write`]; asked for outside the transaction.
    pub async fn states(&self, client: &Client) -> Result<IsState, WriteError> {
        Ok(IsState(self.0.known.states(client).await?))
    }

    fn forget(&self) {
        self.0.known.clear();
        self.0.extras.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }

    /// Rows in the order of asset, source and time. Where a signal has several readings at one instant, each further one
    /// begins a further row.
    fn rows(&self, readings: &[Reading]) -> Result<Rows, Trouble> {
        let layout = layout();
        let extras = self.0.extras.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wide: BTreeMap<(i32, i16, i64, usize), BTreeMap<u16, i64>> = BTreeMap::new();
        let mut rows = Rows::default();
        for reading in readings {
            let source = reading.source.number();
            let time_us = reading.time.as_microsecond();
            match reading.def.signal {
                SignalRef::Catalogue(id) => {
                    let slot = layout.slot_of(id).ok_or(Trouble::Stale)?;
                    let resolution = layout.slot(slot).signal.resolution;
                    let steps = reading.def.encoding.in_steps_of(reading.raw, resolution);
                    let steps = steps.ok_or(Trouble::Stale)?;
                    let mut place = 0;
                    while wide
                        .get(&(reading.asset, source, time_us, place))
                        .is_some_and(|cells| cells.contains_key(&slot))
                    {
                        place += 1;
                    }
                    let key = (reading.asset, source, time_us, place);
                    wide.entry(key).or_default().insert(slot, steps);
                }
                SignalRef::Named { .. } => {
                    let key = (reading.asset, source, Arc::clone(&reading.def));
                    rows.extra.push(ExtraRow {
                        asset: reading.asset,
                        source,
                        signal: *extras.1.get(&key).ok_or(Trouble::Stale)?,
                        time_us,
                        number: match reading.def.encoding {
                            Encoding::Float => Number::Value(reading.def.encoding.value(reading.raw)),
                            _ => Number::Raw(reading.raw),
                        },
                    });
                }
            }
        }
        for ((asset, source, time_us, _), cells) in wide {
            let begin = rows.cells.len();
            rows.cells.extend(cells.into_iter().map(|(slot, steps)| Cell { slot, steps }));
            rows.wide.push(WideRow {
                asset,
                source,
                time_us,
                cells: begin..rows.cells.len(),
            });
        }
        Ok(rows)
    }
}

/// Which signals are states.
#[derive(Clone, Debug)]
pub struct IsState(super::states::IsState);

/// The numbers of signals outside the catalogue; those that have none yet get one.
async fn number(client: &Client, wanted: &[Extra]) -> Result<Vec<(Extra, i32)>, Trouble> {
    let assets: Vec<i32> = wanted.iter().map(|(asset, ..)| *asset).collect();
    let sources: Vec<i16> = wanted.iter().map(|(_, source, _)| *source).collect();
    let names: Vec<&str> = wanted.iter().map(|(.., def)| def.signal.name()).collect();
    let units: Vec<&str> = wanted.iter().map(|(.., def)| def.signal.unit()).collect();
    let mut kinds: Vec<i16> = Vec::new();
    let mut scales: Vec<String> = Vec::new();
    let mut shifts: Vec<String> = Vec::new();
    for (kind, scale, shift) in wanted.iter().map(|(.., def)| parts(&def.encoding)) {
        kinds.push(kind);
        scales.push(format!("{}e{}", scale.mantissa(), scale.exponent()));
        shifts.push(format!("{}e{}", shift.mantissa(), shift.exponent()));
    }
    let may = vec![true; wanted.len()];
    let sql = include_str!("../../queries/ensure_extra_signals.sql");
    client
        .execute(sql, &[&assets, &sources, &names, &units, &kinds, &scales, &shifts, &may])
        .await?;
    let sql = include_str!("../../queries/extra_signals.sql");
    let rows = client
        .query(sql, &[&assets, &sources, &names, &units, &kinds, &scales, &shifts])
        .await?;
    let found = rows.iter().filter_map(|row| {
        // WITH ORDINALITY counts from 1.
        let place = usize::try_from(row.get::<_, i64>("place")).ok()?;
        Some((wanted.get(place.checked_sub(1)?)?.clone(), row.get("id")))
    });
    Ok(found.collect())
}
