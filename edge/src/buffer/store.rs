//! The ledger: every change is one SQLite transaction, and every counter moves in the transaction that moves the samples
//! it counts. It is on a disk, or in memory when there is no disk to write to.

use std::{
    cell::RefCell,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, Transaction, params};
use shared_protocol::{Epoch, GatewayId, Record, SigningKey, Stream, StreamState};

use super::{
    Columns, Held, Sample, Settlement, StreamTotals,
    database::{connect, prepared},
    doubt::{Doubt, Known},
    epochs,
    error::{StoreError, Trouble},
    health,
    quota::{self, make_room},
    salvage,
    sealer::{ROOM_OF_A_BLOCK, Sealer},
    settle::{Lately, settle},
    shown::Shown,
};

/// What sources have given and the cloud has said, to be made durable together.
#[derive(Debug, Default)]
pub(super) struct Tick {
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
        self.journal.is_empty()
            && self.seal.is_empty()
            && self.records.is_empty()
            && self.settle.is_empty()
    }
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    /// How many fsyncs it took.
    pub(super) syncs: u32,
    /// Blocks that had been acknowledged, or had to wait, are to be sent.
    pub(super) again: bool,
}

/// What identifies the maker of blocks.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub(super) gateway: GatewayId,
    pub(super) key: SigningKey,
    pub(super) boot: u64,
}

/// The folder of a ledger on a disk.
#[derive(Debug)]
struct Home {
    folder: PathBuf,
    /// Held as long as the store lives, so that no second gateway opens the folder.
    _lock: fs::File,
}

impl Home {
    fn enter(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("lock");
        let lock = fs::File::create(&path).map_err(folder_error(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: folder.to_owned(),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(folder_error(&path)(source)),
        }
    }
}

/// The ledger of one gateway.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) connection: Connection,
    pub(super) maker: Maker,
    pub(super) epoch: Epoch,
    pub(super) epoch_row: i64,
    /// Columns of this epoch that the ledger knows.
    defined: u32,
    /// Room that the blocks take, and the most that they may take: the quota, or less on a full disk.
    pub(super) used: u64,
    quota: u64,
    room: quota::Done,
    lately: Lately,
    /// What somebody may have without a word on it.
    pub(super) shown: RefCell<Shown>,
    /// The latest commit, when it reported an error.
    doubt: Option<Doubt>,
    /// When the uplink last asked for blocks.
    pub(super) asked: Option<Instant>,
    /// Rows of blocks that the uplink was given since the latest commit, marked as those that it may be given.
    pub(super) handed: Vec<i64>,
    home: Option<Home>,
}

/// States of a block.
pub(super) const TO_SEND: i64 = 0;
pub(super) const ACKNOWLEDGED: i64 = 1;
pub(super) const REFUSED: i64 = 2;

/// Who may have a block besides us: nobody.
pub(super) const UNSEEN: i64 = 0;
/// The uplink was given it.
pub(super) const SEEN: i64 = 1;
/// The uplink may be given it at any moment, without another fsync: nobody has it as long as this run knows of nothing, but the
/// next run has to think so.
pub(super) const MAY_BE_SEEN: i64 = 2;
/// This is the record of a block that was dropped when somebody could have it: the cloud may have stored it after all.
pub(super) const IN_DOUBT: i64 = 3;

/// The database, in its folder.
pub(super) const DATABASE: &str = "buffer.sqlite";
/// Bytes kept for the day on which the disk is full: moving the log into the database, and making room there, takes some.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 3 * 1024 * 1024;
/// Frames in the write-ahead log that are enough for a checkpoint: 2 MiB.
const CHECKPOINT_FRAMES: i64 = 500;
/// Most that is freed at once on a full disk: freeing writes the log, too.
const RELIEF: u64 = 1024 * 1024;
/// The fsyncs of a checkpoint: of the log, of the database, and of the log's new header later.
const CHECKPOINT_SYNCS: u32 = 3;
/// The uplink asks that often while it is connected, and may publish a new block at once.
const ONLINE: Duration = Duration::from_secs(5);
/// Streams in a hello: the cloud answers no more at a time.
pub(super) const STREAMS_OF_A_HELLO: u32 = 32;
/// A full disk leaves at least so much for blocks.
const LEAST_QUOTA: u64 = 64 * 1024;

impl Store {
    /// Opens or creates the ledger in `folder` and begins a new epoch. What is readable of a damaged database is saved into a
    /// new one; the second value says how much that was.
    ///
    /// Samples that an earlier run journalled and did not seal are sealed now, in the new epoch.
    pub(super) fn open(
        folder: &Path,
        quota: u64,
        maker: Maker,
        columns: &Columns,
        mut known: Known<'_>,
    ) -> Result<(Self, Option<salvage::Saved>), StoreError> {
        fs::create_dir_all(folder).map_err(folder_error(folder))?;
        let home = Home::enter(folder)?;
        let path = folder.join(DATABASE);
        let whole = |path: &Path| {
            if known.suspect || !health::log_is_whole(path) {
                return Err(StoreError::Damaged("its log is broken".into()));
            }
            let connection = connect(path, &maker.gateway)?;
            health::check(&connection)?;
            Ok(connection)
        };
        let counter = known.counter;
        let attempt = whole(&path).and_then(|connection| {
            if let Some(doubt) = &mut known.doubt {
                doubt.ask(&connection)?;
            }
            Self::begin(connection, maker.clone(), quota, columns, counter)
        });
        let (mut store, saved) = match attempt {
            Err(error) if error.trouble() == Trouble::Damaged => {
                tracing::error!(%error, "what is readable of the buffer's database goes into a new one");
                let aside = salvage::set_aside(&path).map_err(folder_error(&path))?;
                let mut connection = connect(&path, &maker.gateway)?;
                let saved = salvage::save(&aside, &mut connection, &maker)?;
                if let Some(doubt) = &mut known.doubt {
                    doubt.ask(&connection)?;
                }
                let counter = counter.max(saved.counter);
                let store = Self::begin(connection, maker, quota, columns, counter)?;
                (store, Some(saved))
            }
            other => (other?, None),
        };
        store.home = Some(home);
        store.keep_reserve();
        Ok((store, saved))
    }

    /// A ledger that lives as long as the process; its epoch's counter is greater than `counter`.
    pub(super) fn in_memory(
        quota: u64,
        maker: Maker,
        columns: &Columns,
        counter: u32,
    ) -> Result<Self, StoreError> {
        let connection = prepared(
            Connection::open_in_memory()?,
            &maker.gateway,
            Path::new("memory"),
        )?;
        Self::begin(connection, maker, quota, columns, counter)
    }

    fn begin(
        connection: Connection,
        maker: Maker,
        quota: u64,
        columns: &Columns,
        counter: u32,
    ) -> Result<Self, StoreError> {
        let mut store = Self {
            connection,
            maker,
            epoch: Epoch {
                counter: 0,
                nonce: 0,
            },
            epoch_row: 0,
            defined: 0,
            used: 0,
            quota,
            room: quota::Done::default(),
            lately: Lately::default(),
            shown: RefCell::default(),
            doubt: None,
            asked: None,
            handed: Vec::new(),
            home: None,
        };
        store.begin_epoch(columns, counter)?;
        store.shown = Shown::before(&store.connection)?;
        store.weigh()?;
        Ok(store)
    }

    /// Every start has an epoch of its own: whatever a disk remembers or forgets, no number gets a second content.
    fn begin_epoch(&mut self, columns: &Columns, least: u32) -> Result<(), StoreError> {
        let nonce = getrandom::u64()?;
        let transaction = self.connection.transaction()?;
        let counter: u32 =
            transaction.query_row("SELECT coalesce(max(counter), 0) FROM epoch", [], |row| {
                row.get(0)
            })?;
        let counter = counter.max(least).saturating_add(1);
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
        let sealer = Sealer::new(
            &transaction,
            &self.maker,
            (self.epoch, self.epoch_row),
            None,
        );
        transaction.execute(
            &format!("UPDATE block SET offered = {SEEN} WHERE offered = {MAY_BE_SEEN}"),
            [],
        )?;
        sealer.recover_journal(columns)?;
        let known = columns.from(0);
        sealer.define(0, &known, None)?;
        epochs::tidy(&transaction)?;
        transaction.commit()?;
        self.defined = known.len() as u32;
        Ok(())
    }

    pub(super) fn weigh(&mut self) -> Result<(), StoreError> {
        let (bytes, blocks): (i64, i64) = self.connection.query_row(
            "SELECT coalesce(sum(length), 0), count(*) FROM block",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        self.used = bytes.cast_unsigned() + blocks.cast_unsigned() * ROOM_OF_A_BLOCK;
        Ok(())
    }

    /// The epoch of this run.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether it outlives the process.
    pub(super) fn is_durable(&self) -> bool {
        self.home.is_some()
    }

    /// Makes a tick durable: when it returns without error, all of it survives a power cut.
    pub(super) fn commit(
        &mut self,
        tick: &Tick,
        columns: &Columns,
        wall_offset_us: Option<i64>,
        now: Instant,
    ) -> Result<Committed, StoreError> {
        self.doubt = None;
        let new = columns.from(self.defined);
        let transaction = self.connection.transaction()?;
        let sealer = Sealer::new(
            &transaction,
            &self.maker,
            (self.epoch, self.epoch_row),
            self.asked
                .is_some_and(|asked| now < asked + ONLINE)
                .then_some(&self.shown),
        );
        mark_seen(&transaction, &self.handed)?;
        let (mut used, mut room) = (self.used, self.room);
        let mut again = false;
        for settlement in &tick.settle {
            again |= settle(&sealer, settlement, &mut self.lately)?;
        }
        used += sealer.grown.get();
        if again {
            room = quota::Done::default();
        }
        used += sealer.define(self.defined, &new, wall_offset_us)?;
        let quota = self.quota;
        // Down to a little below the quota, so that not every commit has to.
        let target = quota - quota / 64;
        let mut fit = |used: &mut u64| -> Result<bool, StoreError> {
            if *used > quota {
                *used -= make_room(&sealer, &mut room, *used - target)?.min(*used);
            }
            Ok(*used <= quota)
        };
        if fit(&mut used)? {
            for (stream, samples) in &tick.journal {
                sealer.journal(*stream, samples, wall_offset_us)?;
            }
            for (stream, samples) in &tick.seal {
                used += sealer.seal_open(*stream, samples, wall_offset_us)?;
            }
            fit(&mut used)?;
        } else {
            // Nothing is left that could make room: this is the only case in which something critical is refused. What
            // would be journalled waits for its time to be sealed.
            for (stream, samples) in &tick.seal {
                used += sealer.refuse_open(*stream, samples, wall_offset_us)?;
            }
        }
        // Records are few and short, and somebody waits for them: they are never refused.
        used += sealer.seal_records(&tick.records, wall_offset_us)?;
        if self.home.is_some() {
            self.doubt = Some(Doubt::about(&transaction, self.epoch)?);
        }
        transaction.commit()?;
        self.doubt = None;
        self.handed.clear();
        self.used = used;
        self.room = room;
        self.defined += new.len() as u32;
        // It is committed: what cannot be counted now is counted later.
        let mut shown = self.shown.borrow_mut();
        again |= shown.committed(&self.connection).unwrap_or(false);
        drop(shown);
        Ok(Committed { syncs: 1, again })
    }

    /// The latest commit, if nobody knows whether it reached the disk.
    pub(super) fn take_doubt(&mut self) -> Option<Doubt> {
        self.doubt.take()
    }

    /// Moves the log into the database when it has grown long enough; returns the fsyncs that takes.
    pub(super) fn checkpoint_if_due(&self) -> Result<u32, StoreError> {
        if self.home.is_none() {
            return Ok(0);
        }
        let state = |mode: &str| {
            self.connection
                .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
                    Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
                })
        };
        let (frames, moved) = state("NOOP")?;
        if frames - moved < CHECKPOINT_FRAMES {
            return Ok(0);
        }
        state("PASSIVE")?;
        Ok(CHECKPOINT_SYNCS)
    }

    /// What is held of streams, acknowledged or not, for a hello: those with something to send first, then the youngest.
    pub(super) fn held(&mut self, skip: u32) -> Result<Held, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT e.counter, e.nonce, s.stream, s.next_seq,
                (SELECT min(b.seq) FROM block b WHERE b.epoch = s.epoch AND b.stream = s.stream AND b.state = {TO_SEND}) AS first
             FROM stream s JOIN epoch e ON e.id = s.epoch
             WHERE EXISTS (SELECT 1 FROM block b WHERE b.epoch = s.epoch AND b.stream = s.stream)
             ORDER BY first IS NULL, s.epoch DESC, s.stream LIMIT {STREAMS_OF_A_HELLO} OFFSET ?1"
        ))?;
        let rows = statement.query_map([skip], |row| {
            let (nonce, stream): (i64, u8) = (row.get(1)?, row.get(2)?);
            let next: i64 = row.get(3)?;
            let first: Option<i64> = row.get(4)?;
            Ok(StreamState {
                epoch: Epoch {
                    counter: row.get(0)?,
                    nonce: nonce.cast_unsigned(),
                },
                stream: Stream::from_number(stream).unwrap_or(Stream::Bulk),
                first: first.unwrap_or(next).cast_unsigned(),
                next: next.cast_unsigned(),
            })
        })?;
        let streams: Vec<StreamState> = rows.collect::<Result<_, _>>()?;
        let more = streams.len() as u32 == STREAMS_OF_A_HELLO;
        Ok(Held {
            streams,
            next: more.then(|| skip + STREAMS_OF_A_HELLO),
            hello: self.lately.hello(),
        })
    }

    /// The counters of every stream, over all epochs.
    pub(super) fn totals(&self) -> Result<Vec<StreamTotals>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT stream, sum(produced), sum(open), sum(buffered), sum(acknowledged),
                sum(dropped), sum(thinned), sum(refused), sum(damaged) FROM stream
             GROUP BY stream ORDER BY stream",
        )?;
        let rows = statement.query_map([], |row| {
            let count = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
            let (thinned, refused, damaged) = (count(6)?, count(7)?, count(8)?);
            Ok(StreamTotals {
                stream: Stream::from_number(row.get(0)?).unwrap_or(Stream::Bulk),
                produced: count(1)?,
                open: count(2)?,
                buffered: count(3)?,
                acknowledged: count(4)?,
                dropped: count(5)? + thinned + refused + damaged,
                thinned,
                refused,
                damaged,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The disk is full: gives the reserve back, and makes room below what is used now. What is asked for after that fits into
    /// what the database has.
    pub(super) fn relieve(&mut self) -> Result<(), StoreError> {
        if let Some(home) = &self.home {
            let _ = fs::remove_file(home.folder.join(RESERVE));
            salvage::forget(&home.folder.join(DATABASE));
        }
        // The log starts over: the next commits overwrite it.
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        let relief = (self.used / 10).min(RELIEF);
        self.quota = (self.used - relief).clamp(LEAST_QUOTA, self.quota.max(LEAST_QUOTA));
        let transaction = self.connection.transaction()?;
        let sealer = Sealer::new(
            &transaction,
            &self.maker,
            (self.epoch, self.epoch_row),
            None,
        );
        mark_seen(&transaction, &self.handed)?;
        let mut room = self.room;
        let freed = make_room(&sealer, &mut room, self.used.saturating_sub(self.quota))?;
        transaction.commit()?;
        self.handed.clear();
        self.used = self.used.saturating_sub(freed);
        self.room = room;
        Ok(())
    }

    /// Keeps some bytes of the disk for [`Store::relieve`]; without them it still tries.
    pub(super) fn keep_reserve(&self) {
        let Some(home) = &self.home else { return };
        let path = home.folder.join(RESERVE);
        let there = fs::metadata(&path).is_ok_and(|found| found.len() == RESERVE_BYTES as u64);
        if !there && fs::write(&path, vec![0u8; RESERVE_BYTES]).is_err() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Notes which blocks the uplink was given since the latest commit.
fn mark_seen(transaction: &Transaction<'_>, handed: &[i64]) -> Result<(), StoreError> {
    for id in handed {
        transaction
            .prepare_cached(&format!(
                "UPDATE block SET offered = {SEEN} WHERE id = ?1 AND offered = {MAY_BE_SEEN}"
            ))?
            .execute([id])?;
    }
    Ok(())
}

/// What `io::Result`s of the folder become.
pub(super) fn folder_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Folder { path, source }
}
