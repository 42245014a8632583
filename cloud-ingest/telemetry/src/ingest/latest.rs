//! The latest value of each signal, with its own time. Newer times win whatever the order of arrival; of two samples
//! of the same instant the greater, so that the outcome does not depend on who came first.

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::{known::AssetSource, sources::Placed};
use crate::{
    decode::{Number, Rows},
    layout::layout,
    micros::Micros,
    trouble::Trouble,
};

/// A value with its time; the order says which one is the latest.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Last<V> {
    pub(crate) time_us: i64,
    pub(crate) value: V,
}

/// The latest values of a source, ascending by signal.
pub(crate) type Values<V> = Vec<(i32, Last<V>)>;
/// Those of several, in the order of their keys.
pub(crate) type Latest<V> = BTreeMap<AssetSource, Values<V>>;

/// What a batch brings.
#[derive(Debug, Default)]
pub(crate) struct LatestValues {
    wide: Latest<i64>,
    extra: HashMap<AssetSource, BTreeMap<i32, Last<Number>>>,
    /// By slot: what is being put together of one asset's source.
    slots: Vec<Option<Last<i64>>>,
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Raw(a), Self::Raw(b)) => a.partial_cmp(b),
            (Self::Value(a), Self::Value(b)) => a.partial_cmp(b),
            // One signal has one encoding.
            _ => None,
        }
    }
}

impl LatestValues {
    /// Adds the wide rows of an asset's source, all of them.
    pub(crate) fn add(&mut self, key: AssetSource, rows: &[Placed<'_>]) {
        let slots = &layout().slots;
        self.slots.resize(slots.len(), None);
        // Of rows with values in the same slots a later one leaves nothing of an earlier one.
        let mut newest: Option<Placed<'_>> = None;
        for &row in rows {
            match newest {
                Some(other) if other.slots() == row.slots() && other.time_us() != row.time_us() => {
                    if other.time_us() < row.time_us() {
                        newest = Some(row);
                    }
                }
                other => {
                    if let Some(other) = other {
                        self.look_at(other);
                    }
                    newest = Some(row);
                }
            }
        }
        if let Some(row) = newest {
            self.look_at(row);
        }
        let lasts = slots.iter().zip(&mut self.slots);
        let mut values: Values<i64> = lasts
            .filter_map(|(slot, last)| Some((i32::from(slot.signal.id.0), last.take()?)))
            .collect();
        values.sort_unstable_by_key(|(signal, _)| *signal);
        self.wide.insert(key, values);
    }

    fn look_at(&mut self, row: Placed<'_>) {
        for (slot, steps) in row.cells() {
            let new = Some(Last {
                time_us: row.time_us(),
                value: steps,
            });
            // None is less than any.
            let old = &mut self.slots[usize::from(slot)];
            if *old < new {
                *old = new;
            }
        }
    }

    /// Adds the narrow rows of a block.
    pub(crate) fn add_extra(&mut self, rows: &Rows) {
        for row in &rows.extra {
            let values = self.extra.entry((row.asset, row.source)).or_default();
            let new = Last {
                time_us: row.time_us,
                value: row.number,
            };
            let old = values.entry(row.signal).or_insert(new);
            if *old < new {
                *old = new;
            }
        }
    }

    /// Merges them into the tables. Rows are locked in the order of their key; all of them have to exist. Returns what
    /// was there before of the signals of the catalogue.
    pub(crate) async fn write(self, tx: &Transaction<'_>) -> Result<Latest<i64>, Trouble> {
        let before = if self.wide.is_empty() {
            Latest::new()
        } else {
            write_wide(tx, self.wide).await?
        };
        if !self.extra.is_empty() {
            let new = self.extra.into_iter();
            let new = new.map(|(key, values)| (key, values.into_iter().collect()));
            write_extra(tx, new.collect()).await?;
        }
        Ok(before)
    }
}

/// Merges two lists that are ascending by signal; `None` when nothing of `new` is later.
fn merge_one<V: Copy + PartialOrd>(new: &Values<V>, old: &Values<V>) -> Option<Values<V>> {
    let mut merged = Values::with_capacity(old.len() + new.len());
    let mut changed = false;
    let mut old = old.iter().peekable();
    for &(signal, last) in new {
        while let Some(&before) = old.next_if(|(other, _)| *other < signal) {
            merged.push(before);
        }
        match old.next_if(|(other, _)| *other == signal) {
            Some(&(_, before)) if before >= last => merged.push((signal, before)),
            _ => {
                changed = true;
                merged.push((signal, last));
            }
        }
    }
    merged.extend(old);
    changed.then_some(merged)
}

/// Merges what is new into what is there; leaves only those that changed.
fn merge<V: Copy + PartialOrd>(new: Latest<V>, old: &Latest<V>) -> Result<Latest<V>, Trouble> {
    let mut changed = Latest::new();
    for (key, values) in new {
        let old = old.get(&key).ok_or(Trouble::Stale)?;
        if let Some(merged) = merge_one(&values, old) {
            changed.insert(key, merged);
        }
    }
    Ok(changed)
}

fn keys<V>(values: &Latest<V>) -> (Vec<i32>, Vec<i16>) {
    values.keys().copied().unzip()
}

/// The rows as columns; the lists of all rows one behind the other.
struct Flat<V> {
    assets: Vec<i32>,
    sources: Vec<i16>,
    /// The latest of the times.
    latest: Vec<Micros>,
    /// Where the lists of each row begin and end, counted from 1, both included.
    first: Vec<i32>,
    last: Vec<i32>,
    signals: Vec<i32>,
    times: Vec<Micros>,
    values: Vec<V>,
}

fn flat<V: Copy>(rows: &Latest<V>) -> Flat<V> {
    let (assets, sources) = keys(rows);
    let mut flat = Flat {
        assets,
        sources,
        latest: Vec::new(),
        first: Vec::new(),
        last: Vec::new(),
        signals: Vec::new(),
        times: Vec::new(),
        values: Vec::new(),
    };
    for values in rows.values() {
        flat.first.push(flat.signals.len() as i32 + 1);
        let mut latest = i64::MIN;
        for &(signal, last) in values {
            latest = latest.max(last.time_us);
            flat.signals.push(signal);
            flat.times.push(Micros(last.time_us));
            flat.values.push(last.value);
        }
        flat.latest.push(Micros(latest));
        flat.last.push(flat.signals.len() as i32);
    }
    flat
}

/// Stored times were checked: they are between 2000 and tomorrow.
pub(crate) fn time(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MIN)
}

fn values<V>(signals: Vec<i32>, times: Vec<Micros>, values: impl Iterator<Item = V>) -> Values<V> {
    let lasts = times.into_iter().zip(values).map(|(time, value)| Last {
        time_us: time.0,
        value,
    });
    signals.into_iter().zip(lasts).collect()
}

async fn write_wide(tx: &Transaction<'_>, new: Latest<i64>) -> Result<Latest<i64>, Trouble> {
    let (assets, sources) = keys(&new);
    let statement = tx
        .prepare_cached(include_str!("../../queries/lock_latest.sql"))
        .await?;
    let mut old = Latest::new();
    for row in tx.query(&statement, &[&assets, &sources]).await? {
        let steps: Vec<i64> = row.get("steps");
        let values = values(row.get("signals"), row.get("times"), steps.into_iter());
        old.insert((row.get("asset_id"), row.get("source")), values);
    }
    let changed = merge(new, &old)?;
    if changed.is_empty() {
        return Ok(old);
    }
    let flat = flat(&changed);
    let statement = tx
        .prepare_cached(include_str!("../../queries/update_latest.sql"))
        .await?;
    tx.execute(
        &statement,
        &[
            &flat.assets,
            &flat.sources,
            &flat.latest,
            &flat.first,
            &flat.last,
            &flat.signals,
            &flat.times,
            &flat.values,
        ],
    )
    .await?;
    Ok(old)
}

async fn write_extra(tx: &Transaction<'_>, new: Latest<Number>) -> Result<(), Trouble> {
    let (assets, sources) = keys(&new);
    let statement = tx
        .prepare_cached(include_str!("../../queries/lock_extra_latest.sql"))
        .await?;
    let mut old = Latest::new();
    for row in tx.query(&statement, &[&assets, &sources]).await? {
        let raws: Vec<Option<i64>> = row.get("raws");
        let floats: Vec<Option<f64>> = row.get("values");
        let numbers = raws.into_iter().zip(floats).map(|(raw, float)| {
            raw.map_or_else(|| Number::Value(float.unwrap_or_default()), Number::Raw)
        });
        let values = values(row.get("signals"), row.get("times"), numbers);
        old.insert((row.get("asset_id"), row.get("source")), values);
    }
    let changed = merge(new, &old)?;
    if changed.is_empty() {
        return Ok(());
    }
    let flat = flat(&changed);
    let numbers = || flat.values.iter();
    let raws: Vec<Option<i64>> = numbers()
        .map(|number| match number {
            Number::Raw(raw) => Some(*raw),
            Number::Value(_) => None,
        })
        .collect();
    let floats: Vec<Option<f64>> = numbers()
        .map(|number| match number {
            Number::Raw(_) => None,
            Number::Value(value) => Some(*value),
        })
        .collect();
    let statement = tx
        .prepare_cached(include_str!("../../queries/update_extra_latest.sql"))
        .await?;
    tx.execute(
        &statement,
        &[
            &flat.assets,
            &flat.sources,
            &flat.latest,
            &flat.first,
            &flat.last,
            &flat.signals,
            &flat.times,
            &raws,
            &floats,
        ],
    )
    .await?;
    Ok(())
}
