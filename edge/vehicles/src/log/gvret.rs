//! GVRET CSV, as SavvyCAN writes it: time in microseconds, identifier and data in hexadecimal. The header names the
//! columns; `Dir` is there only in newer versions.

use super::{
    LogErrorKind, LogFrame,
    text::{fixed, form, id_of, number},
};

/// Which column is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    time: usize,
    id: usize,
    extended: Option<usize>,
    bus: Option<usize>,
    length: usize,
    data: usize,
}

impl Columns {
    /// From a header, or from a row if it looks like one.
    pub(super) fn detect(line: &str) -> Option<Self> {
        let cells: Vec<String> = line
            .split(',')
            .map(|cell| cell.trim().to_ascii_lowercase())
            .collect();
        let place = |names: &[&str]| cells.iter().position(|cell| names.contains(&cell.as_str()));
        if let (Some(time), Some(id), Some(length)) = (
            place(&["time stamp", "timestamp"]),
            place(&["id"]),
            place(&["len", "length"]),
        ) {
            let data = place(&["d1"]).unwrap_or(length + 1);
            return Some(Self {
                time,
                id,
                extended: place(&["extended"]),
                bus: place(&["bus"]),
                length,
                data,
            });
        }
        let is_row = cells.len() >= 5
            && fixed(&cells[0], 0).is_some()
            && number(&cells[1], 16).is_some()
            && matches!(cells[2].as_str(), "true" | "false");
        let direction = usize::from(matches!(
            cells.get(3).map(String::as_str),
            Some("rx" | "tx")
        ));
        is_row.then_some(Self {
            time: 0,
            id: 1,
            extended: Some(2),
            bus: Some(3 + direction),
            length: 4 + direction,
            data: 5 + direction,
        })
    }

    pub(super) fn read(self, line: &str) -> Result<Option<LogFrame>, LogErrorKind> {
        if self.is_header(line) {
            return Ok(None);
        }
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let cell = |at: usize, expected| {
            cells
                .get(at)
                .copied()
                .ok_or(LogErrorKind::Ends { expected })
        };
        let time = cell(self.time, "a time in microseconds")?;
        let Some(time_us) = fixed(time, 0) else {
            return form("a time in microseconds", time);
        };
        let id = cell(self.id, "an identifier")?;
        let Some(raw) = number(id, 16) else {
            return form("an identifier", id);
        };
        let extended = match self.extended {
            None => raw > 0x7FF,
            Some(at) => match cell(at, "true or false")?.to_ascii_lowercase().as_str() {
                "true" | "1" => true,
                "false" | "0" => false,
                other => return form("true or false", other),
            },
        };
        let bus = match self.bus {
            None => 0,
            Some(at) => {
                let text = cell(at, "a bus")?;
                match text.parse() {
                    Ok(bus) => bus,
                    Err(_) => return form("a bus", text),
                }
            }
        };
        let text = cell(self.length, "a length")?;
        let Some(length) = text.parse().ok().filter(|&length: &usize| length <= 64) else {
            return form("a length of at most 64", text);
        };
        let mut data = Vec::with_capacity(length);
        for cell in cells
            .iter()
            .skip(self.data)
            .take(length)
            .filter(|cell| !cell.is_empty())
        {
            match number(cell, 16).and_then(|byte| u8::try_from(byte).ok()) {
                Some(byte) => data.push(byte),
                None => return form("a byte of data", cell),
            }
        }
        if data.len() < length {
            return Err(LogErrorKind::Length {
                announced: length,
                found: data.len(),
            });
        }
        let id = id_of(raw, extended, id)?;
        Ok(Some(LogFrame {
            time_us,
            bus,
            id,
            fd: length > 8,
            remote: false,
            error: false,
            data,
        }))
    }

    /// Headers are repeated where recordings were put together.
    fn is_header(self, line: &str) -> bool {
        line.split(',')
            .nth(self.id)
            .is_some_and(|cell| cell.trim().eq_ignore_ascii_case("id"))
    }
}
