//! CAN buses behind one door: the kernel's SocketCAN, `socketcand` over TCP, adapters with the LAWICEL or the ELM327's
//! commands over a serial port or TCP, recorded logs.

mod elm327;
mod kernel;
mod port;
mod replay;
mod slcan;
mod socketcand;
mod wire;

use std::{sync::Arc, time::Duration};

use ::elm327::Route;
use firmware_config::gateway::Interface;
use isotp::{CanId, Frame};

use crate::clock::Clock;

/// Why a bus cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The system or the network says no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The peer does not speak the protocol, or refuses.
    #[error("{0}")]
    Peer(String),
    /// This frame cannot be sent on this bus; others can.
    #[error("{0}")]
    Refused(String),
    /// A recording has come to its end: there is nothing more to wait for.
    #[error("the recording has ended")]
    End,
}

impl BusError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// A frame and when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Instant in microseconds of the gateway's monotonic clock.
    pub time_us: i64,
    /// The frame; remote and error frames carry no data and are not delivered.
    pub frame: Frame,
}

/// What came from a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A frame.
    Frame(Received),
    /// Voltage at the vehicle's connector, from an adapter that measures it.
    Voltage {
        /// As in [`Received`].
        time_us: i64,
        /// Millivolts.
        millivolts: u32,
    },
}

/// An open bus.
#[derive(Debug)]
pub enum Bus {
    /// SocketCAN.
    Kernel(kernel::Kernel),
    /// socketcand.
    Socketcand(Box<socketcand::Socketcand>),
    /// An adapter with the LAWICEL commands.
    Slcan(Box<slcan::Slcan>),
    /// An adapter with the ELM327's commands.
    Elm327(Box<elm327::Elm327>),
    /// A recording.
    Replay(Box<replay::Replay>),
}

/// Longest time to open a bus.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

impl Bus {
    /// Opens a bus.
    pub async fn open(interface: &Interface, clock: Arc<Clock>) -> Result<Self, BusError> {
        let opening = async {
            match interface {
                Interface::SocketCan { name } => {
                    kernel::Kernel::open(name, clock).map(Self::Kernel)
                }
                Interface::Socketcand { address, bus } => {
                    let bus = socketcand::Socketcand::open(address, bus, clock).await?;
                    Ok(Self::Socketcand(Box::new(bus)))
                }
                Interface::Slcan { port, bitrate } => {
                    let bus = slcan::Slcan::open(port, *bitrate, clock).await?;
                    Ok(Self::Slcan(Box::new(bus)))
                }
                Interface::Elm327 { port, bitrate } => {
                    let bus = elm327::Elm327::open(port, *bitrate, clock).await?;
                    Ok(Self::Elm327(Box::new(bus)))
                }
                Interface::Dongle { network, .. } => Err(BusError::Peer(format!(
                    "the dongle in {network} has not been found yet"
                ))),
                Interface::Replay { path, bus, speed } => {
                    let replay = replay::Replay::open(path, *bus, *speed, clock).await?;
                    Ok(Self::Replay(Box::new(replay)))
                }
            }
        };
        tokio::time::timeout(OPEN_WITHIN, opening)
            .await
            .unwrap_or_else(|_| {
                Err(BusError::Peer(format!(
                    "no answer within {} s",
                    OPEN_WITHIN.as_secs()
                )))
            })
    }

    /// Asks for frames with these identifiers alone, where the bus can be told so: it saves waking up for the others.
    pub fn listen_to(&mut self, ids: &[CanId]) -> Result<(), BusError> {
        match self {
            Self::Kernel(bus) => bus.listen_to(ids),
            _ => Ok(()),
        }
    }

    /// Tells a bus that has to know it which identifier answers to which.
    pub fn know(&mut self, routes: &[Route]) {
        if let Self::Elm327(bus) = self {
            bus.know(routes);
        }
    }

    /// Whether the bus hears the vehicle talk by itself. An ELM327 hears answers only.
    pub const fn hears_all(&self) -> bool {
        !matches!(self, Self::Elm327(_))
    }

    /// Frames that came and were lost before they could be read, as far as the bus tells.
    pub fn dropped(&self) -> u64 {
        match self {
            Self::Kernel(bus) => bus.dropped(),
            Self::Slcan(bus) => bus.damaged(),
            Self::Socketcand(_) | Self::Elm327(_) | Self::Replay(_) => 0,
        }
    }

    /// What comes next. May be dropped while waiting: no frame is lost by it.
    pub async fn hear(&mut self) -> Result<Heard, BusError> {
        match self {
            Self::Kernel(bus) => bus.receive().await.map(Heard::Frame),
            Self::Socketcand(bus) => bus.receive().await.map(Heard::Frame),
            Self::Slcan(bus) => bus.receive().await.map(Heard::Frame),
            Self::Elm327(bus) => bus.receive().await,
            Self::Replay(bus) => bus.receive().await.map(Heard::Frame),
        }
    }

    /// The next frame. May be dropped while waiting: no frame is lost by it.
    pub async fn receive(&mut self) -> Result<Received, BusError> {
        loop {
            if let Heard::Frame(received) = self.hear().await? {
                return Ok(received);
            }
        }
    }

    /// Sends a frame; a recording takes none.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), BusError> {
        match self {
            Self::Kernel(bus) => bus.send(frame).await,
            Self::Socketcand(bus) => bus.send(frame).await,
            Self::Slcan(bus) => bus.send(frame).await,
            Self::Elm327(bus) => bus.send(frame),
            Self::Replay(_) => Err(BusError::Peer(
                "a recording cannot be asked anything".into(),
            )),
        }
    }
}
