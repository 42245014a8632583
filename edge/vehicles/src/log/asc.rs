//! Vector's ASC, classic and FD. The header says the base of identifiers and data, and whether each time counts from the
//! beginning or from the event before.

use isotp::CanId;

use super::{
    LogErrorKind, LogFrame,
    text::{bytes, form, id_of, length_of_code, number, seconds, word},
};

/// Flags of a `CANFD` line: a remote frame; the frame has the FD format.
const FLAG_REMOTE: u32 = 0x10;
const FLAG_FD: u32 = 0x1000;

/// What the header said, and the time so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    base: u32,
    relative: bool,
    time_us: u64,
}

/// Whether a line begins such a recording.
pub(super) fn detect(line: &str) -> Option<State> {
    let lower = line.to_ascii_lowercase();
    let begins = ["date ", "base hex", "base dec", "begin triggerblock"]
        .iter()
        .any(|b| lower.starts_with(b));
    begins.then_some(State {
        base: 16,
        relative: false,
        time_us: 0,
    })
}

impl State {
    pub(super) fn read(&mut self, line: &str) -> Result<Option<LogFrame>, LogErrorKind> {
        let lower = line.to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("base ") {
            self.base = if rest.trim_start().starts_with("dec") {
                10
            } else {
                16
            };
            self.relative = rest.contains("relative");
            return Ok(None);
        }
        // Everything that happens begins with its time; the rest is header, trigger and comment.
        if !line.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let time = seconds(word(&mut words, "a time")?)?;
        self.time_us = if self.relative {
            self.time_us.saturating_add(time)
        } else {
            time
        };
        match words.next() {
            Some("CANFD") => self.fd(words),
            Some(channel) if channel.bytes().all(|b| b.is_ascii_digit()) => {
                self.classic(channel, words)
            }
            // Status, statistics and other buses.
            _ => Ok(None),
        }
    }

    fn classic<'t>(
        &self,
        channel: &str,
        mut words: impl Iterator<Item = &'t str> + Clone,
    ) -> Result<Option<LogFrame>, LogErrorKind> {
        let bus = bus(channel)?;
        let Some(id) = words.next() else {
            return Ok(None);
        };
        if id.eq_ignore_ascii_case("ErrorFrame") {
            return Ok(Some(self.error(bus)?));
        }
        // Only frames have a direction behind the identifier.
        if !matches!(words.next(), Some("Rx" | "Tx" | "TxRq")) {
            return Ok(None);
        }
        let id = self.id(id)?;
        let kind = word(&mut words, "d or r")?;
        let frame = |remote, data| LogFrame {
            time_us: self.time_us,
            bus,
            id,
            fd: false,
            remote,
            error: false,
            data,
        };
        match kind {
            "r" => Ok(Some(frame(true, Vec::new()))),
            "d" => {
                let text = word(&mut words, "a data length code")?;
                let Some(code) = number(text, self.base) else {
                    return form("a data length code", text);
                };
                // A code above 8 still means eight bytes in a classic frame.
                Ok(Some(frame(
                    false,
                    bytes(&mut words, code.min(8) as usize, self.base)?,
                )))
            }
            other => form("d or r", other),
        }
    }

    fn fd<'t>(
        &self,
        mut words: impl Iterator<Item = &'t str> + Clone,
    ) -> Result<Option<LogFrame>, LogErrorKind> {
        let bus = bus(word(&mut words, "a channel")?)?;
        word(&mut words, "a direction")?;
        let text = word(&mut words, "an identifier")?;
        if text.eq_ignore_ascii_case("ErrorFrame") {
            return Ok(Some(self.error(bus)?));
        }
        let id = self.id(text)?;
        let mut next = word(&mut words, "the bit rate switch")?;
        if !matches!(next, "0" | "1") {
            // The message's name, if it has one.
            next = word(&mut words, "the bit rate switch")?;
        }
        if !matches!(next, "0" | "1") {
            return form("the bit rate switch, 0 or 1", next);
        }
        word(&mut words, "the error state")?;
        let text = word(&mut words, "a data length code")?;
        let Some(code) = number(text, 16).filter(|&code| code <= 15) else {
            return form("a data length code", text);
        };
        let text = word(&mut words, "a length")?;
        let Some(length) = text.parse().ok().filter(|&length: &usize| length <= 64) else {
            return form("a length of at most 64", text);
        };
        let data = bytes(&mut words, length, self.base)?;
        // Duration, length in bits, then flags.
        let flags = words.nth(2).and_then(|flags| number(flags, 16));
        // Some writers leave the flags 0.
        let fd = length > 8 || flags.is_none_or(|flags| flags == 0 || flags & FLAG_FD != 0);
        let remote = flags.is_some_and(|flags| flags & FLAG_REMOTE != 0);
        if !remote && length_of_code(code, fd) != Some(length) {
            return Err(LogErrorKind::Length {
                announced: length_of_code(code, fd).unwrap_or(0),
                found: length,
            });
        }
        Ok(Some(LogFrame {
            time_us: self.time_us,
            bus,
            id,
            fd,
            remote,
            error: false,
            data,
        }))
    }

    fn id(&self, text: &str) -> Result<CanId, LogErrorKind> {
        let (digits, extended) = match text.strip_suffix(['x', 'X']) {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        match number(digits, self.base) {
            Some(raw) => id_of(raw, extended, text),
            None => form("an identifier", text),
        }
    }

    fn error(&self, bus: u16) -> Result<LogFrame, LogErrorKind> {
        let id = id_of(0, false, "")?;
        Ok(LogFrame {
            time_us: self.time_us,
            bus,
            id,
            fd: false,
            remote: false,
            error: true,
            data: Vec::new(),
        })
    }
}

fn bus(text: &str) -> Result<u16, LogErrorKind> {
    text.parse().or_else(|_| form("a channel", text))
}
