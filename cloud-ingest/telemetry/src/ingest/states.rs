//! When states changed. What comes in order is compared with the latest value, which the transaction has locked; what
//! comes between older samples has its surroundings read again.

use std::sync::Arc;

use deadpool_postgres::Transaction;

use super::{known::AssetSource, latest::Latest, sources::Placed};
use crate::{copy::CopyRows, layout::layout, micros::Micros, trouble::Trouble};

/// Which slots are states.
pub(crate) type IsState = Arc<[bool]>;

/// Samples of states: times and steps.
type Samples = Vec<(i64, i64)>;

/// Those of a batch.
#[derive(Debug)]
pub(crate) struct States {
    is_state: IsState,
    /// By asset, source and slot.
    samples: Vec<((i32, i16, u16), Samples)>,
}

/// A sample that differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    time_us: i64,
    before: Option<i64>,
    steps: i64,
}

/// The changes among samples in order of time, after `before`.
fn changes(mut before: Option<i64>, samples: &[(i64, i64)]) -> Vec<Change> {
    let mut changes = Vec::new();
    for &(time_us, steps) in samples {
        if before != Some(steps) {
            changes.push(Change {
                time_us,
                before,
                steps,
            });
        }
        before = Some(steps);
    }
    changes
}

impl States {
    pub(crate) fn new(is_state: IsState) -> Self {
        Self {
            is_state,
            samples: Vec::new(),
        }
    }

    /// Adds those of an asset's source, all of them.
    pub(crate) fn add(&mut self, (asset, source): AssetSource, rows: &[Placed<'_>]) {
        let mut found: Vec<(u16, Samples)> = Vec::new();
        let mut slots: &[u16] = &[];
        // Where rows with these slots have a state, and which of `found` that is.
        let mut places: Vec<(usize, usize)> = Vec::new();
        for row in rows {
            if row.slots() != slots {
                slots = row.slots();
                places.clear();
                for (place, &slot) in slots.iter().enumerate() {
                    if self.is_state.get(usize::from(slot)) == Some(&true) {
                        let known = found.iter().position(|(other, _)| *other == slot);
                        places.push((place, known.unwrap_or(found.len())));
                        if known.is_none() {
                            found.push((slot, Vec::with_capacity(rows.len())));
                        }
                    }
                }
            }
            let steps = row.steps();
            for &(place, of) in &places {
                found[of].1.push((row.time_us(), steps[place]));
            }
        }
        found.sort_unstable_by_key(|(slot, _)| *slot);
        let found = found.into_iter();
        let keyed = found.map(|(slot, samples)| ((asset, source, slot), samples));
        self.samples.extend(keyed);
    }

    /// Keeps what changed. The samples are in the table already, and the rows of latest values locked; `latest` is what
    /// they said before.
    pub(crate) async fn write(
        self,
        tx: &Transaction<'_>,
        latest: &Latest<i64>,
    ) -> Result<(), Trouble> {
        let mut new = CopyRows::new();
        for ((asset, source, slot), mut samples) in self.samples {
            samples.sort_unstable();
            let signal = i32::from(layout().slot(slot).signal.id.0);
            let values = latest.get(&(asset, source));
            let before = values
                .and_then(|values| values.iter().find(|(other, _)| *other == signal))
                .map(|(_, last)| *last);
            let (first, last) = (samples[0].0, samples[samples.len() - 1].0);
            let found = if before.is_none_or(|before| before.time_us < first) {
                changes(before.map(|before| before.value), &samples)
            } else {
                again(tx, (asset, source, slot), first, last).await?
            };
            for change in found {
                new.row(6);
                new.integer(asset);
                new.integer(signal);
                new.smallint(source);
                new.time(change.time_us);
                match change.before {
                    Some(before) => new.bigint(before),
                    None => new.null(),
                }
                new.bigint(change.steps);
            }
        }
        let target = "telemetry.state_change (asset_id, signal_id, source, time, before, steps)";
        new.send(tx, target).await
    }
}

/// Reads the samples between two times again, with the last one before and the first one after them, and forgets the
/// changes that were kept of that time.
async fn again(
    tx: &Transaction<'_>,
    (asset, source, slot): (i32, i16, u16),
    first: i64,
    last: i64,
) -> Result<Vec<Change>, Trouble> {
    let signal = &layout().slot(slot).signal;
    let column = &signal.column;
    let of = format!("asset_id = $1 AND source = $2 AND \"{column}\" IS NOT NULL");
    let sql = format!(
        "(SELECT time, \"{column}\"::bigint FROM telemetry.sample WHERE {of} AND time < $3
          ORDER BY time DESC, \"{column}\" DESC LIMIT 1)
         UNION ALL
         (SELECT time, \"{column}\"::bigint FROM telemetry.sample WHERE {of} AND time >= $3 AND time <= coalesce(
            (SELECT min(time) FROM telemetry.sample WHERE {of} AND time > $4), $4))
         ORDER BY 1, 2"
    );
    // As many texts as there are states.
    let statement = tx.prepare_cached(&sql).await?;
    let rows = tx
        .query(
            &statement,
            &[&asset, &source, &Micros(first), &Micros(last)],
        )
        .await?;
    let samples: Vec<(i64, i64)> = rows
        .iter()
        .map(|row| (row.get::<_, Micros>(0).0, row.get(1)))
        .collect();
    let split = samples.partition_point(|(time, _)| *time < first);
    let before = samples[..split].last().map(|(_, steps)| *steps);
    let until = samples.last().map_or(last, |(time, _)| *time);
    let sql = include_str!("../../queries/delete_changes.sql");
    let statement = tx.prepare_cached(sql).await?;
    tx.execute(
        &statement,
        &[
            &asset,
            &i32::from(signal.id.0),
            &source,
            &Micros(first),
            &Micros(until),
        ],
    )
    .await?;
    Ok(changes(before, &samples[split..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_kept() {
        let change = |time_us, before, steps| Change {
            time_us,
            before,
            steps,
        };
        let samples = [(1, 0), (2, 0), (3, 1), (3, 2), (4, 2), (5, 0)];
        assert_eq!(
            changes(None, &samples),
            [
                change(1, None, 0),
                change(3, Some(0), 1),
                change(3, Some(1), 2),
                change(5, Some(2), 0)
            ]
        );
        assert_eq!(changes(Some(0), &samples[..2]), []);
    }
}
