//! candump of can-utils, both as log (`-L`: `(1.5) can0 123#1122`) and as text (`can0  123   [2]  11 22`, with any of the
//! `-t` time stamps, with `-x` and `-a`). Programs that print the like are read, too.

use super::{
    LogErrorKind, LogFrame,
    text::{bus_of, bytes, fixed, form, id, number, packed, word},
};

/// Bit 29 of the number in a log marks an error frame (`CAN_ERR_FLAG`).
const ERROR: u32 = 1 << 29;

/// Whether a line is one of candump's.
pub(super) fn detect(line: &str) -> bool {
    !line.starts_with(['#', ';']) && read(line).is_ok_and(|frame| frame.is_some())
}

pub(super) fn read(line: &str) -> Result<Option<LogFrame>, LogErrorKind> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (time_us, rest) = match line.strip_prefix('(') {
        None => (0, line),
        Some(rest) => {
            let Some((time, rest)) = rest.split_once(')') else {
                return form("a time in parentheses", line);
            };
            (time_of(time.trim())?, rest)
        }
    };
    let mut words = rest.split_whitespace();
    let bus = bus_of(word(&mut words, "an interface")?);
    let mut next = word(&mut words, "an identifier")?;
    if let Some((number, data)) = next.split_once('#') {
        return log_line(time_us, bus, number, data).map(Some);
    }
    // `-x` puts direction and flags before the identifier: `RX - -`.
    if matches!(next, "RX" | "TX") {
        next = word(&mut words, "an identifier")?;
        while matches!(next, "-" | "B" | "E") && next.len() == 1 {
            next = word(&mut words, "an identifier")?;
        }
    }
    let (id, error) = identifier(next)?;
    let count = word(&mut words, "a length in brackets")?;
    let inner = count
        .strip_prefix('[')
        .and_then(|count| count.strip_suffix(']'));
    let Some(length) = inner
        .and_then(|text| text.parse().ok())
        .filter(|&length: &usize| length <= 64)
    else {
        return form("a length in brackets", count);
    };
    let mut peek = words.clone();
    let remote = peek.next() == Some("remote");
    let data = if remote {
        Vec::new()
    } else {
        bytes(&mut words, length, 16)?
    };
    // candump writes the length of a CAN FD frame with two digits.
    let fd = inner.is_some_and(|text| text.len() == 2);
    let error = error || words.any(|word| word == "ERRORFRAME");
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

fn log_line(time_us: u64, bus: u16, id: &str, data: &str) -> Result<LogFrame, LogErrorKind> {
    let (id, error) = identifier(id)?;
    let frame = |fd, remote, data| LogFrame {
        time_us,
        bus,
        id,
        fd,
        remote,
        error,
        data,
    };
    if let Some(data) = data.strip_prefix('#') {
        // One digit of flags (BRS, ESI) before the data of a CAN FD frame.
        let flags_and_data = data
            .split_at_checked(1)
            .filter(|(flags, _)| number(flags, 16).is_some());
        let Some((_, data)) = flags_and_data else {
            return form("the flags of a CAN FD frame", data);
        };
        return Ok(frame(true, false, packed(data)?));
    }
    if data.starts_with('R') {
        return Ok(frame(false, true, Vec::new()));
    }
    // A raw data length code may follow (`_E`), and bytes may be set apart by dots.
    let data = data.split('_').next().unwrap_or_default().replace('.', "");
    let data = packed(&data)?;
    if data.len() > 8 {
        return Err(LogErrorKind::Length {
            announced: 8,
            found: data.len(),
        });
    }
    Ok(frame(false, false, data))
}

fn identifier(text: &str) -> Result<(isotp::CanId, bool), LogErrorKind> {
    match number(text, 16) {
        Some(raw) if text.len() > 3 && raw & ERROR != 0 && raw & (1 << 31 | 1 << 30) == 0 => {
            Ok((super::text::id_of(raw & !ERROR, true, text)?, true))
        }
        _ => Ok((id(text)?, false)),
    }
}

/// `12.5` seconds, or a date with `-t A`.
fn time_of(text: &str) -> Result<u64, LogErrorKind> {
    let expected = "a time in seconds or a date";
    if let Some(time) = fixed(text, 6) {
        return Ok(time);
    }
    date(text).map_or_else(|| form(expected, text), Ok)
}

/// `2015-07-10 08:17:32.249713`, taken as UTC.
fn date(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(' ')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (
        time.next()?.parse::<u64>().ok()?,
        time.next()?.parse::<u64>().ok()?,
    );
    let second = fixed(time.next()?, 6)?;
    if !(1970..3000).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
    {
        return None;
    }
    // Years begin in March, so that the leap day is their last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60) * 1_000_000 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc() {
        assert_eq!(date("1970-01-01 00:00:00.000000"), Some(0));
        assert_eq!(
            date("2015-07-10 08:17:32.249713"),
            Some(1_436_516_252_249_713)
        );
        assert_eq!(date("2000-02-29 23:59:59"), Some(951_868_799_000_000));
        assert_eq!(date("2000-13-01 00:00:00"), None);
    }
}
