//! Making room, inside the transaction that needs it: what the cloud has goes first, then blocks that nobody has seen are
//! thinned, then blocks are dropped, bulk before live, oldest first. Dropped and emptied blocks leave signed gap records that
//! close their numbers in the cloud, one for all that lie side by side (`gaps.rs`). Critical blocks, transactions and columns stay.

use rusqlite::{Transaction, params};
use shared_protocol::{
    BlockNumber, Body, Epoch, Stream,
    block::{Block, DropReason, SealedBlock},
};

use super::{
    database::delete_block,
    error::StoreError,
    sealer::{Moves, ROOM_OF_A_BLOCK, Sealer, count},
    store::{ACKNOWLEDGED, TO_SEND},
    thin::{MOST_PASSES, Thinned, thin},
};

/// The streams that may be thinned and dropped, cheapest first, by priority.
pub(super) const CHEAP: [u8; 2] = [4, 3];
/// Blocks that are looked at in one step.
const STEP: u32 = 64;

/// Up to which place in the buffer there is nothing left to do: blocks are only ever added behind it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    thinned: [[i64; MOST_PASSES as usize]; CHEAP.len()],
    dropped: [i64; CHEAP.len()],
}

/// A block that may have to go.
struct Candidate {
    id: i64,
    place: i64,
    epoch: i64,
    number: BlockNumber,
    samples: u32,
    thinned: u32,
    length: u64,
}

/// Frees at least `enough` bytes if it can; returns what it freed.
pub(super) fn make_room(
    sealer: &Sealer<'_>,
    done: &mut Done,
    enough: u64,
) -> Result<u64, StoreError> {
    let mut freed = free_acknowledged(sealer.transaction, enough)?;
    for (place, priority) in CHEAP.into_iter().enumerate() {
        for pass in 0..MOST_PASSES {
            while freed < enough {
                let after = &mut done.thinned[place][pass as usize];
                let Some(more) = thin_some(sealer, priority, pass, after)? else {
                    break;
                };
                freed += more;
            }
        }
    }
    for (place, priority) in CHEAP.into_iter().enumerate() {
        while freed < enough {
            let Some(more) = drop_one(sealer, priority, &mut done.dropped[place])? else {
                break;
            };
            freed += more;
        }
    }
    Ok(freed)
}

/// Deletes acknowledged blocks, oldest first, until enough is free. Columns stay while any other block of their epoch is
/// here, for the cloud may ask for it again; the youngest block stays, so that places in the buffer only grow.
fn free_acknowledged(transaction: &Transaction<'_>, enough: u64) -> Result<u64, StoreError> {
    let mut freed = 0;
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT id, length FROM block b WHERE state = {ACKNOWLEDGED} AND id < (SELECT max(id) FROM block)
            AND (stream <> 0 OR NOT EXISTS (SELECT 1 FROM block o WHERE o.epoch = b.epoch AND o.stream <> 0))
         ORDER BY priority DESC, place LIMIT 256"
    ))?;
    while freed < enough {
        let rows: Vec<(i64, i64)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if rows.is_empty() {
            break;
        }
        for (id, length) in rows {
            if freed >= enough {
                break;
            }
            delete_block(transaction, id)?;
            freed += length.cast_unsigned() + ROOM_OF_A_BLOCK;
        }
    }
    Ok(freed)
}

fn candidates(
    transaction: &Transaction<'_>,
    condition: &str,
    priority: u8,
    after: i64,
    limit: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT b.id, b.epoch, e.counter, e.nonce, b.stream, b.seq, b.samples, b.thinned, b.length, b.place FROM block b
         JOIN epoch e ON e.id = b.epoch
         WHERE b.state = {TO_SEND} AND b.priority = ?1 AND b.place > ?2 AND b.samples > 0 AND {condition} ORDER BY b.place LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![priority, after, limit], |row| {
        let stream: u8 = row.get(4)?;
        Ok(Candidate {
            id: row.get(0)?,
            place: row.get(9)?,
            epoch: row.get(1)?,
            number: BlockNumber {
                epoch: Epoch {
                    counter: row.get(2)?,
                    nonce: row.get::<_, i64>(3)?.cast_unsigned(),
                },
                stream: Stream::from_number(stream).unwrap_or(Stream::Bulk),
                seq: row.get::<_, i64>(5)?.cast_unsigned(),
            },
            samples: row.get(6)?,
            thinned: row.get(7)?,
            length: row.get::<_, i64>(8)?.cast_unsigned(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Thins the next few blocks that were thinned `pass` times and never shown to anybody; `None` when there are none.
fn thin_some(
    sealer: &Sealer<'_>,
    priority: u8,
    pass: u32,
    after: &mut i64,
) -> Result<Option<u64>, StoreError> {
    let condition = format!("b.offered = 0 AND b.passes = {pass}");
    let found = candidates(sealer.transaction, &condition, priority, *after, STEP)?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut freed = 0;
    for block in found {
        *after = block.place;
        freed += thin_block(sealer, &block, pass)?;
    }
    Ok(Some(freed))
}

fn thin_block(sealer: &Sealer<'_>, block: &Candidate, pass: u32) -> Result<u64, StoreError> {
    let bytes: Vec<u8> = sealer
        .transaction
        .prepare_cached("SELECT bytes FROM payload WHERE block = ?1")?
        .query_row([block.id], |row| row.get(0))?;
    let opened = SealedBlock::open(&bytes)
        .ok()
        .and_then(|sealed| Some((sealed.content().ok()?, sealed.header)));
    // What is unreadable is found when it is to be sent, and says so then.
    let thinned = match &opened {
        Some((Body::Samples(body), _)) => thin(body, &block.number, pass),
        _ => Thinned::Same,
    };
    let (bytes, left) = match (thinned, opened) {
        (Thinned::Less(body), Some((_, mut header))) => {
            let left = body.len() as u32;
            header.thinned += header.samples - left;
            header.samples = left;
            let body = Body::Samples(body);
            (Block { header, body }.seal(&sealer.maker.key)?, left)
        }
        (Thinned::Nothing, _) => {
            let absent = (0, block.thinned + block.samples);
            let left = sealer.leave_gap(block.id, block.number, absent, DropReason::Quota)?;
            count_thinned(sealer, block, block.samples)?;
            return Ok(left.freed);
        }
        _ => {
            sealer
                .transaction
                .prepare_cached("UPDATE block SET passes = ?2 WHERE id = ?1")?
                .execute(params![block.id, pass + 1])?;
            return Ok(0);
        }
    };
    let gone = block.samples.saturating_sub(left);
    sealer.replace(block.id, &bytes, left, pass + 1)?;
    sealer
        .transaction
        .prepare_cached("UPDATE block SET thinned = thinned + ?2 WHERE id = ?1")?
        .execute(params![block.id, gone])?;
    count_thinned(sealer, block, gone)?;
    Ok(block.length.saturating_sub(bytes.len() as u64))
}

fn count_thinned(sealer: &Sealer<'_>, block: &Candidate, gone: u32) -> Result<(), StoreError> {
    let moves = Moves {
        buffered: -i64::from(gone),
        thinned: gone.into(),
        ..Moves::default()
    };
    count(sealer.transaction, block.epoch, block.number.stream, moves)
}

/// Replaces the oldest unsent block of a priority by its gap record; `None` when there is none.
fn drop_one(sealer: &Sealer<'_>, priority: u8, after: &mut i64) -> Result<Option<u64>, StoreError> {
    let found = candidates(sealer.transaction, "true", priority, *after, 1)?;
    let Some(block) = found.first() else {
        return Ok(None);
    };
    *after = block.place;
    let absent = (block.samples, block.thinned);
    let left = sealer.leave_gap(block.id, block.number, absent, DropReason::Quota)?;
    let moves = Moves {
        buffered: -i64::from(block.samples),
        dropped: block.samples.into(),
        ..Moves::default()
    };
    count(sealer.transaction, block.epoch, block.number.stream, moves)?;
    Ok(Some(left.freed))
}
