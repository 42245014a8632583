//! The protocol of socketcand, as `doc/protocol.md` of linux-can/socketcand describes it and its daemon speaks it: CAN
//! frames as text over TCP. Pure: bytes in, commands out.
//!
//! After `< hi >` a client opens one bus and may switch it to raw mode, in which every frame of the bus is sent to it.
//! The commands of mode BCM (cyclic transmission, subscriptions, filters) and the modes CONTROL and ISO-TP are answered
//! as unknown.

use std::fmt::Write;

use isotp::{CanId, Frame};

/// The longest command: the daemon's own limit.
const LONGEST: usize = 4096;

/// The longest name of a bus.
pub const LONGEST_BUS: usize = 16;

/// The greeting.
pub const HI: &str = "< hi >";
/// What was asked for is done.
pub const OK: &str = "< ok >";
/// Answer to a command that is not known here.
pub const UNKNOWN: &str = "< error unknown command >";
/// Answer to a bus that is not there; the connection is closed after it.
pub const NO_BUS: &str = "< error could not open bus >";

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Which bus it wants.
    Open(String),
    /// From now on it wants all frames.
    RawMode,
    /// From now on it wants none.
    BcmMode,
    /// It wants to hear the same again.
    Echo,
    /// A frame for the bus.
    Send(Frame),
    /// Something else, or a frame that is none.
    Unknown(String),
}

/// Why a connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a command of more than {LONGEST} bytes")]
pub struct TooLong;

/// Cuts a stream of bytes into commands. They may come in pieces, or several at a time.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
}

impl Parser {
    /// Takes bytes from the client.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole command. What stands between commands is left out.
    pub fn command(&mut self) -> Result<Option<Command>, TooLong> {
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'>') else {
            return if self.buffer.len() > LONGEST {
                Err(TooLong)
            } else {
                Ok(None)
            };
        };
        let text: Vec<u8> = self.buffer.drain(..=end).collect();
        let text = String::from_utf8_lossy(&text[..end]);
        let inside = text.rsplit_once('<').map_or("", |(_, inside)| inside);
        Ok(Some(read(inside.trim())))
    }
}

fn read(text: &str) -> Command {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words[..] {
        ["open", bus] => Command::Open(bus.to_owned()),
        ["rawmode"] => Command::RawMode,
        ["bcmmode"] => Command::BcmMode,
        ["echo"] => Command::Echo,
        ["send", id, length, ref data @ ..] => {
            frame(id, length, data).map_or_else(|| Command::Unknown(text.to_owned()), Command::Send)
        }
        _ => Command::Unknown(text.to_owned()),
    }
}

/// An identifier of eight digits is a 29-bit one. The length is decimal, data are hexadecimal with or without a
/// leading zero.
fn frame(id: &str, length: &str, data: &[&str]) -> Option<Frame> {
    let raw = u32::from_str_radix(id, 16).ok()?;
    let id = if id.len() == 8 {
        CanId::extended(raw)
    } else {
        CanId::standard(raw)
    };
    let bytes = data.iter().map(|byte| u8::from_str_radix(byte, 16));
    let bytes = bytes.collect::<Result<Vec<_>, _>>().ok()?;
    let fits = length.parse() == Ok(bytes.len());
    fits.then(|| Frame::classic(id.ok()?, &bytes).ok())
        .flatten()
}

/// Appends `< frame 123 23.424242 1A220344 >` for a frame received at `wall_us` µs since 1970.
pub fn write_frame(out: &mut String, frame: &Frame, wall_us: i64) {
    let (seconds, micros) = (wall_us.div_euclid(1_000_000), wall_us.rem_euclid(1_000_000));
    // Writing to a string cannot fail.
    let _ = write!(out, "< frame {} {seconds}.{micros:06} ", frame.id());
    for byte in frame.data() {
        let _ = write!(out, "{byte:02X}");
    }
    out.push_str(" >");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<Command> {
        let mut parser = Parser::default();
        parser.push(text.as_bytes());
        std::iter::from_fn(|| parser.command().unwrap()).collect()
    }

    fn send(id: CanId, data: &[u8]) -> Command {
        Command::Send(Frame::classic(id, data).unwrap())
    }

    #[test]
    fn the_examples_of_the_document() {
        let standard = CanId::standard(0x123).unwrap();
        let extended = CanId::extended(0x1AAA_AAAA).unwrap();
        assert_eq!(
            parse("< open can0 >< rawmode >\n< echo > < send 123 0 >< send 1AAAAAAA 2 1 f1 >"),
            [
                Command::Open("can0".into()),
                Command::RawMode,
                Command::Echo,
                send(standard, &[]),
                send(extended, &[0x01, 0xF1]),
            ]
        );
        let mut out = String::new();
        let frame = Frame::classic(standard, &[0x1A, 0x22, 0x03, 0x44]).unwrap();
        write_frame(&mut out, &frame, 23_424_242);
        assert_eq!(out, "< frame 123 23.424242 1A220344 >");
        out.clear();
        write_frame(&mut out, &Frame::classic(extended, &[]).unwrap(), 1_000_001);
        assert_eq!(out, "< frame 1AAAAAAA 1.000001  >");
    }

    #[test]
    fn commands_in_pieces_and_nonsense() {
        let mut parser = Parser::default();
        for piece in ["< op", "en car-", "01 ", ">< ra"] {
            parser.push(piece.as_bytes());
        }
        assert_eq!(parser.command(), Ok(Some(Command::Open("car-01".into()))));
        assert_eq!(parser.command(), Ok(None));
        parser.push(b"wmode >");
        assert_eq!(parser.command(), Ok(Some(Command::RawMode)));
        for text in [
            "< send 123 9 1 2 3 4 5 6 7 8 9 >",
            "< send 123 2 1 >",
            "< send 800 0 >",
            "< send 123 1 100 >",
            "< send >",
            "< subscribe 0 0 123 >",
            "< >",
            ">",
        ] {
            assert!(matches!(parse(text)[..], [Command::Unknown(_)]), "{text}");
        }
        parser.push(&[b'x'; LONGEST + 1]);
        assert_eq!(parser.command(), Err(TooLong));
    }
}
