//! What the cloud's word does to the ledger (step 7 of a sample's life).

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, params};
use shared_protocol::{BlockNumber, Digest, Epoch, Stream, Verdict, block::DropReason};

use super::{
    error::StoreError,
    gaps,
    sealer::{Moves, Sealer, count},
    store::{ACKNOWLEDGED, IN_DOUBT, REFUSED, SEEN, TO_SEND},
};

/// Records of which the cloud may have the block after all: it was dropped when somebody might have been given it. Only a verdict
/// on a content tells; that its number is closed does not.
const DOUBTFUL: &str = "offered = 3 AND gap IS NOT NULL AND last = seq";

/// The cloud's word, verified, on blocks of this gateway.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// On one content.
    Block(BlockNumber, Digest, Verdict),
    /// On all numbers of a range, first and last inclusive.
    Range(Epoch, Stream, u64, u64),
    /// All that is closed of a stream, as ranges, first and last inclusive and ascending: the answer to a hello. What the
    /// gateway holds as acknowledged and the cloud does not name was lost there (its database was restored from a backup)
    /// and is to be sent again, unless it was acknowledged after the hello.
    Closed {
        /// The epoch.
        epoch: Epoch,
        /// The stream.
        stream: Stream,
        /// The closed numbers.
        done: Vec<(u64, u64)>,
        /// The hello that this answers, by [`crate::buffer::Held::hello`].
        hello: u64,
    },
    /// The columns of an epoch have to be sent again.
    Columns(Epoch),
}

/// Blocks that were acknowledged lately, by their place in the buffer, and how many hellos had been said by then.
#[derive(Debug, Default)]
pub(super) struct Lately {
    hellos: u64,
    acknowledged: HashMap<i64, u64>,
}

impl Lately {
    /// A hello is about to be said; its number.
    pub(super) fn hello(&mut self) -> u64 {
        self.hellos += 1;
        let oldest = self.hellos.saturating_sub(8);
        self.acknowledged.retain(|_, said| *said >= oldest);
        self.hellos
    }
}

/// Step 7: carries out one settlement; says whether acknowledged blocks are to be sent again.
pub(super) fn settle(
    ledger: &Sealer<'_>,
    settlement: &Settlement,
    lately: &mut Lately,
) -> Result<bool, StoreError> {
    match settlement {
        Settlement::Block(number, digest, verdict) => {
            let state = match verdict {
                Verdict::Stored | Verdict::Quarantined(_) => ACKNOWLEDGED,
                Verdict::Refused(_) => REFUSED,
                Verdict::ColumnsNeeded(_) => return Ok(false),
            };
            let range = (number.seq, number.seq);
            let key = (number.epoch, number.stream);
            mark(ledger, key, range, Some(digest), (TO_SEND, state), lately)?;
            if state == ACKNOWLEDGED {
                has_it_after_all(ledger, number, digest, lately)?;
            }
        }
        Settlement::Range(epoch, stream, first, last) => {
            let states = (TO_SEND, ACKNOWLEDGED);
            mark(
                ledger,
                (*epoch, *stream),
                (*first, *last),
                None,
                states,
                lately,
            )?;
        }
        Settlement::Closed {
            epoch,
            stream,
            done,
            hello,
        } => {
            let mut again = false;
            let mut next = Some(0);
            for &(first, last) in done {
                if let Some(from) = next
                    && from < first
                {
                    again |=
                        ask_again(ledger, (*epoch, *stream), (from, first - 1), *hello, lately)?;
                }
                next = last.checked_add(1);
                let states = (TO_SEND, ACKNOWLEDGED);
                mark(
                    ledger,
                    (*epoch, *stream),
                    (first, last),
                    None,
                    states,
                    lately,
                )?;
            }
            if let Some(from) = next {
                again |= ask_again(ledger, (*epoch, *stream), (from, u64::MAX), *hello, lately)?;
            }
            return Ok(again);
        }
        Settlement::Columns(epoch) => {
            let sent = ledger.transaction.execute(
                &format!(
                    "UPDATE block SET state = {TO_SEND} WHERE stream = 0 AND state = {ACKNOWLEDGED}
                     AND epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2)"
                ),
                params![epoch.counter, epoch.nonce.cast_signed()],
            )?;
            return Ok(sent > 0);
        }
    }
    Ok(false)
}

/// Blocks of a range that are held as acknowledged and were not acknowledged after the hello are to be sent again.
fn ask_again(
    ledger: &Sealer<'_>,
    key: (Epoch, Stream),
    range: (u64, u64),
    hello: u64,
    lately: &mut Lately,
) -> Result<bool, StoreError> {
    let since = std::mem::take(&mut lately.acknowledged);
    let fresh = |id: &i64| since.get(id).is_some_and(|said| *said >= hello);
    let mut changed = mark(ledger, key, range, None, (ACKNOWLEDGED, TO_SEND), lately)?;
    // Those whose acknowledgement the answer could not know stay acknowledged.
    for id in changed.extract_if(.., |id| fresh(id)).collect::<Vec<_>>() {
        let (stream, epoch, samples): (u8, i64, i64) = ledger
            .transaction
            .prepare_cached(&format!(
                "UPDATE block SET state = {ACKNOWLEDGED} WHERE id = ?1 RETURNING stream, epoch, samples"
            ))?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let moves = Moves {
            buffered: -samples,
            acknowledged: samples,
            ..Moves::default()
        };
        let stream = Stream::from_number(stream).unwrap_or(key.1);
        count(ledger.transaction, epoch, stream, moves)?;
    }
    for id in &changed {
        lost_it_again(ledger, *id, key.1)?;
    }
    lately.acknowledged = since;
    Ok(!changed.is_empty())
}

/// The cloud has stored the block of which a record here says that it was dropped: its acknowledgement was lost on its way, and
/// the block had to make room. So its samples are acknowledged, not absent; the row remembers that by counting them.
fn has_it_after_all(
    ledger: &Sealer<'_>,
    number: &BlockNumber,
    digest: &Digest,
    lately: &mut Lately,
) -> Result<(), StoreError> {
    let found: Option<(i64, i64, i64, String)> = ledger
        .transaction
        .prepare_cached(&format!(
            "SELECT id, epoch, gone, gap FROM block WHERE epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2)
             AND stream = ?3 AND seq = ?4 AND {DOUBTFUL} AND samples = 0 AND digest <> ?5"
        ))?
        .query_row(
            params![
                number.epoch.counter,
                number.epoch.nonce.cast_signed(),
                number.stream.number(),
                number.seq.cast_signed(),
                digest.0
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .optional()?;
    let Some((id, epoch, gone, reason)) = found else {
        return Ok(());
    };
    ledger
        .transaction
        .prepare_cached(&format!(
            "UPDATE block SET samples = gone, state = {ACKNOWLEDGED} WHERE id = ?1"
        ))?
        .execute([id])?;
    lately.acknowledged.insert(id, lately.hellos);
    let moves = Moves {
        acknowledged: gone,
        ..absent(&reason, -gone)
    };
    count(ledger.transaction, epoch, number.stream, moves)
}

/// What [`has_it_after_all`] noted of a row does not hold any more: the cloud was restored from a backup without the block,
/// which is not here either.
fn lost_it_again(ledger: &Sealer<'_>, id: i64, stream: Stream) -> Result<(), StoreError> {
    let noted: Option<(i64, i64, String)> = ledger
        .transaction
        .prepare_cached(
            "UPDATE block SET samples = 0 WHERE id = ?1 AND gap IS NOT NULL AND samples > 0 RETURNING epoch, gone, gap",
        )?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((epoch, gone, reason)) = noted else {
        return Ok(());
    };
    let moves = Moves {
        buffered: -gone,
        ..absent(&reason, gone)
    };
    count(ledger.transaction, epoch, stream, moves)
}

/// Samples that a record of this reason counts as absent.
fn absent(reason: &str, samples: i64) -> Moves {
    if gaps::reason(reason) == Some(DropReason::Damaged) {
        Moves {
            damaged: samples,
            ..Moves::default()
        }
    } else {
        Moves {
            dropped: samples,
            ..Moves::default()
        }
    }
}

/// Moves blocks from one state into another, and their samples with them; returns their places in the buffer.
fn mark(
    ledger: &Sealer<'_>,
    (epoch, stream): (Epoch, Stream),
    (first, last): (u64, u64),
    digest: Option<&Digest>,
    (from, to): (i64, i64),
    lately: &mut Lately,
) -> Result<Vec<i64>, StoreError> {
    let (last, digest) = match digest {
        Some(meant) => match ledger.single_out((epoch, stream), from, first, meant)? {
            Some((_, last)) => (last, None),
            None => (last, digest),
        },
        None => {
            ledger.cut((epoch, stream), from, first)?;
            ledger.cut((epoch, stream), from, last.saturating_add(1))?;
            (last, None)
        }
    };
    let bound = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
    // A number that is closed may be so by the block, and the record be answered otherwise: it is sent, to learn that.
    let mut statement = ledger.transaction.prepare_cached(&format!(
        "UPDATE block SET state = ?1, offered = iif(offered = {IN_DOUBT}, {IN_DOUBT}, {SEEN}) WHERE epoch = (SELECT id FROM epoch WHERE counter = ?2 AND nonce = ?3)
         AND stream = ?4 AND seq BETWEEN ?5 AND ?6 AND (?7 IS NOT NULL AND digest = ?7
            OR ?7 IS NULL AND NOT (state = {TO_SEND} AND {DOUBTFUL})) AND state = ?8
         RETURNING id, epoch, samples",
    ))?;
    let found: Vec<(i64, i64, i64)> = statement
        .query_map(
            params![
                to,
                epoch.counter,
                epoch.nonce.cast_signed(),
                stream.number(),
                bound(first),
                bound(last),
                digest.map(|digest| digest.0),
                from
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?
        .collect::<Result<_, _>>()?;
    // Definitions of columns and gap records carry no samples of their own: `samples` is 0 in their rows.
    let samples: i64 = found.iter().map(|(_, _, samples)| samples).sum();
    let moves = match (from, to) {
        (TO_SEND, ACKNOWLEDGED) => Moves {
            buffered: -samples,
            acknowledged: samples,
            ..Moves::default()
        },
        (ACKNOWLEDGED, TO_SEND) => Moves {
            buffered: samples,
            acknowledged: -samples,
            ..Moves::default()
        },
        _ => Moves::default(),
    };
    if let Some((_, epoch, _)) = found.first() {
        count(ledger.transaction, *epoch, stream, moves)?;
    }
    let ids: Vec<i64> = found.into_iter().map(|(id, ..)| id).collect();
    if to == ACKNOWLEDGED {
        let said = lately.hellos;
        lately.acknowledged.extend(ids.iter().map(|id| (*id, said)));
    }
    Ok(ids)
}
