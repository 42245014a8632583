//! Opened blocks become rows: pure functions of (content, columns, time).
//!
//! Samples of the same asset, source and instant share a wide row; where a signal has several samples at one
//! instant, each further one begins a further row, so that nothing is left out and nothing overwritten.

mod body;
mod pattern;
mod rows;
mod single;

use jiff::Timestamp;
use shared_protocol::{Encoding, Record, SampleBody, SignalId};

pub(crate) use self::{
    body::rows,
    pattern::{Pattern, pattern},
    rows::{Cell, ExtraRow, Number, Rows, WideRow},
    single::{Checked, Stored, check_one, rows_of},
};
use crate::{
    columns::{ColumnPlan, EpochColumns, Target},
    layout::{Slot, layout},
};

/// 2000-01-01: no gateway is older.
const LEAST_US: i64 = 946_684_800_000_000;
const DAY_US: i64 = 86_400_000_000;
/// Longest kind of a record, in characters.
const LONGEST_KIND: usize = 100;

/// Times that can be true, in microseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    greatest: i64,
}

impl Times {
    /// From 2000 to a day after now.
    pub(crate) fn until(now: Timestamp) -> Self {
        Self {
            greatest: now.as_microsecond().saturating_add(DAY_US),
        }
    }

    /// The wall time of a monotonic one; an error says why it cannot be true.
    fn wall(self, mono_us: i64, offset_us: i64) -> Result<i64, String> {
        self.at(mono_us.saturating_add(offset_us))
    }

    /// A wall time; an error says why it cannot be true.
    pub(crate) fn at(self, wall: i64) -> Result<i64, String> {
        if (LEAST_US..=self.greatest).contains(&wall) {
            return Ok(wall);
        }
        let shown = Timestamp::from_microsecond(wall)
            .map_or_else(|_| format!("{wall} µs"), |time| time.to_string());
        Err(format!(
            "{shown} cannot be its time: it is before 2000 or more than a day ahead"
        ))
    }
}

/// Why samples cannot be opened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotYet {
    /// The definition of this column has not arrived.
    Column(u32),
    /// This program's catalogue is older than the gateway's.
    Signal(SignalId),
}

/// Whether all columns that the samples use are known.
pub(crate) fn ready(body: &SampleBody, columns: &EpochColumns) -> Result<(), NotYet> {
    for series in &body.series {
        match columns.get(series.column).map(|plan| plan.target) {
            None => return Err(NotYet::Column(columns.first_missing())),
            Some(Target::Unknown(signal)) => return Err(NotYet::Signal(signal)),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The steps of a raw integer of a signal of the catalogue; an error names asset, signal and value.
fn steps(plan: &ColumnPlan, column: &Slot, raw: i64) -> Result<i64, String> {
    let steps = plan
        .column
        .def
        .encoding
        .in_steps_of(raw, column.signal.resolution);
    match steps.filter(|steps| (column.least..=column.greatest).contains(steps)) {
        Some(steps) => Ok(steps),
        None => impossible(
            plan,
            raw,
            &format!(
                ", it is from {} to {}",
                column.signal.range.0, column.signal.range.1
            ),
        ),
    }
}

/// What is stored of a raw integer of a signal outside the catalogue.
fn number(plan: &ColumnPlan, raw: i64) -> Result<Number, String> {
    let encoding = &plan.column.def.encoding;
    match encoding {
        Encoding::Float => {
            let value = encoding.value(raw);
            if value.is_finite() {
                Ok(Number::Value(value))
            } else {
                impossible(plan, raw, "")
            }
        }
        _ => Ok(Number::Raw(raw)),
    }
}

fn impossible<T>(plan: &ColumnPlan, raw: i64, range: &str) -> Result<T, String> {
    Err(format!(
        "{} {}: {} {} cannot be true{range}",
        plan.column.asset,
        plan.column.def.signal.name(),
        plan.column.def.encoding.value(raw),
        plan.column.def.signal.unit(),
    ))
}

fn unknown<T>(signal: SignalId) -> Result<T, String> {
    Err(format!("signal {signal} is not in the catalogue"))
}

/// Whether samples could be rows, times apart: for a block whose boot does not know the time yet.
pub(crate) fn check(body: &SampleBody, columns: &EpochColumns) -> Result<(), String> {
    for series in &body.series {
        let Some(plan) = columns.get(series.column) else {
            continue;
        };
        for &raw in body.raws(series) {
            match plan.target {
                Target::Wide(slot) => drop(steps(plan, layout().slot(slot), raw)?),
                Target::Extra(_) => drop(number(plan, raw)?),
                Target::Unknown(signal) => return unknown(signal),
            }
        }
    }
    Ok(())
}

/// Whether records can be kept, times apart.
pub(crate) fn check_records(records: &[Record]) -> Result<(), String> {
    for record in records {
        let kind = &record.kind;
        if kind.is_empty()
            || kind.chars().count() > LONGEST_KIND
            || kind.chars().any(char::is_control)
        {
            return Err(format!(
                "a record's kind has 1 to {LONGEST_KIND} characters"
            ));
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&record.payload) {
            return Err(format!("a record of kind {kind} is not JSON: {error}"));
        }
    }
    Ok(())
}

/// The wall times of records.
pub(crate) fn record_times(
    records: &[Record],
    offset_us: i64,
    times: Times,
) -> Result<Vec<i64>, String> {
    records
        .iter()
        .map(|record| {
            times
                .wall(record.time_us, offset_us)
                .map_err(|why| format!("a record of kind {}: {why}", record.kind))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared_protocol::{Column, SignalDef, SignalRef, Source, catalogue};

    const NOW: i64 = 1_760_000_000_000_000;

    fn plan(asset: i32, signal: SignalRef, encoding: Encoding, target: Target) -> ColumnPlan {
        ColumnPlan {
            column: Column {
                asset: format!("car-{asset}").parse().unwrap(),
                source: Source::Can,
                def: SignalDef { signal, encoding },
            },
            asset,
            target,
        }
    }

    fn wide(asset: i32, name: &str) -> ColumnPlan {
        let signal = catalogue().by_name(name).unwrap();
        let scale = signal.resolution;
        let encoding = Encoding::Scaled {
            scale,
            offset: "0".parse().unwrap(),
        };
        let target = Target::Wide(layout().slot_of(signal.id).unwrap());
        plan(asset, SignalRef::Catalogue(signal.id), encoding, target)
    }

    fn named(asset: i32, encoding: Encoding, id: i32) -> ColumnPlan {
        let signal = SignalRef::Named {
            name: format!("X.{id}"),
            unit: "V".into(),
        };
        plan(asset, signal, encoding, Target::Extra(id))
    }

    fn columns(plans: Vec<ColumnPlan>) -> EpochColumns {
        let mut columns = EpochColumns::default();
        for (number, plan) in (0..).zip(plans) {
            columns.insert(number, plan);
        }
        columns
    }

    fn times() -> Times {
        Times::until(Timestamp::from_microsecond(NOW).unwrap())
    }

    #[test]
    fn instants_share_rows_and_repetitions_get_their_own() {
        let columns = columns(vec![
            wide(1, "Vehicle.Speed"),
            wide(1, "Vehicle.TraveledDistance"),
            wide(2, "Vehicle.Speed"),
            // The same signal of the same asset by another column.
            wide(1, "Vehicle.Speed"),
        ]);
        let body = SampleBody::from_samples([
            (0, 10, 100),
            (1, 10, 500),
            (2, 10, 7),
            (0, 20, 110),
            (0, 10, 101),
            (3, 10, 102),
        ]);
        let rows = rows(&body, &columns, NOW, times()).unwrap();
        let found: Vec<_> = rows
            .wide
            .iter()
            .map(|row| (row.asset, row.time_us - NOW, rows.steps_of(row).to_vec()))
            .collect();
        assert_eq!(
            found,
            [
                (1, 10, vec![100, 500]),
                (1, 10, vec![101]),
                (1, 10, vec![102]),
                (1, 20, vec![110]),
                (2, 10, vec![7]),
            ]
        );
    }

    #[test]
    fn a_million_samples_of_one_instant_are_no_burden() {
        let columns = columns(vec![wide(1, "Vehicle.Speed")]);
        let body = SampleBody::from_samples((0..1 << 20).map(|n| (0, 0, n % 100)));
        let start = std::time::Instant::now();
        let rows = rows(&body, &columns, NOW, times()).unwrap();
        assert_eq!(rows.wide.len(), 1 << 20);
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn what_cannot_be_true_is_named() {
        let columns = columns(vec![
            wide(1, "Vehicle.Speed"),
            named(1, Encoding::Float, 5),
            named(1, Encoding::PLAIN, 6),
        ]);
        let nan = f64::NAN.to_bits().cast_signed();
        for (samples, offset, says) in [
            (
                vec![(0, 0, 70_000)],
                NOW,
                "car-1 Vehicle.Speed: 700 km/h cannot be true",
            ),
            (vec![(1, 0, nan)], NOW, "car-1 X.5: NaN V cannot be true"),
            (
                vec![(2, 0, 1)],
                0,
                "1970-01-01T00:00:00Z cannot be its time",
            ),
            (vec![(2, 0, 1)], NOW + 2 * DAY_US, "cannot be its time"),
            (vec![(2, i64::MAX, 1)], NOW, "cannot be its time"),
        ] {
            let body = SampleBody::from_samples(samples);
            let error = rows(&body, &columns, offset, times()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn unknown_columns_and_signals_are_waited_for() {
        let mut columns = columns(vec![wide(1, "Vehicle.Speed")]);
        columns.insert(2, wide(1, "Vehicle.TraveledDistance"));
        let unknown = SignalId(60_000);
        columns.insert(
            3,
            plan(
                1,
                SignalRef::Catalogue(unknown),
                Encoding::PLAIN,
                Target::Unknown(unknown),
            ),
        );
        let body = |column| SampleBody::from_samples([(column, 0, 1)]);
        assert_eq!(ready(&body(0), &columns), Ok(()));
        assert_eq!(ready(&body(2), &columns), Ok(()));
        assert_eq!(ready(&body(1), &columns), Err(NotYet::Column(1)));
        assert_eq!(ready(&body(9), &columns), Err(NotYet::Column(1)));
        assert_eq!(ready(&body(3), &columns), Err(NotYet::Signal(unknown)));
    }

    #[test]
    fn records_are_checked() {
        let record = |kind: &str, payload: &str| {
            vec![Record {
                time_us: 5,
                asset: None,
                kind: kind.into(),
                payload: payload.into(),
            }]
        };
        assert!(check_records(&record("command.answer", "{\"ok\":true}")).is_ok());
        for bad in [
            record("", "{}"),
            record("a\0", "{}"),
            record("a", "{"),
            record("a", ""),
        ] {
            assert!(check_records(&bad).is_err());
        }
        assert_eq!(
            record_times(&record("a", "1"), NOW, times()),
            Ok(vec![NOW + 5])
        );
        assert!(record_times(&record("a", "1"), 0, times()).is_err());
    }

    proptest! {
        /// Nothing is left out, nothing is invented, and no row has a signal twice.
        #[test]
        fn rows_are_the_samples(samples in proptest::collection::vec((0u32..5, 0i64..6, 0i64..9000), 0..200)) {
            let columns = columns(vec![
                wide(1, "Vehicle.Speed"),
                wide(1, "Vehicle.TraveledDistance"),
                wide(2, "Vehicle.Speed"),
                named(1, Encoding::PLAIN, 5),
                wide(1, "Vehicle.Speed"),
            ]);
            let body = SampleBody::from_samples(samples.clone());
            let rows = rows(&body, &columns, NOW, times()).unwrap();
            let mut truth: Vec<_> = samples
                .iter()
                .map(|&(column, time, raw)| {
                    let plan = columns.get(column).unwrap();
                    (plan.asset, format!("{:?}", plan.target), NOW + time, raw)
                })
                .collect();
            let mut found = Vec::new();
            for row in &rows.wide {
                let (slots, steps) = (rows.slots_of(row), rows.steps_of(row));
                prop_assert!(!slots.is_empty());
                prop_assert_eq!(slots.len(), steps.len());
                prop_assert!(slots.windows(2).all(|pair| pair[0] < pair[1]));
                for (&slot, &steps) in slots.iter().zip(steps) {
                    found.push((row.asset, format!("{:?}", Target::Wide(slot)), row.time_us, steps));
                }
            }
            for row in &rows.extra {
                let Number::Raw(raw) = row.number else { panic!("no float was sent") };
                found.push((row.asset, format!("{:?}", Target::Extra(row.signal)), row.time_us, raw));
            }
            truth.sort();
            found.sort();
            prop_assert_eq!(found, truth);
        }
    }
}
