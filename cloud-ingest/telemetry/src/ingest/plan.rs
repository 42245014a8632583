//! What to do with each block of a batch, given the ledger: a pure function.
//!
//! - Its number is open: it is new.
//! - Its number is closed by the same content: it was delivered before, and gets the same answer again.
//! - Its number is closed by a gap and it is the block after all: the block wins, and takes the gap's place.
//! - Its number is closed by a block and it is a gap: the block wins, the gap changes nothing.
//! - It is a range of gaps: it takes those of its numbers that are open, when all blocks of the batch have theirs.
//! - Its number is closed by another content: it is quarantined; nothing is overwritten.
//! - Its number was closed by the quarantine and it is being readmitted: it takes the number that was kept for it.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared_protocol::Digest;

use super::block::{BlockKey, Prepared};
use crate::{
    outcome::{OutcomeKind, Reason},
    ranges::Ranges,
};

/// What is to be done with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Write it; `replaces` the gap, or its own place in the quarantine, that had its number.
    Write { replaces: bool },
    /// Write it for these numbers, ascending.
    Close(Vec<u64>),
    /// The same as for the block at this place of the batch, which has the same content.
    Like(usize),
    /// It was dealt with before, or does not change anything.
    Known(OutcomeKind),
    /// Quarantine it, without touching its number.
    Conflict(String),
    /// It is not in `telemetry.unplaced` any more: somebody else has expanded it.
    Gone,
}

/// What a closed number stands for.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) digest: Digest,
    pub(crate) fate: ClosedAs,
}

/// How it was closed.
#[derive(Clone, Debug)]
pub(crate) enum ClosedAs {
    Stored,
    Quarantined(Reason, String),
    Gap,
}

/// Decides, and adds the new numbers to the ledgers.
///
/// `closed` knows the numbers of the batch that are in a ledger; one that is in a ledger but not there is so old that
/// its digest was forgotten: it counts as delivered before. `waiting` are those that are still unexpanded.
pub(crate) fn plan(
    blocks: &[Prepared<'_>],
    ledgers: &mut BTreeMap<(i64, i16), Ranges>,
    closed: &HashMap<BlockKey, Closed>,
    waiting: &HashSet<BlockKey>,
) -> Vec<Fate> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    // Ascending numbers fill ranges from below; a block comes before a gap that claims its number.
    order.sort_by_key(|&at| {
        let block = &blocks[at];
        let is_range = block.last() > block.block.header.number.seq;
        (is_range, block.key(), block.is_gap(), at)
    });
    let mut fates = vec![Fate::Gone; blocks.len()];
    let mut written: HashMap<BlockKey, usize> = HashMap::new();
    for at in order {
        let block = &blocks[at];
        let key = block.key();
        if block.block.placing {
            if waiting.contains(&key) {
                fates[at] = Fate::Write { replaces: false };
            }
            continue;
        }
        if block.last() > block.block.header.number.seq {
            fates[at] = range(block, ledgers.entry(block.stream()).or_default());
            continue;
        }
        if let Some(&first) = written.get(&key) {
            fates[at] = beside(block, first, &blocks[first]);
            continue;
        }
        let seq = block.block.header.number.seq;
        let ledger = ledgers.entry(block.stream()).or_default();
        fates[at] = if !ledger.contains(seq) {
            if ledger.add(seq) {
                Fate::Write { replaces: false }
            } else {
                Fate::Known(too_many_gaps())
            }
        } else if let Some(closed) = closed.get(&key) {
            known(block, closed)
        } else {
            stored_before(block)
        };
        if matches!(fates[at], Fate::Write { .. }) {
            written.insert(key, at);
        }
    }
    fates
}

/// A range of gaps takes all its open numbers, or none.
fn range(block: &Prepared<'_>, ledger: &mut Ranges) -> Fate {
    let mut then = ledger.clone();
    let mut open = Vec::new();
    for seq in block.block.header.number.seq..=block.last() {
        if then.contains(seq) {
            continue;
        }
        if !then.add(seq) {
            return Fate::Known(too_many_gaps());
        }
        open.push(seq);
    }
    if open.is_empty() {
        return stored_before(block);
    }
    *ledger = then;
    Fate::Close(open)
}

fn too_many_gaps() -> OutcomeKind {
    let detail = "its stream has too many gaps: send the oldest blocks first".to_owned();
    OutcomeKind::NotStored { detail }
}

fn stored_before(block: &Prepared<'_>) -> Fate {
    Fate::Known(OutcomeKind::Stored {
        new: false,
        samples: block.block.header.samples,
    })
}

/// A block whose number is closed in the database.
fn known(block: &Prepared<'_>, closed: &Closed) -> Fate {
    let same = closed.digest == block.block.digest;
    match &closed.fate {
        ClosedAs::Quarantined(..) if same && block.block.readmitting => {
            Fate::Write { replaces: true }
        }
        ClosedAs::Quarantined(reason, detail) if same => Fate::Known(OutcomeKind::Quarantined {
            reason: *reason,
            detail: detail.clone(),
        }),
        _ if same => stored_before(block),
        ClosedAs::Gap if block.is_gap() => stored_before(block),
        ClosedAs::Gap => Fate::Write { replaces: true },
        _ if block.is_gap() => Fate::Known(OutcomeKind::Superseded {
            kept: closed.digest,
        }),
        _ => conflict(block, closed.digest),
    }
}

/// A block whose number is being given to another one of the batch.
fn beside(block: &Prepared<'_>, first_at: usize, first: &Prepared<'_>) -> Fate {
    if first.block.digest == block.block.digest {
        Fate::Like(first_at)
    } else if first.is_gap() {
        stored_before(block)
    } else if block.is_gap() {
        Fate::Known(OutcomeKind::Superseded {
            kept: first.block.digest,
        })
    } else {
        conflict(block, first.block.digest)
    }
}

fn conflict(block: &Prepared<'_>, other: Digest) -> Fate {
    Fate::Conflict(format!(
        "number {} stands for the content {other:?}",
        block.block.header.number
    ))
}
