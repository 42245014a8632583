//! The wide rows of a batch by whose they are: what is kept beside them is looked up once for each asset and source.

use std::collections::HashMap;

use super::known::AssetSource;
use crate::decode::{Rows, WideRow};

/// A wide row, with where its values are.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'a> {
    rows: &'a Rows,
    row: &'a WideRow,
}

impl<'a> Placed<'a> {
    /// In microseconds since 1970.
    pub(crate) fn time_us(self) -> i64 {
        self.row.time_us
    }

    /// The slots that have a value, ascending.
    pub(crate) fn slots(self) -> &'a [u16] {
        self.rows.slots_of(self.row)
    }

    /// The values, in the order of the slots.
    pub(crate) fn steps(self) -> &'a [i64] {
        self.rows.steps_of(self.row)
    }

    /// Slots with their values.
    pub(crate) fn cells(self) -> impl Iterator<Item = (u16, i64)> + 'a {
        let steps = self.steps().iter().copied();
        self.slots().iter().copied().zip(steps)
    }
}

/// The rows of each asset and source, in the order of the keys; those of one in the order of the blocks.
pub(crate) fn by_source<'a>(blocks: &[&'a Rows]) -> Vec<(AssetSource, Vec<Placed<'a>>)> {
    let mut sources: HashMap<AssetSource, Vec<Placed<'a>>> = HashMap::new();
    for &rows in blocks {
        let whose = |row: &WideRow| (row.asset, row.source);
        for of_one in rows.wide.chunk_by(|a, b| whose(a) == whose(b)) {
            let placed = of_one.iter().map(|row| Placed { rows, row });
            sources.entry(whose(&of_one[0])).or_default().extend(placed);
        }
    }
    let mut sources: Vec<_> = sources.into_iter().collect();
    sources.sort_unstable_by_key(|(key, _)| *key);
    sources
}
