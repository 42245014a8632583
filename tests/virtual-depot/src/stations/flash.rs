//! What survives a power cut: messages of transactions that no answer has come to, the numbers that transactions were given, and
//! profiles and settings.

use std::collections::{BTreeMap, VecDeque};

use super::{profiles::Profiles, story::Tell};

/// A station's memory that needs no power.
#[derive(Debug)]
pub(super) struct Flash {
    queue: VecDeque<Tell>,
    /// Numbers that transactions were given (1.6).
    numbers: BTreeMap<u64, i64>,
    pub(super) profiles: Profiles,
    /// How often it measures, in s.
    pub(super) interval: i64,
}

impl Flash {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            numbers: BTreeMap::new(),
            profiles: Profiles::default(),
            interval: 2,
        }
    }

    /// Has more to tell.
    pub(super) fn keep(&mut self, told: impl IntoIterator<Item = Tell>) {
        self.queue.extend(told);
    }

    /// What is told next: the oldest.
    pub(super) fn next(&self) -> Option<&Tell> {
        self.queue.front()
    }

    /// How much is still to be told.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The oldest was answered; a transaction that it began has this number.
    pub(super) fn answered(&mut self, number: Option<i64>) {
        if let Some(tell) = self.queue.pop_front()
            && let Some(number) = number
        {
            self.numbers.insert(tell.session, number);
        }
    }

    /// The number of a transaction; −1 as long as it has none (1.6, errata 3.18).
    pub(super) fn number(&self, session: u64) -> i64 {
        self.numbers.get(&session).copied().unwrap_or(-1)
    }
}
