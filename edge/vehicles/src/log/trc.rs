//! PEAK's TRC, versions 1.0 to 2.1. Times are milliseconds from the beginning; four digits of an identifier are 11 bit,
//! eight are 29 bit.

use super::{
    LogErrorKind, LogFrame,
    text::{bytes, form, id_of, length_of_code, milliseconds, number, word},
};

/// Version and columns, as the header says them.
#[derive(Clone, Debug)]
pub(super) struct State {
    columns: String,
}

/// Columns of each version, in the letters that version 2 uses for them.
const VERSIONS: [(&str, &str); 6] = [
    ("1.0", "NOIlD"),
    ("1.1", "NOTIlD"),
    ("1.2", "NOBTIlD"),
    ("1.3", "NOBTIRlD"),
    ("2.0", "NOTIdlD"),
    ("2.1", "NOTBIdRLD"),
];

/// Whether a line begins such a recording. Version 1.0 does not say what it is, but begins with a line of `#`.
pub(super) fn detect(line: &str) -> Option<State> {
    let version = match line.strip_prefix(";$FILEVERSION=") {
        Some(version) => version.trim(),
        None if line.starts_with(";###") => "1.0",
        None => return None,
    };
    let columns = VERSIONS
        .iter()
        .find(|(known, _)| *known == version)
        .map_or("NOTIdlD", |(_, columns)| columns);
    Some(State {
        columns: columns.to_owned(),
    })
}

impl State {
    pub(super) fn read(&mut self, line: &str) -> Result<Option<LogFrame>, LogErrorKind> {
        if let Some(columns) = line.strip_prefix(";$COLUMNS=") {
            self.columns = columns.chars().filter(char::is_ascii_alphabetic).collect();
            return Ok(None);
        }
        if line.is_empty() || line.starts_with(';') {
            return Ok(None);
        }
        let (mut time_us, mut bus, mut id, mut kind, mut length) = (0, 0, None, "DT", None);
        let mut words = line.split_whitespace();
        for column in self.columns.chars() {
            if column == 'D' {
                break;
            }
            let text = word(&mut words, "another column")?;
            match column {
                'O' => time_us = milliseconds(text)?,
                'B' => bus = text.parse().or_else(|_| form("a bus", text))?,
                'T' => {
                    kind = text;
                    // Status, event and error counter lines are not frames, and lack columns.
                    if matches!(kind, "ST" | "EC" | "EV" | "Warng" | "Error" | "Event") {
                        return Ok(None);
                    }
                }
                'I' => match number(text, 16) {
                    Some(u32::MAX) => return Ok(None),
                    Some(raw) => id = Some(id_of(raw, text.len() > 4, text)?),
                    None if kind == "ER" => {}
                    None => return form("an identifier", text),
                },
                'l' | 'L' => {
                    let fd = matches!(kind, "FD" | "FB" | "FE" | "BI");
                    let count = number(text, 10);
                    let bytes = if column == 'L' {
                        count.and_then(|code| length_of_code(code, fd))
                    } else {
                        count
                            .map(|count| count as usize)
                            .filter(|&count| count <= 64)
                    };
                    length = Some(bytes.map_or_else(|| form("a length", text), Ok)?);
                }
                _ => {}
            }
        }
        let fd = matches!(kind, "FD" | "FB" | "FE" | "BI");
        let error = kind == "ER";
        let mut rest = words.clone();
        let remote = kind == "RR" || rest.next() == Some("RTR");
        let id = match id {
            Some(id) => id,
            None if error => id_of(0, false, "")?,
            None => {
                return Err(LogErrorKind::Ends {
                    expected: "an identifier",
                });
            }
        };
        let data = if remote || error {
            Vec::new()
        } else {
            bytes(&mut words, length.unwrap_or(0), 16)?
        };
        Ok(Some(LogFrame {
            time_us,
            bus,
            id,
            fd,
            remote,
            error,
            data,
        }))
    }
}
