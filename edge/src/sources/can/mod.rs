//! CAN buses behind one door: the kernel's SocketCAN, `socketcand` over TCP, recorded logs.

mod kernel;
mod replay;
mod socketcand;
mod wire;

use std::{sync::Arc, time::Duration};

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

/// An open bus.
#[derive(Debug)]
pub enum Bus {
    /// SocketCAN.
    Kernel(kernel::Kernel),
    /// socketcand.
    Socketcand(Box<socketcand::Socketcand>),
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
            Self::Socketcand(_) | Self::Replay(_) => Ok(()),
        }
    }

    /// Frames that came and were lost before they could be read, as far as the bus tells.
    pub fn dropped(&self) -> u64 {
        match self {
            Self::Kernel(bus) => bus.dropped(),
            Self::Socketcand(_) | Self::Replay(_) => 0,
        }
    }

    /// The next frame. May be dropped while waiting: no frame is lost by it.
    pub async fn receive(&mut self) -> Result<Received, BusError> {
        match self {
            Self::Kernel(bus) => bus.receive().await,
            Self::Socketcand(bus) => bus.receive().await,
            Self::Replay(bus) => bus.receive().await,
        }
    }

    /// Sends a frame; a recording takes none.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), BusError> {
        match self {
            Self::Kernel(bus) => bus.send(frame).await,
            Self::Socketcand(bus) => bus.send(frame).await,
            Self::Replay(_) => Err(BusError::Peer(
                "a recording cannot be asked anything".into(),
            )),
        }
    }
}
