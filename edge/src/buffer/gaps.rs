//! Gap records: what stands for numbers whose samples are absent for good.
//!
//! A record is a range of numbers. It grows by blocks that are dropped beside it, for the same reason, as long as neither has
//! been handed to the uplink: then nobody can hold one of them, and the record of the first number may count the samples of
//! all. The cloud gets a record for each piece of it, of as many numbers as a message may name; those behind the first count
//! nothing: they are made when they are sent, and are the same to the byte each time. What has been handed out never grows; its range is cut where the cloud's word ends.

use rusqlite::{OptionalExtension as _, params};
use shared_protocol::{
    Block, BlockHeader, BlockNumber, Body, Digest, Epoch, SealError, SigningKey, Stream,
    block::{DropReason, MOST_GAPS, SealedBlock},
};

use super::{
    database::delete_block,
    error::StoreError,
    sealer::{ROOM_OF_A_BLOCK, Sealer, signed},
    store::{IN_DOUBT, SEEN, TO_SEND, UNSEEN},
    thin::MOST_PASSES,
};

/// Places of a block in the order of sending: so many numbers fit into a range at most.
const PLACES: i64 = 1 << 24;

/// The first place of the block of this row.
pub(super) const fn place(id: i64) -> i64 {
    id * PLACES
}

/// Whether one record may stand for these numbers, first and last inclusive.
pub(super) const fn is_range(first: u64, last: u64) -> bool {
    first < last && last - first < PLACES.cast_unsigned()
}

/// The reason that a row names.
pub(super) fn reason(name: &str) -> Option<DropReason> {
    [DropReason::Quota, DropReason::Damaged]
        .into_iter()
        .find(|reason| reason.name() == name)
}

/// Pieces that a range is sent in, by its first and last number.
pub(super) const fn pieces(seq: u64, last: u64) -> u64 {
    (last - seq) / MOST_GAPS + 1
}

/// How many of them have a place up to this one, when this is the first one's.
pub(super) const fn passed(first: i64, place: i64) -> u64 {
    if place < first {
        0
    } else {
        (place - first).cast_unsigned() / MOST_GAPS + 1
    }
}

/// A piece of a range, as it is sent: its first and last number and its bytes. The header is that of the first number's record.
pub(super) fn piece(
    header: &BlockHeader,
    last: u64,
    number: u64,
    reason: DropReason,
    key: &SigningKey,
) -> Result<(u64, u64, Vec<u8>), SealError> {
    let from = header.number.seq + number * MOST_GAPS;
    let to = last.min(from + MOST_GAPS - 1);
    let mut header = header.clone();
    header.number.seq = from;
    if number > 0 {
        (header.samples, header.thinned) = (0, 0);
    }
    let body = if from == to {
        Body::Gap(reason)
    } else {
        Body::Gaps { reason, last: to }
    };
    Ok((from, to, Block { header, body }.seal(key)?))
}

/// The record of a number of a range where it is cut, by the header of the first one's.
fn further(
    first: &BlockHeader,
    seq: u64,
    reason: DropReason,
    key: &SigningKey,
) -> Result<Vec<u8>, SealError> {
    let number = BlockNumber {
        seq,
        ..first.number
    };
    let header = BlockHeader {
        number,
        samples: 0,
        thinned: 0,
        ..first.clone()
    };
    let body = Body::Gap(reason);
    Block { header, body }.seal(key)
}

/// What became of a block that was dropped.
pub(super) struct Left {
    /// The room that this freed.
    pub(super) freed: u64,
    /// The bytes of the record.
    pub(super) bytes: Vec<u8>,
}

/// A record that may still grow.
#[derive(Clone, Copy)]
struct Record {
    id: i64,
    place: i64,
    seq: i64,
    last: i64,
    gone: u32,
    thinned: u32,
    length: i64,
}

impl Record {
    /// This record and the one of the numbers behind it as one; `None` when that would count too much. The row of the
    /// younger one stays, so that no row's number is ever given again.
    fn and(self, next: Self) -> Option<Self> {
        Some(Self {
            id: self.id.max(next.id),
            last: (next.last - self.seq < PLACES).then_some(next.last)?,
            gone: self.gone.checked_add(next.gone)?,
            thinned: self.thinned.checked_add(next.thinned)?,
            length: self.length + next.length,
            ..self
        })
    }
}

/// A record of several numbers, as it was found.
struct Range {
    id: i64,
    seq: i64,
    last: i64,
    reason: DropReason,
    /// Of the first number's record.
    header: BlockHeader,
}

impl Sealer<'_> {
    /// Puts the record of its loss in the place of a block, or lets the record beside it grow.
    pub(super) fn leave_gap(
        &self,
        id: i64,
        number: BlockNumber,
        (gone, thinned): (u32, u32),
        reason: DropReason,
    ) -> Result<Left, StoreError> {
        let seq = number.seq.cast_signed();
        let (epoch, place, last, length, seen) = self
            .transaction
            .prepare_cached("SELECT epoch, place, last, length, offered FROM block WHERE id = ?1")?
            .query_row([id], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    matches!(row.get(4)?, SEEN | IN_DOUBT),
                ))
            })?;
        let mut record = Record {
            id,
            place,
            seq,
            last,
            gone,
            thinned,
            length,
        };
        let mut freed = 0;
        if !seen {
            let key = (epoch, number.stream);
            if let Some(before) = self.growing(key, seq - 1, reason)?
                && let Some(both) = before.and(record)
            {
                delete_block(self.transaction, before.id.min(record.id))?;
                freed += ROOM_OF_A_BLOCK;
                record = both;
            }
            if let Some(behind) = self.growing(key, last + 1, reason)?
                && let Some(both) = record.and(behind)
            {
                delete_block(self.transaction, behind.id.min(record.id))?;
                freed += ROOM_OF_A_BLOCK;
                record = both;
            }
        }
        let bytes = self.write(
            &record,
            number,
            reason,
            if seen { IN_DOUBT } else { UNSEEN },
        )?;
        freed += (record.length - signed(bytes.len())).max(0).cast_unsigned();
        Ok(Left { freed, bytes })
    }

    /// Lets the record of the last number of this epoch's stream count more samples that were refused; false when there is
    /// none that may.
    pub(super) fn count_on(&self, stream: Stream, refused: u32) -> Result<bool, StoreError> {
        let next: i64 = self
            .transaction
            .prepare_cached("SELECT next_seq FROM stream WHERE epoch = ?1 AND stream = ?2")?
            .query_row(params![self.epoch_row, stream.number()], |row| row.get(0))?;
        let key = (self.epoch_row, stream);
        let Some(mut record) = self.growing(key, next - 1, DropReason::Quota)? else {
            return Ok(false);
        };
        let Some(gone) = record.gone.checked_add(refused) else {
            return Ok(false);
        };
        record.gone = gone;
        let number = BlockNumber {
            epoch: self.epoch,
            stream,
            seq: record.seq.cast_unsigned(),
        };
        self.write(&record, number, DropReason::Quota, UNSEEN)?;
        Ok(true)
    }

    /// The record that holds a number at one of its ends, if it may grow: nobody has been given any of it.
    fn growing(
        &self,
        (epoch, stream): (i64, Stream),
        number: i64,
        reason: DropReason,
    ) -> Result<Option<Record>, StoreError> {
        let found = self
            .transaction
            .prepare_cached(&format!(
                "SELECT id, place, seq, last, gone, thinned, length,
                    offered NOT IN ({SEEN}, {IN_DOUBT}) AND gap IS ?4 FROM block
                 WHERE epoch = ?1 AND stream = ?2 AND state = {TO_SEND} AND seq <= ?3 ORDER BY seq DESC LIMIT 1"
            ))?
            .query_row(params![epoch, stream.number(), number, reason.name()], |row| {
                let record = Record {
                    id: row.get(0)?,
                    place: row.get(1)?,
                    seq: row.get(2)?,
                    last: row.get(3)?,
                    gone: row.get(4)?,
                    thinned: row.get(5)?,
                    length: row.get(6)?,
                };
                Ok((record, row.get::<_, bool>(7)?))
            })
            .optional()?;
        Ok(found
            .filter(|(record, may)| *may && (record.seq == number || record.last == number))
            .map(|(record, _)| record))
    }

    /// Writes a record into its row; returns its bytes.
    fn write(
        &self,
        record: &Record,
        number: BlockNumber,
        reason: DropReason,
        offered: i64,
    ) -> Result<Vec<u8>, StoreError> {
        let number = BlockNumber {
            seq: record.seq.cast_unsigned(),
            ..number
        };
        let bytes = self.gap(number, record.gone, record.thinned, reason)?;
        self.replace(record.id, &bytes, 0, MOST_PASSES)?;
        self.transaction
            .prepare_cached(
                "UPDATE block SET seq = ?2, last = ?3, place = ?4, gone = ?5, thinned = ?6, gap = ?7, offered = ?8 WHERE id = ?1",
            )?
            .execute(params![
                record.id,
                record.seq,
                record.last,
                record.place,
                record.gone,
                record.thinned,
                reason.name(),
                offered
            ])?;
        Ok(bytes)
    }

    /// Signs the record of a row anew, whose bytes the disk has damaged; returns them.
    pub(super) fn sign_anew(&self, id: i64, number: BlockNumber) -> Result<Vec<u8>, StoreError> {
        let (gone, thinned, name): (u32, u32, Option<String>) = self
            .transaction
            .prepare_cached("SELECT gone, thinned, gap FROM block WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let reason = name.as_deref().and_then(reason);
        let bytes = self.gap(number, gone, thinned, reason.unwrap_or(DropReason::Damaged))?;
        self.replace(id, &bytes, 0, MOST_PASSES)?;
        Ok(bytes)
    }

    /// Makes two ranges of one in this state, the second one beginning at this number, if there is one that goes over it.
    pub(super) fn cut(&self, key: (Epoch, Stream), state: i64, at: u64) -> Result<(), StoreError> {
        let Some(range) = self.range(key, state, at)? else {
            return Ok(());
        };
        if range.seq == at.cast_signed() {
            return Ok(());
        }
        let bytes = further(&range.header, at, range.reason, &self.maker.key)?;
        self.transaction
            .prepare_cached(
                "INSERT INTO block (epoch, stream, seq, last, place, priority, state, samples, length, digest, passes, offered, gap)
                 SELECT epoch, stream, ?2, last, place + ?2 - seq, priority, state, 0, ?3, ?4, passes, offered, gap
                 FROM block WHERE id = ?1",
            )?
            .execute(params![
                range.id,
                at.cast_signed(),
                signed(bytes.len()),
                Digest::of(&bytes).0
            ])?;
        self.grown
            .set(self.grown.get() + bytes.len() as u64 + ROOM_OF_A_BLOCK);
        self.transaction
            .prepare_cached("INSERT INTO payload VALUES (last_insert_rowid(), ?1)")?
            .execute([bytes])?;
        self.transaction
            .prepare_cached("UPDATE block SET last = ?2 WHERE id = ?1")?
            .execute(params![range.id, at.cast_signed() - 1])?;
        Ok(())
    }

    /// Gives a piece of a range a row of its own, if it begins with this number and this is its digest; returns its numbers.
    pub(super) fn single_out(
        &self,
        key: (Epoch, Stream),
        state: i64,
        seq: u64,
        digest: &Digest,
    ) -> Result<Option<(u64, u64)>, StoreError> {
        let Some(range) = self.range(key, state, seq)? else {
            return Ok(None);
        };
        let offset = seq - range.seq.cast_unsigned();
        if !offset.is_multiple_of(MOST_GAPS) {
            return Ok(None);
        }
        let last = range.last.cast_unsigned();
        let number = offset / MOST_GAPS;
        let (from, to, bytes) = piece(&range.header, last, number, range.reason, &self.maker.key)?;
        if Digest::of(&bytes) != *digest {
            return Ok(None);
        }
        self.cut(key, state, from)?;
        self.cut(key, state, to.saturating_add(1))?;
        Ok(Some((from, to)))
    }

    /// The range of several numbers that this one is in.
    fn range(
        &self,
        (epoch, stream): (Epoch, Stream),
        state: i64,
        number: u64,
    ) -> Result<Option<Range>, StoreError> {
        let Ok(wanted) = i64::try_from(number) else {
            return Ok(None);
        };
        let found: Option<(i64, i64, i64)> = self
            .transaction
            .prepare_cached(
                "SELECT id, seq, last FROM block WHERE epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2)
                 AND stream = ?3 AND state = ?4 AND seq <= ?5 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row(
                params![epoch.counter, epoch.nonce.cast_signed(), stream.number(), state, wanted],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let Some((id, seq, last)) = found.filter(|(_, seq, last)| seq < last && wanted <= *last)
        else {
            return Ok(None);
        };
        let (name, bytes): (Option<String>, Option<Vec<u8>>) = self
            .transaction
            .prepare_cached(
                "SELECT b.gap, p.bytes FROM block b LEFT JOIN payload p ON p.block = b.id WHERE b.id = ?1",
            )?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let number = BlockNumber {
            epoch,
            stream,
            seq: seq.cast_unsigned(),
        };
        // Bytes that the disk has damaged are found when they are sent.
        let header = bytes
            .as_deref()
            .and_then(|bytes| SealedBlock::open(bytes).ok())
            .map_or_else(|| self.gap_header(number, 0, 0), |sealed| sealed.header);
        Ok(Some(Range {
            id,
            seq,
            last,
            reason: name
                .as_deref()
                .and_then(reason)
                .unwrap_or(DropReason::Quota),
            header,
        }))
    }
}

#[cfg(test)]
mod tests;
