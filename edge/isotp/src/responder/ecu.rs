//! A [`Responder`] on a bus.

use core::time::Duration;
use std::collections::VecDeque;

use super::Responder;
use crate::config::{Config, ConfigError};
use crate::error::{ReceiveError, SendError};
use crate::frame::Frame;
use crate::link::{Link, Output};

/// How many replies may wait to be sent; requests that come then are not heard, as by an ECU that is busy.
const MAX_REPLIES: usize = 16;

/// What an [`Ecu`] wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EcuOutput {
    /// Send this frame.
    Transmit(Frame),
    /// A request arrived and was answered, or not, as the tables say.
    Requested {
        /// Its bytes.
        payload: Vec<u8>,
        /// Whether it was sent to the functional address.
        functional: bool,
    },
    /// A response did not get through.
    SendFailed(SendError),
    /// A request did not get through.
    ReceiveFailed(ReceiveError),
}

/// A virtual ECU. Without I/O and clock: call [`poll`](Self::poll) until it returns `None` after every other call,
/// and again at [`next_deadline`](Self::next_deadline) at the latest.
///
/// ```
/// use core::time::Duration;
/// use isotp::responder::{Ecu, EcuOutput, Responder};
/// use isotp::{Address, Config, Frame, FunctionalAddress};
///
/// let address = Address::obd_11(0).mirrored().with_functional(FunctionalAddress::OBD_11);
/// let mut responder = Responder::default();
/// responder.current.insert(0x5B, vec![0xC0]);
/// let mut ecu = Ecu::new(Config::new(address).padded(0xAA), responder).unwrap();
///
/// let now = Duration::ZERO;
/// ecu.on_frame(now, &Frame::classic("7DF".parse().unwrap(), &[2, 1, 0x5B, 0, 0, 0, 0, 0]).unwrap());
/// assert!(matches!(ecu.poll(now), Some(EcuOutput::Requested { functional: true, .. })));
/// let Some(EcuOutput::Transmit(frame)) = ecu.poll(now) else { panic!() };
/// assert_eq!(frame.to_string(), "7E8#03415BC0AAAAAAAA");
/// ```
#[derive(Debug)]
pub struct Ecu {
    link: Link,
    /// The tables; they may change at any time.
    pub responder: Responder,
    replies: VecDeque<(Duration, Vec<u8>)>,
}

impl Ecu {
    /// An ECU at rest. `config` has the ECU's side of the addresses.
    pub fn new(config: Config, responder: Responder) -> Result<Self, ConfigError> {
        Ok(Self {
            link: Link::new(config)?,
            responder,
            replies: VecDeque::new(),
        })
    }

    /// The connection below.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Takes a frame from the bus. Returns whether it was addressed to this ECU.
    pub fn on_frame(&mut self, now: Duration, frame: &Frame) -> bool {
        self.link.on_frame(now, frame)
    }

    /// With [`Config::confirm`]: the frame handed out last is on the bus.
    pub fn transmitted(&mut self, now: Duration) {
        self.link.transmitted(now);
    }

    /// The next thing to do or to know.
    pub fn poll(&mut self, now: Duration) -> Option<EcuOutput> {
        loop {
            if let Some((at, _)) = self.replies.front()
                && now >= *at
                && !self.link.is_sending()
                && let Some((_, payload)) = self.replies.pop_front()
                && self.link.send(now, payload).is_err()
            {
                continue;
            }
            return Some(match self.link.poll(now)? {
                Output::Transmit(frame) => EcuOutput::Transmit(frame),
                Output::SendFailed(error) => EcuOutput::SendFailed(error),
                Output::ReceiveFailed { error, .. } => EcuOutput::ReceiveFailed(error),
                Output::Received {
                    payload,
                    functional,
                    ..
                } => {
                    if self.replies.len() < MAX_REPLIES {
                        let replies = self.responder.respond(&payload, functional);
                        self.replies.extend(
                            replies
                                .into_iter()
                                .map(|reply| (now.saturating_add(reply.after), reply.payload)),
                        );
                    }
                    EcuOutput::Requested {
                        payload,
                        functional,
                    }
                }
                Output::Sent | Output::ReceptionStarted { .. } | Output::Ignored(_) => continue,
            });
        }
    }

    /// When to poll again if nothing happens before. A time in the past means now.
    pub fn next_deadline(&self) -> Option<Duration> {
        let reply = self
            .replies
            .front()
            .map(|(at, _)| *at)
            .filter(|_| !self.link.is_sending());
        [reply, self.link.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
