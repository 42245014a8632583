//! Counters and checksums together: the lowest bits of a checksum that covers a counter count, too.

use crate::{
    checksum::{Checksum, checksums},
    counter::{Counter, counters},
    recording::Recording,
};

/// What protects the frames of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guards {
    /// Counters; none of them within a checksum.
    pub counters: Vec<Counter>,
    /// Checksums, at most one of an identifier.
    pub checksums: Vec<Checksum>,
}

/// Finds both, without readings.
pub fn guards(recording: &Recording) -> Guards {
    let checksums = checksums(recording);
    let counters = counters(recording).into_iter();
    let within = |counter: &Counter| {
        let same = |sum: &&Checksum| sum.id == counter.id;
        let sum = checksums.iter().find(same);
        sum.is_some_and(|sum| counter.window.mask() & !sum.mask() == 0)
    };
    Guards {
        counters: counters.filter(|counter| !within(counter)).collect(),
        checksums,
    }
}
