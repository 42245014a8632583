//! The books of a database that was saved: what is missing is recorded, and the counters of each stream are what they were, moved
//! by that and by what the tables did not know yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::params;
use shared_protocol::{Epoch, block::DropReason};

use super::New;
use crate::buffer::{
    error::StoreError,
    sealer::signed,
    store::{ACKNOWLEDGED, IN_DOUBT, UNSEEN},
    tables::{Counters, Key, Row},
};

/// Ranges of numbers without a trace that get a record of their loss, for each stream.
const MOST_HOLES: usize = 1000;

/// What is held of a number, or of the range that it begins, in samples.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) last: u64,
    pub(super) buffered: i64,
    pub(super) acknowledged: i64,
    /// What its record says is absent, by reason, and what was thinned out of it.
    pub(super) dropped: i64,
    pub(super) damaged: i64,
    pub(super) thinned: i64,
}

impl Held {
    fn and(self, other: &Self) -> Self {
        Self {
            last: self.last.max(other.last),
            buffered: self.buffered + other.buffered,
            acknowledged: self.acknowledged + other.acknowledged,
            dropped: self.dropped + other.dropped,
            damaged: self.damaged + other.damaged,
            thinned: self.thinned + other.thinned,
        }
    }

    /// All of them.
    fn samples(&self) -> i64 {
        self.buffered + self.acknowledged + self.dropped + self.damaged + self.thinned
    }
}

impl New<'_> {
    /// Records what is missing and counts anew; returns how many samples are lost, as far as anybody knows.
    pub(super) fn close(&mut self) -> Result<u64, StoreError> {
        // What is found is counted before records of loss come to it.
        let all = Held::default();
        let found: BTreeMap<Key, (Held, Held)> = self
            .held
            .iter()
            .map(|(key, held)| {
                let beyond = held.iter().filter(|(seq, _)| self.is_beyond(*key, **seq));
                let beyond = beyond.fold(all, |sum, (_, held)| sum.and(held));
                (*key, (held.values().fold(all, Held::and), beyond))
            })
            .collect();
        let missing: Vec<(Key, u64, Row)> = self
            .tables
            .blocks
            .iter()
            .filter(|((key, seq), row)| {
                row.state != ACKNOWLEDGED
                    && self
                        .held
                        .get(key)
                        .is_none_or(|held| !held.contains_key(seq))
            })
            .map(|((key, seq), row)| (*key, *seq, *row))
            .collect();
        let mut told: HashMap<Key, i64> = HashMap::new();
        for (key, seq, row) in missing {
            let absent = (row.samples.saturating_add(row.gone), row.thinned);
            let reason = row.gap.unwrap_or(DropReason::Damaged);
            let in_doubt = match row.gap {
                Some(_) => row.offered == IN_DOUBT,
                None => row.offered != UNSEEN,
            };
            self.lose(key, (seq, row.last), absent, (reason, in_doubt))?;
            *told.entry(key).or_default() += i64::from(row.samples);
        }
        let keys: BTreeSet<Key> = self
            .held
            .keys()
            .chain(self.tables.streams.keys())
            .copied()
            .collect();
        let mut lost = 0;
        for key in keys {
            let found = found.get(&key).copied().unwrap_or_default();
            lost += self.count(key, found, told.get(&key).copied().unwrap_or(0))?;
        }
        Ok(lost)
    }

    /// The counters of a stream: what they were, moved by what is missing, and by what the tables did not know yet.
    fn count(
        &mut self,
        key: Key,
        (found, beyond): (Held, Held),
        told: i64,
    ) -> Result<u64, StoreError> {
        let (counter, nonce, stream) = key;
        let epoch = self.epoch(Epoch { counter, nonce })?;
        let known = self.tables.streams.get(&key).copied();
        let open: i64 = self.transaction.query_row(
            "SELECT coalesce(sum(samples), 0) FROM journal WHERE epoch = ?1 AND stream = ?2",
            params![epoch, stream],
            |row| row.get(0),
        )?;
        let was = match known {
            Some(known) => {
                let sealed = self.sealed.get(&key).copied().unwrap_or(0);
                let more = if self.tables.journal_is_all {
                    beyond.samples() - sealed
                } else {
                    0
                };
                Counters {
                    produced: known.produced + more,
                    dropped: known.dropped + beyond.dropped,
                    damaged: known.damaged + beyond.damaged,
                    thinned: known.thinned + beyond.thinned,
                    ..known
                }
            }
            None => Counters {
                next_seq: 0,
                produced: found.samples() + open + told,
                acknowledged: found.acknowledged,
                dropped: found.dropped,
                damaged: found.damaged,
                thinned: found.thinned,
                refused: 0,
            },
        };
        let explained = found.buffered
            + open
            + was.acknowledged
            + was.dropped
            + was.thinned
            + was.refused
            + was.damaged;
        let lost = (was.produced - explained).max(0);
        let produced = was.produced.max(explained);
        let held = self.held.get(&key).cloned().unwrap_or_default();
        let next = held
            .last_key_value()
            .map_or(0, |(_, held)| signed(held.last as usize) + 1);
        let first = held.first_key_value().map(|(first, _)| *first);
        // Numbers of which there is no trace: the cloud is told not to wait for them. Those that the tables should know and do
        // not are acknowledged and gone.
        let from = if self.tables.blocks_are_all {
            known.map(|known| known.next_seq.cast_unsigned())
        } else {
            first
        };
        if let Some(from) = from {
            let mut holes = Vec::new();
            let mut missing = from;
            for (seq, held) in &held {
                if missing < *seq {
                    holes.push((missing, seq - 1));
                }
                missing = missing.max(held.last + 1);
            }
            let end = was.next_seq.max(next).cast_unsigned();
            if missing < end {
                holes.push((missing, end - 1));
            }
            holes.truncate(MOST_HOLES);
            let mut untold = u32::try_from((lost - told).max(0)).unwrap_or(u32::MAX);
            for hole in holes {
                let absent = (std::mem::take(&mut untold), 0);
                self.lose(key, hole, absent, (DropReason::Damaged, false))?;
            }
        }
        self.transaction.execute(
            "UPDATE stream SET next_seq = ?3, produced = ?4, open = ?5, buffered = ?6, acknowledged = ?7, dropped = ?8,
                thinned = ?9, refused = ?10, damaged = ?11 WHERE epoch = ?1 AND stream = ?2",
            params![
                epoch,
                stream,
                was.next_seq.max(next),
                produced,
                open,
                found.buffered,
                was.acknowledged,
                was.dropped,
                was.thinned,
                was.refused,
                was.damaged + lost
            ],
        )?;
        Ok(lost.cast_unsigned())
    }
}
