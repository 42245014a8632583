//! What SQLite can still read of a damaged database.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, config::DbConfig};
use shared_protocol::{BlockNumber, Digest, block::DropReason};

use super::{gaps, sealer::signed};

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
            "SELECT e.counter, e.nonce, b.stream, b.seq, b.state, b.samples, b.thinned, b.digest, b.offered, b.passes, {further}
             FROM block b NOT INDEXED JOIN epoch e ON e.id = b.epoch"
        ))
    };
    // The version before knew no ranges.
    let blocks = select("b.last, b.gap, b.gone").or_else(|_| select("b.seq, NULL, 0"));
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
                thinned: row.get(6)?,
                digest: Digest(row.get(7)?),
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
                    Ok((key, row)) => drop(tables.blocks.insert(key, row)),
                    Err(_) => all = false,
                }
            }
            all
        })
    });
    let streams = connection.prepare(
        "SELECT e.counter, e.nonce, s.stream, s.next_seq, s.produced, s.acknowledged, s.dropped, s.thinned, s.refused, s.damaged,
            s.produced - s.open - s.buffered - s.acknowledged - s.dropped - s.thinned - s.refused - s.damaged
         FROM stream s JOIN epoch e ON e.id = s.epoch",
    );
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
    if let Ok(mut journal) = connection.prepare("SELECT bytes FROM journal")
        && let Ok(rows) = journal.query_map([], |row| row.get(0))
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
