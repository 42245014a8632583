//! One thing that is wrong with a file, and all of them.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Place in a text, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Position {
    pub(crate) fn in_text(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        Self {
            line,
            column: before[start..].chars().count() + 1,
        }
    }
}

/// One thing that is wrong with a file. Prints as `file:line:column: key: problem (hint)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named by the caller.
    pub file: PathBuf,
    /// Where in it; `None` when the whole file is meant.
    pub position: Option<Position>,
    /// The key with its tables (`can[2].profile`, counted from 0); empty when none is meant.
    pub key: String,
    /// What was expected and what was found.
    pub problem: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Fault {
    /// A fault of the file as a whole.
    pub fn of_file(file: &Path, problem: &str) -> Self {
        Self {
            file: file.to_owned(),
            position: None,
            key: String::new(),
            problem: problem.to_owned(),
            hint: String::new(),
        }
    }

    /// The same fault with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.problem)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with one file or several, by file and line. Prints one fault per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// `Ok` when there are none.
    pub fn check(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Self::from(faults))
        }
    }

    /// The faults, by file and line.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// The faults, by file and line.
    pub fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}

impl From<Vec<Fault>> for Faults {
    fn from(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
        Self(faults)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Shortens what is quoted from a file to one readable line.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut clipped = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            clipped.push('…');
            break;
        }
        // Quotes stay as they are; only what would break the line, or hide in it, is escaped.
        if character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}')
        {
            clipped.extend(character.escape_default());
        } else {
            clipped.push(character);
        }
    }
    clipped
}
