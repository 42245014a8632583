//! When states changed. What comes in order is compared with the latest value, which the transaction has locked; what
//! comes between older samples has its surroundings read again.

use std::{collections::BTreeMap, sync::Arc};

use deadpool_postgres::Transaction;

use super::latest::Latest;
use crate::{copy::CopyRows, decode::Rows, layout::layout, micros::Micros, trouble::Trouble};

/// Which slots are states.
pub(crate) type IsState = Arc<[bool]>;

/// Samples of states, by asset, source and slot.
#[derive(Debug)]
pub(crate) struct States {
    is_state: IsState,
    samples: BTreeMap<(i32, i16, u16), Vec<(i64, i64)>>,
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
            samples: BTreeMap::new(),
        }
    }

    /// Adds those of a block.
    pub(crate) fn add(&mut self, rows: &Rows) {
        for row in &rows.wide {
            for cell in rows.cells_of(row) {
                if self.is_state.get(usize::from(cell.slot)) == Some(&true) {
                    let key = (row.asset, row.source, cell.slot);
                    let samples = self.samples.entry(key).or_default();
                    samples.push((row.time_us, cell.steps));
                }
            }
        }
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
