//! Where in a whole database and its log the blocks of a ledger lie, to the byte
//! (<https://www.sqlite.org/fileformat2.html> §1.5, §1.6, §4.1).

use std::{
    collections::{HashMap, HashSet},
    fs,
    ops::Range,
    path::Path,
};

use edge::buffer::StoredBlock;

/// The database and its log.
pub(crate) const FILES: [&str; 2] = ["buffer.sqlite", "buffer.sqlite-wal"];
const DATABASE: usize = 0;
const LOG: usize = 1;

const PAGE: usize = 4096;
/// The lengths of the database's header, of the log's and of a frame's.
const HEADER: usize = 100;
const LOG_HEADER: usize = 32;
const FRAME: usize = 24;
const LEAF_OF_A_TABLE: u8 = 0x0d;

fn be16(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

fn be32(bytes: &[u8], at: usize) -> usize {
    be16(bytes, at) << 16 | be16(bytes, at + 2)
}

/// The value of a varint and where it ends. No number here has nine bytes.
fn varint(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let mut value = 0;
    loop {
        value = value << 7 | usize::from(bytes[at] & 0x7f);
        at += 1;
        if bytes[at - 1] < 0x80 {
            return (value, at);
        }
    }
}

/// The contents of both files.
pub(crate) struct Files([Vec<u8>; 2]);

/// A range of a file.
type Place = (usize, Range<usize>);

/// The bytes that stand for one block alone.
pub(crate) struct Lie(Vec<Place>);

impl Lie {
    /// Whether any of them is not as it was.
    pub(crate) fn is_hit(&self, before: &Files, after: &Files) -> bool {
        let mut bytes = self.0.iter();
        bytes.any(|(file, range)| {
            before.0[*file].get(range.clone()) != after.0[*file].get(range.clone())
        })
    }
}

impl Files {
    pub(crate) fn read(folder: &Path) -> Self {
        Self(FILES.map(|name| fs::read(folder.join(name)).unwrap_or_default()))
    }

    /// Where each of these blocks lies; the files have to be whole.
    pub(crate) fn find(&self, blocks: &[StoredBlock]) -> Vec<Lie> {
        let pages = self.pages();
        let free = self.free(&pages);
        let by_digest: HashMap<[u8; 16], usize> = (blocks.iter().map(|block| block.digest.0))
            .zip(0..)
            .collect();
        let mut lies: Vec<Lie> = blocks.iter().map(|_| Lie(Vec::new())).collect();
        let mut found = vec![[0; 2]; blocks.len()];
        for number in pages.keys().filter(|number| !free.contains(number)) {
            for (record, ranges) in self.cells(*number, &pages) {
                let payload = blocks.iter().position(|one| record.ends_with(&one.bytes));
                let row = record.windows(16).find_map(|some| by_digest.get(some));
                let of = [payload, row.copied()];
                for (kind, index) in of.into_iter().enumerate() {
                    let Some(index) = index else { continue };
                    lies[index].0.extend(ranges.clone());
                    found[index][kind] += 1;
                }
            }
        }
        // Earlier versions of rows, which count when the log breaks off before the latest.
        for (number, place) in self.versions() {
            if pages[&number] == place {
                continue;
            }
            let mut before = pages.clone();
            before.insert(number, place);
            for (record, ranges) in self.cells(number, &before) {
                if record.len() < PAGE / 4
                    && let Some(index) = record.windows(16).find_map(|some| by_digest.get(some))
                {
                    lies[*index].0.extend(ranges);
                }
            }
        }
        assert!(
            found.iter().all(|found| *found == [1, 1]),
            "each block has its bytes and its row: {found:?}"
        );
        lies
    }

    /// All versions of all pages, in their order: the number, the file and where it begins there.
    fn versions(&self) -> Vec<(usize, (usize, usize))> {
        let [database, log] = &self.0;
        let pages = (0..database.len() / PAGE).map(|page| (page + 1, (DATABASE, page * PAGE)));
        let frames = (LOG_HEADER..log.len())
            .step_by(FRAME + PAGE)
            .filter(|at| at + FRAME + PAGE <= log.len() && log[at + 8..at + 16] == log[16..24])
            .map(|at| (be32(log, at), (LOG, at + FRAME)));
        pages.chain(frames).collect()
    }

    /// The latest version of each page.
    fn pages(&self) -> HashMap<usize, (usize, usize)> {
        self.versions().into_iter().collect()
    }

    fn page(&self, number: usize, pages: &HashMap<usize, (usize, usize)>) -> &[u8] {
        let (file, at) = pages[&number];
        &self.0[file][at..at + PAGE]
    }

    fn free(&self, pages: &HashMap<usize, (usize, usize)>) -> HashSet<usize> {
        let mut free = HashSet::new();
        let mut trunk = be32(self.page(1, pages), 32);
        while trunk != 0 {
            free.insert(trunk);
            let page = self.page(trunk, pages);
            free.extend((0..be32(page, 4)).map(|leaf| be32(page, 8 + 4 * leaf)));
            trunk = be32(page, 0);
        }
        free
    }

    /// The cells of a page that is a leaf of a table: what each holds, and all bytes that stand for it.
    fn cells(
        &self,
        number: usize,
        pages: &HashMap<usize, (usize, usize)>,
    ) -> Vec<(Vec<u8>, Vec<Place>)> {
        let page = self.page(number, pages);
        let head = if number == 1 { HEADER } else { 0 };
        if page[head] != LEAF_OF_A_TABLE {
            return Vec::new();
        }
        // A range of a page; of one in the log, with its frame's header.
        let place = |number: usize, range: Range<usize>| {
            let (file, at) = pages[&number];
            let range = (file, at + range.start..at + range.end);
            let frame = (file == LOG).then_some((LOG, at.saturating_sub(FRAME)..at));
            [Some(range), frame].into_iter().flatten()
        };
        let cell = |index: usize| {
            let slot = head + 8 + 2 * index;
            let at = be16(page, slot);
            let (length, after) = varint(page, at);
            let (_, from) = varint(page, after);
            let most = PAGE - 35;
            let least = (PAGE - 12) * 32 / 255 - 23;
            let local = match length {
                short if short <= most => short,
                _ => match least + (length - least) % (PAGE - 4) {
                    local if local <= most => local,
                    _ => least,
                },
            };
            let overflows = local < length;
            let end = from + local + if overflows { 4 } else { 0 };
            let mut record = page[from..from + local].to_vec();
            let mut ranges: Vec<_> = [head..head + 8, slot..slot + 2, at..end]
                .into_iter()
                .flat_map(|range| place(number, range))
                .collect();
            let mut next = if overflows {
                be32(page, from + local)
            } else {
                0
            };
            while record.len() < length {
                let overflow = self.page(next, pages);
                let part = (length - record.len()).min(PAGE - 4);
                record.extend(&overflow[4..4 + part]);
                ranges.extend(place(next, 0..4 + part));
                next = be32(overflow, 0);
            }
            (record, ranges)
        };
        (0..be16(page, head + 3)).map(cell).collect()
    }
}
