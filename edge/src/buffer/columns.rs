//! The columns of this epoch: a number for each `(asset, source, signal, encoding)` in the order of first use.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use shared_protocol::{Class, Column, SignalRef, Stream, catalogue};

#[derive(Debug, Default)]
struct Inner {
    numbers: HashMap<Column, u32>,
    columns: Vec<Column>,
    streams: Vec<Stream>,
}

/// Gives columns their numbers; shared by all sources.
#[derive(Debug, Default)]
pub struct Columns(Mutex<Inner>);

impl Columns {
    /// The number of this column, the same for ever within the epoch.
    pub fn number(&self, column: &Column) -> u32 {
        let mut inner = self.lock();
        if let Some(&number) = inner.numbers.get(column) {
            return number;
        }
        let number = inner.columns.len() as u32;
        inner.numbers.insert(column.clone(), number);
        inner.columns.push(column.clone());
        inner.streams.push(Stream::of(class(column)));
        number
    }

    /// The stream that samples of this column go to.
    pub(super) fn stream(&self, number: u32) -> Stream {
        self.lock()
            .streams
            .get(number as usize)
            .copied()
            .unwrap_or(Stream::Bulk)
    }

    /// The definitions from this number on.
    pub(super) fn from(&self, first: u32) -> Vec<Column> {
        self.lock()
            .columns
            .get(first as usize..)
            .unwrap_or_default()
            .to_vec()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The catalogue's class; what the catalogue does not know is bulk.
fn class(column: &Column) -> Class {
    match &column.def.signal {
        SignalRef::Catalogue(id) => catalogue()
            .get(*id)
            .map_or(Class::Bulk, |signal| signal.class),
        SignalRef::Named { .. } => Class::Bulk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::{Encoding, SignalDef, Source};

    #[test]
    fn numbers_follow_first_use() {
        let column = |asset: &str, signal: &str| Column {
            asset: asset.parse().unwrap(),
            source: Source::Can,
            def: SignalDef {
                signal: SignalRef::Catalogue(catalogue().by_name(signal).unwrap().id),
                encoding: Encoding::PLAIN,
            },
        };
        let columns = Columns::default();
        assert_eq!(columns.number(&column("a", "Vehicle.Speed")), 0);
        assert_eq!(
            columns.number(&column("a", "Vehicle.Exterior.AirTemperature")),
            1
        );
        assert_eq!(columns.number(&column("b", "Vehicle.Speed")), 2);
        assert_eq!(columns.number(&column("a", "Vehicle.Speed")), 0);
        assert_eq!(
            (columns.stream(0), columns.stream(1)),
            (Stream::Live, Stream::Bulk)
        );
        assert_eq!(columns.from(1).len(), 2);
        assert!(columns.from(9).is_empty());
    }
}
