//! Single values, each with its own asset and time: of devices that seal no blocks.

use std::collections::HashMap;

use super::{Cell, ExtraRow, Number, Rows, body::group, number, steps, unknown};
use crate::{
    columns::{ColumnPlan, Target},
    layout::layout,
};

/// A single value that can be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    asset: i32,
    time_us: i64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Cell(Cell),
    Extra(i32, Number),
}

/// What makes a stored value itself, but for its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) time_us: i64,
    pub(crate) asset: i32,
    pub(crate) is_extra: bool,
    /// The slot, or the number of a signal outside the catalogue.
    pub(crate) signal: i32,
    /// Steps, raw integer, or the bits of a float.
    pub(crate) bits: i64,
}

impl Checked {
    /// Whose it is.
    pub(crate) fn asset(&self) -> i32 {
        self.asset
    }

    /// What it is once it is stored.
    pub(crate) fn stored(&self) -> Stored {
        let (signal, bits) = match self.what {
            What::Cell(cell) => (i32::from(cell.slot), cell.steps),
            What::Extra(signal, Number::Raw(raw)) => (signal, raw),
            What::Extra(signal, Number::Value(value)) => (signal, value.to_bits().cast_signed()),
        };
        Stored {
            time_us: self.time_us,
            asset: self.asset,
            is_extra: self.is_extra(),
            signal,
            bits,
        }
    }

    /// Whether its signal is outside the catalogue.
    pub(crate) fn is_extra(&self) -> bool {
        matches!(self.what, What::Extra(..))
    }
}

/// A single value at a wall time; an error names the signal and what of it cannot be true.
pub(crate) fn check_one(plan: &ColumnPlan, time_us: i64, raw: i64) -> Result<Checked, String> {
    let what = match plan.target {
        Target::Wide(slot) => What::Cell(Cell {
            slot,
            steps: steps(plan, layout().slot(slot), raw)?,
        }),
        Target::Extra(signal) => What::Extra(signal, number(plan, raw)?),
        Target::Unknown(signal) => return unknown(signal),
    };
    Ok(Checked {
        asset: plan.asset,
        time_us,
        what,
    })
}

/// The rows of single values, and how many these were.
pub(crate) fn rows_of(source: i16, values: impl Iterator<Item = Checked>) -> (Rows, u64) {
    let mut rows = Rows::default();
    let mut groups = Vec::new();
    let mut places = HashMap::new();
    let mut len = 0;
    for Checked {
        asset,
        time_us,
        what,
    } in values
    {
        len += 1;
        match what {
            What::Cell(cell) => group(&mut groups, &mut places, (asset, source))
                .parts
                .push((time_us, cell)),
            What::Extra(signal, number) => rows.extra.push(ExtraRow {
                asset,
                source,
                signal,
                time_us,
                number,
            }),
        }
    }
    rows.add_groups(groups);
    (rows, len)
}
