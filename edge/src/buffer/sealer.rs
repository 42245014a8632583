//! Making blocks of samples, inside the transaction that moves the samples (step 3 of a sample's life).

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use rusqlite::{OptionalExtension as _, Transaction, params};
use shared_protocol::{
    Block, BlockHeader, BlockNumber, Body, Column, Digest, Epoch, Record, SampleBody, SealError,
    Stream, block::DropReason,
};

use super::{
    Columns, Sample,
    database::next_block,
    error::StoreError,
    gaps,
    part::Part,
    priority,
    shown::Shown,
    store::{MAY_BE_SEEN, Maker, UNSEEN},
};

/// A block holds at most this many samples; more are sealed into several.
const SAMPLES_PER_BLOCK: usize = 30_000;
/// What kinds of records about charging transactions begin with.
const TRANSACTION: &str = "transaction.";
/// Records are short; so many fit into a block.
const RECORDS_PER_BLOCK: usize = 256;
/// What a block takes in the database besides its bytes: rows, index entries, and what is left of pages.
pub(super) const ROOM_OF_A_BLOCK: u64 = 256;

/// Makes blocks inside one transaction.
pub(super) struct Sealer<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) maker: &'a Maker,
    pub(super) epoch: Epoch,
    pub(super) epoch_row: i64,
    /// The uplink is asking for blocks, and may publish a new one at once, if there is a place for it here.
    pub(super) online: Option<&'a RefCell<Shown>>,
    /// Room that ranges of gap records take for being cut.
    pub(super) grown: Cell<u64>,
}

/// SQLite's integers are signed; nothing in memory is longer than they count.
pub(super) fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// What moves in the counters of a stream, in samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moves {
    pub(super) produced: i64,
    pub(super) open: i64,
    pub(super) buffered: i64,
    pub(super) acknowledged: i64,
    pub(super) dropped: i64,
    pub(super) thinned: i64,
    pub(super) refused: i64,
    pub(super) damaged: i64,
}

/// Moves the counters of a stream.
pub(super) fn count(
    transaction: &Transaction<'_>,
    epoch_row: i64,
    stream: Stream,
    moves: Moves,
) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "UPDATE stream SET produced = produced + ?3, open = open + ?4, buffered = buffered + ?5,
                acknowledged = acknowledged + ?6, dropped = dropped + ?7, thinned = thinned + ?8,
                refused = refused + ?9, damaged = damaged + ?10
             WHERE epoch = ?1 AND stream = ?2",
        )?
        .execute(params![
            epoch_row,
            stream.number(),
            moves.produced,
            moves.open,
            moves.buffered,
            moves.acknowledged,
            moves.dropped,
            moves.thinned,
            moves.refused,
            moves.damaged
        ])?;
    Ok(())
}

/// Times that belong together: a start of the machine and what was known of the time of day.
#[derive(Clone, Copy)]
struct Timing {
    boot: u64,
    wall_offset_us: Option<i64>,
}

/// What a new block's row and header say besides its body.
#[derive(Clone, Copy)]
struct Made {
    /// Samples of the stream that it holds.
    samples: usize,
    /// What its header announces.
    announced: u32,
    columns: u32,
}

impl<'a> Sealer<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        maker: &'a Maker,
        epoch: (Epoch, i64),
        online: Option<&'a RefCell<Shown>>,
    ) -> Self {
        Self {
            transaction,
            maker,
            epoch: epoch.0,
            epoch_row: epoch.1,
            online,
            grown: Cell::new(0),
        }
    }
}

impl Sealer<'_> {
    fn timing(&self, wall_offset_us: Option<i64>) -> Timing {
        Timing {
            boot: self.maker.boot,
            wall_offset_us,
        }
    }

    fn count(&self, stream: Stream, moves: Moves) -> Result<(), StoreError> {
        count(self.transaction, self.epoch_row, stream, moves)
    }

    /// Stores definitions of columns and seals the block that tells the cloud; returns the room that it takes.
    pub(super) fn define(
        &self,
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
        let made = Made {
            samples: 0,
            announced: columns.len() as u32,
            columns: 0,
        };
        self.insert(Stream::Columns, body, made, self.timing(wall_offset_us))
    }

    /// Makes samples durable that are sealed later.
    pub(super) fn journal(
        &self,
        stream: Stream,
        samples: &[Sample],
        wall_offset_us: Option<i64>,
    ) -> Result<(), StoreError> {
        let part = Part {
            epoch: self.epoch,
            stream,
            boot: self.maker.boot,
            wall_offset_us,
            samples: samples.len() as u32,
        };
        self.transaction
            .prepare_cached("INSERT INTO journal (epoch, stream, boot, offset, samples, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                self.epoch_row,
                stream.number(),
                self.maker.boot.cast_signed(),
                wall_offset_us,
                signed(samples.len()),
                part.encode(samples)?
            ])?;
        let fresh = signed(samples.len());
        self.count(
            stream,
            Moves {
                produced: fresh,
                open: fresh,
                ..Moves::default()
            },
        )
    }

    /// Takes all that the journal holds of a stream out of it; returns how many samples that were.
    fn clear_journal(&self, stream: Stream) -> Result<usize, StoreError> {
        let journalled: i64 = self
            .transaction
            .prepare_cached(
                "SELECT coalesce(sum(samples), 0) FROM journal WHERE epoch = ?1 AND stream = ?2",
            )?
            .query_row(params![self.epoch_row, stream.number()], |row| row.get(0))?;
        self.transaction
            .prepare_cached("DELETE FROM journal WHERE epoch = ?1 AND stream = ?2")?
            .execute(params![self.epoch_row, stream.number()])?;
        Ok(usize::try_from(journalled).unwrap_or(0))
    }

    /// Seals all that is open in a stream: what the journal holds of it and these further samples.
    pub(super) fn seal_open(
        &self,
        stream: Stream,
        samples: &[Sample],
        wall_offset_us: Option<i64>,
    ) -> Result<u64, StoreError> {
        let journalled = self.clear_journal(stream)?;
        let moves = Moves {
            produced: signed(samples.len().saturating_sub(journalled)),
            open: -signed(journalled),
            ..Moves::default()
        };
        self.count(stream, moves)?;
        let mut grown = 0;
        for part in samples.chunks(SAMPLES_PER_BLOCK) {
            grown += self.seal(stream, part, self.timing(wall_offset_us))?;
        }
        Ok(grown)
    }

    /// Refuses all that is open in a stream, for there is nothing left that could make room: a gap record says how many.
    pub(super) fn refuse_open(
        &self,
        stream: Stream,
        samples: &[Sample],
        wall_offset_us: Option<i64>,
    ) -> Result<u64, StoreError> {
        let journalled = self.clear_journal(stream)?;
        let moves = Moves {
            produced: signed(samples.len().saturating_sub(journalled)),
            open: -signed(journalled),
            refused: signed(samples.len()),
            ..Moves::default()
        };
        self.count(stream, moves)?;
        let refused = samples.len() as u32;
        // A record that nobody has seen counts on, under the same number.
        if self.count_on(stream, refused)? {
            return Ok(0);
        }
        let made = Made {
            samples: 0,
            announced: refused,
            columns: 0,
        };
        self.insert(
            stream,
            Body::Gap(DropReason::Quota),
            made,
            self.timing(wall_offset_us),
        )
    }

    fn seal(&self, stream: Stream, samples: &[Sample], timing: Timing) -> Result<u64, StoreError> {
        let body = Body::Samples(SampleBody::from_samples(samples.iter().map(Sample::tuple)));
        let columns = samples.iter().map(|sample| sample.column + 1).max();
        let made = Made {
            samples: samples.len(),
            announced: samples.len() as u32,
            columns: columns.unwrap_or(0),
        };
        match self.insert(stream, body, made, timing) {
            Err(StoreError::Seal(SealError::TooLong)) if samples.len() > 1 => {
                let (first, second) = samples.split_at(samples.len() / 2);
                Ok(self.seal(stream, first, timing)? + self.seal(stream, second, timing)?)
            }
            other => other,
        }
    }

    /// Seals records into blocks: what tells of charging transactions into those of their own stream, which is sent oldest
    /// first, all else into those of the critical one.
    pub(super) fn seal_records(
        &self,
        records: &[Record],
        wall_offset_us: Option<i64>,
    ) -> Result<u64, StoreError> {
        let of_transactions = |record: &&Record| record.kind.starts_with(TRANSACTION);
        let (told, others): (Vec<&Record>, Vec<&Record>) =
            records.iter().partition(of_transactions);
        let mut grown = 0;
        for (stream, records) in [(Stream::Transactions, told), (Stream::Critical, others)] {
            grown += self.seal_records_of(stream, &records, wall_offset_us)?;
        }
        Ok(grown)
    }

    fn seal_records_of(
        &self,
        stream: Stream,
        records: &[&Record],
        wall_offset_us: Option<i64>,
    ) -> Result<u64, StoreError> {
        let mut grown = 0;
        for part in records.chunks(RECORDS_PER_BLOCK) {
            let moves = Moves {
                produced: signed(part.len()),
                ..Moves::default()
            };
            self.count(stream, moves)?;
            let made = Made {
                samples: part.len(),
                announced: part.len() as u32,
                columns: 0,
            };
            let body = Body::Records(part.iter().map(|record| (*record).clone()).collect());
            grown += self.insert(stream, body, made, self.timing(wall_offset_us))?;
        }
        Ok(grown)
    }

    /// Seals a body under the stream's next number and stores it; returns the room it takes.
    fn insert(
        &self,
        stream: Stream,
        body: Body,
        made: Made,
        timing: Timing,
    ) -> Result<u64, StoreError> {
        let seq: i64 = self
            .transaction
            .prepare_cached("SELECT next_seq FROM stream WHERE epoch = ?1 AND stream = ?2")?
            .query_row(params![self.epoch_row, stream.number()], |row| row.get(0))?;
        let header = BlockHeader {
            gateway: self.maker.gateway.clone(),
            number: BlockNumber {
                epoch: self.epoch,
                stream,
                seq: seq.cast_unsigned(),
            },
            boot: timing.boot,
            wall_offset_us: timing.wall_offset_us,
            samples: made.announced,
            thinned: 0,
            columns: made.columns,
        };
        let (gap, gone) = match &body {
            Body::Gap(reason) => (Some(reason.name()), made.announced),
            _ => (None, 0),
        };
        let bytes = Block { header, body }.seal(&self.maker.key)?;
        self.transaction
            .prepare_cached(
                "UPDATE stream SET next_seq = next_seq + 1 WHERE epoch = ?1 AND stream = ?2",
            )?
            .execute(params![self.epoch_row, stream.number()])?;
        let id = next_block(self.transaction)?;
        let may_be_seen = self.online.is_some_and(|shown| {
            let mut shown = shown.borrow_mut();
            shown.take(priority(stream), gaps::place(id), id)
        });
        self.transaction
            .prepare_cached(
                "INSERT INTO block (id, epoch, stream, seq, last, place, priority, samples, length, digest, offered, gap, gone)
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                id,
                self.epoch_row,
                stream.number(),
                seq,
                gaps::place(id),
                priority(stream),
                signed(made.samples),
                signed(bytes.len()),
                Digest::of(&bytes).0,
                if may_be_seen { MAY_BE_SEEN } else { UNSEEN },
                gap,
                gone
            ])?;
        self.transaction
            .prepare_cached("INSERT INTO payload VALUES (?1, ?2)")?
            .execute(params![id, bytes])?;
        let moves = Moves {
            buffered: signed(made.samples),
            ..Moves::default()
        };
        self.count(stream, moves)?;
        Ok(bytes.len() as u64 + ROOM_OF_A_BLOCK)
    }

    /// The signed record that so many samples of a number are absent for good; `thinned` are those that were left out of
    /// it before.
    pub(super) fn gap(
        &self,
        number: BlockNumber,
        samples: u32,
        thinned: u32,
        reason: DropReason,
    ) -> Result<Vec<u8>, StoreError> {
        let header = self.gap_header(number, samples, thinned);
        let body = Body::Gap(reason);
        Ok(Block { header, body }.seal(&self.maker.key)?)
    }

    pub(super) fn gap_header(
        &self,
        number: BlockNumber,
        samples: u32,
        thinned: u32,
    ) -> BlockHeader {
        BlockHeader {
            gateway: self.maker.gateway.clone(),
            number,
            boot: self.maker.boot,
            wall_offset_us: None,
            samples,
            thinned,
            columns: 0,
        }
    }

    /// Puts other bytes in the place of a block's.
    pub(super) fn replace(
        &self,
        id: i64,
        bytes: &[u8],
        samples: u32,
        passes: u32,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO payload VALUES (?1, ?2)")?
            .execute(params![id, bytes])?;
        self.transaction
            .prepare_cached(
                "UPDATE block SET samples = ?2, length = ?3, digest = ?4, passes = ?5 WHERE id = ?1",
            )?
            .execute(params![
                id,
                samples,
                signed(bytes.len()),
                Digest::of(bytes).0,
                passes
            ])?;
        Ok(())
    }

    /// Seals what earlier runs journalled and did not seal, in this epoch.
    pub(super) fn recover_journal(&self, columns: &Columns) -> Result<(), StoreError> {
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
        let mut numbers = HashMap::new();
        let mut parts = Vec::new();
        for (id, epoch, number, boot, wall_offset_us, held, bytes) in rows {
            let stream = Stream::from_number(number).unwrap_or(Stream::Bulk);
            let taken = Moves {
                produced: -held,
                open: -held,
                ..Moves::default()
            };
            count(self.transaction, epoch, stream, taken)?;
            self.transaction
                .execute("DELETE FROM journal WHERE id = ?1", [id])?;
            let body = match Part::decode(&bytes) {
                Some((_, body)) => Some(body),
                None => Part::decode_old(&bytes),
            };
            let samples = match body {
                Some(body) => self.renumbered(epoch, &body, columns, &mut numbers)?,
                None => Vec::new(),
            };
            let moves = Moves {
                produced: held.max(signed(samples.len())),
                damaged: (held - signed(samples.len())).max(0),
                ..Moves::default()
            };
            self.count(stream, moves)?;
            let boot = boot.cast_unsigned();
            let timing = Timing {
                boot,
                wall_offset_us,
            };
            parts.push((stream, samples, timing));
        }
        for (stream, samples, timing) in parts {
            for part in samples.chunks(SAMPLES_PER_BLOCK) {
                self.seal(stream, part, timing)?;
            }
        }
        Ok(())
    }

    /// Samples of another epoch under this run's column numbers; those whose column nobody knows any more are missing.
    fn renumbered(
        &self,
        epoch: i64,
        body: &SampleBody,
        columns: &Columns,
        numbers: &mut HashMap<(i64, u32), Option<u32>>,
    ) -> Result<Vec<Sample>, StoreError> {
        let mut samples = Vec::with_capacity(body.len());
        for (column, time_us, raw) in body.iter() {
            let number = match numbers.get(&(epoch, column)) {
                Some(number) => *number,
                None => {
                    let definition = self.definition(epoch, column)?;
                    let number = definition.map(|definition| columns.number(&definition));
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
}
