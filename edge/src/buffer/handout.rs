//! What the uplink is given to send (step 4 of a sample's life).

use std::time::Instant;

use rusqlite::{OptionalExtension as _, Row, params};
use shared_protocol::{
    BlockNumber, Digest, Epoch, Stream,
    block::{DropReason, SealedBlock},
};

use super::{
    error::StoreError,
    gaps,
    sealer::{Moves, Sealer, count},
    store::{MAY_BE_SEEN, Maker, SEEN, Store, TO_SEND, UNSEEN},
    tables::counts,
};

/// Blocks that are marked as shown to the uplink at once: each mark is an fsync.
const OFFERED_AT_ONCE: u32 = 256;

/// A sealed block as the uplink needs it.
#[derive(Clone, Debug)]
pub struct StoredBlock {
    /// Place in the buffer; grows with age.
    pub id: i64,
    /// Its number.
    pub number: BlockNumber,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many samples it carries.
    pub samples: u32,
    /// Its bytes, as they go out.
    pub bytes: Vec<u8>,
}

/// What [`Found::read`] reads, and where from.
const FOUND: &str = "b.id, b.epoch, e.counter, e.nonce, b.stream, b.seq, b.last, b.place, b.digest, b.samples, p.bytes, b.gap,
    b.thinned, b.offered FROM block b JOIN epoch e ON e.id = b.epoch LEFT JOIN payload p ON p.block = b.id";

/// A row with something to send: a block, or a gap record of one number or several.
struct Found {
    row: i64,
    epoch: i64,
    /// The block, or the record of the first number.
    first: StoredBlock,
    /// The last number.
    last: u64,
    gap: Option<DropReason>,
    thinned: u32,
    offered: i64,
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let stream: u8 = row.get(4)?;
        let epoch = Epoch {
            counter: row.get(2)?,
            nonce: row.get::<_, i64>(3)?.cast_unsigned(),
        };
        let number = BlockNumber {
            epoch,
            stream: Stream::from_number(stream).unwrap_or(Stream::Bulk),
            seq: row.get::<_, i64>(5)?.cast_unsigned(),
        };
        Ok(Self {
            row: row.get(0)?,
            epoch: row.get(1)?,
            first: StoredBlock {
                id: row.get(7)?,
                number,
                digest: Digest(row.get(8)?),
                samples: row.get(9)?,
                bytes: row.get::<_, Option<_>>(10)?.unwrap_or_default(),
            },
            last: row.get::<_, i64>(6)?.cast_unsigned(),
            gap: row
                .get::<_, Option<String>>(11)?
                .and_then(|name| gaps::reason(&name)),
            thinned: row.get(12)?,
            offered: row.get(13)?,
        })
    }

    /// Whether the block is whole and counts what its row says: then the digest in the row was hit, and nothing is lost.
    fn is_whole(&self, maker: &Maker) -> bool {
        let first = &self.first;
        SealedBlock::open(&first.bytes).is_ok_and(|sealed| {
            self.gap.is_none()
                && sealed.header.number == first.number
                && counts(&sealed) == Some((first.samples, self.thinned))
                && sealed.verify(&maker.key.verifying_key()).is_ok()
        })
    }

    fn is_damaged(&self) -> bool {
        let first = &self.first;
        Digest::of(&first.bytes) != first.digest
            || SealedBlock::open(&first.bytes).map(|sealed| sealed.header.number)
                != Ok(first.number)
    }

    /// How many messages it is sent in.
    fn pieces(&self) -> u64 {
        if self.gap.is_some() {
            gaps::pieces(self.first.number.seq, self.last)
        } else {
            1
        }
    }

    /// How many of them have places after this one: those are the last ones.
    fn after(&self, place: i64) -> u64 {
        self.pieces()
            .saturating_sub(gaps::passed(self.first.id, place))
    }
}

impl Store {
    /// Step 4: the blocks to send of a priority, after a place in the buffer, oldest or newest first, with their bytes; and
    /// the fsyncs that this took. What is handed out is marked first: from then on it is never sealed anew under its number,
    /// and no record of it grows. A block that the disk has damaged becomes the record of its loss.
    ///
    /// Of a range of gap records, which is never among the newest, each piece is a block of its own.
    pub(super) fn next_to_send(
        &mut self,
        priority: u8,
        after: i64,
        newest: bool,
        limit: u32,
        now: Instant,
    ) -> Result<(Vec<StoredBlock>, u32), StoreError> {
        if limit > 0 {
            // Who asks for nothing only wants to see that the ledger answers.
            self.asked = Some(now);
        }
        let mut found = self.rows_to_send(priority, after, newest, limit)?;
        let is_new = |found: &Found| found.offered == UNSEEN;
        let new = found.iter().filter(|found| is_new(found)).count();
        let mut room = match new {
            0 => 0,
            _ => self.shown.get_mut().room(&self.connection, priority)?,
        };
        if room < new {
            // Too much is out without an answer: what is out goes out again, and nothing else does.
            self.shown.get_mut().withhold();
            if room == 0 {
                found = self.rows_shown(priority, after, newest, limit)?;
            }
            found.retain(|found| {
                let may = !is_new(found) || room > 0;
                room -= usize::from(may && is_new(found));
                may
            });
        }
        let mut syncs = 0;
        if found
            .iter()
            .any(|found| found.offered == UNSEEN || found.is_damaged())
        {
            self.mark_offered(&mut found, priority, after, newest, limit)?;
            syncs = 1;
        }
        let marked = found.iter().filter(|found| found.offered == MAY_BE_SEEN);
        self.handed.extend(marked.map(|found| found.row));
        let mut blocks = Vec::new();
        for found in found {
            let left = limit as usize - blocks.len();
            let (pieces, passed) = (found.pieces(), found.pieces() - found.after(after));
            let first = found.first;
            let header = SealedBlock::open(&first.bytes).map(|sealed| sealed.header);
            match (found.gap, header) {
                (Some(reason), Ok(header)) if first.number.seq < found.last => {
                    for piece in (passed..pieces).take(left) {
                        let (seq, _, bytes) =
                            gaps::piece(&header, found.last, piece, reason, &self.maker.key)?;
                        blocks.push(StoredBlock {
                            id: first.id + (seq - first.number.seq).cast_signed(),
                            number: BlockNumber {
                                seq,
                                ..first.number
                            },
                            digest: Digest::of(&bytes),
                            samples: 0,
                            bytes,
                        });
                    }
                }
                _ if passed == 0 && left > 0 => blocks.push(first),
                _ => {}
            }
        }
        Ok((blocks, syncs))
    }

    /// The rows that hold these blocks.
    fn rows_to_send(
        &self,
        priority: u8,
        after: i64,
        newest: bool,
        limit: u32,
    ) -> Result<Vec<Found>, StoreError> {
        let (order, kind) = if newest {
            ("DESC", "b.last = b.seq")
        } else {
            ("ASC", "true")
        };
        // A range may begin before the place and end behind it: only the last one that begins there.
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {FOUND}
             WHERE b.state = {TO_SEND} AND b.priority = ?1
                AND b.place >= coalesce((SELECT max(o.place) FROM block o
                    WHERE o.state = {TO_SEND} AND o.priority = ?1 AND o.place <= ?2), ?2)
                AND b.place + b.last - b.seq > ?2 AND {kind}
             ORDER BY b.place {order} LIMIT ?3 + 1"
        ))?;
        let mut rows = statement.query(params![priority, after, limit])?;
        let (mut found, mut numbers) = (Vec::new(), 0);
        while numbers < u64::from(limit)
            && let Some(row) = rows.next()?
        {
            let row = Found::read(row)?;
            numbers += row.after(after);
            found.push(row);
        }
        Ok(found)
    }

    /// Those of them that are out already.
    fn rows_shown(
        &self,
        priority: u8,
        after: i64,
        newest: bool,
        limit: u32,
    ) -> Result<Vec<Found>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {FOUND} WHERE b.id = ?1 AND b.state = {TO_SEND} AND b.priority = ?2 AND b.offered <> {UNSEEN}
                AND b.place + b.last - b.seq > ?3 AND (b.last = b.seq OR NOT ?4)"
        ))?;
        let mut rows = self.shown.borrow().after(priority, after);
        if newest {
            rows.reverse();
        }
        let (mut found, mut numbers) = (Vec::new(), 0);
        for id in rows {
            if numbers >= u64::from(limit) {
                break;
            }
            let row = statement.query_row(params![id, priority, after, newest], Found::read);
            if let Some(row) = row.optional()? {
                numbers += row.after(after);
                found.push(row);
            }
        }
        Ok(found)
    }

    /// Marks these rows, and some that are likely to be asked for next; what is damaged among them becomes the record of its
    /// loss.
    fn mark_offered(
        &mut self,
        found: &mut [Found],
        priority: u8,
        after: i64,
        newest: bool,
        limit: u32,
    ) -> Result<(), StoreError> {
        let order = if newest { "DESC" } else { "ASC" };
        let room = self
            .shown
            .get_mut()
            .room(&self.connection, priority)?
            .saturating_sub(found.len());
        let transaction = self.connection.transaction()?;
        let news = |found: &&Found| matches!(found.offered, UNSEEN | MAY_BE_SEEN);
        let shown = self.shown.get_mut();
        for found in found.iter().filter(news) {
            shown.take(priority, found.first.id, found.row);
            transaction
                .prepare_cached(&format!("UPDATE block SET offered = {SEEN} WHERE id = ?1"))?
                .execute([found.row])?;
        }
        // Ranges go on growing until they are asked for. What is marked here takes half of the room that is left.
        let room = u32::try_from(room / 2).unwrap_or(u32::MAX);
        let at_once = limit.max(OFFERED_AT_ONCE).min(room);
        let marked: Vec<(i64, i64)> = transaction
            .prepare_cached(&format!(
                "UPDATE block SET offered = {MAY_BE_SEEN} WHERE offered = {UNSEEN} AND id IN (SELECT id FROM block
                    WHERE state = {TO_SEND} AND priority = ?1 AND place > ?2 AND last = seq ORDER BY place {order} LIMIT ?3)
                 RETURNING place, id"
            ))?
            .query_map(params![priority, after, at_once], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        for (place, id) in marked {
            shown.take(priority, place, id);
        }
        let sealer = Sealer::new(
            &transaction,
            &self.maker,
            (self.epoch, self.epoch_row),
            None,
        );
        for found in found.iter_mut().filter(|found| found.is_damaged()) {
            let is_whole = found.is_whole(&self.maker);
            let block = &mut found.first;
            if is_whole {
                tracing::error!(number = %block.number, "the disk has damaged a block's row; it is mended");
                block.digest = Digest::of(&block.bytes);
                transaction
                    .prepare_cached("UPDATE block SET digest = ?2 WHERE id = ?1")?
                    .execute(params![found.row, block.digest.0])?;
                continue;
            }
            tracing::error!(number = %block.number, "the disk has damaged a block; its loss is recorded");
            block.bytes = if found.gap.is_some() {
                sealer.sign_anew(found.row, block.number)?
            } else {
                let absent = (block.samples, found.thinned);
                let left =
                    sealer.leave_gap(found.row, block.number, absent, DropReason::Damaged)?;
                let moves = Moves {
                    buffered: -i64::from(block.samples),
                    damaged: block.samples.into(),
                    ..Moves::default()
                };
                count(&transaction, found.epoch, block.number.stream, moves)?;
                left.bytes
            };
            block.digest = Digest::of(&block.bytes);
            block.samples = 0;
        }
        transaction.commit()?;
        Ok(())
    }
}
