//! What the cloud's word does to the ledger, and how acknowledged blocks make room.

use rusqlite::{OptionalExtension as _, Transaction, params};
use shared_protocol::{BlockNumber, Digest, Epoch, Stream, Verdict};

use super::store::{ACKNOWLEDGED, REFUSED, StoreError, TO_SEND};

/// The cloud's word, verified, on blocks of this gateway.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// On one content.
    Block(BlockNumber, Digest, Verdict),
    /// On all numbers of a range, first and last inclusive.
    Range(Epoch, Stream, u64, u64),
    /// The columns of an epoch have to be sent again.
    Columns(Epoch),
}

/// Carries out one settlement.
pub(super) fn settle(
    transaction: &Transaction<'_>,
    settlement: &Settlement,
) -> Result<(), StoreError> {
    match settlement {
        Settlement::Block(number, digest, Verdict::Stored | Verdict::Quarantined(_)) => {
            mark(transaction, number, Some(digest), ACKNOWLEDGED)?;
        }
        Settlement::Block(number, digest, Verdict::Refused(_)) => {
            mark(transaction, number, Some(digest), REFUSED)?;
        }
        Settlement::Block(_, _, Verdict::ColumnsNeeded(_)) => {}
        Settlement::Range(epoch, stream, first, last) => {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT b.seq FROM block b JOIN epoch e ON e.id = b.epoch
                 WHERE e.counter = ?1 AND e.nonce = ?2 AND b.stream = ?3 AND b.seq BETWEEN ?4 AND ?5 AND b.state = {TO_SEND}"
            ))?;
            let bounds = (
                i64::try_from(*first).unwrap_or(i64::MAX),
                i64::try_from(*last).unwrap_or(i64::MAX),
            );
            let key = params![
                epoch.counter,
                epoch.nonce.cast_signed(),
                stream.number(),
                bounds.0,
                bounds.1
            ];
            let held: Vec<i64> = statement
                .query_map(key, |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for seq in held {
                let number = BlockNumber {
                    epoch: *epoch,
                    stream: *stream,
                    seq: seq.cast_unsigned(),
                };
                mark(transaction, &number, None, ACKNOWLEDGED)?;
            }
        }
        Settlement::Columns(epoch) => {
            transaction.execute(
                &format!(
                    "UPDATE block SET state = {TO_SEND} WHERE stream = 0 AND state = {ACKNOWLEDGED}
                     AND epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2)"
                ),
                params![epoch.counter, epoch.nonce.cast_signed()],
            )?;
        }
    }
    Ok(())
}

/// Moves one block that is to be sent into another state, and its samples with it.
fn mark(
    transaction: &Transaction<'_>,
    number: &BlockNumber,
    digest: Option<&Digest>,
    state: i64,
) -> Result<(), StoreError> {
    let found = transaction
        .prepare_cached(&format!(
            "UPDATE block SET state = ?1 WHERE epoch = (SELECT id FROM epoch WHERE counter = ?2 AND nonce = ?3)
             AND stream = ?4 AND seq = ?5 AND (?6 IS NULL OR digest = ?6) AND state = {TO_SEND} RETURNING epoch, samples"
        ))?
        .query_row(
            params![
                state,
                number.epoch.counter,
                number.epoch.nonce.cast_signed(),
                number.stream.number(),
                number.seq.cast_signed(),
                digest.map(|digest| digest.0)
            ],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )
        .optional()?;
    // Definitions of columns and gap records carry no samples of their own: `samples` is 0 in their rows.
    if let Some((epoch, samples)) = found
        && state == ACKNOWLEDGED
    {
        transaction.execute(
            "UPDATE stream SET buffered = buffered - ?3, acknowledged = acknowledged + ?3 WHERE epoch = ?1 AND stream = ?2",
            params![epoch, number.stream.number(), samples],
        )?;
    }
    Ok(())
}

/// Deletes acknowledged blocks, oldest first, until enough is free; columns stay while a block of their epoch is unsent.
pub(super) fn free_acknowledged(
    transaction: &Transaction<'_>,
    enough: u64,
) -> Result<u64, StoreError> {
    let mut freed = 0;
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT id, length FROM block b WHERE state = {ACKNOWLEDGED} AND (stream <> 0 OR NOT EXISTS
            (SELECT 1 FROM block o WHERE o.epoch = b.epoch AND o.state = {TO_SEND})) ORDER BY id LIMIT 1000"
    ))?;
    let rows: Vec<(i64, i64)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, length) in rows {
        if freed >= enough {
            break;
        }
        transaction.execute("DELETE FROM payload WHERE block = ?1", [id])?;
        transaction.execute("DELETE FROM block WHERE id = ?1", [id])?;
        freed += length.cast_unsigned();
    }
    Ok(freed)
}
