//! The latest value of each signal, with its own time. Newer times win whatever the order of arrival; of two samples
//! of the same instant the greater, so that the outcome does not depend on who came first.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::known::AssetSource;
use crate::{
    decode::{Number, Rows},
    layout::layout,
    trouble::Trouble,
};

/// A value with its time; the order says which one is the latest.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Last<V> {
    time_us: i64,
    value: V,
}

/// The latest values of assets' sources, by signal.
type Values<V> = BTreeMap<AssetSource, BTreeMap<i32, Last<V>>>;

/// What a batch brings.
#[derive(Debug, Default)]
pub(crate) struct LatestValues {
    wide: Values<i64>,
    extra: Values<Number>,
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

/// Keeps the later of two; true when it changed.
fn keep<V: Copy + PartialOrd>(
    values: &mut BTreeMap<i32, Last<V>>,
    signal: i32,
    new: Last<V>,
) -> bool {
    match values.get_mut(&signal) {
        Some(old) if *old >= new => false,
        Some(old) => {
            *old = new;
            true
        }
        None => {
            values.insert(signal, new);
            true
        }
    }
}

impl LatestValues {
    /// Adds the rows of a block.
    pub(crate) fn add(&mut self, rows: &Rows) {
        for row in &rows.wide {
            let values = self.wide.entry((row.asset, row.source)).or_default();
            for cell in rows.cells_of(row) {
                let signal = i32::from(layout().slot(cell.slot).signal.id.0);
                let last = Last {
                    time_us: row.time_us,
                    value: cell.steps,
                };
                keep(values, signal, last);
            }
        }
        for row in &rows.extra {
            let values = self.extra.entry((row.asset, row.source)).or_default();
            let last = Last {
                time_us: row.time_us,
                value: row.number,
            };
            keep(values, row.signal, last);
        }
    }

    /// Merges them into the tables. Rows are locked in the order of their key; all of them have to exist.
    pub(crate) async fn write(self, tx: &Transaction<'_>) -> Result<(), Trouble> {
        if !self.wide.is_empty() {
            write_wide(tx, self.wide).await?;
        }
        if !self.extra.is_empty() {
            write_extra(tx, self.extra).await?;
        }
        Ok(())
    }
}

/// Merges what is new into what is there; leaves only those that changed.
fn merge<V: Copy + PartialOrd>(new: Values<V>, mut old: Values<V>) -> Result<Values<V>, Trouble> {
    let mut changed = Values::new();
    for (key, values) in new {
        let mut merged = old.remove(&key).ok_or(Trouble::Stale)?;
        let mut any = false;
        for (signal, last) in values {
            any |= keep(&mut merged, signal, last);
        }
        if any {
            changed.insert(key, merged);
        }
    }
    Ok(changed)
}

fn keys<V>(values: &Values<V>) -> (Vec<i32>, Vec<i16>) {
    values.keys().copied().unzip()
}

/// The columns of a flat list: asset, source, signal, time, value.
type Flat<V> = (Vec<i32>, Vec<i16>, Vec<i32>, Vec<Timestamp>, Vec<V>);

fn flat<V: Copy>(values: &Values<V>) -> Flat<V> {
    let mut flat: Flat<V> = Default::default();
    for (&(asset, source), values) in values {
        for (&signal, last) in values {
            flat.0.push(asset);
            flat.1.push(source);
            flat.2.push(signal);
            flat.3.push(time(last.time_us));
            flat.4.push(last.value);
        }
    }
    flat
}

/// Stored times were checked: they are between 2000 and tomorrow.
pub(crate) fn time(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MIN)
}

async fn write_wide(tx: &Transaction<'_>, new: Values<i64>) -> Result<(), Trouble> {
    let (assets, sources) = keys(&new);
    let statement = tx
        .prepare_cached(include_str!("../../queries/lock_latest.sql"))
        .await?;
    let mut old = Values::new();
    for row in tx.query(&statement, &[&assets, &sources]).await? {
        let signals: Vec<i32> = row.get("signals");
        let times: Vec<Timestamp> = row.get("times");
        let steps: Vec<i64> = row.get("steps");
        let values = signals.into_iter().zip(times).zip(steps);
        let values = values.map(|((signal, time), value)| {
            let time_us = time.as_microsecond();
            (signal, Last { time_us, value })
        });
        old.insert((row.get("asset_id"), row.get("source")), values.collect());
    }
    let changed = merge(new, old)?;
    if changed.is_empty() {
        return Ok(());
    }
    let (assets, sources, signals, times, steps) = flat(&changed);
    let statement = tx
        .prepare_cached(include_str!("../../queries/update_latest.sql"))
        .await?;
    tx.execute(&statement, &[&assets, &sources, &signals, &times, &steps])
        .await?;
    Ok(())
}

async fn write_extra(tx: &Transaction<'_>, new: Values<Number>) -> Result<(), Trouble> {
    let (assets, sources) = keys(&new);
    let statement = tx
        .prepare_cached(include_str!("../../queries/lock_extra_latest.sql"))
        .await?;
    let mut old = Values::new();
    for row in tx.query(&statement, &[&assets, &sources]).await? {
        let signals: Vec<i32> = row.get("signals");
        let times: Vec<Timestamp> = row.get("times");
        let raws: Vec<Option<i64>> = row.get("raws");
        let floats: Vec<Option<f64>> = row.get("values");
        let numbers = raws.into_iter().zip(floats).map(|(raw, float)| {
            raw.map_or_else(|| Number::Value(float.unwrap_or_default()), Number::Raw)
        });
        let values = signals.into_iter().zip(times).zip(numbers);
        let values = values.map(|((signal, time), value)| {
            let time_us = time.as_microsecond();
            (signal, Last { time_us, value })
        });
        old.insert((row.get("asset_id"), row.get("source")), values.collect());
    }
    let changed = merge(new, old)?;
    if changed.is_empty() {
        return Ok(());
    }
    let (assets, sources, signals, times, numbers) = flat(&changed);
    let raws: Vec<Option<i64>> = numbers
        .iter()
        .map(|number| match number {
            Number::Raw(raw) => Some(*raw),
            Number::Value(_) => None,
        })
        .collect();
    let floats: Vec<Option<f64>> = numbers
        .iter()
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
        &[&assets, &sources, &signals, &times, &raws, &floats],
    )
    .await?;
    Ok(())
}
