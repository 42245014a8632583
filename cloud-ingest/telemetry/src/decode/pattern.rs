//! What becomes of a body's columns: worked out once for all bodies that have the same ones, as a gateway's blocks mostly do.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use shared_protocol::{Encoding, SampleBody};

use super::{
    body::{Group, group},
    rows::Shape,
    steps, unknown,
};
use crate::{
    columns::{ColumnPlan, EpochColumns, Target},
    layout::layout,
};

/// A column of one asset's source that goes into wide rows.
#[derive(Debug)]
pub(super) struct Part {
    /// Its place among the columns of the body.
    pub(super) place: usize,
    pub(super) slot: u16,
    /// Whether its raw integers are steps of the catalogue's resolution already.
    is_plain: bool,
    least: i64,
    greatest: i64,
}

/// A column that goes into narrow rows.
#[derive(Debug)]
pub(super) struct Narrow {
    /// Its place among the columns of the body.
    pub(super) place: usize,
    pub(super) signal: i32,
}

/// What belongs into the same wide rows.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) key: (i32, i16),
    /// By slot.
    pub(super) parts: Vec<Part>,
    /// The shape of its rows when all columns were read at the same instants, each signal once.
    pub(super) shape: Option<Shape>,
}

/// How the columns of a body become rows.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// The columns with the vectors of times that they have, in the order of the body.
    columns: Vec<(u32, u32)>,
    /// In the order of their keys.
    pub(super) wide: Vec<Whole>,
    pub(super) extra: Vec<Narrow>,
}

impl Part {
    /// The steps of a raw integer; an error names asset, signal and value.
    #[inline]
    pub(super) fn steps<'c>(
        &self,
        raw: i64,
        plan: impl FnOnce() -> Result<&'c Arc<ColumnPlan>, String>,
    ) -> Result<i64, String> {
        if self.is_plain && self.least <= raw && raw <= self.greatest {
            return Ok(raw);
        }
        steps(plan()?, layout().slot(self.slot), raw)
    }
}

/// The pattern of a body. All columns have to be [`super::ready`].
pub(crate) fn pattern(body: &SampleBody, known: &EpochColumns) -> Result<Pattern, String> {
    let layout = layout();
    let mut columns = Vec::with_capacity(body.series.len());
    let mut groups: Vec<Group<Part>> = Vec::new();
    let mut places = HashMap::new();
    let mut extra = Vec::new();
    for (place, series) in body.series.iter().enumerate() {
        columns.push((series.column, series.times));
        let plan = column(known, series.column)?;
        match plan.target {
            Target::Wide(slot) => {
                let column = layout.slot(slot);
                let key = (plan.asset, plan.column.source.number());
                group(&mut groups, &mut places, key).parts.push(Part {
                    place,
                    slot,
                    is_plain: is_plain(&plan.column.def.encoding, column.signal.resolution),
                    least: column.least,
                    greatest: column.greatest,
                });
            }
            Target::Extra(signal) => extra.push(Narrow { place, signal }),
            Target::Unknown(signal) => return unknown(signal),
        }
    }
    groups.sort_unstable_by_key(|group| group.key);
    let mut shapes: HashSet<Shape> = HashSet::new();
    let wide = groups.into_iter().map(|group| {
        let Group { key, mut parts } = group;
        parts.sort_by_key(|part| part.slot);
        let times = |part: &Part| columns[part.place].1;
        let is_together = parts
            .windows(2)
            .all(|two| times(&two[0]) == times(&two[1]) && two[0].slot != two[1].slot);
        let shape = is_together.then(|| {
            let slots: Vec<u16> = parts.iter().map(|part| part.slot).collect();
            match shapes.get(slots.as_slice()) {
                Some(shape) => Arc::clone(shape),
                None => {
                    let shape: Shape = slots.into();
                    shapes.insert(Arc::clone(&shape));
                    shape
                }
            }
        });
        Whole { key, parts, shape }
    });
    Ok(Pattern {
        wide: wide.collect(),
        extra,
        columns,
    })
}

/// A column that has to be known.
pub(super) fn column(known: &EpochColumns, number: u32) -> Result<&Arc<ColumnPlan>, String> {
    let plan = known.get(number);
    plan.ok_or_else(|| format!("column {number} is not defined"))
}

fn is_plain(encoding: &Encoding, resolution: shared_protocol::Decimal) -> bool {
    matches!(encoding, Encoding::Scaled { scale, offset } if *scale == resolution && offset.mantissa() == 0)
}

impl Pattern {
    /// Whether it is that of this body, too, which is of the same epoch.
    pub(crate) fn fits(&self, body: &SampleBody) -> bool {
        let columns = body
            .series
            .iter()
            .map(|series| (series.column, series.times));
        self.columns.len() == body.series.len() && columns.eq(self.columns.iter().copied())
    }
}
