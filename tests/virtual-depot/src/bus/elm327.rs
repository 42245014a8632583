//! A dongle in a car's diagnostic socket: an adapter with the commands of the ELM327 on the depot's Wi-Fi. It hears nothing
//! but answers, so that what the car's computers say of themselves reaches nobody.
//!
//! A request goes to the car's bus; each frame of the answers becomes a line, and the adapter sends flow control by itself
//! (ELM327DS, *CAN Receive Filter*, *Altering Flow Control Messages*). What was written is the truth of what was read.

use std::{fmt::Write as _, io, sync::Arc, time::Duration};

use isotp::{CanId, Frame};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::server::{BusHandle, Event, OnBus, ToClient};
use crate::depot::Shared;

/// After so long without an answer there is none.
const ANSWER: Duration = Duration::from_millis(200);
/// The same after an ECU has asked for time (ISO 14229-2, `P2*`).
const PENDING: Duration = Duration::from_secs(5);
/// The longest command.
const LONGEST: u64 = 64;
/// So many messages of the bus may wait.
const QUEUE: usize = 256;

/// Serves one connection after the other until the depot stops: a dongle takes one at a time.
pub async fn serve(shared: Arc<Shared>, listener: TcpListener, bus: BusHandle, car: usize) {
    let mut client = 0;
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        client += 1;
        let dongle = Dongle {
            shared: Arc::clone(&shared),
            bus: bus.clone(),
            car,
            client,
        };
        let talk = dongle.talk(stream);
        let ended = tokio::select! {
            () = shared.stop.cancelled() => return,
            ended = talk => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(client, %error, "a connection to a dongle ended");
        }
        // A stopped bus needs no goodbye.
        let _ = bus.events.send(Event::Left(client)).await;
    }
}

/// What an adapter was told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    echo: bool,
    /// The highest byte of 29-bit identifiers.
    priority: u32,
    header: CanId,
    /// The only identifier that passes.
    only: Option<CanId>,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doing {
    Say(&'static str),
    Voltage,
    Ask(Frame),
}

impl Settings {
    /// After a reset.
    fn new() -> Option<Self> {
        Some(Self {
            echo: true,
            priority: 0x18,
            header: CanId::standard(0x7DF).ok()?,
            only: None,
        })
    }

    /// Takes a command, spaces and case gone; `None` if it is not known.
    fn take(&mut self, text: &str) -> Option<Doing> {
        let Some(command) = text.strip_prefix("AT") else {
            let frame = request(self.header, text)?;
            return Some(Doing::Ask(frame));
        };
        let hex = |digits: &str| u32::from_str_radix(digits, 16).ok();
        let id = |digits: &str| match digits.len() {
            3 => CanId::standard(hex(digits)?).ok(),
            _ => CanId::extended(hex(digits)?).ok(),
        };
        if command == "Z" || command == "I" {
            if command == "Z" {
                *self = Self::new()?;
            }
            return Some(Doing::Say("ELM327 v1.5"));
        } else if command == "RV" {
            return Some(Doing::Voltage);
        } else if let Some(digits) = command.strip_prefix("SH") {
            self.header = match digits.len() {
                6 => CanId::extended(self.priority << 24 | hex(digits)?).ok()?,
                _ => id(digits)?,
            };
        } else if let Some(digits) = command.strip_prefix("CP") {
            self.priority = hex(digits)? & 0x1F;
        } else if let Some(digits) = command.strip_prefix("CRA") {
            self.only = Some(id(digits)?);
        } else if command == "AR" {
            self.only = None;
        } else if let Some(echo) = command.strip_prefix('E') {
            self.echo = echo == "1";
        }
        Some(Doing::Say("OK"))
    }

    /// Whether answers with this identifier are shown: by themselves, those of OBD.
    fn passes(&self, id: CanId) -> bool {
        let raw = id.raw();
        match self.only {
            Some(only) => only == id,
            None if id.is_extended() => raw & 0x1FFF_FF00 == 0x18DA_F100,
            None => (0x7E8..=0x7EF).contains(&raw),
        }
    }

    /// Where flow control for an answer goes.
    fn flow_control(&self, id: CanId) -> Option<Frame> {
        let raw = id.raw();
        let to = if !id.is_extended() && (0x7E8..=0x7EF).contains(&raw) {
            CanId::standard(raw - 8).ok()?
        } else if id.is_extended() && raw & 0x1FFF_FF00 == 0x18DA_F100 {
            CanId::extended(0x18DA_00F1 | (raw & 0xFF) << 8).ok()?
        } else {
            self.header
        };
        Frame::classic(to, &[0x30, 0, 0, 0, 0, 0, 0, 0]).ok()
    }
}

/// A single frame with these hexadecimal digits.
fn request(header: CanId, digits: &str) -> Option<Frame> {
    let digits = digits.as_bytes();
    let length = digits.len() / 2;
    if !digits.len().is_multiple_of(2) || !(1..=7).contains(&length) {
        return None;
    }
    let mut data = [0; 8];
    data[0] = length as u8;
    for (place, pair) in digits.chunks_exact(2).enumerate() {
        let pair = str::from_utf8(pair).ok()?;
        data[place + 1] = u8::from_str_radix(pair, 16).ok()?;
    }
    Frame::classic(header, &data).ok()
}

struct Dongle {
    shared: Arc<Shared>,
    bus: BusHandle,
    car: usize,
    client: u64,
}

impl Dongle {
    async fn talk(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (queue, mut answers) = mpsc::channel(QUEUE);
        let raw = Event::Raw {
            client: self.client,
            to: queue,
        };
        self.bus.events.send(raw).await.map_err(io::Error::other)?;
        let (from, mut to) = stream.into_split();
        let mut from = BufReader::new(from);
        let mut settings = Settings::new().ok_or(io::ErrorKind::InvalidData)?;
        loop {
            let mut line = Vec::new();
            (&mut from)
                .take(LONGEST)
                .read_until(b'\r', &mut line)
                .await?;
            if line.pop() != Some(b'\r') {
                // It has ended, or never ends.
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line).to_ascii_uppercase();
            let text: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
            if settings.echo {
                to.write_all(&[&line[..], b"\r"].concat()).await?;
            }
            let said = match settings.take(&text) {
                None => "?".to_owned(),
                Some(Doing::Say(text)) => text.to_owned(),
                Some(Doing::Voltage) => {
                    let volts = self.shared.world().cars[self.car].low_voltage;
                    format!("{volts:.1}V")
                }
                Some(Doing::Ask(frame)) => {
                    let answered = self.ask(frame, &settings, &mut answers, &mut to).await?;
                    if answered {
                        String::new()
                    } else {
                        "NO DATA".to_owned()
                    }
                }
            };
            to.write_all(format!("{said}\r\r>").as_bytes()).await?;
        }
    }

    /// Asks the car, and writes a line for each frame of the answers; tells whether there was one.
    async fn ask(
        &self,
        frame: Frame,
        settings: &Settings,
        answers: &mut mpsc::Receiver<ToClient>,
        to: &mut OwnedWriteHalf,
    ) -> io::Result<bool> {
        // What came too late for the request before is nobody's.
        while answers.try_recv().is_ok() {}
        self.send(frame).await?;
        let mut answered = false;
        let mut until = Instant::now() + ANSWER;
        loop {
            let Ok(message) = timeout_at(until, answers.recv()).await else {
                return Ok(answered);
            };
            let frames = match message {
                Some(ToClient::Frames { frames, counts }) => (frames, counts),
                Some(ToClient::Text(_)) => continue,
                Some(ToClient::Close) | None => return Err(io::ErrorKind::ConnectionReset.into()),
            };
            let (frames, counts) = frames;
            for on_bus in frames.iter().filter(|one| settings.passes(one.frame.id())) {
                self.write(on_bus, counts, to).await?;
                answered = true;
                let data = on_bus.frame.data();
                if data.first().is_some_and(|first| first >> 4 == 1)
                    && let Some(flow) = settings.flow_control(on_bus.frame.id())
                {
                    self.send(flow).await?;
                }
                let pending = matches!(data, [3, 0x7F, _, 0x78, ..]);
                until = Instant::now() + if pending { PENDING } else { ANSWER };
            }
        }
    }

    async fn send(&self, frame: Frame) -> io::Result<()> {
        let from = self.client;
        let sent = self.bus.events.send(Event::Frame { from, frame });
        sent.await.map_err(io::Error::other)
    }

    /// Writes a line, and the truth about it.
    async fn write(&self, on_bus: &OnBus, counts: bool, to: &mut OwnedWriteHalf) -> io::Result<()> {
        let _pass = self.shared.gate.read().await;
        if !self.shared.is_producing() {
            return Ok(());
        }
        let mut line = on_bus.frame.id().to_string();
        for byte in on_bus.frame.data() {
            // Writing to a text cannot fail.
            let _ = write!(line, "{byte:02X}");
        }
        line.push('\r');
        to.write_all(line.as_bytes()).await?;
        if counts {
            self.shared.log.given(on_bus.simulated_ms, &on_bus.samples);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_data_sheet() {
        let mut settings = Settings::new().unwrap();
        assert_eq!(settings.take("ATE0"), Some(Doing::Say("OK")));
        assert!(!settings.echo);
        assert_eq!(settings.take("ATSH7E4"), Some(Doing::Say("OK")));
        assert_eq!(settings.take("ATCRA7EC"), Some(Doing::Say("OK")));
        let Some(Doing::Ask(frame)) = settings.take("220101") else {
            panic!()
        };
        assert_eq!(frame.to_string(), "7E4#0322010100000000");
        let id = |text: &str| text.parse::<CanId>().unwrap();
        assert!(settings.passes(id("7EC")) && !settings.passes(id("7E8")));
        for command in ["ATCP18", "ATSHDB33F1", "ATAR"] {
            assert_eq!(settings.take(command), Some(Doing::Say("OK")));
        }
        assert_eq!(settings.header, id("18DB33F1"));
        assert!(settings.passes(id("18DAF110")) && settings.passes(id("7E8")));
        let flow = settings.flow_control(id("18DAF110")).unwrap();
        assert_eq!(flow.to_string(), "18DA10F1#3000000000000000");
        assert_eq!(settings.take("ATRV"), Some(Doing::Voltage));
        for nonsense in ["", "1", "0102030405060708", "0G", "ATSHXYZ", "ATCRA12345"] {
            assert!(
                matches!(settings.clone().take(nonsense), None | Some(Doing::Say(_))),
                "{nonsense}"
            );
        }
        assert_eq!(settings.take("0G"), None);
        assert_eq!(settings.take("ATZ"), Some(Doing::Say("ELM327 v1.5")));
        assert_eq!(Some(settings), Settings::new());
    }
}
