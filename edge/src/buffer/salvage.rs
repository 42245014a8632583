//! Saving what can be read of a damaged database into a new one.
//!
//! Blocks and parts of the journal say by themselves what they are and whether they are whole, so they are found wherever
//! they lie (`pages.rs`). What SQLite can still read of the tables says which of them are acknowledged, and what is
//! missing: a missing block becomes the signed record of its loss, so that the cloud does not wait for it. What the
//! tables do not tell is sent again; the cloud knows what it has.

mod books;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _, params};
use shared_protocol::{
    Block, BlockHeader, BlockNumber, Body, Digest, Epoch, Stream,
    block::{DropReason, SealedBlock},
};

use books::Held;

use super::{
    Sample,
    database::{delete_block, next_block},
    error::StoreError,
    gaps,
    pages::Pages,
    part::Part,
    priority,
    sealer::signed,
    store::{ACKNOWLEDGED, IN_DOUBT, MAY_BE_SEEN, Maker, REFUSED, SEEN, TO_SEND, folder_error},
    tables::{Key, Row, Tables, key_of, read_tables},
};

/// What was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    /// Where the damaged database is kept, for people to look at, until the next one or until room is needed.
    pub(super) aside: PathBuf,
    /// Blocks that were found whole.
    pub(super) blocks: u64,
    /// Samples that are lost, as far as the tables tell.
    pub(super) lost: u64,
    /// The highest counter of an epoch that was found.
    pub(super) counter: u32,
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Moves a database and its log aside.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    forget(path);
    let aside = with(path, ".damaged");
    for suffix in ["", "-wal"] {
        match fs::rename(with(path, suffix), with(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let _ = fs::remove_file(with(path, "-shm"));
    Ok(aside)
}

/// Deletes what was set aside earlier.
pub(super) fn forget(path: &Path) {
    for suffix in [".damaged", ".damaged-wal"] {
        let _ = fs::remove_file(with(path, suffix));
    }
}

/// Samples of a part of the journal, each by column, time and raw integer.
type Open = HashSet<(u32, i64, i64)>;

/// What was found of a number, and what it becomes.
struct Find {
    bytes: Vec<u8>,
    header: BlockHeader,
    /// It carries no samples: a gap record, or definitions of columns.
    is_empty: bool,
    gap: Option<DropReason>,
    /// It is the record of a block that somebody may have.
    in_doubt: bool,
    /// The last number that it stands for.
    last: u64,
}

/// Puts all that is readable of the database at `aside` into a new one, in one transaction.
pub(super) fn save(
    aside: &Path,
    into: &mut Connection,
    maker: &Maker,
) -> Result<Saved, StoreError> {
    let pages = Pages::open(aside, &with(aside, "-wal")).map_err(folder_error(aside))?;
    let tables = read_tables(aside);
    let transaction = into.transaction()?;
    let mut new = New {
        transaction: &transaction,
        maker,
        tables: &tables,
        epochs: HashMap::new(),
        held: BTreeMap::new(),
        open: HashMap::new(),
        sealed: HashMap::new(),
        blocks: 0,
        latest: HashMap::new(),
    };
    new.read_journal();
    let mut parts = Vec::new();
    let mut failed = Ok(());
    pages.blobs(|blob, is_free| {
        if blob.starts_with(b"Pt") {
            if let Ok(sealed) = SealedBlock::open(blob)
                && sealed.header.gateway == maker.gateway
                && sealed.verify(&maker.key.verifying_key()).is_ok()
                && failed.is_ok()
            {
                failed = new.block(blob, &sealed, is_free);
            }
        } else if !is_free && Part::decode(blob).is_some() {
            parts.push(blob.to_vec());
        }
    });
    failed?;
    new.journal(parts)?;
    let lost = new.close()?;
    let blocks = new.blocks;
    let counter = new
        .epochs
        .keys()
        .map(|epoch| epoch.counter)
        .max()
        .unwrap_or(0);
    transaction.commit()?;
    Ok(Saved {
        aside: aside.to_owned(),
        blocks,
        lost,
        counter,
    })
}

/// The new database while it is being filled.
struct New<'a> {
    transaction: &'a Connection,
    maker: &'a Maker,
    tables: &'a Tables,
    epochs: HashMap<Epoch, i64>,
    /// What is held of each stream, by its first number.
    held: BTreeMap<Key, BTreeMap<u64, Held>>,
    /// What the journal holds that no block beyond the tables' numbers has been found to hold.
    open: HashMap<Key, Open>,
    /// Samples of the journal that such a block holds.
    sealed: HashMap<Key, i64>,
    blocks: u64,
    /// Time of the last sample in a block of this stream.
    latest: HashMap<Key, i64>,
}

impl New<'_> {
    fn epoch(&mut self, epoch: Epoch) -> Result<i64, StoreError> {
        if let Some(row) = self.epochs.get(&epoch) {
            return Ok(*row);
        }
        let nonce = epoch.nonce.cast_signed();
        let insert = "INSERT INTO epoch (counter, nonce) VALUES (?1, ?2) RETURNING id";
        let row = self
            .transaction
            .query_row(insert, params![epoch.counter, nonce], |row| row.get(0))?;
        for stream in Stream::ALL {
            self.transaction.execute(
                "INSERT INTO stream (epoch, stream) VALUES (?1, ?2)",
                params![row, stream.number()],
            )?;
        }
        self.epochs.insert(epoch, row);
        Ok(row)
    }

    /// Whether the tables know nothing of this number yet: its commit was the last one, and may be there in part.
    fn is_beyond(&self, key: Key, seq: u64) -> bool {
        let counters = self.tables.streams.get(&key);
        counters.is_some_and(|counters| signed(seq as usize) >= counters.next_seq)
    }

    /// What the tables say is open; a block that they do not know may hold it, too.
    fn read_journal(&mut self) {
        if !self.tables.journal_is_all {
            return;
        }
        for (part, body) in self
            .tables
            .journal
            .iter()
            .filter_map(|bytes| Part::decode(bytes))
        {
            let open = self.open.entry(part.key()).or_default();
            open.extend(body.iter());
        }
    }

    /// A whole block was found somewhere, on a page that counts as free or on another.
    fn block(
        &mut self,
        bytes: &[u8],
        sealed: &SealedBlock<'_>,
        is_free: bool,
    ) -> Result<(), StoreError> {
        let number = sealed.header.number;
        let (key, seq) = key_of(&number);
        // Whatever else was hit: a row says that it is held.
        let is_held = self.tables.digests.contains(&sealed.digest);
        if is_free && !is_held {
            return Ok(());
        }
        let row = match self.tables.row(key, seq) {
            // It was dropped, and is a number of the record of its neighbours.
            Some((first, _)) if first != seq && !is_held => return Ok(()),
            Some((first, _)) if first != seq => None,
            row => row.map(|(_, row)| row),
        };
        match row {
            _ if is_held => {}
            // Another content of this number was here before: thinned, or dropped since.
            Some(row) if !row.counts_like(sealed) => return Ok(()),
            None if self.tables.blocks_are_all => {
                // Deleted, unless the log broke off before its row.
                let next = self
                    .tables
                    .streams
                    .get(&key)
                    .map(|counters| counters.next_seq);
                if next.is_some_and(|next| signed(seq as usize) < next) {
                    return Ok(());
                }
            }
            _ => {}
        }
        let content = sealed.content();
        let (gap, is_columns) = match &content {
            Ok(Body::Gap(reason)) => (Some(*reason), false),
            Ok(Body::Columns { first, columns }) => {
                let epoch = self.epoch(number.epoch)?;
                for (number, column) in (*first..).zip(columns) {
                    let def = bincode::encode_to_vec(column, bincode::config::standard())?;
                    self.transaction.execute(
                        "INSERT OR IGNORE INTO column_def VALUES (?1, ?2, ?3)",
                        params![epoch, number, def],
                    )?;
                }
                (None, true)
            }
            Ok(Body::Samples(body)) => {
                let last = body.times.iter().flatten().max().copied();
                let latest = self.latest.entry(key).or_insert(i64::MIN);
                *latest = (*latest).max(last.unwrap_or(i64::MIN));
                if self.is_beyond(key, seq)
                    && let Some(open) = self.open.get_mut(&key)
                {
                    for sample in body.iter() {
                        open.remove(&sample);
                    }
                }
                (None, false)
            }
            _ => (None, false),
        };
        let find = Find {
            bytes: bytes.to_vec(),
            header: sealed.header.clone(),
            is_empty: gap.is_some() || is_columns,
            gap,
            in_doubt: false,
            last: row.map_or(seq, |row| row.last),
        };
        self.put(&find, row)
    }

    fn put(&mut self, find: &Find, row: Option<Row>) -> Result<(), StoreError> {
        let number = find.header.number;
        let (key, seq) = key_of(&number);
        let epoch = self.epoch(number.epoch)?;
        let samples = if find.is_empty {
            0
        } else {
            find.header.samples
        };
        let state = match row.map(|row| row.state) {
            Some(state @ (ACKNOWLEDGED | REFUSED)) => state,
            _ => TO_SEND,
        };
        let before: Option<(i64, u32)> = self
            .transaction
            .prepare_cached(
                "SELECT id, thinned FROM block WHERE epoch = ?1 AND stream = ?2 AND seq = ?3",
            )?
            .query_row(
                params![epoch, number.stream.number(), signed(seq as usize)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        if let Some((id, thinned)) = before {
            if thinned > find.header.thinned {
                // What is there was thinned more often, so it is younger.
                return Ok(());
            }
            delete_block(self.transaction, id)?;
        }
        let id = next_block(self.transaction)?;
        let gone = find.gap.map_or(0, |_| find.header.samples);
        self.transaction
            .prepare_cached(
                "INSERT INTO block (id, place, epoch, stream, seq, last, priority, state, samples, length, digest, thinned, passes,
                    offered, gap, gone)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            )?
            .execute(params![
                id,
                gaps::place(id),
                epoch,
                number.stream.number(),
                signed(seq as usize),
                signed(find.last as usize),
                priority(number.stream),
                state,
                samples,
                signed(find.bytes.len()),
                Digest::of(&find.bytes).0,
                find.header.thinned,
                row.map_or(0, |row| row.passes),
                match row.map_or(MAY_BE_SEEN, |row| row.offered) {
                    _ if find.in_doubt => IN_DOUBT,
                    MAY_BE_SEEN => SEEN,
                    known => known,
                },
                find.gap.map(DropReason::name),
                gone
            ])?;
        self.transaction
            .prepare_cached("INSERT INTO payload VALUES (?1, ?2)")?
            .execute(params![id, find.bytes])?;
        let (samples, gone) = (i64::from(samples), i64::from(gone));
        let is = |is: bool, count: i64| if is { count } else { 0 };
        let held = Held {
            last: find.last,
            buffered: is(state != ACKNOWLEDGED, samples),
            acknowledged: is(state == ACKNOWLEDGED, samples),
            dropped: is(find.gap == Some(DropReason::Quota), gone),
            damaged: is(find.gap == Some(DropReason::Damaged), gone),
            thinned: find.header.thinned.into(),
        };
        self.held.entry(key).or_default().insert(seq, held);
        self.blocks += u64::from(before.is_none());
        Ok(())
    }

    /// Parts of the journal: those that SQLite reads, or else those that no block holds yet.
    fn journal(&mut self, found: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let parts = if self.tables.journal_is_all {
            self.tables.journal.clone()
        } else {
            found
        };
        for bytes in parts {
            let Some((mut part, body)) = Part::decode(&bytes) else {
                continue;
            };
            let key = part.key();
            let last = body.times.iter().flatten().max().copied();
            let sealed = self.latest.get(&key).copied().unwrap_or(i64::MIN);
            if !self.tables.journal_is_all && last.is_none_or(|last| last <= sealed) {
                continue;
            }
            let mut bytes = bytes;
            if let Some(open) = self.open.get(&key) {
                let left: Vec<Sample> = body
                    .iter()
                    .filter(|sample| open.contains(sample))
                    .map(Sample::of)
                    .collect();
                let sealed = part.samples as usize - left.len();
                *self.sealed.entry(key).or_default() += signed(sealed);
                if left.is_empty() {
                    continue;
                }
                if sealed > 0 {
                    part.samples = left.len() as u32;
                    bytes = part.encode(&left)?;
                }
            }
            let epoch = self.epoch(part.epoch)?;
            self.transaction.execute(
                "INSERT INTO journal (epoch, stream, boot, offset, samples, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![epoch, part.stream.number(), part.boot.cast_signed(), part.wall_offset_us, part.samples, bytes],
            )?;
        }
        Ok(())
    }

    /// Leaves the record of a range of numbers, which counts these samples as gone and thinned.
    fn lose(
        &mut self,
        key: Key,
        (seq, last): (u64, u64),
        (samples, thinned): (u32, u32),
        (reason, in_doubt): (DropReason, bool),
    ) -> Result<(), StoreError> {
        let (counter, nonce, stream) = key;
        let Some(stream) = Stream::from_number(stream) else {
            return Ok(());
        };
        let header = BlockHeader {
            gateway: self.maker.gateway.clone(),
            number: BlockNumber {
                epoch: Epoch { counter, nonce },
                stream,
                seq,
            },
            boot: self.maker.boot,
            wall_offset_us: None,
            samples,
            thinned,
            columns: 0,
        };
        let gap = Block {
            header: header.clone(),
            body: Body::Gap(reason),
        };
        let find = Find {
            bytes: gap.seal(&self.maker.key)?,
            header,
            is_empty: true,
            gap: Some(reason),
            in_doubt,
            last,
        };
        self.put(&find, None)?;
        self.blocks = self.blocks.saturating_sub(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
