//! The columnar body of a block of samples.
//!
//! Samples are grouped by column; columns that were read at the same instants share one vector of times. How that
//! becomes bytes is the subject of `packed.rs`. Version 1 wrote zigzag varints instead, times as differences of
//! differences, raw integers as differences, and compressed the whole; it is still read. Its layout:
//!
//! ```text
//! times:   n, then n × ( count, unit (1 or 1000 µs), first, difference, (count − 2) × difference of differences )
//! series:  n, then n × ( column, index of its times ), then n × ( count × difference of raws )
//! ```

use std::collections::HashMap;

use crate::varint::{take, take_count, take_signed};

/// The samples of one column, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Number of the column within the epoch.
    pub column: u32,
    /// Index into [`SampleBody::times`].
    pub times: u32,
    /// Where its raw integers begin in those of the body.
    pub(crate) first: usize,
}

/// Samples of any number of columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleBody {
    /// Vectors of instants in microseconds of the gateway's monotonic clock.
    pub times: Vec<Vec<i64>>,
    /// The columns, ascending by number, each at most once.
    pub series: Vec<Series>,
    /// The raw integers of all columns, one column behind the other: thousands of columns of one sample are one piece of memory.
    pub(crate) raws: Vec<i64>,
}

/// A body that is not one: cut off, or contradicting itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the samples are damaged: {0}")]
pub struct Damaged(pub(crate) &'static str);

impl SampleBody {
    /// Groups samples `(column, time in µs, raw)`; each column keeps the order in which its samples came.
    pub fn from_samples(samples: impl IntoIterator<Item = (u32, i64, i64)>) -> Self {
        let mut by_column: HashMap<u32, (Vec<i64>, Vec<i64>)> = HashMap::new();
        for (column, time, raw) in samples {
            let (times, raws) = by_column.entry(column).or_default();
            times.push(time);
            raws.push(raw);
        }
        let mut columns: Vec<_> = by_column.into_iter().collect();
        columns.sort_unstable_by_key(|(column, _)| *column);
        let mut body = Self::default();
        let mut known: HashMap<Vec<i64>, u32> = HashMap::new();
        for (column, (times, raws)) in columns {
            let next = known.len() as u32;
            let index = *known.entry(times).or_insert(next);
            body.add(column, index);
            body.raws.extend(raws);
        }
        body.times = vec![Vec::new(); known.len()];
        for (times, index) in known {
            body.times[index as usize] = times;
        }
        body
    }

    /// Begins a column, whose raw integers are to follow.
    pub(crate) fn add(&mut self, column: u32, times: u32) {
        self.series.push(Series {
            column,
            times,
            first: self.raws.len(),
        });
    }

    /// The raw integers of a column of this body, one for each of its times.
    #[inline]
    pub fn raws(&self, series: &Series) -> &[i64] {
        &self.raws[series.first..][..self.times[series.times as usize].len()]
    }

    /// How many samples there are.
    pub const fn len(&self) -> usize {
        self.raws.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.raws.is_empty()
    }

    /// All samples as `(column, time in µs, raw)`, column by column.
    pub fn iter(&self) -> impl Iterator<Item = (u32, i64, i64)> + '_ {
        self.series.iter().flat_map(|series| {
            let times = &self.times[series.times as usize];
            times
                .iter()
                .zip(self.raws(series))
                .map(move |(&time, &raw)| (series.column, time, raw))
        })
    }

    /// The packed bytes.
    pub fn pack(&self) -> Vec<u8> {
        crate::packed::pack(self)
    }

    /// Reads what [`SampleBody::pack`] wrote of so many samples. Memory is taken for those, and no more.
    pub fn unpack(bytes: &[u8], announced: usize) -> Result<Self, Damaged> {
        crate::packed::unpack(bytes, announced)
    }

    /// Reads the form that version 1 wrote. Memory is at most 8 bytes for each byte of input, plus the
    /// vectors' own headers: every number takes at least one byte.
    pub fn read_version_1(mut input: &[u8]) -> Result<Self, Damaged> {
        let input = &mut input;
        let cut = Damaged("they end too early");
        let count = take_count(input).ok_or(cut)?;
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(decode_times(input)?);
        }
        let count = take_count(input).ok_or(cut)?;
        let mut body = Self {
            times,
            ..Self::default()
        };
        for _ in 0..count {
            let column = take(input).and_then(|n| u32::try_from(n).ok()).ok_or(cut)?;
            let index = take(input).and_then(|n| u32::try_from(n).ok()).ok_or(cut)?;
            if index as usize >= body.times.len() {
                return Err(Damaged("a column points at times that are not there"));
            }
            if body.series.last().is_some_and(|last| last.column >= column) {
                return Err(Damaged("columns are not in order"));
            }
            body.add(column, index);
        }
        // Each of them takes a byte at least.
        body.raws.reserve_exact(input.len());
        for series in &mut body.series {
            let count = body.times[series.times as usize].len();
            if count > input.len() {
                return Err(cut);
            }
            series.first = body.raws.len();
            let mut raw = 0i64;
            for _ in 0..count {
                raw = raw.wrapping_add(take_signed(input).ok_or(cut)?);
                body.raws.push(raw);
            }
        }
        if !input.is_empty() {
            return Err(Damaged("something follows them"));
        }
        Ok(body)
    }
}

fn decode_times(input: &mut &[u8]) -> Result<Vec<i64>, Damaged> {
    let cut = Damaged("times end too early");
    let count = take_count(input).ok_or(cut)?;
    let unit = match take(input) {
        Some(1) => 1i64,
        Some(1000) => 1000,
        _ => return Err(Damaged("times have an unknown unit")),
    };
    if count > input.len() {
        return Err(cut);
    }
    let mut times = Vec::with_capacity(count);
    let (mut time, mut step) = (0i64, 0i64);
    for index in 0..count {
        let difference = take_signed(input).ok_or(cut)?.wrapping_add(step);
        time = time.wrapping_add(difference);
        step = if index == 0 { 0 } else { difference };
        times.push(
            time.checked_mul(unit)
                .ok_or(Damaged("a time is too large"))?,
        );
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_read_together_share_their_times() {
        let body =
            SampleBody::from_samples((0..60).flat_map(|s| {
                (0..20u32).map(move |c| (c, i64::from(s) * 1_000_000, i64::from(s)))
            }));
        assert_eq!(
            (body.times.len(), body.series.len(), body.len()),
            (1, 20, 1200)
        );
    }

    proptest! {
        #[test]
        fn samples_stay_what_they_are(samples in proptest::collection::vec((0u32..6, any::<i32>(), any::<i64>()), 0..200)) {
            let samples: Vec<_> = samples.into_iter().map(|(c, t, r)| (c, i64::from(t) * 1000, r)).collect();
            let body = SampleBody::from_samples(samples.clone());
            let mut expected = samples;
            expected.sort_by_key(|(column, _, _)| *column);
            prop_assert_eq!(body.iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(body) = SampleBody::read_version_1(&bytes) {
                prop_assert!(body.len() <= bytes.len());
            }
        }
    }
}
