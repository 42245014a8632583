//! The receiving half of a connection: reassembly and the flow control frames it owes the sender
//! (ISO 15765-2:2016 §9.3, §9.6.5, §9.8).

use core::time::Duration;

use crate::config::Config;
use crate::error::{IgnoredFrame, ReceiveError};
use crate::frame::Frame;
use crate::pdu::{FlowControl, FlowStatus, Framing};

/// What a frame did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    Complete(Vec<u8>),
    Failed(ReceiveError),
    Ignored(IgnoredFrame),
}

#[derive(Debug)]
enum State {
    Idle,
    /// A flow control frame is owed, not before this time. `waits` of them say `WAIT`.
    OweFlowControl {
        at: Duration,
        waits: u8,
    },
    /// It was handed out and is not on the bus yet.
    Unconfirmed {
        waits: u8,
    },
    /// The sender may send.
    Block {
        deadline: Duration,
    },
    /// `OVFLW` is owed to the sender of a message that is too long.
    OweOverflow,
}

/// Invariant: outside `Idle` and `OweOverflow`, `buffer.len() < announced`. The buffer grows with what arrives, never
/// with what is announced.
#[derive(Debug)]
pub(crate) struct Receiver {
    state: State,
    buffer: Vec<u8>,
    announced: usize,
    /// `RX_DL`: the length of the first frame, and of all consecutive frames but the last.
    rx_data_length: usize,
    /// Sequence number of the next consecutive frame.
    number: u8,
    in_block: u8,
    settings: Config,
}

impl Receiver {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            state: State::Idle,
            buffer: Vec::new(),
            announced: 0,
            rx_data_length: 8,
            number: 0,
            in_block: 0,
            settings: config.clone(),
        }
    }

    pub(crate) fn is_receiving(&self) -> bool {
        !matches!(self.state, State::Idle | State::OweOverflow)
    }

    /// The bytes the buffer occupies.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Throws away what has arrived of a message. An `OVFLW` owed stays owed.
    pub(crate) fn abort(&mut self) {
        if self.is_receiving() {
            self.state = State::Idle;
        }
        self.buffer = Vec::new();
    }

    /// A first frame of `can_dl` bytes; `data` is what it carries. An unfinished message was [aborted](Self::abort).
    pub(crate) fn on_first(
        &mut self,
        now: Duration,
        announced: u32,
        data: &[u8],
        can_dl: usize,
    ) -> Step {
        let limit = self.settings.max_message_size;
        if announced > limit {
            self.state = State::OweOverflow;
            return Step::Failed(ReceiveError::TooLong { announced, limit });
        }
        self.buffer = data.to_vec();
        self.announced = announced as usize;
        self.rx_data_length = can_dl;
        self.number = 1;
        self.owe_flow_control(now);
        Step::Nothing
    }

    /// A consecutive frame of `can_dl` bytes; `data` is what it carries, filler included.
    pub(crate) fn on_consecutive(
        &mut self,
        now: Duration,
        number: u8,
        data: &[u8],
        can_dl: usize,
    ) -> Step {
        if !self.is_receiving() {
            return Step::Ignored(IgnoredFrame::UnexpectedConsecutiveFrame);
        }
        if number != self.number {
            let expected = self.number;
            self.abort();
            return Step::Failed(ReceiveError::WrongSequenceNumber {
                expected,
                found: number,
            });
        }
        let missing = self.announced - self.buffer.len();
        if data.len() < missing && can_dl != self.rx_data_length {
            let (expected, found) = (self.rx_data_length as u8, can_dl as u8);
            return Step::Ignored(IgnoredFrame::ConsecutiveFrameDataLength { expected, found });
        }
        self.buffer
            .extend_from_slice(&data[..missing.min(data.len())]);
        if self.buffer.len() == self.announced {
            self.state = State::Idle;
            return Step::Complete(core::mem::take(&mut self.buffer));
        }
        self.number = (self.number + 1) & 0x0F;
        self.in_block = self.in_block.wrapping_add(1);
        if self.settings.block_size != 0 && self.in_block == self.settings.block_size {
            self.owe_flow_control(now);
        } else if let State::Block { deadline } = &mut self.state {
            *deadline = now.saturating_add(self.settings.timeouts.n_cr);
        }
        Step::Nothing
    }

    /// The flow control frame that is due now. It must be [confirmed](Self::confirmed) before there is another.
    pub(crate) fn next_frame(&mut self, now: Duration, framing: &Framing) -> Option<Frame> {
        let status = match self.state {
            State::OweOverflow => {
                self.state = State::Idle;
                FlowStatus::Overflow
            }
            State::OweFlowControl { at, waits } if now >= at => {
                self.state = State::Unconfirmed { waits };
                if waits > 0 {
                    FlowStatus::Wait
                } else {
                    FlowStatus::ContinueToSend
                }
            }
            _ => return None,
        };
        let Config {
            block_size, st_min, ..
        } = self.settings;
        Some(framing.flow_control(FlowControl {
            status,
            block_size,
            st_min,
        }))
    }

    /// The frame handed out last is on the bus.
    pub(crate) fn confirmed(&mut self, now: Duration) {
        self.state = match self.state {
            State::Unconfirmed { waits: 0 } => State::Block {
                deadline: now.saturating_add(self.settings.timeouts.n_cr),
            },
            State::Unconfirmed { waits } => State::OweFlowControl {
                at: now.saturating_add(self.settings.wait_gap),
                waits: waits - 1,
            },
            _ => return,
        };
    }

    /// The frame handed out last did not reach the bus.
    pub(crate) fn unconfirmed(&mut self) -> Option<ReceiveError> {
        matches!(self.state, State::Unconfirmed { .. }).then(|| {
            self.abort();
            ReceiveError::TimeoutA
        })
    }

    /// Gives up if a consecutive frame is overdue.
    pub(crate) fn expire(&mut self, now: Duration) -> Option<ReceiveError> {
        match self.state {
            State::Block { deadline } if now >= deadline => {
                self.abort();
                Some(ReceiveError::TimeoutCr)
            }
            _ => None,
        }
    }

    /// When [`next_frame`](Self::next_frame) will have a frame.
    pub(crate) fn frame_due(&self) -> Option<Duration> {
        match self.state {
            State::OweFlowControl { at, .. } => Some(at),
            State::OweOverflow => Some(Duration::ZERO),
            _ => None,
        }
    }

    /// When [`expire`](Self::expire) will give up.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self.state {
            State::Block { deadline } => Some(deadline),
            _ => None,
        }
    }

    fn owe_flow_control(&mut self, now: Duration) {
        self.in_block = 0;
        self.state = State::OweFlowControl {
            at: now,
            waits: self.settings.wait_frames,
        };
    }
}
