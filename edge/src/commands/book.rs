//! The ids of commands, remembered on disk until they have expired: a file with a line for each, `id expires begun` or
//! `id expires answered`, where the last line about an id counts. What a power cut leaves of a line counts for nothing: its
//! command was not begun.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use crate::replace;

const NAME: &str = "commands";
/// Commands that are remembered at once; the cloud sends a few a day.
const MOST: usize = 10_000;

/// How far a command has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Begun,
    Answered,
}

#[derive(Debug)]
pub(super) struct Book {
    file: File,
    known: HashMap<[u8; 16], Known>,
    /// The last line may be cut off.
    torn: bool,
}

impl Book {
    /// Opens the book and leaves out what has expired by now, in microseconds since 1970.
    pub(super) fn open(folder: &Path, now_us: i64) -> io::Result<Self> {
        let path = folder.join(NAME);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut lines: HashMap<[u8; 16], (i64, Known)> = HashMap::new();
        for (id, expires, known) in text.split_inclusive('\n').filter_map(parse) {
            if expires >= now_us {
                lines.insert(id, (expires, known));
            }
        }
        let known: String = lines
            .iter()
            .map(|(id, (expires, known))| line(id, *expires, *known))
            .collect();
        replace(&path, known.as_bytes())?;
        Ok(Self {
            file: OpenOptions::new().append(true).open(&path)?,
            known: lines
                .into_iter()
                .map(|(id, (_, known))| (id, known))
                .collect(),
            torn: false,
        })
    }

    pub(super) fn knows(&self, id: &[u8; 16]) -> Option<Known> {
        self.known.get(id).copied()
    }

    /// Returns when it is on the disk.
    pub(super) fn write(&mut self, id: &[u8; 16], expires_us: i64, known: Known) -> io::Result<()> {
        if self.known.len() >= MOST && !self.known.contains_key(id) {
            return Err(io::Error::other(format!(
                "{MOST} commands have come since the start; start the gateway again"
            )));
        }
        let end = if self.torn { "\n" } else { "" };
        let line = format!("{end}{}", line(id, expires_us, known));
        self.torn = true;
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.torn = false;
        self.known.insert(*id, known);
        Ok(())
    }
}

fn line(id: &[u8; 16], expires_us: i64, known: Known) -> String {
    let known = match known {
        Known::Begun => "begun",
        Known::Answered => "answered",
    };
    format!("{} {expires_us} {known}\n", hex::encode(id))
}

fn parse(line: &str) -> Option<([u8; 16], i64, Known)> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    let mut id = [0; 16];
    hex::decode_to_slice(words.next()?, &mut id).ok()?;
    let expires = words.next()?.parse().ok()?;
    let known = match words.next()? {
        "begun" => Known::Begun,
        "answered" => Known::Answered,
        _ => return None,
    };
    Some((id, expires, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_known_to_the_next_run_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = Book::open(folder.path(), 0).unwrap();
        book.write(&[1; 16], 1_000, Known::Begun).unwrap();
        book.write(&[2; 16], 2_000, Known::Begun).unwrap();
        book.write(&[2; 16], 2_000, Known::Answered).unwrap();
        let book = Book::open(folder.path(), 1_000).unwrap();
        assert_eq!(book.knows(&[1; 16]), Some(Known::Begun));
        assert_eq!(book.knows(&[2; 16]), Some(Known::Answered));
        assert_eq!(book.knows(&[3; 16]), None);
        let book = Book::open(folder.path(), 1_001).unwrap();
        assert_eq!(book.knows(&[1; 16]), None);
        assert_eq!(book.knows(&[2; 16]), Some(Known::Answered));
    }

    /// Cut off at each byte: what was whole before stays, and nothing else comes of it.
    #[test]
    fn a_line_that_was_cut_off_counts_for_nothing() {
        let whole = line(&[1; 16], 9, Known::Begun) + &line(&[2; 16], 9, Known::Begun);
        let first = whole.len() / 2;
        for length in 0..whole.len() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(NAME), &whole[..length]).unwrap();
            let book = Book::open(folder.path(), 0).unwrap();
            assert_eq!(book.knows(&[1; 16]).is_some(), length >= first, "{length}");
            assert_eq!(book.knows(&[2; 16]), None, "{length}");
        }
    }

    #[test]
    fn damage_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0xff, 0xfe, b'\n', b'x', b' ', b'\n'];
        bytes.extend(line(&[1; 16], 9, Known::Answered).bytes());
        fs::write(folder.path().join(NAME), bytes).unwrap();
        let book = Book::open(folder.path(), 0).unwrap();
        assert_eq!(book.knows(&[1; 16]), Some(Known::Answered));
    }
}
