//! The catalogue as columns of `telemetry.sample`: which type holds a signal's steps, and how steps become values.

use std::{collections::HashMap, sync::LazyLock};

use shared_protocol::{Decimal, Signal, SignalId, Source, catalogue};

/// The type of a column: the smallest that holds the signal's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// `smallint`
    Two,
    /// `integer`
    Four,
    /// `bigint`
    Eight,
}

impl Width {
    fn holding(least: i64, greatest: i64) -> Self {
        let holds = |from: i64, to: i64| least >= from && greatest <= to;
        if holds(i16::MIN.into(), i16::MAX.into()) {
            Self::Two
        } else if holds(i32::MIN.into(), i32::MAX.into()) {
            Self::Four
        } else {
            Self::Eight
        }
    }

    /// PostgreSQL's name of the type.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Two => "smallint",
            Self::Four => "integer",
            Self::Eight => "bigint",
        }
    }
}

/// A signal of the catalogue, as a column.
#[derive(Debug)]
pub struct Slot {
    /// The signal.
    pub signal: &'static Signal,
    /// Type of its column.
    pub width: Width,
    /// Least stored integer that can be true.
    pub least: i64,
    /// Greatest stored integer that can be true.
    pub greatest: i64,
}

/// The value of so many steps: the float nearest to the exact decimal.
pub fn value(steps: i64, resolution: Decimal) -> f64 {
    const EXACT: i128 = 1 << 53;
    let scaled = i128::from(steps) * i128::from(resolution.mantissa());
    let exponent = resolution.exponent();
    // Integers and powers of ten up to these are floats: one operation on them rounds once.
    if (-EXACT..=EXACT).contains(&scaled) && (-22..=22).contains(&exponent) {
        let power = 10f64.powi(i32::from(exponent.unsigned_abs()));
        return if exponent < 0 {
            scaled as f64 / power
        } else {
            scaled as f64 * power
        };
    }
    format!("{scaled}e{exponent}")
        .parse()
        .expect("digits, an e and an exponent are a float")
}

/// The same as an SQL expression over a column.
pub fn expression(column: &str, resolution: Decimal) -> String {
    format!("(\"{column}\"::numeric * {resolution}::numeric)::double precision")
}

/// Whether a signal tells where its vehicle is, as `platform.is_position` has it.
pub fn is_position(name: &str) -> bool {
    name.starts_with("Vehicle.CurrentLocation.")
}

/// All signals of the catalogue as columns; a slot is an index into them.
#[derive(Debug)]
pub struct Layout {
    /// The columns, in the order of the catalogue.
    pub slots: Vec<Slot>,
    by_id: HashMap<SignalId, u16>,
}

impl Layout {
    /// The slot of a signal; `None` when this program's catalogue does not know it.
    pub fn slot_of(&self, id: SignalId) -> Option<u16> {
        self.by_id.get(&id).copied()
    }

    /// The column of a slot.
    pub fn slot(&self, slot: u16) -> &Slot {
        &self.slots[usize::from(slot)]
    }

    fn new() -> Self {
        let slots: Vec<_> = catalogue()
            .signals()
            .iter()
            .map(|signal| {
                let (least, greatest) = signal.raw_range();
                Slot {
                    signal,
                    width: Width::holding(least, greatest),
                    least,
                    greatest,
                }
            })
            .collect();
        let by_id = (0u16..)
            .zip(&slots)
            .map(|(slot, column)| (column.signal.id, slot))
            .collect();
        Self { slots, by_id }
    }
}

/// The layout of this build's catalogue.
pub fn layout() -> &'static Layout {
    static LAYOUT: LazyLock<Layout> = LazyLock::new(Layout::new);
    &LAYOUT
}

/// Every source, for the table of their names and for reading numbers back.
pub const SOURCES: [Source; 8] = [
    Source::Can,
    Source::Obd,
    Source::Modbus,
    Source::Ocpp,
    Source::Gateway,
    Source::Teltonika,
    Source::Geotab,
    Source::Json,
];

/// The source with this number.
pub fn source(number: i16) -> Option<Source> {
    SOURCES.into_iter().find(|source| source.number() == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_fits_its_column() {
        for slot in &layout().slots {
            let (least, greatest) = match slot.width {
                Width::Two => (i64::from(i16::MIN), i64::from(i16::MAX)),
                Width::Four => (i64::from(i32::MIN), i64::from(i32::MAX)),
                Width::Eight => (i64::MIN, i64::MAX),
            };
            assert!(least <= slot.least && slot.greatest <= greatest);
            assert_eq!(
                layout()
                    .slot_of(slot.signal.id)
                    .map(|s| layout().slot(s).signal.id),
                Some(slot.signal.id)
            );
        }
        assert!(layout().slots.iter().any(|slot| slot.width == Width::Two));
    }

    #[test]
    fn values_are_the_nearest_floats() {
        for slot in &layout().slots {
            for steps in [
                slot.least,
                slot.least + 1,
                -1,
                0,
                1,
                1234,
                slot.greatest - 1,
                slot.greatest,
                (1 << 53) + 1,
                i64::MIN,
                i64::MAX,
            ] {
                let resolution = slot.signal.resolution;
                let exact = format!(
                    "{}e{}",
                    i128::from(steps) * i128::from(resolution.mantissa()),
                    resolution.exponent()
                );
                assert_eq!(
                    value(steps, resolution),
                    exact.parse::<f64>().unwrap(),
                    "{}",
                    slot.signal.name
                );
            }
        }
    }

    #[test]
    fn sources_have_their_own_numbers() {
        for (index, known) in SOURCES.into_iter().enumerate() {
            assert_eq!(usize::try_from(known.number()).unwrap(), index + 1);
            assert_eq!(source(known.number()), Some(known));
        }
        assert_eq!(source(0), None);
        // Exhaustive: a ninth source has to be added to SOURCES too.
        for known in SOURCES {
            match known {
                Source::Can
                | Source::Obd
                | Source::Modbus
                | Source::Ocpp
                | Source::Gateway
                | Source::Teltonika
                | Source::Geotab
                | Source::Json => assert!(!known.name().is_empty()),
            }
        }
    }
}
