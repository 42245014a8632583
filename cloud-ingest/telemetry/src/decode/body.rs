//! A body of samples, by asset and instant.

use std::collections::HashMap;

use shared_protocol::SampleBody;

use super::{
    Cell, ExtraRow, Pattern, Rows, Times, number,
    pattern::{Part, Whole, column, pattern},
    rows::Shape,
};
use crate::columns::EpochColumns;

/// Signals of a vehicle that are mostly read together, about.
const MOST_USUAL: usize = 32;

/// What belongs to one asset's source.
pub(super) struct Group<T> {
    pub(super) key: (i32, i16),
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

/// The rows of samples. All columns have to be [`super::ready`].
pub(crate) fn rows(
    body: &SampleBody,
    columns: &EpochColumns,
    offset_us: i64,
    times: Times,
) -> Result<Rows, String> {
    pattern(body, columns)?.rows(body, columns, offset_us, times)
}

/// The wall times of a body.
struct Walls {
    all: Vec<i64>,
    /// Where those of each vector begin, and the end.
    first: Vec<usize>,
}

impl Walls {
    fn new(
        body: &SampleBody,
        columns: &EpochColumns,
        offset_us: i64,
        times: Times,
    ) -> Result<Self, String> {
        let mut walls = Self {
            all: Vec::new(),
            first: Vec::with_capacity(body.times.len() + 1),
        };
        for (vector, monos) in (0u32..).zip(&body.times) {
            walls.first.push(walls.all.len());
            walls.all.reserve(monos.len());
            for &mono_us in monos {
                let wall = times.wall(mono_us, offset_us);
                walls
                    .all
                    .push(wall.map_err(|why| blamed(body, columns, vector, &why))?);
            }
        }
        walls.first.push(walls.all.len());
        Ok(walls)
    }

    fn of(&self, vector: u32) -> &[i64] {
        let vector = vector as usize;
        &self.all[self.first[vector]..self.first[vector + 1]]
    }
}

/// What is wrong with a vector of times, with the name of a column that has it.
fn blamed(body: &SampleBody, columns: &EpochColumns, vector: u32, why: &str) -> String {
    let having = body.series.iter().find(|series| series.times == vector);
    match having.and_then(|series| columns.get(series.column)) {
        Some(plan) => format!(
            "{} {}: {why}",
            plan.column.asset,
            plan.column.def.signal.name()
        ),
        None => why.to_owned(),
    }
}

impl Pattern {
    /// The rows of a body that it fits.
    pub(crate) fn rows(
        &self,
        body: &SampleBody,
        columns: &EpochColumns,
        offset_us: i64,
        times: Times,
    ) -> Result<Rows, String> {
        let walls = Walls::new(body, columns, offset_us, times)?;
        let mut rows = Rows::default();
        for narrow in &self.extra {
            let series = &body.series[narrow.place];
            let plan = column(columns, series.column)?;
            let raws = body.raws(series);
            rows.extra.reserve(raws.len());
            for (&time_us, &raw) in walls.of(series.times).iter().zip(raws) {
                rows.extra.push(ExtraRow {
                    asset: plan.asset,
                    source: plan.column.source.number(),
                    signal: narrow.signal,
                    time_us,
                    number: number(plan, raw)?,
                });
            }
        }
        rows.reserve(self.wide.len(), body.len() - rows.extra.len());
        for whole in &self.wide {
            let vector = body.series[whole.parts[0].place].times;
            let shared = walls.of(vector);
            match &whole.shape {
                // At several instants, one after the other.
                Some(shape) if shared.is_sorted_by(|a, b| a < b) => {
                    rows.add_together(whole, shape, body, columns, shared)?;
                }
                _ => rows.add_apart(whole, body, columns, &walls)?,
            }
        }
        Ok(rows)
    }
}

impl Rows {
    /// Adds a row for each instant at which all columns were read.
    fn add_together(
        &mut self,
        whole: &Whole,
        shape: &Shape,
        body: &SampleBody,
        columns: &EpochColumns,
        walls: &[i64],
    ) -> Result<(), String> {
        let shape = self.shared_shape(shape);
        let values = self.add_rows(whole.key, shape, walls.iter().copied());
        let length = whole.parts.len();
        for (place, part) in whole.parts.iter().enumerate() {
            let series = &body.series[part.place];
            let of_column = values[place..].iter_mut().step_by(length);
            for (value, &raw) in of_column.zip(body.raws(series)) {
                *value = part.steps(raw, || column(columns, series.column))?;
            }
        }
        Ok(())
    }

    /// Adds the rows of columns that were read at instants of their own.
    fn add_apart(
        &mut self,
        whole: &Whole,
        body: &SampleBody,
        columns: &EpochColumns,
        walls: &Walls,
    ) -> Result<(), String> {
        let series = |part: &Part| &body.series[part.place];
        let samples = whole.parts.iter().map(|part| body.raws(series(part)).len());
        let mut cells: Vec<(i64, Cell)> = Vec::with_capacity(samples.sum());
        for part in &whole.parts {
            let (slot, series) = (part.slot, series(part));
            for (&time_us, &raw) in walls.of(series.times).iter().zip(body.raws(series)) {
                let steps = part.steps(raw, || column(columns, series.column))?;
                cells.push((time_us, Cell { slot, steps }));
            }
        }
        self.add_cells(whole.key, cells);
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
    fn add_cells(&mut self, key: (i32, i16), mut cells: Vec<(i64, Cell)>) {
        // Each series came in order: the sort finds the runs and merges them.
        cells.sort_by_key(|&(time, cell)| (time, cell.slot));
        let mut slots = Vec::with_capacity(MOST_USUAL);
        for instant in cells.chunk_by(|a, b| a.0 == b.0) {
            self.add_instant(key, instant, &mut slots);
        }
    }

    /// Adds the rows of one instant, whose cells are in the order of their slots: the first row has the first cell of
    /// each slot, the second the second, and so on. `slots` is room that is used again.
    fn add_instant(&mut self, key: (i32, i16), instant: &[(i64, Cell)], slots: &mut Vec<u16>) {
        let time_us = instant[0].0;
        if instant.windows(2).all(|two| two[0].1.slot != two[1].1.slot) {
            self.add_one(key, time_us, instant.iter().map(|(_, cell)| *cell), slots);
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
            self.add_one(key, time_us, row.iter().map(|(_, cell)| *cell), slots);
        }
    }

    fn add_one(
        &mut self,
        key: (i32, i16),
        time_us: i64,
        cells: impl Iterator<Item = Cell> + Clone,
        slots: &mut Vec<u16>,
    ) {
        slots.clear();
        slots.extend(cells.clone().map(|cell| cell.slot));
        let shape = self.shape(slots);
        self.add_row(key, time_us, shape, cells.map(|cell| cell.steps));
    }
}
