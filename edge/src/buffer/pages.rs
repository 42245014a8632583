//! Reading what is left of a damaged SQLite database, page by page, without trusting any of its structure.
//!
//! Only leaves of tables are looked at (<https://www.sqlite.org/fileformat2.html> §1.6), each by itself: every cell that
//! can be followed gives its blobs, and whoever asked decides by their checksums whether they are whole. Frames of the
//! write-ahead log (§4.1) stand for the pages that they are of, those behind a broken one included.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// What our databases have; the file says so itself as long as its first bytes are whole.
const PAGE_SIZE: usize = 4096;
const DATABASE_HEADER: usize = 100;
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const LEAF_OF_A_TABLE: u8 = 0x0d;
/// Longer than any blob that we write.
const LONGEST_CELL: usize = 1024 * 1024;
/// A log is checkpointed long before it is so long.
const LONGEST_LOG: u64 = 256 * 1024 * 1024;

/// The pages of a database, with those of its log over them.
#[derive(Debug)]
pub(super) struct Pages {
    file: fs::File,
    count: u32,
    log: Vec<u8>,
    /// Where in the log the latest frame of a page begins: up to the last commit to which the chain of checksums holds, and beyond.
    frames: HashMap<u32, usize>,
    beyond: Vec<(u32, usize)>,
    latest: HashMap<u32, usize>,
    /// The same without those that are not what they were: such a one may be taken for another page's.
    latest_whole: HashMap<u32, usize>,
    /// Pages that are free: what they hold was deleted.
    free: HashSet<u32>,
}

/// A frame of a log.
struct Frame {
    /// Where it begins.
    at: usize,
    /// Whose page it is.
    page: u32,
    /// The chain of checksums holds up to it.
    chained: bool,
    /// The chain holds from the frame before to this one.
    whole: bool,
    /// It ends a transaction.
    commits: bool,
}

/// The frames of a log.
fn frames(log: &[u8]) -> Vec<Frame> {
    let word = |at: usize| be32(log, at);
    let Some(magic) = word(0) else {
        return Vec::new();
    };
    let mut sum = (0, 0);
    let mut chained = matches!(magic, 0x377f_0682 | 0x377f_0683) && log.len() >= LOG_HEADER;
    // SQLite writes the order of the machine.
    let swapped = if chained {
        magic & 1 == 0
    } else {
        cfg!(target_endian = "little")
    };
    if chained {
        sum = checksum(sum, &log[..24], swapped);
        chained = (Some(sum.0), Some(sum.1)) == (word(24), word(28));
    }
    let salt = salt_of(log, chained);
    let mut found = Vec::new();
    let mut before = (word(24), word(28));
    let mut at = LOG_HEADER;
    while at + FRAME_HEADER + PAGE_SIZE <= log.len() {
        let page = at + FRAME_HEADER;
        let said = (word(at + 16), word(at + 20));
        let follows = |sum| {
            let sum = checksum(sum, &log[at..at + 8], swapped);
            checksum(sum, &log[page..page + PAGE_SIZE], swapped)
        };
        let sum_before = before.0.zip(before.1).map(follows);
        let whole = sum_before.is_some_and(|(a, b)| (Some(a), Some(b)) == said);
        before = said;
        if (word(at + 8), word(at + 12)) == salt
            && let Some(number) = word(at)
            && let Some(pages) = word(at + 4)
        {
            if chained {
                sum = follows(sum);
                chained = (Some(sum.0), Some(sum.1)) == said;
            }
            found.push(Frame {
                at,
                page: number,
                chained,
                whole,
                commits: pages != 0,
            });
        } else {
            chained = false;
        }
        at = page + PAGE_SIZE;
    }
    found
}

/// The salt of a log's generation: the header's, if it is whole or a frame has it; else the one that two frames in a row have, for
/// one may be hit. Behind the frames of a generation lie those of the one before, whose first word is less by one.
fn salt_of(log: &[u8], header_is_whole: bool) -> (Option<u32>, Option<u32>) {
    let salt = |at: usize| Some((be32(log, at)?, be32(log, at + 4)?));
    let frames = (LOG_HEADER + 8..).step_by(FRAME_HEADER + PAGE_SIZE);
    let salts: Vec<(u32, u32)> = frames.map_while(salt).collect();
    let said = salt(16);
    if header_is_whole || said.is_some_and(|said| salts.contains(&said)) {
        return said.unzip();
    }
    let first = salts.first().copied();
    let agreed = salts.windows(2).find(|pair| pair[0] == pair[1]);
    let agreed = agreed.map(|pair| pair[0]);
    match (first, agreed) {
        (Some(first), Some(agreed)) if first.0 != agreed.0.wrapping_add(1) => Some(agreed),
        _ => first,
    }
    .unzip()
}

/// §4.2 of the format; `swapped` when its words are little endian.
fn checksum(mut sum: (u32, u32), bytes: &[u8], swapped: bool) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if swapped {
                u32::from_le_bytes(word)
            } else {
                u32::from_be_bytes(word)
            }
        };
        sum.0 = sum.0.wrapping_add(word(0)).wrapping_add(sum.1);
        sum.1 = sum.1.wrapping_add(word(4)).wrapping_add(sum.0);
    }
    sum
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + 2)?;
    Some(usize::from(u16::from_be_bytes([word[0], word[1]])))
}

/// SQLite's big-endian varint: the value and its length.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for length in 0..8 {
        let byte = *bytes.get(at + length)?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, length + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(at + 8)?), 9))
}

/// Reads a log; an absent one is empty.
fn read_log(path: &Path) -> io::Result<Vec<u8>> {
    let mut log = Vec::new();
    match fs::File::open(path) {
        Ok(file) => file.take(LONGEST_LOG).read_to_end(&mut log).map(|_| log),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(log),
        Err(error) => Err(error),
    }
}

/// Whether the log breaks off inside: frames of the same generation follow one that does not fit. SQLite would take it for
/// the end and forget them without a word.
pub(super) fn is_broken_inside(log: &Path) -> io::Result<bool> {
    let log = read_log(log)?;
    Ok(frames(&log).iter().any(|frame| !frame.chained))
}

impl Pages {
    /// Opens a database and its log.
    pub(super) fn open(path: &Path, log: &Path) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        let log = read_log(log)?;
        let mut pages = Self {
            count: u32::try_from(file.metadata()?.len().div_ceil(PAGE_SIZE as u64))
                .unwrap_or(u32::MAX),
            file,
            frames: HashMap::new(),
            beyond: Vec::new(),
            latest: HashMap::new(),
            latest_whole: HashMap::new(),
            log,
            free: HashSet::new(),
        };
        // A page whose number was hit lies about the rest: none is much further than what there is.
        let found = frames(&pages.log);
        let most = pages.count.saturating_add(found.len() as u32 + 1024);
        // A transaction of which only the beginning is there has not happened: its pages hide none of those before it.
        let happened = found
            .iter()
            .rposition(|frame| frame.chained && frame.commits)
            .map_or(0, |last| last + 1);
        for (place, frame) in found.into_iter().enumerate() {
            let Frame { at, page, .. } = frame;
            if (1..=most).contains(&page) {
                if place < happened {
                    pages.frames.insert(page, at);
                } else {
                    pages.beyond.push((page, at));
                }
                pages.latest.insert(page, at);
                if frame.whole {
                    pages.latest_whole.insert(page, at);
                }
                pages.count = pages.count.max(page);
            }
        }
        pages.find_free();
        Ok(pages)
    }

    /// Follows the list of free pages as far as it can be followed.
    fn find_free(&mut self) {
        let mut next = self.page(1).and_then(|page| be32(&page, 32)).unwrap_or(0);
        while next != 0 && next <= self.count && self.free.insert(next) {
            let Some(trunk) = self.page(next) else { return };
            let held = be32(&trunk, 4).unwrap_or(0).min(PAGE_SIZE as u32 / 4 - 2) as usize;
            for place in 0..held {
                if let Some(leaf) = be32(&trunk, 8 + 4 * place) {
                    self.free.insert(leaf);
                }
            }
            next = be32(&trunk, 0).unwrap_or(0);
        }
    }

    fn page(&self, number: u32) -> Option<Vec<u8>> {
        self.page_by(number, &self.frames)
    }

    fn frame(&self, at: usize) -> Option<Vec<u8>> {
        let page = at + FRAME_HEADER;
        self.log.get(page..page + PAGE_SIZE).map(<[u8]>::to_vec)
    }

    fn page_by(&self, number: u32, frames: &HashMap<u32, usize>) -> Option<Vec<u8>> {
        if let Some(at) = frames.get(&number) {
            return self.frame(*at);
        }
        let mut page = vec![0; PAGE_SIZE];
        let from = u64::from(number.checked_sub(1)?) * PAGE_SIZE as u64;
        let mut filled = 0;
        while filled < PAGE_SIZE {
            match self.file.read_at(&mut page[filled..], from + filled as u64) {
                // A file that was cut off ends with zeros.
                Ok(0) if filled > 0 => break,
                Ok(0) | Err(_) => return None,
                Ok(read) => filled += read,
            }
        }
        Some(page)
    }

    /// Gives each blob of each cell that can be followed: of the pages as the last whole commit leaves them, and of each frame
    /// beyond it. One blob may come more than once. With it comes whether its page counts as free: then it was deleted, or
    /// the list of free pages was hit.
    pub(super) fn blobs(&self, mut take: impl FnMut(&[u8], bool)) {
        for number in 1..=self.count {
            if let Some(page) = self.page(number) {
                let is_free = self.free.contains(&number);
                let take = &mut |blob: &[u8]| take(blob, is_free);
                self.blobs_of_page(number, &page, &self.frames, take);
            }
        }
        for &(number, at) in &self.beyond {
            if let Some(page) = self.frame(at) {
                let take = &mut |blob: &[u8]| take(blob, false);
                for frames in [&self.latest, &self.latest_whole, &self.frames] {
                    self.blobs_of_page(number, &page, frames, take);
                }
            }
        }
    }

    fn blobs_of_page(
        &self,
        number: u32,
        page: &[u8],
        frames: &HashMap<u32, usize>,
        take: &mut impl FnMut(&[u8]),
    ) {
        let head = if number == 1 { DATABASE_HEADER } else { 0 };
        if page[head] != LEAF_OF_A_TABLE {
            return;
        }
        let cells = be16(page, head + 3).unwrap_or(0).min(PAGE_SIZE / 4);
        for cell in 0..cells {
            if let Some(at) = be16(page, head + 8 + 2 * cell)
                && let Some(record) = self.record(page, at, frames)
            {
                blobs_of(&record, take);
            }
        }
    }

    /// The payload of the cell at this place of a page, with what overflows (§1.6, "Cell payload overflow pages").
    fn record(&self, page: &[u8], at: usize, frames: &HashMap<u32, usize>) -> Option<Vec<u8>> {
        let (length, used) = varint(page, at)?;
        let length = usize::try_from(length)
            .ok()
            .filter(|&length| length <= LONGEST_CELL)?;
        let (_, rowid) = varint(page, at + used)?;
        let from = at + used + rowid;
        let most = PAGE_SIZE - 35;
        let local = if length <= most {
            length
        } else {
            let least = (PAGE_SIZE - 12) * 32 / 255 - 23;
            let rest = least + (length - least) % (PAGE_SIZE - 4);
            if rest <= most { rest } else { least }
        };
        let mut record = page.get(from..from + local)?.to_vec();
        let mut next = be32(page, from + local).unwrap_or(0);
        while record.len() < length {
            let overflow = self.page_by(next, frames)?;
            let part = (length - record.len()).min(PAGE_SIZE - 4);
            record.extend(&overflow[4..4 + part]);
            next = be32(&overflow, 0)?;
        }
        Some(record)
    }
}

/// The blobs of a record (§2.1): serial types that are even and at least 12.
fn blobs_of(record: &[u8], take: &mut impl FnMut(&[u8])) {
    let Some((header, mut at)) = varint(record, 0) else {
        return;
    };
    let Ok(mut from) = usize::try_from(header) else {
        return;
    };
    let end = from;
    while at < end {
        let Some((kind, used)) = varint(record, at) else {
            return;
        };
        at += used;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return,
            _ => usize::try_from((kind - 12) / 2).unwrap_or(usize::MAX),
        };
        let Some(value) = from.checked_add(length).and_then(|to| record.get(from..to)) else {
            return;
        };
        if kind >= 12 && kind % 2 == 0 {
            take(value);
        }
        from += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn blob(n: u8, length: usize) -> Vec<u8> {
        (0..length).map(|i| n ^ (i % 251) as u8).collect()
    }

    /// A database with blobs of all lengths, the later ones in its log only.
    fn make(folder: &Path) -> Vec<Vec<u8>> {
        let path = folder.join("x.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, n, b BLOB)")
            .unwrap();
        let mut all = Vec::new();
        for n in 0..60u8 {
            let bytes = blob(n, usize::from(n) * usize::from(n) * 11 + 12);
            connection
                .execute(
                    "INSERT INTO t VALUES (?1, 1e300, ?2)",
                    rusqlite::params![n, bytes],
                )
                .unwrap();
            all.push(bytes);
            if n == 30 {
                connection
                    .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                    .unwrap();
            }
        }
        fs::copy(&path, folder.join("y.sqlite")).unwrap();
        fs::copy(folder.join("x.sqlite-wal"), folder.join("y.sqlite-wal")).unwrap();
        all
    }

    fn read(folder: &Path) -> Vec<Vec<u8>> {
        let pages = Pages::open(&folder.join("y.sqlite"), &folder.join("y.sqlite-wal")).unwrap();
        let mut found = Vec::new();
        pages.blobs(|blob, is_free| {
            if !is_free {
                found.push(blob.to_vec());
            }
        });
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_whole_database_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = make(folder.path());
        all.sort();
        assert_eq!(read(folder.path()), all);
        assert!(!is_broken_inside(&folder.path().join("y.sqlite-wal")).unwrap());
    }

    #[test]
    fn one_damaged_frame_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = make(folder.path());
        let log = folder.path().join("y.sqlite-wal");
        let mut bytes = fs::read(&log).unwrap();
        let middle = LOG_HEADER + 20 * (FRAME_HEADER + PAGE_SIZE) + FRAME_HEADER + 2000;
        bytes[middle] ^= 0xff;
        fs::write(&log, bytes).unwrap();
        assert!(is_broken_inside(&log).unwrap());
        let found = read(folder.path());
        all.retain(|blob| !found.contains(blob));
        assert!(all.len() <= 1, "{} blobs are lost", all.len());
    }

    #[test]
    fn a_damaged_header_of_the_log_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = make(folder.path());
        all.sort();
        let log = folder.path().join("y.sqlite-wal");
        let whole = fs::read(&log).unwrap();
        // Each byte of the header, and the salt of the first frame besides: what is lost is that frame at most.
        for at in 0..LOG_HEADER {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&log, &bytes).unwrap();
            assert!(is_broken_inside(&log).unwrap(), "byte {at}");
            assert_eq!(read(folder.path()), all, "byte {at}");
        }
        let mut bytes = whole;
        bytes[..LOG_HEADER + 12].fill(0x55);
        fs::write(&log, &bytes).unwrap();
        let found = read(folder.path());
        all.retain(|blob| !found.contains(blob));
        assert!(all.len() <= 1, "{} blobs are lost", all.len());
    }

    /// A frame that was hit where it says whose page it is hides no other page.
    #[test]
    fn a_frame_that_names_another_page_hides_none() {
        let folder = tempfile::tempdir().unwrap();
        let all = make(folder.path());
        let log = folder.path().join("y.sqlite-wal");
        let whole = fs::read(&log).unwrap();
        let places = || (LOG_HEADER..whole.len()).step_by(FRAME_HEADER + PAGE_SIZE);
        let page = |at: usize| be32(&whole, at).unwrap();
        let mut tried = 0;
        // The last frame claims to be each of the pages of the log in turn; what it holds itself may be lost.
        let last = places().next_back().unwrap();
        for other in places().map(page).filter(|other| *other != page(last)) {
            let mut bytes = whole.clone();
            bytes[last..last + 4].copy_from_slice(&other.to_be_bytes());
            // And the chain is broken before all of them.
            bytes[LOG_HEADER + 16] ^= 1;
            fs::write(&log, &bytes).unwrap();
            let found = read(folder.path());
            let lost = all.iter().filter(|blob| !found.contains(blob)).count();
            assert!(lost <= 1, "page {other}: {lost} blobs are lost");
            tried += 1;
        }
        assert!(tried > 20, "{tried} pages");
    }

    #[test]
    fn half_a_commit_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = make(folder.path());
        let [database, log] = ["y.sqlite", "y.sqlite-wal"].map(|name| folder.path().join(name));
        let connection = Connection::open(&database).unwrap();
        connection
            .execute_batch("PRAGMA locking_mode=EXCLUSIVE; PRAGMA wal_autocheckpoint=0; UPDATE t SET b = zeroblob(20000)")
            .unwrap();
        let kept = [&database, &log].map(|path| fs::read(path).unwrap());
        drop(connection);
        let [whole, mut torn] = kept;
        // The power went while the last pages of a commit were written.
        let end = torn.len() - 3 * (FRAME_HEADER + PAGE_SIZE) + 500;
        torn[end..end + 100].fill(1);
        fs::write(&database, whole).unwrap();
        fs::write(&log, torn).unwrap();
        assert!(is_broken_inside(&log).unwrap());
        let found = read(folder.path());
        all.retain(|blob| !found.contains(blob));
        assert!(
            all.is_empty(),
            "{} blobs that were committed are lost",
            all.len()
        );
    }

    #[test]
    fn any_damage_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let whole = fs::read(folder.path().join("y.sqlite")).unwrap();
        let mut state = 7u64;
        let mut chance = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize
        };
        for _ in 0..50 {
            let mut bytes = whole.clone();
            for _ in 0..200 {
                let at = chance() % bytes.len();
                bytes[at] = chance() as u8;
            }
            bytes.truncate(bytes.len() - chance() % (bytes.len() / 2));
            fs::write(folder.path().join("y.sqlite"), bytes).unwrap();
            read(folder.path());
        }
    }
}
