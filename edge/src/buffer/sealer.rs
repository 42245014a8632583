//! Making blocks of samples, inside the transaction that moves the samples.

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, Transaction, params};
use shared_protocol::{
    Block, BlockHeader, BlockNumber, Body, Column, Digest, Epoch, Record, SampleBody, SealError,
    Stream, block::DropReason,
};

use super::{
    Sample, priority,
    store::{Maker, StoreError, TO_SEND},
};

/// A block holds at most this many samples; more are sealed into several.
const SAMPLES_PER_BLOCK: usize = 30_000;
/// Records are short; so many fit into a block.
const RECORDS_PER_BLOCK: usize = 256;

/// Makes blocks inside one transaction.
pub(super) struct Sealer<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) maker: &'a Maker,
    pub(super) epoch: Epoch,
    pub(super) epoch_row: i64,
}

/// SQLite's integers are signed; nothing in memory is longer than they count.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Times that belong together: a start of the machine and what was known of the time of day.
#[derive(Clone, Copy)]
struct Timing {
    boot: u64,
    wall_offset_us: Option<i64>,
}

impl Sealer<'_> {
    fn timing(&self, wall_offset_us: Option<i64>) -> Timing {
        Timing {
            boot: self.maker.boot,
            wall_offset_us,
        }
    }

    /// Stores definitions of columns and seals the block that tells the cloud.
    pub(super) fn define(
        &mut self,
        first: u32,
        columns: &[Column],
        wall_offset_us: Option<i64>,
    ) -> Result<u64, StoreError> {
        if columns.is_empty() {
            return Ok(0);
        }
        for (number, column) in (first..).zip(columns) {
            let def = bincode::encode_to_vec(column, bincode::config::standard())?;
            self.transaction
                .prepare_cached("INSERT INTO column_def VALUES (?1, ?2, ?3)")?
                .execute(params![self.epoch_row, number, def])?;
        }
        let body = Body::Columns {
            first,
            columns: columns.to_vec(),
        };
        self.insert(Stream::Columns, body, 0, self.timing(wall_offset_us))
    }

    pub(super) fn journal(
        &mut self,
        stream: Stream,
        samples: &[Sample],
        wall_offset_us: Option<i64>,
    ) -> Result<(), StoreError> {
        let bytes = SampleBody::from_samples(samples.iter().map(Sample::tuple)).encode();
        self.transaction
            .prepare_cached("INSERT INTO journal (epoch, stream, boot, offset, samples, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                self.epoch_row,
                stream.number(),
                self.maker.boot.cast_signed(),
                wall_offset_us,
                signed(samples.len()),
                bytes
            ])?;
        self.count(stream, samples.len(), 1, 1, 0)
    }

    /// Seals all that is open in a stream: what the journal holds of it and these further samples.
    pub(super) fn seal_open(
        &mut self,
        stream: Stream,
        samples: &[Sample],
        wall_offset_us: Option<i64>,
    ) -> Result<u64, StoreError> {
        let journalled: i64 = self
            .transaction
            .prepare_cached(
                "SELECT coalesce(sum(samples), 0) FROM journal WHERE epoch = ?1 AND stream = ?2",
            )?
            .query_row(params![self.epoch_row, stream.number()], |row| row.get(0))?;
        self.transaction
            .prepare_cached("DELETE FROM journal WHERE epoch = ?1 AND stream = ?2")?
            .execute(params![self.epoch_row, stream.number()])?;
        let journalled = usize::try_from(journalled).unwrap_or(0);
        self.count(stream, journalled, 0, -1, 0)?;
        self.count(
            stream,
            samples.len() - journalled.min(samples.len()),
            1,
            0,
            0,
        )?;
        let mut grown = 0;
        for part in samples.chunks(SAMPLES_PER_BLOCK) {
            grown += self.seal(stream, part, self.timing(wall_offset_us))?;
        }
        Ok(grown)
    }

    fn seal(
        &mut self,
        stream: Stream,
        samples: &[Sample],
        timing: Timing,
    ) -> Result<u64, StoreError> {
        let body = Body::Samples(SampleBody::from_samples(samples.iter().map(Sample::tuple)));
        let columns = samples
            .iter()
            .map(|sample| sample.column + 1)
            .max()
            .unwrap_or(0);
        match self.insert(stream, body, columns, timing) {
            Err(StoreError::Seal(SealError::TooLong)) if samples.len() > 1 => {
                let (first, second) = samples.split_at(samples.len() / 2);
                Ok(self.seal(stream, first, timing)? + self.seal(stream, second, timing)?)
            }
            other => other,
        }
    }

    /// Seals records into a block of the critical stream.
    pub(super) fn seal_records(
        &mut self,
        records: &[Record],
        wall_offset_us: Option<i64>,
    ) -> Result<u64, StoreError> {
        let mut grown = 0;
        for part in records.chunks(RECORDS_PER_BLOCK) {
            self.count(Stream::Critical, part.len(), 1, 0, 0)?;
            let body = Body::Records(part.to_vec());
            grown += self.insert(Stream::Critical, body, 0, self.timing(wall_offset_us))?;
        }
        Ok(grown)
    }

    /// Seals a body under the stream's next number and stores it; returns the bytes it takes.
    fn insert(
        &mut self,
        stream: Stream,
        body: Body,
        columns: u32,
        timing: Timing,
    ) -> Result<u64, StoreError> {
        let seq: i64 = self
            .transaction
            .prepare_cached("SELECT next_seq FROM stream WHERE epoch = ?1 AND stream = ?2")?
            .query_row(params![self.epoch_row, stream.number()], |row| row.get(0))?;
        let samples = if stream == Stream::Columns {
            0
        } else {
            body.len()
        };
        let header = BlockHeader {
            gateway: self.maker.gateway.clone(),
            number: BlockNumber {
                epoch: self.epoch,
                stream,
                seq: seq.cast_unsigned(),
            },
            boot: timing.boot,
            wall_offset_us: timing.wall_offset_us,
            samples: body.len() as u32,
            thinned: 0,
            columns,
        };
        let bytes = Block { header, body }.seal(&self.maker.key)?;
        self.transaction
            .prepare_cached(
                "UPDATE stream SET next_seq = next_seq + 1 WHERE epoch = ?1 AND stream = ?2",
            )?
            .execute(params![self.epoch_row, stream.number()])?;
        self.transaction
            .prepare_cached(
                "INSERT INTO block (epoch, stream, seq, priority, samples, length, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                self.epoch_row,
                stream.number(),
                seq,
                priority(stream),
                signed(samples),
                signed(bytes.len()),
                Digest::of(&bytes).0
            ])?;
        let id = self.transaction.last_insert_rowid();
        self.transaction
            .prepare_cached("INSERT INTO payload VALUES (?1, ?2)")?
            .execute(params![id, bytes])?;
        self.count(stream, samples, 0, 0, 1)?;
        Ok(bytes.len() as u64)
    }

    /// Moves the counters of a stream by `samples` times each factor.
    fn count(
        &self,
        stream: Stream,
        samples: usize,
        produced: i64,
        open: i64,
        buffered: i64,
    ) -> Result<(), StoreError> {
        let samples = signed(samples);
        self.transaction
            .prepare_cached(
                "UPDATE stream SET produced = produced + ?3, open = open + ?4, buffered = buffered + ?5
                 WHERE epoch = ?1 AND stream = ?2",
            )?
            .execute(params![self.epoch_row, stream.number(), produced * samples, open * samples, buffered * samples])?;
        Ok(())
    }

    /// Seals what earlier runs journalled and did not seal, in this epoch; returns the columns
    /// that this gave the epoch, from number 0.
    pub(super) fn recover_journal(&mut self) -> Result<Vec<Column>, StoreError> {
        type Row = (i64, i64, u8, i64, Option<i64>, i64, Vec<u8>);
        let rows: Vec<Row> = self
            .transaction
            .prepare(
                "SELECT id, epoch, stream, boot, offset, samples, bytes FROM journal ORDER BY id",
            )?
            .query_map([], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                ))
            })?
            .collect::<Result<_, _>>()?;
        let mut known: Vec<Column> = Vec::new();
        let mut numbers = HashMap::new();
        let mut parts = Vec::new();
        for (id, epoch, number, boot, wall_offset_us, count, bytes) in rows {
            let stream = Stream::from_number(number).unwrap_or(Stream::Bulk);
            self.transaction.execute(
                "UPDATE stream SET produced = produced - ?3, open = open - ?3 WHERE epoch = ?1 AND stream = ?2",
                params![epoch, number, count],
            )?;
            self.transaction
                .execute("DELETE FROM journal WHERE id = ?1", [id])?;
            let samples = self.readable(epoch, &bytes, &mut known, &mut numbers)?;
            let lost = usize::try_from(count)
                .unwrap_or(0)
                .saturating_sub(samples.len());
            self.count(stream, samples.len() + lost, 1, 0, 0)?;
            self.transaction.execute(
                "UPDATE stream SET dropped = dropped + ?3 WHERE epoch = ?1 AND stream = ?2",
                params![self.epoch_row, stream.number(), signed(lost)],
            )?;
            parts.push((
                stream,
                samples,
                Timing {
                    boot: boot.cast_unsigned(),
                    wall_offset_us,
                },
            ));
        }
        self.define(0, &known, None)?;
        for (stream, samples, timing) in parts {
            for part in samples.chunks(SAMPLES_PER_BLOCK) {
                self.seal(stream, part, timing)?;
            }
        }
        Ok(known)
    }

    /// The samples of a journal row under this epoch's column numbers; those that damage made unreadable are missing.
    fn readable(
        &self,
        epoch: i64,
        bytes: &[u8],
        known: &mut Vec<Column>,
        numbers: &mut HashMap<(i64, u32), Option<u32>>,
    ) -> Result<Vec<Sample>, StoreError> {
        let Ok(body) = SampleBody::decode(bytes) else {
            return Ok(Vec::new());
        };
        let mut samples = Vec::with_capacity(body.len());
        for (column, time_us, raw) in body.iter() {
            let number = match numbers.get(&(epoch, column)) {
                Some(number) => *number,
                None => {
                    let number = self.definition(epoch, column)?.map(|definition| {
                        known
                            .iter()
                            .position(|k| *k == definition)
                            .unwrap_or_else(|| {
                                known.push(definition);
                                known.len() - 1
                            }) as u32
                    });
                    numbers.insert((epoch, column), number);
                    number
                }
            };
            if let Some(column) = number {
                samples.push(Sample {
                    column,
                    time_us,
                    raw,
                });
            }
        }
        Ok(samples)
    }

    fn definition(&self, epoch: i64, number: u32) -> Result<Option<Column>, StoreError> {
        let def: Option<Vec<u8>> = self
            .transaction
            .prepare_cached("SELECT def FROM column_def WHERE epoch = ?1 AND number = ?2")?
            .query_row(params![epoch, number], |row| row.get(0))
            .optional()?;
        Ok(def
            .and_then(|def| bincode::decode_from_slice(&def, bincode::config::standard()).ok())
            .map(|(column, _)| column))
    }

    /// Replaces the oldest unsent blocks of the lowest class by gap records; returns the bytes freed.
    pub(super) fn drop_oldest(&mut self, enough: u64) -> Result<u64, StoreError> {
        type Row = (i64, i64, u32, i64, u8, i64, u32, i64);
        let rows: Vec<Row> = self
            .transaction
            .prepare_cached(&format!(
                "SELECT b.id, b.epoch, e.counter, e.nonce, b.stream, b.seq, b.samples, b.length FROM block b
                 JOIN epoch e ON e.id = b.epoch
                 WHERE b.state = {TO_SEND} AND b.samples > 0 AND b.stream IN (2, 3) ORDER BY b.priority DESC, b.id LIMIT 100"
            ))?
            .query_map([], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                    row.get(7)?,
                ))
            })?
            .collect::<Result<_, _>>()?;
        let mut freed = 0u64;
        for (id, epoch, counter, nonce, stream, seq, samples, length) in rows {
            if freed >= enough {
                break;
            }
            let stream = Stream::from_number(stream).unwrap_or(Stream::Bulk);
            let header = BlockHeader {
                gateway: self.maker.gateway.clone(),
                number: BlockNumber {
                    epoch: Epoch {
                        counter,
                        nonce: nonce.cast_unsigned(),
                    },
                    stream,
                    seq: seq.cast_unsigned(),
                },
                boot: self.maker.boot,
                wall_offset_us: None,
                samples,
                thinned: 0,
                columns: 0,
            };
            let gap = Block {
                header,
                body: Body::Gap(DropReason::Quota),
            }
            .seal(&self.maker.key)?;
            self.transaction.execute(
                "UPDATE payload SET bytes = ?2 WHERE block = ?1",
                params![id, gap],
            )?;
            self.transaction.execute(
                "UPDATE block SET samples = 0, length = ?2, digest = ?3 WHERE id = ?1",
                params![id, signed(gap.len()), Digest::of(&gap).0],
            )?;
            self.transaction.execute(
                "UPDATE stream SET buffered = buffered - ?3, dropped = dropped + ?3 WHERE epoch = ?1 AND stream = ?2",
                params![epoch, stream.number(), samples],
            )?;
            freed += length.cast_unsigned().saturating_sub(gap.len() as u64);
        }
        Ok(freed)
    }
}
