//! Sets of block numbers as ranges: what a ledger row keeps in an `int8multirange`.

use std::{fmt::Write as _, str::FromStr};

/// Most ranges that a ledger row has, and an acknowledgement carries.
pub const MOST_RANGES: usize = 256;

/// Numbers as ranges, first and last inclusive, ascending, never touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

/// A text that is not a multirange of non-negative numbers with bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a finite multirange of block numbers")]
pub struct NotRanges(String);

impl Ranges {
    /// The ranges.
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= number);
        after > 0 && self.0[after - 1].1 >= number
    }

    /// How many numbers are in it.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The least number that is not in it.
    pub fn first_missing(&self) -> u64 {
        match self.0.first() {
            Some(&(0, last)) => last + 1,
            _ => 0,
        }
    }

    /// Adds a number, unless that would make more than [`MOST_RANGES`]. The first missing number is always taken, so
    /// that whoever fills the oldest gap first always gets on: room for it is kept.
    ///
    /// False when the number was not taken.
    pub fn add(&mut self, number: u64) -> bool {
        let at = self.0.partition_point(|&(first, _)| first <= number);
        let touches_left = at > 0 && self.0[at - 1].1.saturating_add(1) >= number;
        let touches_right = self
            .0
            .get(at)
            .is_some_and(|&(first, _)| first == number.saturating_add(1));
        match (touches_left, touches_right) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = self.0[at - 1].1.max(number),
            (false, true) => self.0[at].0 = number,
            (false, false) => {
                let kept = usize::from(self.first_missing() == 0 && number != 0);
                if self.0.len() + kept >= MOST_RANGES {
                    return false;
                }
                self.0.insert(at, (number, number));
            }
        }
        true
    }

    /// PostgreSQL's text of the multirange.
    pub fn to_sql(&self) -> String {
        let mut text = String::from("{");
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(text, "{comma}[{first},{})", last + 1).expect("a String takes everything");
        }
        text.push('}');
        text
    }
}

impl FromStr for Ranges {
    type Err = NotRanges;

    /// Reads PostgreSQL's text of an `int8multirange`: `{[0,5),[7,9)}`.
    fn from_str(text: &str) -> Result<Self, NotRanges> {
        let fail = || NotRanges(text.chars().take(80).collect());
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or_else(fail)?;
        let mut ranges = Vec::new();
        for piece in inner.split_inclusive(')').filter(|piece| !piece.is_empty()) {
            let (first, end) = piece
                .trim_start_matches(',')
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|rest| rest.split_once(','))
                .ok_or_else(fail)?;
            let first: u64 = first.parse().map_err(|_| fail())?;
            let end: u64 = end.parse().map_err(|_| fail())?;
            if first >= end || ranges.last().is_some_and(|&(_, last)| last + 1 >= first) {
                return Err(fail());
            }
            ranges.push((first, end - 1));
        }
        Ok(Self(ranges))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn ranges(text: &str) -> Ranges {
        text.parse().unwrap()
    }

    #[test]
    fn texts() {
        for text in ["{}", "{[0,1)}", "{[0,5),[7,9),[100,4611686018427387904)}"] {
            assert_eq!(ranges(text).to_sql(), text);
        }
        for text in [
            "",
            "{",
            "{[0,5]}",
            "{[5,5)}",
            "{[-1,5)}",
            "{[3,5),[0,1)}",
            "{[0,3),[3,4)}",
            "{(,5)}",
            "{[1,)}",
        ] {
            assert!(text.parse::<Ranges>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_bound_keeps_room_for_the_oldest_gap() {
        let mut done = Ranges::default();
        let mut next = 1;
        while done.add(next) {
            next += 2;
        }
        assert_eq!(done.as_slice().len(), MOST_RANGES - 1);
        assert!(!done.add(next + 100));
        assert!(done.add(next - 1), "the head goes on growing");
        assert!(done.add(4), "and gaps are filled");
        assert!(done.add(0), "the first missing one above all");
        while done.add(done.first_missing()) && done.as_slice().len() > 1 {
            assert!(done.as_slice().len() <= MOST_RANGES);
        }
        assert_eq!(done.as_slice().len(), 1);
    }

    proptest! {
        #[test]
        fn as_a_set(numbers in proptest::collection::vec(0u64..60, 0..120)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for number in numbers {
                prop_assert!(ranges.add(number));
                set.insert(number);
                prop_assert_eq!(ranges.count(), set.len() as u64);
            }
            for number in 0..61 {
                prop_assert_eq!(ranges.contains(number), set.contains(&number));
            }
            prop_assert_eq!(ranges.first_missing(), (0..61).find(|n| !set.contains(n)).unwrap());
            prop_assert!(ranges.as_slice().windows(2).all(|w| w[0].1 + 1 < w[1].0));
            prop_assert_eq!(ranges.to_sql().parse::<Ranges>().unwrap(), ranges);
        }

        #[test]
        fn never_more_than_allowed(numbers in proptest::collection::vec(0u64..3000, 0..2000)) {
            let mut ranges = Ranges::default();
            for number in numbers {
                ranges.add(number);
                prop_assert!(ranges.as_slice().len() <= MOST_RANGES);
            }
            let first = ranges.first_missing();
            prop_assert!(ranges.add(first));
            prop_assert!(ranges.as_slice().len() <= MOST_RANGES);
        }
    }
}
