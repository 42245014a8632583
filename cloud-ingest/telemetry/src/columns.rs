//! The columns of an epoch: what each number means, and where its samples go.

use std::sync::Arc;

use shared_protocol::{AssetKey, Column, Decimal, Encoding, SignalDef, SignalId, SignalRef};
use tokio_postgres::Row;

use crate::layout::{layout, source};

/// Most columns of one epoch.
pub(crate) const MOST_COLUMNS: u32 = 1 << 16;
/// Longest name of a signal outside the catalogue, in characters.
const LONGEST_NAME: usize = 200;
/// Longest unit of one.
const LONGEST_UNIT: usize = 40;

/// Where the samples of a column go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A column of `telemetry.sample`.
    Wide(u16),
    /// `telemetry.extra`, under this number.
    Extra(i32),
    /// A signal of a newer catalogue than this program's: nowhere yet.
    Unknown(SignalId),
}

/// A column, as far as its samples need it.
#[derive(Clone, Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) column: Column,
    pub(crate) asset: i32,
    pub(crate) target: Target,
}

impl ColumnPlan {
    /// Reads a row of `queries/columns.sql`; `None` when its numbers mean nothing to this program.
    pub(crate) fn from_row(row: &Row) -> Option<(u32, Self)> {
        let number = u32::try_from(row.get::<_, i32>("number")).ok()?;
        let decimal = |mantissa, exponent| {
            Decimal::new(row.get(mantissa), i32::from(row.get::<_, i16>(exponent))).ok()
        };
        let scale = decimal("scale_mantissa", "scale_exponent")?;
        let offset = decimal("shift_mantissa", "shift_exponent")?;
        let encoding = match row.get::<_, i16>("encoding") {
            0 => Encoding::Scaled { scale, offset },
            1 => Encoding::Unsigned { scale, offset },
            _ => Encoding::Float,
        };
        let (signal, target) = match (
            row.get::<_, Option<i32>>("signal_id"),
            row.get::<_, Option<i32>>("extra_signal_id"),
        ) {
            (Some(id), _) => {
                let id = SignalId(u16::try_from(id).ok()?);
                (SignalRef::Catalogue(id), wide(id))
            }
            (None, extra) => {
                let (name, unit) = (row.get("name"), row.get("unit"));
                (SignalRef::Named { name, unit }, Target::Extra(extra?))
            }
        };
        let column = Column {
            asset: row.get::<_, &str>("local_key").parse::<AssetKey>().ok()?,
            source: source(row.get("source"))?,
            def: SignalDef { signal, encoding },
        };
        let asset = row.get("asset_id");
        Some((
            number,
            Self {
                column,
                asset,
                target,
            },
        ))
    }
}

fn wide(id: SignalId) -> Target {
    layout()
        .slot_of(id)
        .map_or(Target::Unknown(id), Target::Wide)
}

/// The parts of an encoding as tables keep them: kind, scale, shift.
pub(crate) fn parts(encoding: &Encoding) -> (i16, Decimal, Decimal) {
    match *encoding {
        Encoding::Scaled { scale, offset } => (0, scale, offset),
        Encoding::Unsigned { scale, offset } => (1, scale, offset),
        Encoding::Float => (2, Decimal::ONE, Decimal::ZERO),
    }
}

/// Why definitions cannot be kept; `None` when they can.
pub(crate) fn unfit(first: u32, columns: &[Column]) -> Option<String> {
    let end = u64::from(first) + columns.len() as u64;
    if end > u64::from(MOST_COLUMNS) {
        return Some(format!(
            "it defines columns up to number {end}; an epoch has at most {MOST_COLUMNS}"
        ));
    }
    let bad =
        |text: &str, longest| text.chars().count() > longest || text.chars().any(char::is_control);
    columns
        .iter()
        .zip(first..)
        .find_map(|(column, number)| match &column.def.signal {
            SignalRef::Named { name, unit }
                if name.is_empty() || bad(name, LONGEST_NAME) || bad(unit, LONGEST_UNIT) =>
            {
                Some(format!(
                    "column {number} of {}: a name has 1 to {LONGEST_NAME} characters, a unit at most {LONGEST_UNIT}",
                    column.asset
                ))
            }
            _ => None,
        })
}

/// The known columns of an epoch, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct EpochColumns(Vec<Option<Arc<ColumnPlan>>>);

impl EpochColumns {
    pub(crate) fn from_rows(rows: &[Row]) -> Self {
        let mut columns = Self::default();
        for (number, plan) in rows.iter().filter_map(ColumnPlan::from_row) {
            columns.insert(number, plan);
        }
        columns
    }

    pub(crate) fn insert(&mut self, number: u32, plan: ColumnPlan) {
        let index = number as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        self.0[index] = Some(Arc::new(plan));
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Arc<ColumnPlan>> {
        self.0.get(number as usize)?.as_ref()
    }

    /// The least number that is not known.
    pub(crate) fn first_missing(&self) -> u32 {
        self.0
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.0.len()) as u32
    }
}
