//! Adapters with the LAWICEL commands (*CANUSB manual*, chapter 3), which Linux calls slcan: a line per frame, over a
//! serial port or TCP. `t1232AABB` is a frame of 11 bits, `T` one of 29, `d`, `D`, `b`, `B` those of CAN FD.

use std::{collections::VecDeque, sync::Arc};

use firmware_config::gateway::Port;
use isotp::{CanId, Frame};

use super::{BusError, Received, port::TextLine};
use crate::clock::Clock;

/// A frame of CAN FD with 64 bytes, identifier and time is shorter.
const LONGEST: usize = 256;
/// Bitrates by their number in the command `S`.
const RATES: [u32; 9] = [
    10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000,
];
/// Data lengths of CAN FD by DLC, from 9 on (ISO 11898-1).
const FD_LENGTHS: [usize; 7] = [12, 16, 20, 24, 32, 48, 64];

/// An open channel.
#[derive(Debug)]
pub struct Slcan {
    line: TextLine,
    text: Vec<u8>,
    frames: VecDeque<Frame>,
    /// Lines that were no frame.
    damaged: u64,
    clock: Arc<Clock>,
}

impl Slcan {
    pub(super) async fn open(
        port: &Port,
        bitrate: u32,
        clock: Arc<Clock>,
    ) -> Result<Self, BusError> {
        let rate = RATES
            .iter()
            .position(|rate| *rate == bitrate)
            .ok_or_else(|| BusError::Peer(format!("no slcan adapter has {bitrate} bit/s")))?;
        let mut line = TextLine::open(port).await?;
        // What somebody began to write before is ended; a channel that is open is closed. Both may answer with an error.
        line.write(b"\r\r\rC\r").await?;
        line.write(format!("S{rate}\rZ0\rO\r").as_bytes()).await?;
        Ok(Self {
            line,
            text: Vec::new(),
            frames: VecDeque::new(),
            damaged: 0,
            clock,
        })
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    pub(super) async fn receive(&mut self) -> Result<Received, BusError> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                let time_us = self.clock.now_us();
                return Ok(Received { time_us, frame });
            }
            let mut some = [0; 4096];
            let count = self.line.read(&mut some).await?;
            for &byte in &some[..count] {
                match byte {
                    b'\r' | b'\n' => self.end_line(),
                    // BEL: the adapter did not take a command. Of `Z0` that is harmless, of a frame the asker's time runs out.
                    7 => {
                        self.text.clear();
                        tracing::debug!(adapter = ?self.line, "the adapter refuses a command");
                    }
                    _ if self.text.len() < LONGEST => self.text.push(byte),
                    _ => {}
                }
            }
        }
    }

    fn end_line(&mut self) {
        let text = std::mem::take(&mut self.text);
        match parse(&text) {
            Parsed::Frame(frame) => self.frames.push_back(frame),
            Parsed::Answer => {}
            Parsed::Damaged => {
                self.damaged += 1;
                tracing::warn!(adapter = ?self.line, line = %String::from_utf8_lossy(&text), "a line of the adapter is left out");
            }
        }
    }

    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), BusError> {
        let text = format(frame);
        self.line.write(text.as_bytes()).await
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Frame(Frame),
    /// Empty, `z`, `Z`, or an answer to a command.
    Answer,
    Damaged,
}

fn parse(text: &[u8]) -> Parsed {
    let Ok(text) = str::from_utf8(text) else {
        return Parsed::Damaged;
    };
    match text.bytes().next() {
        // Remote frames carry no data.
        None | Some(b'z' | b'Z' | b'V' | b'N' | b'F' | b'S' | b'r' | b'R') => Parsed::Answer,
        _ => frame(text).map_or(Parsed::Damaged, Parsed::Frame),
    }
}

fn frame(text: &str) -> Option<Frame> {
    let (kind, rest) = text.split_at_checked(1)?;
    let (digits, fd) = match kind {
        "t" => (3, false),
        "T" => (8, false),
        "d" | "b" => (3, true),
        "D" | "B" => (8, true),
        _ => return None,
    };
    let (id, rest) = rest.split_at_checked(digits)?;
    let id = number(id)?;
    let id = if digits == 3 {
        CanId::standard(id)
    } else {
        CanId::extended(id)
    };
    let (dlc, rest) = rest.split_at_checked(1)?;
    let dlc = number(dlc)? as usize;
    let length = match dlc {
        0..=8 => dlc,
        _ if fd => FD_LENGTHS[dlc - 9],
        _ => return None,
    };
    let (data, stamp) = rest.split_at_checked(2 * length)?;
    // Some adapters add a time of four digits though it is switched off; anything else means that bytes were lost or merged.
    if !matches!(stamp.len(), 0 | 4 | 8) || !stamp.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let data = hex::decode(data).ok()?;
    if fd {
        Frame::fd(id.ok()?, &data).ok()
    } else {
        Frame::classic(id.ok()?, &data).ok()
    }
}

fn number(digits: &str) -> Option<u32> {
    digits
        .bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

fn format(frame: &Frame) -> String {
    let kind = match (frame.is_fd(), frame.id().is_extended()) {
        (false, false) => 't',
        (false, true) => 'T',
        (true, false) => 'd',
        (true, true) => 'D',
    };
    let length = frame.data().len();
    let dlc = FD_LENGTHS
        .iter()
        .position(|fd| *fd == length)
        .map_or(length, |at| at + 9);
    format!(
        "{kind}{}{dlc:X}{}\r",
        frame.id(),
        hex::encode_upper(frame.data())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_there_and_back() {
        for text in [
            "t7E83410D20",
            "T18DAF1103410D20",
            "t1230",
            "d1239000102030405060708090A0B",
        ] {
            let Parsed::Frame(frame) = parse(text.as_bytes()) else {
                panic!("{text}")
            };
            assert_eq!(format(&frame), format!("{text}\r"));
        }
        let Parsed::Frame(stamped) = parse(b"t7E83410D201A2B") else {
            panic!()
        };
        assert_eq!(stamped.to_string(), "7E8#410D20");
    }

    #[test]
    fn what_is_no_frame_is_none() {
        for text in ["", "z", "Z", "V1013", "r1238", "F00"] {
            assert_eq!(parse(text.as_bytes()), Parsed::Answer, "{text}");
        }
        for text in [
            "t",
            "t12",
            "t8FF0",
            "t1239",
            "t1232AA",
            "t1232AABBC",
            "t+122AABB",
            "T1234567",
            "x1230",
            // Two lines that ran together.
            "t1232AABBt1232AABB",
            "t1232AAGG",
            "T3FFFFFFF0",
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Damaged, "{text}");
        }
        assert_eq!(parse(&[0xFF, 0xFE]), Parsed::Damaged);
    }
}
