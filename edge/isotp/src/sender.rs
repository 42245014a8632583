//! The sending half of a connection: one message at a time, paced by the receiver's flow control
//! (ISO 15765-2:2016 §9.2, §9.3, §9.8).

use core::time::Duration;

use crate::error::{IgnoredFrame, SendError};
use crate::frame::Frame;
use crate::pdu::{FlowControl, FlowStatus, Framing};

/// What happened to the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing to report.
    Going,
    /// Its last frame is on the bus.
    Sent,
    Failed(SendError),
    /// The flow control frame was not for it.
    Ignored(IgnoredFrame),
}

#[derive(Debug)]
enum State {
    Idle,
    /// The message's first (or only) frame may go.
    Fresh,
    /// A frame was handed out and is not on the bus yet. Flow control that overtakes the confirmation is kept.
    Unconfirmed {
        first: bool,
        early: Option<FlowControl>,
    },
    AwaitFlowControl {
        deadline: Duration,
    },
    /// Consecutive frames may go, the next one not before this time.
    Block {
        not_before: Duration,
    },
}

/// Invariant: `offset <= payload.len()`, and `payload` is empty exactly in `Idle`.
#[derive(Debug)]
pub(crate) struct Sender {
    state: State,
    payload: Vec<u8>,
    offset: usize,
    /// Sequence number of the next consecutive frame.
    number: u8,
    /// What the receiver asked for: frames per block (0: no limit) and their distance.
    block_size: u8,
    gap: Duration,
    /// Frames sent in this block.
    in_block: u8,
    /// `WAIT` frames in a row.
    waits: u8,
    /// When the last consecutive frame was on the bus.
    last_frame: Option<Duration>,
    n_bs: Duration,
    max_waits: u8,
}

impl Sender {
    pub(crate) fn new(n_bs: Duration, max_waits: u8) -> Self {
        Self {
            state: State::Idle,
            payload: Vec::new(),
            offset: 0,
            number: 0,
            block_size: 0,
            gap: Duration::ZERO,
            in_block: 0,
            waits: 0,
            last_frame: None,
            n_bs,
            max_waits,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Takes a message. The caller has checked that none is on its way and that it is not empty.
    pub(crate) fn start(&mut self, payload: Vec<u8>) {
        self.payload = payload;
        self.offset = 0;
        self.number = 1;
        self.in_block = 0;
        self.waits = 0;
        self.last_frame = None;
        self.state = State::Fresh;
    }

    /// Gives up whatever is on its way.
    pub(crate) fn abort(&mut self) {
        self.state = State::Idle;
        self.payload = Vec::new();
        self.offset = 0;
    }

    /// The next frame, if one may go now. It must be [confirmed](Self::confirmed) before there is another.
    pub(crate) fn next_frame(&mut self, now: Duration, framing: &Framing) -> Option<Frame> {
        let (frame, first) = match self.state {
            State::Fresh if self.payload.len() <= framing.single_limit() => {
                self.offset = self.payload.len();
                (framing.single(&self.payload), true)
            }
            State::Fresh => {
                let (frame, carried) = framing.first(&self.payload);
                self.offset = carried;
                (frame, true)
            }
            State::Block { not_before } if now >= not_before => {
                let (frame, carried) =
                    framing.consecutive(self.number, &self.payload[self.offset..]);
                self.offset += carried;
                self.number = (self.number + 1) & 0x0F;
                self.in_block = self.in_block.wrapping_add(1);
                (frame, false)
            }
            _ => return None,
        };
        self.state = State::Unconfirmed { first, early: None };
        Some(frame)
    }

    /// The frame handed out last is on the bus.
    pub(crate) fn confirmed(&mut self, now: Duration) -> Progress {
        let State::Unconfirmed { first, early } = self.state else {
            return Progress::Going;
        };
        if self.offset == self.payload.len() {
            self.abort();
            return Progress::Sent;
        }
        if !first {
            self.last_frame = Some(now);
        }
        let block_done = self.block_size != 0 && self.in_block == self.block_size;
        self.state = if first || block_done {
            State::AwaitFlowControl {
                deadline: now.saturating_add(self.n_bs),
            }
        } else {
            State::Block {
                not_before: now.saturating_add(self.gap),
            }
        };
        early.map_or(Progress::Going, |flow| self.on_flow_control(now, flow))
    }

    pub(crate) fn on_flow_control(&mut self, now: Duration, flow: FlowControl) -> Progress {
        match &mut self.state {
            State::Unconfirmed { early, .. } if early.is_none() => {
                *early = Some(flow);
                return Progress::Going;
            }
            State::AwaitFlowControl { .. } => {}
            // A receiver that gives up in the middle of a block says so; all else belongs to nothing.
            State::Block { .. } if flow.status == FlowStatus::Overflow => {}
            _ => return Progress::Ignored(IgnoredFrame::UnexpectedFlowControl),
        }
        match flow.status {
            FlowStatus::ContinueToSend => {
                self.block_size = flow.block_size;
                self.gap = flow.st_min.duration();
                self.in_block = 0;
                self.waits = 0;
                let not_before = self
                    .last_frame
                    .map_or(now, |last| last.saturating_add(self.gap));
                self.state = State::Block { not_before };
                Progress::Going
            }
            FlowStatus::Wait if self.waits == self.max_waits => {
                self.fail(SendError::TooManyWaits(self.max_waits))
            }
            FlowStatus::Wait => {
                self.waits += 1;
                self.state = State::AwaitFlowControl {
                    deadline: now.saturating_add(self.n_bs),
                };
                Progress::Going
            }
            FlowStatus::Overflow => self.fail(SendError::Overflow),
            FlowStatus::Reserved(status) => self.fail(SendError::InvalidFlowStatus(status)),
        }
    }

    /// Gives up if flow control is overdue.
    pub(crate) fn expire(&mut self, now: Duration) -> Progress {
        match self.state {
            State::AwaitFlowControl { deadline } if now >= deadline => {
                self.fail(SendError::TimeoutBs)
            }
            _ => Progress::Going,
        }
    }

    /// When [`next_frame`](Self::next_frame) will have a frame.
    pub(crate) fn frame_due(&self) -> Option<Duration> {
        match self.state {
            State::Fresh => Some(Duration::ZERO),
            State::Block { not_before } => Some(not_before),
            _ => None,
        }
    }

    /// When [`expire`](Self::expire) will give up.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self.state {
            State::AwaitFlowControl { deadline } => Some(deadline),
            _ => None,
        }
    }

    pub(crate) fn fail(&mut self, error: SendError) -> Progress {
        self.abort();
        Progress::Failed(error)
    }
}
