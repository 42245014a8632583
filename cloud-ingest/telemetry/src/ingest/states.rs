//! When states changed. What comes in order is compared with the latest value, which the transaction has locked; what
//! comes between older samples has its surroundings read again, unless it says what is known already.

mod late;

use std::sync::Arc;

use deadpool_postgres::Transaction;

use super::{known::AssetSource, latest::Latest, sources::Placed};
use crate::{copy::CopyRows, layout::layout, trouble::Trouble};

/// Which slots are states.
pub(crate) type IsState = Arc<[bool]>;

/// Samples of states: times and steps.
type Samples = Vec<(i64, i64)>;
/// Whose state: asset, source and slot.
type Key = (i32, i16, u16);

/// Those of a batch.
#[derive(Debug)]
pub(crate) struct States {
    is_state: IsState,
    samples: Vec<(Key, Samples)>,
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
        let mut new = NewChanges(CopyRows::new());
        let mut late = Vec::new();
        for (key, mut samples) in self.samples {
            samples.sort_unstable();
            let (asset, source, slot) = key;
            let signal = signal(slot);
            let values = latest.get(&(asset, source));
            let before = values
                .and_then(|values| values.iter().find(|(other, _)| *other == signal))
                .map(|(_, last)| *last);
            if before.is_none_or(|before| before.time_us < samples[0].0) {
                new.add(key, changes(before.map(|before| before.value), &samples));
            } else {
                late.push((key, samples));
            }
        }
        let unsettled = late::unsettled(tx, &late).await?;
        for (key, changes) in late::again(tx, unsettled).await? {
            new.add(key, changes);
        }
        let target = "telemetry.state_change (asset_id, signal_id, source, time, before, steps)";
        new.0.send(tx, target).await
    }
}

/// The number of a slot's signal.
fn signal(slot: u16) -> i32 {
    i32::from(layout().slot(slot).signal.id.0)
}

/// Changes on their way into the table.
struct NewChanges(CopyRows);

impl NewChanges {
    fn add(&mut self, (asset, source, slot): Key, changes: Vec<Change>) {
        for change in changes {
            self.0.row(6);
            self.0.integer(asset);
            self.0.integer(signal(slot));
            self.0.smallint(source);
            self.0.time(change.time_us);
            match change.before {
                Some(before) => self.0.bigint(before),
                None => self.0.null(),
            }
            self.0.bigint(change.steps);
        }
    }
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
