//! A line of an answer: a frame, a message of the adapter, or damage.

use isotp::{CanId, Frame};

/// What the adapter says instead of data (ELM327DS, *Error Messages and Alerts*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// `OK`.
    Ok,
    /// `?`: it does not know the command.
    Unknown,
    /// `NO DATA`: nobody answered in time.
    NoData,
    /// `SEARCHING...`: it looks for the protocol; an answer may follow.
    Searching,
    /// `STOPPED`: a character came while it was waiting; answers are lost.
    Stopped,
    /// `BUFFER FULL`: the vehicle said more than the line takes; answers are lost.
    BufferFull,
    /// `CAN ERROR`, `BUS ERROR`, `FB ERROR`, `BUS BUSY`, `BUS INIT: ...ERROR`: nothing can be sent or read.
    Bus,
    /// `UNABLE TO CONNECT`: no protocol fits.
    UnableToConnect,
    /// `DATA ERROR`, `RX ERROR`, alone on a line: something came, damaged.
    Damaged,
    /// `LV RESET`, `ERRxx`, or the greeting: it has forgotten all settings.
    Reset,
    /// `LP ALERT`, `ACT ALERT`: it is about to sleep.
    Sleepy,
}

/// Why a line that should be a frame is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// The adapter marked it: `<DATA ERROR`, `<RX ERROR`.
    Marked,
    /// Half a byte: digits were lost.
    HalfByte,
    /// More than eight bytes: lines ran together.
    TooLong,
    /// Neither digits nor a message that is known.
    Foreign,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A frame with its identifier.
    Frame(Frame),
    /// Digits without an identifier, as adapters write that know no headers.
    Digits(String),
    /// Says something.
    Message(Message),
    /// Cannot be used.
    Damaged(Damage),
}

const MESSAGES: &[(&str, Message)] = &[
    ("UNABLETOCONNECT", Message::UnableToConnect),
    ("NODATA", Message::NoData),
    ("STOPPED", Message::Stopped),
    ("BUFFERFULL", Message::BufferFull),
    ("LVRESET", Message::Reset),
    ("ELM327", Message::Reset),
    ("LPALERT", Message::Sleepy),
    ("ACTALERT", Message::Sleepy),
    ("CANERROR", Message::Bus),
    ("BUSERROR", Message::Bus),
    ("BUSBUSY", Message::Bus),
    ("FBERROR", Message::Bus),
    ("BUSINIT", Message::Bus),
    ("<DATAERROR", Message::Damaged),
    ("<RXERROR", Message::Damaged),
    ("DATAERROR", Message::Damaged),
    ("RXERROR", Message::Damaged),
];

/// Reads one line. With `headers`, digits begin with an identifier of 11 or, if `extended`, 29 bits.
pub fn read_line(line: &str, headers: bool, extended: bool) -> Line {
    let text: String = line
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '\0')
        .map(|c| c.to_ascii_uppercase())
        .collect();
    // The answer may follow on the same line.
    let rest = text.trim_start_matches("SEARCHING").trim_start_matches('.');
    if rest.is_empty() && !text.is_empty() {
        return Line::Message(Message::Searching);
    }
    let text = rest;
    match text {
        "OK" => return Line::Message(Message::Ok),
        "?" => return Line::Message(Message::Unknown),
        _ => {}
    }
    if let Some((_, message)) = MESSAGES.iter().find(|(begin, _)| text.starts_with(begin)) {
        return Line::Message(*message);
    }
    // ERR94 and the like. ERR is no hexadecimal digit, so no data begins so.
    if text.starts_with("ERR") {
        return Line::Message(Message::Reset);
    }
    if text.contains("<DATAERROR") || text.contains("<RXERROR") {
        return Line::Damaged(Damage::Marked);
    }
    // A message behind data: the digits before it are of a frame that was not read to its end.
    if let Some((_, message)) = MESSAGES
        .iter()
        .filter(|(_, message)| {
            matches!(
                message,
                Message::Reset | Message::BufferFull | Message::Stopped
            )
        })
        .find(|(end, _)| text.contains(end))
    {
        return Line::Message(*message);
    }
    if !headers {
        let digits = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return if digits && !text.is_empty() {
            Line::Digits(text.to_owned())
        } else {
            Line::Damaged(Damage::Foreign)
        };
    }
    frame(text, extended).map_or_else(Line::Damaged, Line::Frame)
}

fn frame(text: &str, extended: bool) -> Result<Frame, Damage> {
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Damage::Foreign);
    }
    let (id, digits) = text
        .split_at_checked(if extended { 8 } else { 3 })
        .ok_or(Damage::Foreign)?;
    let id: CanId = id.parse().map_err(|_| Damage::Foreign)?;
    Frame::classic(id, &bytes(digits)?).map_err(|_| Damage::TooLong)
}

/// Pairs of hexadecimal digits.
pub(crate) fn bytes(digits: &str) -> Result<Vec<u8>, Damage> {
    let value = |b: u8| char::from(b).to_digit(16).ok_or(Damage::Foreign);
    let pairs = digits.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(Damage::HalfByte);
    }
    pairs
        .map(|pair| Ok((value(pair[0])? << 4 | value(pair[1])?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_adapters() {
        let says = |text: &str| read_line(text, true, false);
        for (text, message) in [
            ("OK", Message::Ok),
            ("?", Message::Unknown),
            ("NO DATA", Message::NoData),
            ("no data", Message::NoData),
            ("SEARCHING...", Message::Searching),
            ("STOPPED", Message::Stopped),
            ("BUFFER FULL", Message::BufferFull),
            ("7E8 10 14 62 BUFFER FULL", Message::BufferFull),
            ("CAN ERROR", Message::Bus),
            ("BUS INIT: ...ERROR", Message::Bus),
            ("UNABLE TO CONNECT", Message::UnableToConnect),
            ("SEARCHING...UNABLE TO CONNECT", Message::UnableToConnect),
            ("<RX ERROR", Message::Damaged),
            ("LV RESET", Message::Reset),
            ("ERR94", Message::Reset),
            ("ELM327 v1.5", Message::Reset),
            ("LP ALERT", Message::Sleepy),
        ] {
            assert_eq!(says(text), Line::Message(message), "{text}");
        }
        for (text, damage) in [
            ("7E8 03 41 0D 20 <DATA ERROR", Damage::Marked),
            ("7E8 10 14 62 F1 90 4C 47 58 <RX ERROR", Damage::Marked),
            ("7E8 03 41 0D 2", Damage::HalfByte),
            ("7E8 10 14 62 F1 90 4C 47 58 7E8 21 11 22", Damage::HalfByte),
            ("7E8 10 14 62 F1 90 4C 47 58 21 11 22", Damage::TooLong),
            ("8FF 00", Damage::Foreign),
            ("7E8 0G", Damage::Foreign),
            ("é", Damage::Foreign),
            ("7", Damage::Foreign),
        ] {
            assert_eq!(says(text), Line::Damaged(damage), "{text}");
        }
        let Line::Frame(frame) = says("SEARCHING...7E8 03 41 0D 20") else {
            panic!()
        };
        assert_eq!(frame.to_string(), "7E8#03410D20");
        let Line::Frame(frame) = read_line("18 DA F1 10 03 41 0D 20", true, true) else {
            panic!()
        };
        assert_eq!(frame.to_string(), "18DAF110#03410D20");
        assert_eq!(
            read_line("0: 49 02", false, false),
            Line::Digits("0:4902".into())
        );
    }
}
