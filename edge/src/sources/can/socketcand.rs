//! A client of `socketcand`: CAN over TCP in lines of text between `<` and `>` (linux-can/socketcand,
//! doc/protocol.md), in raw mode.

use std::sync::Arc;

use config_file::HostPort;
use isotp::{CanId, Frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{BusError, Received};
use crate::clock::Clock;

/// Longer than any element of the protocol in raw mode (64 data bytes in hexadecimal, identifier, time).
const LONGEST: usize = 512;

/// A connection to one bus.
#[derive(Debug)]
pub struct Socketcand {
    stream: TcpStream,
    text: Vec<u8>,
    clock: Arc<Clock>,
}

impl Socketcand {
    pub(super) async fn open(
        address: &HostPort,
        bus: &str,
        clock: Arc<Clock>,
    ) -> Result<Self, BusError> {
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(BusError::io(format!("socketcand at {address}")))?;
        // A request of a diagnostic tester must not wait for more to come.
        stream
            .set_nodelay(true)
            .map_err(BusError::io("socketcand"))?;
        let mut bus_stream = Self {
            stream,
            text: Vec::new(),
            clock,
        };
        bus_stream.expect("hi", "a greeting").await?;
        bus_stream.say(&format!("< open {bus} >")).await?;
        bus_stream
            .expect("ok", &format!("the opening of bus {bus}"))
            .await?;
        bus_stream.say("< rawmode >").await?;
        bus_stream.expect("ok", "raw mode").await?;
        Ok(bus_stream)
    }

    async fn say(&mut self, text: &str) -> Result<(), BusError> {
        self.stream
            .write_all(text.as_bytes())
            .await
            .map_err(BusError::io("writing to socketcand"))
    }

    async fn expect(&mut self, word: &str, what: &str) -> Result<(), BusError> {
        let element = self.element().await?;
        if element == word {
            return Ok(());
        }
        Err(BusError::Peer(format!(
            "socketcand answers `< {element} >` where {what} was expected"
        )))
    }

    /// The next element, without its brackets. What was read of it stays if the future is dropped.
    async fn element(&mut self) -> Result<String, BusError> {
        loop {
            if let Some(end) = self.text.iter().position(|&b| b == b'>') {
                let start = self.text[..end]
                    .iter()
                    .rposition(|&b| b == b'<')
                    .map_or(0, |at| at + 1);
                let element = String::from_utf8_lossy(&self.text[start..end])
                    .trim()
                    .to_owned();
                self.text.drain(..=end);
                return Ok(element);
            }
            if self.text.len() > LONGEST {
                return Err(BusError::Peer(
                    "socketcand sends an element without an end".into(),
                ));
            }
            let mut some = [0; 4096];
            // `read` takes nothing when it is dropped before it is ready.
            let count = self
                .stream
                .read(&mut some)
                .await
                .map_err(BusError::io("reading from socketcand"))?;
            if count == 0 {
                return Err(BusError::Peer(
                    "socketcand has closed the connection".into(),
                ));
            }
            self.text.extend_from_slice(&some[..count]);
        }
    }

    pub(super) async fn receive(&mut self) -> Result<Received, BusError> {
        loop {
            let element = self.element().await?;
            let time_us = self.clock.now_us();
            match element.split_whitespace().next() {
                Some("frame") => match parse_frame(&element) {
                    Some(frame) => return Ok(Received { time_us, frame }),
                    None => tracing::warn!(
                        element,
                        "an element of socketcand that is no frame is ignored"
                    ),
                },
                // `error` reports the state of the controller; the bus goes on.
                _ => tracing::warn!(element, "socketcand says"),
            }
        }
    }

    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), BusError> {
        let data: Vec<String> = frame
            .data()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let text = format!("< send {} {} {} >", frame.id(), data.len(), data.join(" "));
        self.say(&text).await
    }
}

/// `frame <id> <seconds.microseconds> <data>`: an identifier of eight digits is 29 bit, shorter is 11 bit. The time is
/// of the server's clock and of no use here. Data may be written together or byte by byte.
fn parse_frame(element: &str) -> Option<Frame> {
    let mut words = element.split_whitespace().skip(1);
    let id = words.next()?;
    let raw = u32::from_str_radix(id, 16).ok()?;
    let id = if id.len() > 3 {
        CanId::extended(raw)
    } else {
        CanId::standard(raw)
    }
    .ok()?;
    words.next()?;
    let digits: String = words.collect();
    let data = hex::decode(digits).ok()?;
    Frame::classic(id, &data)
        .or_else(|_| Frame::fd(id, &data))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_as_the_protocol_writes_them() {
        let frame = parse_frame("frame 123 1700000000.123456 1122334455667788").unwrap();
        assert_eq!(frame.to_string(), "123#1122334455667788");
        assert_eq!(
            parse_frame("frame 18DAF110 0.0 02 3E").unwrap().to_string(),
            "18DAF110#023E"
        );
        assert_eq!(parse_frame("frame 7E8 5.0").unwrap().to_string(), "7E8#");
        for bad in [
            "frame",
            "frame 123",
            "frame 999 0.0 11",
            "frame 123 0.0 1",
            "frame 123 0.0 zz",
        ] {
            assert!(parse_frame(bad).is_none(), "{bad}");
        }
    }
}
