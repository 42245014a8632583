//! The blocks of one transaction, with what is done with each.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    block::{BlockKey, Prepared, Work},
    plan::Fate,
};

/// A batch within its transaction.
pub(crate) struct Batch<'a, 'b> {
    pub(crate) blocks: &'a [Prepared<'b>],
    pub(crate) fates: Vec<Fate>,
    pub(crate) now: Timestamp,
    /// What is written instead of a block's own work, once the database was looked at.
    resolved: HashMap<usize, Work<'b>>,
    /// The places of the blocks that are written, in the order of their keys.
    places: Vec<usize>,
}

/// A block that is written.
pub(crate) struct Written<'w, 'b> {
    pub(crate) block: &'w Prepared<'b>,
    pub(crate) work: &'w Work<'b>,
    /// Its number was a gap, or that of a quarantined block, until now.
    pub(crate) replaces: bool,
    /// The numbers that it closes, when it is a range.
    range: Option<&'w [u64]>,
}

impl Written<'_, '_> {
    /// The numbers that it closes.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = i64> {
        let own = self.block.block.header.number.seq;
        let (one, several) = match self.range {
            Some(numbers) => (None, numbers),
            None => (Some(own), &[][..]),
        };
        let all = one.into_iter().chain(several.iter().copied());
        all.map(u64::cast_signed)
    }

    /// The first of them, with its stream.
    pub(crate) fn key(&self) -> BlockKey {
        let (epoch, stream, seq) = self.block.key();
        (epoch, stream, self.numbers().next().unwrap_or(seq))
    }
}

impl<'a, 'b> Batch<'a, 'b> {
    pub(crate) fn new(blocks: &'a [Prepared<'b>], fates: Vec<Fate>, now: Timestamp) -> Self {
        let mut places: Vec<usize> = (0..blocks.len())
            .filter(|&at| matches!(fates[at], Fate::Write { .. } | Fate::Close(_)))
            .collect();
        places.sort_by_key(|&at| blocks[at].key());
        Self {
            blocks,
            fates,
            now,
            resolved: HashMap::new(),
            places,
        }
    }

    /// The places of written blocks whose own work is of a kind.
    pub(crate) fn places_of(&self, kind: impl Fn(&Work<'b>) -> bool) -> Vec<usize> {
        let mut places = self.places.clone();
        places.retain(|&at| kind(&self.blocks[at].work));
        places
    }

    /// Has something else written for a block than its own work.
    pub(crate) fn resolve(&mut self, at: usize, work: Work<'b>) {
        self.resolved.insert(at, work);
    }

    /// What is written for the block at this place.
    pub(crate) fn work(&self, at: usize) -> &Work<'b> {
        self.resolved.get(&at).unwrap_or(&self.blocks[at].work)
    }

    /// The blocks that are written, in the order of their keys.
    pub(crate) fn written(&self) -> impl Iterator<Item = Written<'_, 'b>> {
        self.places.iter().map(|&at| Written {
            block: &self.blocks[at],
            work: self.work(at),
            replaces: self.fates[at] == Fate::Write { replaces: true },
            range: match &self.fates[at] {
                Fate::Close(numbers) => Some(numbers),
                _ => None,
            },
        })
    }
}
