//! One connection between a tester and an ECU: both halves, the addresses and the clock brought together.

use core::time::Duration;
use std::collections::VecDeque;

use crate::config::{Config, ConfigError};
use crate::error::{IgnoredFrame, ReceiveError, SendError, SubmitError};
use crate::frame::Frame;
use crate::pdu::{self, Framing, Pdu};
use crate::receiver::{Receiver, Step};
use crate::sender::{Progress, Sender};

/// How many outputs wait for [`Link::poll`] before further frames are dropped.
const MAX_OUTPUTS: usize = 64;

/// What a [`Link`] wants done, or has to tell (the service primitives of ISO 15765-2:2016 §8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this frame.
    Transmit(Frame),
    /// `N_USData.confirm`: the last frame of our message is on the bus.
    Sent,
    /// `N_USData.confirm` with an error: our message was given up.
    SendFailed(SendError),
    /// `N_USData_FF.indication`: a message of several frames has begun.
    ReceptionStarted {
        /// Its length in bytes, as announced.
        announced: u32,
        /// As in [`Output::Received`].
        after_sent: bool,
    },
    /// `N_USData.indication`: a message has arrived whole.
    Received {
        /// Its bytes.
        payload: Vec<u8>,
        /// Whether it was sent to the functional address.
        functional: bool,
        /// Whether its first frame came after the last message we [`Sent`](Output::Sent), and nothing of ours was
        /// being sent then. An answer never precedes its request: with `false` it is the answer to an earlier one.
        after_sent: bool,
    },
    /// `N_USData.indication` with an error: a message that had begun was given up.
    ReceiveFailed {
        /// Why.
        error: ReceiveError,
        /// As in [`Output::Received`].
        after_sent: bool,
    },
    /// A frame for us was ignored; nothing changed. For counting.
    Ignored(IgnoredFrame),
}

/// Whose frame was handed out last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Sender,
    Receiver,
}

/// An ISO-TP connection without I/O and without a clock, full duplex.
///
/// Times are durations since any start, the same for all calls. Give [`on_frame`](Self::on_frame) the time at which
/// the frame arrived, the driver's if it has one, and all frames that have arrived before the next poll. After every call, [`poll`](Self::poll) until it returns `None`, and
/// again at [`next_deadline`](Self::next_deadline) at the latest. A caller that does not poll loses frames, counted in
/// [`frames_dropped`](Self::frames_dropped), not memory.
///
/// ```
/// use core::time::Duration;
/// use isotp::{Address, Config, Frame, Link, Output};
///
/// let now = Duration::ZERO;
/// let mut link = Link::new(Config::new(Address::obd_11(0)).padded(0)).unwrap();
/// link.send(now, vec![0x22, 0xF1, 0x90]).unwrap();
/// let Some(Output::Transmit(request)) = link.poll(now) else { panic!() };
/// assert_eq!(request.to_string(), "7E0#0322F19000000000");
/// assert_eq!(link.poll(now), Some(Output::Sent));
///
/// let id = "7E8".parse().unwrap();
/// link.on_frame(now, &Frame::classic(id, &[0x10, 20, 0x62, 0xF1, 0x90, b'L', b'G', b'X']).unwrap());
/// assert!(matches!(link.poll(now), Some(Output::ReceptionStarted { announced: 20, .. })));
/// let Some(Output::Transmit(flow_control)) = link.poll(now) else { panic!() };
/// assert_eq!(flow_control.to_string(), "7E0#3000000000000000");
/// ```
#[derive(Debug)]
pub struct Link {
    config: Config,
    framing: Framing,
    sender: Sender,
    receiver: Receiver,
    outputs: VecDeque<Output>,
    /// The frame that is not on the bus yet, and until when it must be.
    unconfirmed: Option<(Half, Duration)>,
    /// Whether the message being received began after our last one was sent.
    reception_after_sent: bool,
    dropped: u64,
}

impl Link {
    /// A connection at rest.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            framing: Framing::new(&config),
            sender: Sender::new(config.timeouts.n_bs, config.max_wait_frames),
            receiver: Receiver::new(&config),
            outputs: VecDeque::new(),
            unconfirmed: None,
            reception_after_sent: false,
            dropped: 0,
            config,
        })
    }

    /// What it was configured with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// `N_USData.request`: begins to send a message of 1 to 2³² - 1 bytes.
    pub fn send(&mut self, now: Duration, payload: Vec<u8>) -> Result<(), SubmitError> {
        self.expire(now);
        if payload.is_empty() {
            return Err(SubmitError::Empty);
        }
        if u32::try_from(payload.len()).is_err() {
            return Err(SubmitError::TooLong(payload.len()));
        }
        if self.is_sending() {
            return Err(SubmitError::Busy);
        }
        self.note_sending();
        self.sender.start(payload);
        Ok(())
    }

    /// Takes a frame from the bus. Returns whether it was addressed to this connection.
    pub fn on_frame(&mut self, now: Duration, frame: &Frame) -> bool {
        let functional = self.config.address.functional();
        let (body, is_functional) = match self.config.address.strip(frame) {
            Some(body) => (body, false),
            None => match functional.and_then(|address| address.strip(frame)) {
                Some(body) => (body, true),
                None => return false,
            },
        };
        self.expire(now);
        if self.outputs.len() >= MAX_OUTPUTS {
            self.dropped += 1;
            return true;
        }
        match (pdu::decode(body, frame.data().len()), is_functional) {
            (Err(reason), _) => self.outputs.push_back(Output::Ignored(reason)),
            (Ok(Pdu::Single(payload)), true) => {
                self.received(payload.to_vec(), true, !self.is_sending());
            }
            (Ok(_), true) => self
                .outputs
                .push_back(Output::Ignored(IgnoredFrame::FunctionalMultiFrame)),
            (Ok(pdu), false) => self.on_pdu(now, pdu, frame.data().len()),
        }
        true
    }

    /// Whether a frame is addressed to this connection, functionally or to us alone.
    pub fn is_addressed(&self, frame: &Frame) -> bool {
        let address = &self.config.address;
        let functional = address.functional();
        address.strip(frame).is_some() || functional.is_some_and(|f| f.strip(frame).is_some())
    }

    /// With [`Config::confirm`]: the frame handed out last is on the bus (`L_Data.confirm`).
    pub fn transmitted(&mut self, now: Duration) {
        match self.unconfirmed.take() {
            Some((Half::Sender, _)) => {
                let progress = self.sender.confirmed(now);
                self.report(progress);
            }
            Some((Half::Receiver, _)) => self.receiver.confirmed(now),
            None => {}
        }
    }

    /// The next thing to do or to know; `None` until something happens or [`next_deadline`](Self::next_deadline) comes.
    pub fn poll(&mut self, now: Duration) -> Option<Output> {
        self.expire(now);
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if self.unconfirmed.is_some() {
            return None;
        }
        let (frame, half) = if let Some(frame) = self.receiver.next_frame(now, &self.framing) {
            (frame, Half::Receiver)
        } else {
            (self.sender.next_frame(now, &self.framing)?, Half::Sender)
        };
        self.unconfirmed = Some((half, now.saturating_add(self.config.timeouts.n_a)));
        if !self.config.confirm {
            self.transmitted(now);
        }
        Some(Output::Transmit(frame))
    }

    /// When to poll again if nothing happens before. A time in the past means now.
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.outputs.is_empty() {
            return Some(Duration::ZERO);
        }
        let timeouts = [self.receiver.timeout(), self.sender.timeout()];
        let next = match self.unconfirmed {
            Some((_, until)) => [Some(until), None],
            None => [self.receiver.frame_due(), self.sender.frame_due()],
        };
        timeouts.into_iter().chain(next).flatten().min()
    }

    /// Whether a message of ours is on its way.
    pub fn is_sending(&self) -> bool {
        !self.sender.is_idle()
    }

    /// Whether a message of several frames is being received.
    pub fn is_receiving(&self) -> bool {
        self.receiver.is_receiving()
    }

    /// Gives up the message being sent and the one being received, without a word to the other side.
    pub fn abort(&mut self) {
        self.sender.abort();
        self.receiver.abort();
        self.outputs.clear();
    }

    /// The frames dropped because the caller did not poll.
    pub fn frames_dropped(&self) -> u64 {
        self.dropped
    }

    /// The bytes of memory held for the message being received.
    pub fn receive_capacity(&self) -> usize {
        self.receiver.capacity()
    }

    /// A request of ours was sent by another way, so what is being received now cannot answer it.
    pub(crate) fn note_sending(&mut self) {
        self.reception_after_sent = false;
    }

    /// Whether the message being received can answer what we sent last.
    pub(crate) fn is_receiving_after_sent(&self) -> bool {
        self.is_receiving() && self.reception_after_sent
    }

    fn on_pdu(&mut self, now: Duration, pdu: Pdu<'_>, can_dl: usize) {
        match pdu {
            Pdu::Single(payload) => {
                self.interrupted(ReceiveError::InterruptedBySingleFrame);
                self.received(payload.to_vec(), false, !self.is_sending());
            }
            Pdu::First { announced, data } => {
                self.interrupted(ReceiveError::InterruptedByFirstFrame);
                let after_sent = !self.is_sending();
                self.reception_after_sent = after_sent;
                let step = self.receiver.on_first(now, announced, data, can_dl);
                if step == Step::Nothing {
                    self.outputs.push_back(Output::ReceptionStarted {
                        announced,
                        after_sent,
                    });
                }
                self.take(step);
            }
            Pdu::Consecutive { number, data } => {
                let step = self.receiver.on_consecutive(now, number, data, can_dl);
                self.take(step);
            }
            Pdu::FlowControl(flow) => {
                let progress = self.sender.on_flow_control(now, flow);
                self.report(progress);
            }
        }
    }

    fn interrupted(&mut self, error: ReceiveError) {
        if self.receiver.is_receiving() {
            self.receiver.abort();
            self.take(Step::Failed(error));
        }
    }

    fn take(&mut self, step: Step) {
        let after_sent = self.reception_after_sent;
        match step {
            Step::Nothing => {}
            Step::Complete(payload) => self.received(payload, false, after_sent),
            Step::Failed(error) => self
                .outputs
                .push_back(Output::ReceiveFailed { error, after_sent }),
            Step::Ignored(reason) => self.outputs.push_back(Output::Ignored(reason)),
        }
    }

    fn received(&mut self, payload: Vec<u8>, functional: bool, after_sent: bool) {
        self.outputs.push_back(Output::Received {
            payload,
            functional,
            after_sent,
        });
    }

    fn report(&mut self, progress: Progress) {
        self.outputs.push_back(match progress {
            Progress::Going => return,
            Progress::Sent => Output::Sent,
            Progress::Failed(error) => Output::SendFailed(error),
            Progress::Ignored(reason) => Output::Ignored(reason),
        });
    }

    fn expire(&mut self, now: Duration) {
        if let Some((half, until)) = self.unconfirmed
            && now >= until
        {
            self.unconfirmed = None;
            match half {
                Half::Sender => {
                    let progress = self.sender.fail(SendError::TimeoutA);
                    self.report(progress);
                }
                Half::Receiver => {
                    if let Some(error) = self.receiver.unconfirmed() {
                        self.take(Step::Failed(error));
                    }
                }
            }
        }
        if let Some(error) = self.receiver.expire(now) {
            self.take(Step::Failed(error));
        }
        let progress = self.sender.expire(now);
        self.report(progress);
    }
}
