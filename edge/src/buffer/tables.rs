//! What SQLite can still read of a damaged database.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use rusqlite::{Connection, OptionalExtension as _, config::DbConfig};
use shared_protocol::{
    BlockNumber, Body, Digest, Epoch, Stream,
    block::{DropReason, SealedBlock},
};

use super::{Sample, gaps, part::Part, sealer::signed, store::SEEN};

/// What a row of `block` said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) state: i64,
    pub(super) samples: u32,
    pub(super) thinned: u32,
    pub(super) digest: Digest,
    pub(super) offered: i64,
    pub(super) passes: u32,
    /// The last number that it stands for.
    pub(super) last: u64,
    /// What it is the record of, and how many samples that counts, if it is a gap record.
    pub(super) gap: Option<DropReason>,
    pub(super) gone: u32,
}

impl Row {
    /// Whether a block counts what the row says, so that it is the block meant, and the row's digest was hit.
    pub(super) fn counts_like(&self, sealed: &SealedBlock<'_>) -> bool {
        self.gap.is_none() && counts(sealed) == Some((self.samples, self.thinned))
    }
}

/// The samples that a block carries and those thinned out of it, as its row counts them; `None` for a gap record, which counts the
/// same as the block that it stands for.
pub(super) fn counts(sealed: &SealedBlock<'_>) -> Option<(u32, u32)> {
    let samples = match sealed.content().ok()? {
        Body::Gap(_) | Body::Gaps { .. } => return None,
        Body::Columns { .. } => 0,
        _ => sealed.header.samples,
    };
    Some((samples, sealed.header.thinned))
}

/// What a row of `stream` said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) next_seq: i64,
    pub(super) produced: i64,
    pub(super) acknowledged: i64,
    pub(super) dropped: i64,
    pub(super) thinned: i64,
    pub(super) refused: i64,
    pub(super) damaged: i64,
}

/// A stream: counter and nonce of its epoch, and its number.
pub(super) type Key = (u32, u64, u8);

/// What SQLite can still read.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) blocks: BTreeMap<(Key, u64), Row>,
    pub(super) blocks_are_all: bool,
    /// The digests of all rows: what is held, whatever else a row that was hit says.
    pub(super) digests: HashSet<Digest>,
    pub(super) streams: BTreeMap<Key, Counters>,
    pub(super) journal: Vec<Vec<u8>>,
    pub(super) journal_is_all: bool,
}

impl Tables {
    /// The row that a number is in, and its first number.
    pub(super) fn row(&self, key: Key, seq: u64) -> Option<(u64, Row)> {
        let (&(found, first), row) = self.blocks.range(..=(key, seq)).next_back()?;
        (found == key && seq <= row.last).then_some((first, *row))
    }
}

pub(super) fn key_of(number: &BlockNumber) -> (Key, u64) {
    let epoch = number.epoch;
    (
        (epoch.counter, epoch.nonce, number.stream.number()),
        number.seq,
    )
}

/// Reads what can be read, row by row.
pub(super) fn read_tables(path: &Path) -> Tables {
    let mut tables = Tables::default();
    let Ok(connection) = Connection::open(path) else {
        return tables;
    };
    let _ = connection.pragma_update(None, "locking_mode", "EXCLUSIVE");
    // What is kept for people stays as it was found.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    let select = |further: &str| {
        connection.prepare(&format!(
            "SELECT e.counter, e.nonce, b.stream, b.seq, b.state, b.samples, b.digest, {further}
             FROM block b NOT INDEXED LEFT JOIN epoch e ON e.id = b.epoch"
        ))
    };
    // A row that belongs to no epoch was hit, and is one that cannot be read. Version 2 knew no ranges, version 1 no thinning, and not who may have a block.
    let blocks = select("b.thinned, b.offered, b.passes, b.last, b.gap, b.gone")
        .or_else(|_| select("b.thinned, b.offered, b.passes, b.seq, NULL, 0"))
        .or_else(|_| select(&format!("0, {SEEN}, 0, b.seq, NULL, 0")));
    tables.blocks_are_all = blocks.is_ok_and(|mut blocks| {
        let rows = blocks.query_map([], |row| {
            let key = (
                row.get(0)?,
                row.get::<_, i64>(1)?.cast_unsigned(),
                row.get(2)?,
            );
            let found = Row {
                state: row.get(4)?,
                samples: row.get(5)?,
                digest: Digest(row.get(6)?),
                thinned: row.get(7)?,
                offered: row.get(8)?,
                passes: row.get(9)?,
                last: row.get::<_, i64>(10)?.cast_unsigned(),
                gap: row
                    .get::<_, Option<String>>(11)?
                    .and_then(|name| gaps::reason(&name)),
                gone: row.get(12)?,
            };
            Ok(((key, row.get::<_, i64>(3)?.cast_unsigned()), found))
        });
        rows.is_ok_and(|rows| {
            let mut all = true;
            for row in rows {
                match row {
                    Ok((key, row)) => {
                        tables.digests.insert(row.digest);
                        tables.blocks.insert(key, row);
                    }
                    Err(_) => all = false,
                }
            }
            all
        })
    });
    let select = |thinned: &str, refused: &str, damaged: &str| {
        connection.prepare(&format!(
            "SELECT e.counter, e.nonce, s.stream, s.next_seq, s.produced, s.acknowledged, s.dropped, {thinned}, {refused}, {damaged},
                s.produced - s.open - s.buffered - s.acknowledged - s.dropped - {thinned} - {refused} - {damaged}
             FROM stream s JOIN epoch e ON e.id = s.epoch"
        ))
    };
    // Version 1 had one reason for all.
    let streams = select("s.thinned", "s.refused", "s.damaged").or_else(|_| select("0", "0", "0"));
    if let Ok(mut streams) = streams
        && let Ok(rows) = streams.query_map([], |row| {
            let key = (
                row.get(0)?,
                row.get::<_, i64>(1)?.cast_unsigned(),
                row.get(2)?,
            );
            let counters = Counters {
                next_seq: row.get(3)?,
                produced: row.get(4)?,
                acknowledged: row.get(5)?,
                dropped: row.get(6)?,
                thinned: row.get(7)?,
                refused: row.get(8)?,
                damaged: row.get(9)?,
            };
            Ok((key, counters, row.get::<_, i64>(10)?))
        })
    {
        // Counters that do not add up were hit themselves.
        tables.streams = rows
            .flatten()
            .filter(|(_, _, difference)| *difference == 0)
            .map(|(key, counters, _)| (key, counters))
            .collect();
    }
    if let Ok(mut journal) =
        connection.prepare("SELECT epoch, stream, boot, offset, bytes FROM journal")
        && let Ok(rows) = journal.query_map([], |row| {
            let bytes: Vec<u8> = row.get(4)?;
            if Part::decode(&bytes).is_some() {
                return Ok(bytes);
            }
            let old = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(brought_up(&connection, old, &bytes).unwrap_or(bytes))
        })
    {
        tables.journal_is_all = true;
        for row in rows {
            match row {
                Ok(bytes) => tables.journal.push(bytes),
                Err(_) => tables.journal_is_all = false,
            }
        }
    }
    let found = tables.blocks.len();
    let streams = &tables.streams;
    tables.blocks.retain(|(key, first), row| {
        let given = || {
            streams
                .get(key)
                .is_some_and(|s| signed(row.last as usize) < s.next_seq)
        };
        row.last == *first || (row.gap.is_some() && gaps::is_range(*first, row.last) && given())
    });
    // A row that claims numbers which it cannot have was hit itself.
    tables.blocks_are_all &= tables.blocks.len() == found;
    tables
}

/// A row of the journal as version 1 wrote it, as a part that says by itself whose it is; its epoch's row, stream, boot and
/// offset stand beside it.
fn brought_up(
    connection: &Connection,
    (epoch, stream, boot, wall_offset_us): (i64, u8, i64, Option<i64>),
    bytes: &[u8],
) -> Option<Vec<u8>> {
    let body = Part::decode_old(bytes)?;
    let of = "SELECT counter, nonce FROM epoch WHERE id = ?1";
    let row = connection.query_row(of, [epoch], |row| Ok((row.get(0)?, row.get(1)?)));
    let (counter, nonce): (u32, i64) = row.optional().ok()??;
    let part = Part {
        epoch: Epoch {
            counter,
            nonce: nonce.cast_unsigned(),
        },
        stream: Stream::from_number(stream)?,
        boot: boot.cast_unsigned(),
        wall_offset_us,
        samples: u32::try_from(body.len()).ok()?,
    };
    let samples: Vec<Sample> = body.iter().map(Sample::of).collect();
    part.encode(&samples).ok()
}
