//! A body of samples, by asset and instant.

use std::collections::HashMap;

use shared_protocol::SampleBody;

use super::{Cell, ExtraRow, Rows, Times, WideRow, number, steps, unknown};
use crate::{
    columns::{ColumnPlan, EpochColumns, Target},
    layout::layout,
};

/// Signals of a vehicle that are mostly read together, about.
const MOST_USUAL: usize = 32;

/// A column of one asset's source that goes into wide rows.
struct Part<'a> {
    slot: u16,
    plan: &'a ColumnPlan,
    /// Which times, by their place in the body.
    times: u32,
    raws: &'a [i64],
}

/// What belongs to one asset's source.
pub(super) struct Group<T> {
    key: (i32, i16),
    pub(super) parts: Vec<T>,
}

/// The group of a key. Columns of an asset mostly follow each other, so the last one is looked at first.
pub(super) fn group<'a, T>(
    groups: &'a mut Vec<Group<T>>,
    places: &mut HashMap<(i32, i16), usize>,
    key: (i32, i16),
) -> &'a mut Group<T> {
    let place = match groups.last() {
        Some(last) if last.key == key => groups.len() - 1,
        _ => *places.entry(key).or_insert_with(|| {
            groups.push(Group {
                key,
                parts: Vec::with_capacity(MOST_USUAL),
            });
            groups.len() - 1
        }),
    };
    &mut groups[place]
}

/// The rows of samples. All columns have to be [`ready`].
pub(crate) fn rows(
    body: &SampleBody,
    columns: &EpochColumns,
    offset_us: i64,
    times: Times,
) -> Result<Rows, String> {
    let mut rows = Rows::default();
    let mut groups: Vec<Group<Part<'_>>> = Vec::new();
    let mut places = HashMap::new();
    for series in &body.series {
        let Some(plan) = columns.get(series.column) else {
            return Err(format!("column {} is not defined", series.column));
        };
        let raws = body.raws(series);
        let (asset, source) = (plan.asset, plan.column.source.number());
        match plan.target {
            Target::Wide(slot) => {
                group(&mut groups, &mut places, (asset, source))
                    .parts
                    .push(Part {
                        slot,
                        plan,
                        times: series.times,
                        raws,
                    });
            }
            Target::Extra(signal) => {
                rows.extra.reserve(raws.len());
                for (&mono_us, &raw) in body.times[series.times as usize].iter().zip(raws) {
                    rows.extra.push(ExtraRow {
                        asset,
                        source,
                        signal,
                        time_us: times.of_column(mono_us, offset_us, plan)?,
                        number: number(plan, raw)?,
                    });
                }
            }
            Target::Unknown(signal) => return unknown(signal),
        }
    }
    groups.sort_unstable_by_key(|group| group.key);
    rows.cells.reserve(body.len() - rows.extra.len());
    for mut group in groups {
        group.parts.sort_by_key(|part| part.slot);
        let shared = &body.times[group.parts[0].times as usize];
        if group.is_read_together(shared) {
            rows.add_together(&group, shared, (offset_us, times))?;
        } else {
            rows.add_apart(&group, body, (offset_us, times))?;
        }
    }
    Ok(rows)
}

impl Group<Part<'_>> {
    /// Whether all its columns, ordered by slot, were read at these instants, one after the other, each signal once.
    fn is_read_together(&self, shared: &[i64]) -> bool {
        self.parts
            .windows(2)
            .all(|two| two[0].times == two[1].times && two[0].slot != two[1].slot)
            && shared.is_sorted_by(|a, b| a < b)
    }
}

impl Rows {
    /// Adds a row for each instant at which all columns of a group were read.
    fn add_together(
        &mut self,
        group: &Group<Part<'_>>,
        shared: &[i64],
        (offset_us, times): (i64, Times),
    ) -> Result<(), String> {
        let layout = layout();
        let (asset, source) = group.key;
        for (place, &mono_us) in shared.iter().enumerate() {
            let start = self.cells.len();
            for part in &group.parts {
                let steps = steps(part.plan, layout.slot(part.slot), part.raws[place])?;
                let slot = part.slot;
                self.cells.push(Cell { slot, steps });
            }
            self.wide.push(WideRow {
                asset,
                source,
                time_us: times.of_column(mono_us, offset_us, group.parts[0].plan)?,
                cells: start..self.cells.len(),
            });
        }
        Ok(())
    }

    /// Adds the rows of a group whose columns were read at instants of their own.
    fn add_apart(
        &mut self,
        group: &Group<Part<'_>>,
        body: &SampleBody,
        (offset_us, times): (i64, Times),
    ) -> Result<(), String> {
        let layout = layout();
        let samples = group.parts.iter().map(|part| part.raws.len()).sum();
        let mut cells: Vec<(i64, Cell)> = Vec::with_capacity(samples);
        for part in &group.parts {
            let (slot, column) = (part.slot, layout.slot(part.slot));
            for (&mono_us, &raw) in body.times[part.times as usize].iter().zip(part.raws) {
                let steps = steps(part.plan, column, raw)?;
                let time_us = times.of_column(mono_us, offset_us, part.plan)?;
                cells.push((time_us, Cell { slot, steps }));
            }
        }
        self.add_cells(group.key, cells);
        Ok(())
    }

    /// Adds the rows of groups of single cells.
    pub(super) fn add_groups(&mut self, mut groups: Vec<Group<(i64, Cell)>>) {
        groups.sort_unstable_by_key(|group| group.key);
        for group in groups {
            self.add_cells(group.key, group.parts);
        }
    }

    /// Adds the rows of one asset's source.
    fn add_cells(&mut self, (asset, source): (i32, i16), mut cells: Vec<(i64, Cell)>) {
        // Each series came in order: the sort finds the runs and merges them.
        cells.sort_by_key(|&(time, cell)| (time, cell.slot));
        for instant in cells.chunk_by(|a, b| a.0 == b.0) {
            self.add_instant(asset, source, instant);
        }
    }

    /// Adds the rows of one instant, whose cells are in the order of their slots: the first row has the first cell of
    /// each slot, the second the second, and so on.
    fn add_instant(&mut self, asset: i32, source: i16, instant: &[(i64, Cell)]) {
        let time_us = instant[0].0;
        let start = self.cells.len();
        if instant.windows(2).all(|two| two[0].1.slot != two[1].1.slot) {
            self.cells.extend(instant.iter().map(|(_, cell)| *cell));
            self.wide.push(WideRow {
                asset,
                source,
                time_us,
                cells: start..self.cells.len(),
            });
            return;
        }
        let mut turn = 0u32;
        let mut turns: Vec<(u32, Cell)> = Vec::with_capacity(instant.len());
        for (index, (_, cell)) in instant.iter().enumerate() {
            let again = index > 0 && instant[index - 1].1.slot == cell.slot;
            turn = if again { turn + 1 } else { 0 };
            turns.push((turn, *cell));
        }
        turns.sort_by_key(|(turn, _)| *turn);
        for row in turns.chunk_by(|a, b| a.0 == b.0) {
            let start = self.cells.len();
            self.cells.extend(row.iter().map(|(_, cell)| *cell));
            self.wide.push(WideRow {
                asset,
                source,
                time_us,
                cells: start..self.cells.len(),
            });
        }
    }
}
