//! Where each key of a file stands, so that a check made later can point at its line.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fs::{self, File},
    hash::Hash,
    ops::Range,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use crate::{Fault, Position};

/// Texts of files by their paths, which stand for the disk: see [`crate::parse_among`].
pub type Texts = Arc<BTreeMap<String, String>>;

/// Where each key of a file stands. Key paths are written as in faults: `gateway.id`, `can[2].profile` (counted
/// from 0), names that are not bare keys in quotes.
#[derive(Clone, Debug)]
pub struct Spans {
    file: PathBuf,
    lines: Lines,
    of: HashMap<String, Range<usize>>,
    /// Where other files are looked for; `None`: on the disk.
    among: Option<Texts>,
}

/// Where the lines of a text begin. Kept with the text, because columns are counted in characters.
#[derive(Clone, Debug)]
struct Lines {
    text: String,
    starts: Vec<usize>,
}

impl Spans {
    pub(crate) fn new(file: &Path, text: &str) -> Self {
        let starts = std::iter::once(0)
            .chain(
                text.bytes()
                    .enumerate()
                    .filter(|(_, b)| *b == b'\n')
                    .map(|(at, _)| at + 1),
            )
            .collect();
        Self {
            file: file.to_owned(),
            lines: Lines {
                text: text.to_owned(),
                starts,
            },
            of: HashMap::new(),
            among: None,
        }
    }

    /// The same with other files looked for among these.
    pub(crate) fn among(mut self, texts: Option<Texts>) -> Self {
        self.among = texts;
        self
    }

    /// Where other files are looked for; `None`: on the disk.
    pub(crate) fn texts(&self) -> Option<&Texts> {
        self.among.as_ref()
    }

    pub(crate) fn insert(&mut self, path: &str, span: Range<usize>) {
        self.of.insert(path.to_owned(), span);
    }

    /// The file, as it was named by the caller.
    pub fn file_name(&self) -> &Path {
        &self.file
    }

    /// A fault of this key; when the file does not have it, the place is that of the nearest table around it.
    pub fn fault(&self, key: &str, expected: impl AsRef<str>, found: impl AsRef<str>) -> Fault {
        self.problem(
            key,
            format!("expected {}, found {}", expected.as_ref(), found.as_ref()),
        )
    }

    /// Like [`Spans::fault`] with the problem in the caller's own words.
    pub fn problem(&self, key: &str, problem: impl Into<String>) -> Fault {
        Fault {
            file: self.file.clone(),
            position: Some(self.position(key)),
            key: key.to_owned(),
            problem: problem.into(),
            hint: String::new(),
        }
    }

    /// A fault for the second and every further key that has the same value as one before.
    pub fn repeated<T: Hash + Eq>(
        &self,
        expected: &str,
        keys: impl IntoIterator<Item = (String, T)>,
    ) -> Vec<Fault> {
        let mut first: HashMap<T, String> = HashMap::new();
        let mut faults = Vec::new();
        for (key, value) in keys {
            match first.entry(value) {
                Entry::Occupied(entry) => {
                    let line = self.position(entry.get()).line;
                    let found = format!("the same as {} on line {line}", entry.get());
                    faults.push(self.fault(&key, expected, found));
                }
                Entry::Vacant(entry) => {
                    entry.insert(key);
                }
            }
        }
        faults
    }

    /// Where this key's value stands, or the nearest table around it.
    pub fn position(&self, key: &str) -> Position {
        let mut path = key;
        loop {
            if let Some(span) = self.of.get(path) {
                return self.lines.position(span.start);
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.lines.position(0),
            }
        }
    }

    /// Whether the file itself has this key (a default that was filled in does not count).
    pub fn has(&self, key: &str) -> bool {
        self.of.contains_key(key)
    }

    /// A path that stands in the file, seen from the folder of the file.
    pub fn resolve(&self, written: &Path) -> PathBuf {
        match self.file.parent() {
            Some(folder) => folder.join(written),
            None => written.to_owned(),
        }
    }

    /// Like [`Spans::resolve`] for the path of a file that must be there and be readable, as the value of `key`.
    pub fn existing_file(&self, key: &str, written: &Path) -> Result<PathBuf, Fault> {
        let path = self.resolve(written);
        if let Some(texts) = &self.among {
            let path = plain(&path);
            if path.to_str().is_some_and(|path| texts.contains_key(path)) {
                return Ok(path);
            }
            let expected = "a file that came with this one, or the name of one that ships";
            return Err(self.fault(key, expected, format!("`{}`", written.display())));
        }
        // Opening what is no file, a pipe for one, might wait for ever.
        let found = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => "a folder".to_owned(),
            Ok(metadata) if !metadata.is_file() => "something else".to_owned(),
            Ok(_) => match File::open(&path) {
                Ok(_) => return Ok(path),
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "none".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(self.fault(key, format!("a readable file at {}", path.display()), found))
    }

    /// A fault at a place of the text; its key is the innermost that begins there or before.
    pub(crate) fn fault_at(&self, offset: usize, problem: &str) -> Fault {
        let key = self
            .of
            .iter()
            .filter(|(_, span)| span.start <= offset && offset <= span.end)
            .min_by_key(|(path, span)| (span.len(), std::cmp::Reverse(path.len())))
            .map_or(String::new(), |(path, _)| path.clone());
        Fault {
            file: self.file.clone(),
            position: Some(self.lines.position(offset)),
            key,
            problem: problem.to_owned(),
            hint: String::new(),
        }
    }

    pub(crate) fn position_at(&self, offset: usize) -> Position {
        self.lines.position(offset)
    }
}

/// A path without `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}

impl Lines {
    fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        let end = self.text.floor_char_boundary(offset);
        let start = self.starts[line - 1].min(end);
        Position {
            line,
            column: self.text[start..end].chars().count() + 1,
        }
    }
}
