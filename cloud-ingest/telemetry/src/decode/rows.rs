//! Rows as they go into the tables.

use std::{collections::HashMap, sync::Arc};

/// Which slots of a wide row have a value, ascending.
pub(crate) type Shape = Arc<[u16]>;

/// One row of `telemetry.sample`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WideRow {
    pub(crate) asset: i32,
    pub(crate) source: i16,
    pub(crate) time_us: i64,
    /// Its place in [`Rows::shapes`].
    pub(crate) shape: u32,
    /// Where its steps begin among those of all rows.
    first: usize,
}

/// One row of `telemetry.extra`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ExtraRow {
    pub(crate) asset: i32,
    pub(crate) source: i16,
    pub(crate) signal: i32,
    pub(crate) time_us: i64,
    pub(crate) number: Number,
}

/// What a narrow row holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// The raw integer.
    Raw(i64),
    /// The value itself.
    Value(f64),
}

/// One value on its way into a wide row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) slot: u16,
    pub(crate) steps: i64,
}

/// The rows of a block. Thousands of rows have few shapes: what depends on the slots alone is worked out once for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Ordered by asset, source and time.
    pub(crate) wide: Vec<WideRow>,
    pub(crate) extra: Vec<ExtraRow>,
    shapes: Vec<Shape>,
    places: HashMap<Shape, u32>,
    steps: Vec<i64>,
}

impl Rows {
    /// The shapes of wide rows, each of which at least one row has.
    pub(crate) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The times of all rows, in microseconds since 1970.
    pub(crate) fn times(&self) -> impl Iterator<Item = i64> {
        let wide = self.wide.iter().map(|row| row.time_us);
        wide.chain(self.extra.iter().map(|row| row.time_us))
    }

    /// The slots of a row, ascending.
    pub(crate) fn slots_of(&self, row: &WideRow) -> &[u16] {
        &self.shapes[row.shape as usize]
    }

    /// The values of a row, in the order of its slots.
    #[inline]
    pub(crate) fn steps_of(&self, row: &WideRow) -> &[i64] {
        let length = self.shapes[row.shape as usize].len();
        &self.steps[row.first..row.first + length]
    }

    /// The place of a shape. Rows of the same shape mostly follow each other, so the last one is looked at first.
    pub(super) fn shape(&mut self, slots: &[u16]) -> u32 {
        match self.known(slots) {
            Some(place) => place,
            None => self.add_shape(slots.into()),
        }
    }

    /// The same of one that many blocks share.
    pub(super) fn shared_shape(&mut self, shape: &Shape) -> u32 {
        match self.known(shape) {
            Some(place) => place,
            None => self.add_shape(Arc::clone(shape)),
        }
    }

    fn known(&self, slots: &[u16]) -> Option<u32> {
        match self.shapes.last() {
            Some(last) if **last == *slots => Some(self.shapes.len() as u32 - 1),
            Some(_) => self.places.get(slots).copied(),
            None => None,
        }
    }

    fn add_shape(&mut self, shape: Shape) -> u32 {
        let place = self.shapes.len() as u32;
        self.shapes.push(Arc::clone(&shape));
        self.places.insert(shape, place);
        place
    }

    /// Makes room for so many rows and values.
    pub(super) fn reserve(&mut self, rows: usize, values: usize) {
        self.wide.reserve(rows);
        self.steps.reserve(values);
    }

    /// Adds a row with the values that `steps` give, one for each slot of the shape.
    pub(super) fn add_row(
        &mut self,
        (asset, source): (i32, i16),
        time_us: i64,
        shape: u32,
        steps: impl Iterator<Item = i64>,
    ) {
        self.wide.push(WideRow {
            asset,
            source,
            time_us,
            shape,
            first: self.steps.len(),
        });
        self.steps.extend(steps);
    }

    /// Adds rows of one shape at these times, and returns their values, row by row, to be filled in.
    pub(super) fn add_rows(
        &mut self,
        (asset, source): (i32, i16),
        shape: u32,
        times: impl ExactSizeIterator<Item = i64>,
    ) -> &mut [i64] {
        let length = self.shapes[shape as usize].len();
        let begin = self.steps.len();
        let count = times.len();
        self.wide
            .extend((0..count).zip(times).map(|(place, time_us)| WideRow {
                asset,
                source,
                time_us,
                shape,
                first: begin + place * length,
            }));
        self.steps.resize(begin + count * length, 0);
        &mut self.steps[begin..]
    }
}
