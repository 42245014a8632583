//! The ledger on disk: every change is one SQLite transaction, and every counter moves in the transaction that
//! moves the samples it counts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};
use shared_protocol::{
    BlockNumber, Column, Digest, Epoch, GatewayId, Record, SealError, SigningKey, Stream,
    StreamState,
};

use super::{
    Sample, Settlement, StreamTotals,
    sealer::Sealer,
    settle::{free_acknowledged, settle},
};

/// Why the ledger cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder.
    #[error(
        "{0} is in use by another gateway: stop that one, or give this one its own `data` folder"
    )]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error("{path}: {source}: the folder for the buffer must exist on a writable disk")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database belongs to another gateway.
    #[error(
        "{path} holds the samples of gateway {found}, this is {expected}: give it its own `data` folder"
    )]
    OtherGateway {
        /// The database.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who we are.
        expected: GatewayId,
    },
    /// SQLite failed; nothing of the transaction happened.
    #[error("the buffer's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A block could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No randomness for the epoch.
    #[error("the system has no randomness for a new epoch: {0}")]
    Random(#[from] getrandom::Error),
    /// The definition of a column cannot be encoded.
    #[error("a column cannot be encoded: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

impl StoreError {
    /// Whether the file itself is beyond use, so that only a new one helps.
    fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        matches!(self, Self::Sqlite(e) if matches!(e.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)))
    }
}

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

/// What a source has given and a tick is to make durable.
#[derive(Debug, Default)]
pub(super) struct Tick {
    /// Definitions of columns that are new, and the number of the first.
    pub(super) columns: (u32, Vec<Column>),
    /// Samples to append to the journal of a stream.
    pub(super) journal: Vec<(Stream, Vec<Sample>)>,
    /// Samples to seal into a block now: all that is open in the stream, journalled or not.
    pub(super) seal: Vec<(Stream, Vec<Sample>)>,
    /// Records of the critical stream to seal now.
    pub(super) records: Vec<Record>,
    /// What the cloud has said.
    pub(super) settle: Vec<Settlement>,
}

impl Tick {
    pub(super) fn is_empty(&self) -> bool {
        self.columns.1.is_empty()
            && self.journal.is_empty()
            && self.seal.is_empty()
            && self.records.is_empty()
            && self.settle.is_empty()
    }
}

/// What identifies the maker of blocks.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub(super) gateway: GatewayId,
    pub(super) key: SigningKey,
    pub(super) boot: u64,
}

/// The ledger of one gateway.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    maker: Maker,
    epoch: Epoch,
    epoch_row: i64,
    /// Bytes of all payloads.
    used: u64,
    quota: u64,
    /// Columns that this epoch began with, because an earlier run's journal needed them.
    inherited: Vec<Column>,
    /// Held as long as the store lives, so that no second gateway opens the folder.
    _lock: fs::File,
}

/// States of a block.
pub(super) const TO_SEND: i64 = 0;
pub(super) const ACKNOWLEDGED: i64 = 1;
pub(super) const REFUSED: i64 = 2;

impl Store {
    /// Opens or creates the ledger in `folder` and begins a new epoch. A database that is damaged beyond opening is
    /// moved aside, kept for people to look at, and a new one begun: the second value is where it went.
    ///
    /// Samples that an earlier run journalled and did not seal are sealed now, in the new epoch.
    pub(super) fn open(
        folder: &Path,
        quota: u64,
        maker: Maker,
    ) -> Result<(Self, Option<PathBuf>), StoreError> {
        let on = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Folder { path, source }
        };
        fs::create_dir_all(folder).map_err(on(folder))?;
        let lock_path = folder.join("lock");
        let lock = fs::File::create(&lock_path).map_err(on(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::InUse(folder.to_owned())),
            Err(fs::TryLockError::Error(source)) => {
                return Err(StoreError::Folder {
                    path: lock_path,
                    source,
                });
            }
        }
        let path = folder.join("buffer.sqlite");
        let mut aside = None;
        let connection = match Self::connect(&path, &maker.gateway) {
            Err(e) if e.is_damage() => {
                aside = Some(set_aside(&path).map_err(on(&path))?);
                Self::connect(&path, &maker.gateway)?
            }
            other => other?,
        };
        let mut store = Self {
            connection,
            maker,
            epoch: Epoch {
                counter: 0,
                nonce: 0,
            },
            epoch_row: 0,
            used: 0,
            quota,
            inherited: Vec::new(),
            _lock: lock,
        };
        store.begin_epoch()?;
        store.used =
            store
                .connection
                .query_row("SELECT coalesce(sum(length), 0) FROM block", [], |row| {
                    row.get::<_, i64>(0)
                })? as u64;
        Ok((store, aside))
    }

    fn connect(path: &Path, gateway: &GatewayId) -> Result<Connection, StoreError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "journal_size_limit", 4 * 1024 * 1024)?;
        connection.pragma_update(None, "cache_size", -2048)?;
        connection.execute_batch(include_str!("schema.sql"))?;
        connection.execute(
            "INSERT INTO meta VALUES ('gateway', ?1) ON CONFLICT DO NOTHING",
            [gateway.as_str()],
        )?;
        let found: String =
            connection.query_row("SELECT value FROM meta WHERE key = 'gateway'", [], |row| {
                row.get(0)
            })?;
        if found == gateway.as_str() {
            Ok(connection)
        } else {
            Err(StoreError::OtherGateway {
                path: path.to_owned(),
                found,
                expected: gateway.clone(),
            })
        }
    }

    /// The epoch of this run.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The columns that this epoch began with, from number 0.
    pub(super) fn inherited(&self) -> &[Column] {
        &self.inherited
    }

    fn begin_epoch(&mut self) -> Result<(), StoreError> {
        let nonce = getrandom::u64()?;
        let transaction = self.connection.transaction()?;
        let counter: u32 = transaction.query_row(
            "SELECT coalesce(max(counter), 0) + 1 FROM epoch",
            [],
            |row| row.get(0),
        )?;
        transaction.execute(
            "INSERT INTO epoch (counter, nonce) VALUES (?1, ?2)",
            params![counter, nonce.cast_signed()],
        )?;
        self.epoch = Epoch { counter, nonce };
        self.epoch_row = transaction.last_insert_rowid();
        for stream in Stream::ALL {
            transaction.execute(
                "INSERT INTO stream (epoch, stream) VALUES (?1, ?2)",
                params![self.epoch_row, stream.number()],
            )?;
        }
        let mut sealer = Sealer {
            transaction: &transaction,
            maker: &self.maker,
            epoch: self.epoch,
            epoch_row: self.epoch_row,
        };
        self.inherited = sealer.recover_journal()?;
        // Epochs of which nothing is left but their row.
        transaction.execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS gone (id INTEGER PRIMARY KEY);
             DELETE FROM gone;
             INSERT INTO gone SELECT id FROM epoch WHERE id NOT IN (SELECT epoch FROM block)
                AND id NOT IN (SELECT epoch FROM stream WHERE produced > 0) AND id <> (SELECT max(id) FROM epoch);
             DELETE FROM stream WHERE epoch IN gone;
             DELETE FROM column_def WHERE epoch IN gone;
             DELETE FROM epoch WHERE id IN gone;",
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// Makes a tick durable: when it returns without error, all of it survives a power cut.
    pub(super) fn commit(
        &mut self,
        tick: &Tick,
        wall_offset_us: Option<i64>,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let mut sealer = Sealer {
            transaction: &transaction,
            maker: &self.maker,
            epoch: self.epoch,
            epoch_row: self.epoch_row,
        };
        let mut grown = sealer.define(tick.columns.0, &tick.columns.1, wall_offset_us)?;
        for (stream, samples) in &tick.journal {
            sealer.journal(*stream, samples, wall_offset_us)?;
        }
        for (stream, samples) in &tick.seal {
            grown += sealer.seal_open(*stream, samples, wall_offset_us)?;
        }
        grown += sealer.seal_records(&tick.records, wall_offset_us)?;
        for settlement in &tick.settle {
            settle(&transaction, settlement)?;
        }
        transaction.commit()?;
        self.used += grown;
        self.make_room()
    }

    /// The blocks to send with this priority or dearer, after a place in the buffer, oldest or newest first, with their bytes.
    pub(super) fn to_send(
        &self,
        priority: u8,
        after: i64,
        newest: bool,
        limit: u32,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        let order = if newest { "DESC" } else { "ASC" };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT b.id, e.counter, e.nonce, b.stream, b.seq, b.digest, b.samples, p.bytes
             FROM block b JOIN epoch e ON e.id = b.epoch JOIN payload p ON p.block = b.id
             WHERE b.state = {TO_SEND} AND b.priority = ?1 AND b.id > ?2 ORDER BY b.id {order} LIMIT ?3"
        ))?;
        let rows = statement.query_map(params![priority, after, limit], |row| {
            let stream: u8 = row.get(3)?;
            let nonce: i64 = row.get(2)?;
            Ok(StoredBlock {
                id: row.get(0)?,
                number: BlockNumber {
                    epoch: Epoch {
                        counter: row.get(1)?,
                        nonce: nonce.cast_unsigned(),
                    },
                    stream: Stream::from_number(stream).unwrap_or(Stream::Bulk),
                    seq: row.get::<_, i64>(4)?.cast_unsigned(),
                },
                digest: Digest(row.get(5)?),
                samples: row.get(6)?,
                bytes: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What is held of each stream of each epoch: lowest number to be sent and the next number.
    pub(super) fn streams(&self) -> Result<Vec<StreamState>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT e.counter, e.nonce, s.stream, min(b.seq), s.next_seq FROM block b JOIN epoch e ON e.id = b.epoch
             JOIN stream s ON s.epoch = b.epoch AND s.stream = b.stream
             WHERE b.state = {TO_SEND} GROUP BY b.epoch, b.stream ORDER BY b.epoch LIMIT 1000"
        ))?;
        let rows = statement.query_map([], |row| {
            let (nonce, stream): (i64, u8) = (row.get(1)?, row.get(2)?);
            Ok(StreamState {
                epoch: Epoch {
                    counter: row.get(0)?,
                    nonce: nonce.cast_unsigned(),
                },
                stream: Stream::from_number(stream).unwrap_or(Stream::Bulk),
                first: row.get::<_, i64>(3)?.cast_unsigned(),
                next: row.get::<_, i64>(4)?.cast_unsigned(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The counters of every stream, over all epochs.
    pub(super) fn totals(&self) -> Result<Vec<StreamTotals>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT stream, sum(produced), sum(open), sum(buffered), sum(acknowledged), sum(dropped) FROM stream
             GROUP BY stream ORDER BY stream",
        )?;
        let rows = statement.query_map([], |row| {
            let count = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
            Ok(StreamTotals {
                stream: Stream::from_number(row.get(0)?).unwrap_or(Stream::Bulk),
                produced: count(1)?,
                open: count(2)?,
                buffered: count(3)?,
                acknowledged: count(4)?,
                dropped: count(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Frees room down to nine tenths of the quota: acknowledged blocks first, then bulk, then live, oldest first,
    /// each leaving a gap record that closes its number in the cloud. Critical blocks and columns stay.
    fn make_room(&mut self) -> Result<(), StoreError> {
        while self.used > self.quota {
            let target = self.quota / 10 * 9;
            let transaction = self.connection.transaction()?;
            let freed = free_acknowledged(&transaction, self.used - target)?;
            let freed = if freed > 0 {
                freed
            } else {
                let maker = &self.maker;
                Sealer {
                    transaction: &transaction,
                    maker,
                    epoch: self.epoch,
                    epoch_row: self.epoch_row,
                }
                .drop_oldest(self.used - target)?
            };
            transaction.commit()?;
            if freed == 0 {
                break;
            }
            self.used = self.used.saturating_sub(freed);
        }
        Ok(())
    }
}

fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let mut number = 1;
    let aside = loop {
        let aside = path.with_extension(format!("sqlite.damaged-{number}"));
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        let mut companion = path.as_os_str().to_owned();
        companion.push(suffix);
        let mut target = aside.as_os_str().to_owned();
        target.push(suffix);
        match fs::rename(&companion, &target) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(aside)
}
