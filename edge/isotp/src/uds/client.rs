//! Asking one ECU: one request at a time, its answer or the reason why there is none (times: ISO 14229-2).

use core::time::Duration;
use std::collections::VecDeque;

use thiserror::Error;

use super::{Answer, Nrc, Request, RequestError, SessionTiming, Verdict};
use crate::error::{ReceiveError, SendError};
use crate::frame::Frame;
use crate::link::{Link, Output};

/// How long a client waits. The ECU's own limits plus what the bus and the operating system take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `P2`: from the request's last frame to the answer's first.
    pub p2: Duration,
    /// `P2*`: the same after a responsePending (78).
    pub p2_star: Duration,
    /// How many responsePending in a row are taken.
    pub max_pending: u8,
    /// After an answer failed to come, nothing is sent for so long (or for `p2_star` if the ECU had asked for time),
    /// unless it comes meanwhile: a late answer must not meet the next request.
    pub late_answer: Duration,
}

impl Default for Timing {
    /// The standard's 50 ms and 5000 ms with a margin of 100 ms each; 10 responsePending; 350 ms.
    fn default() -> Self {
        Self {
            p2: Duration::from_millis(150),
            p2_star: Duration::from_millis(5100),
            max_pending: 10,
            late_answer: Duration::from_millis(350),
        }
    }
}

impl Timing {
    /// The same with the times the ECU gave for its session, each with `margin`.
    #[must_use]
    pub fn with_session(self, session: SessionTiming, margin: Duration) -> Self {
        Self {
            p2: session.p2_server + margin,
            p2_star: session.p2_star_server + margin,
            ..self
        }
    }
}

/// Why a request could not be taken. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// One at a time.
    #[error("a request is still open: wait until it has finished")]
    Busy,
    /// No ECU could understand it.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Functional requests are single frames, others have a length of 32 bits.
    #[error("{len} bytes do not fit in a request of at most {limit}")]
    TooLong {
        /// The request's length.
        len: usize,
        /// The longest request.
        limit: usize,
    },
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum ClientError {
    /// The ECU refused.
    #[error("the ECU refused: {0}")]
    Negative(Nrc),
    /// No answer within `P2`, or within `P2*` after a responsePending.
    #[error("no answer in time")]
    Timeout,
    /// The ECU asked for more time too often.
    #[error("the ECU asked for more time {0} times")]
    TooManyPending(u8),
    /// The request did not get through.
    #[error("the request was not sent: {0}")]
    Send(#[from] SendError),
    /// The answer did not get through.
    #[error("the answer was not received: {0}")]
    Receive(#[from] ReceiveError),
}

/// What a [`Client`] wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Send this frame.
    Transmit(Frame),
    /// The request is over. Comes exactly once for each request taken.
    Finished(Result<Answer, ClientError>),
    /// The request was sent, and no answer was asked for. Stands for `Finished`.
    Sent,
    /// A message that answers nothing although something is open or owed: late, or foreign. For counting.
    Stray(Vec<u8>),
}

#[derive(Debug)]
enum State {
    Idle,
    /// Waits until a late answer can no longer come.
    Queued {
        request: Request,
        bytes: Vec<u8>,
    },
    Sending(Request),
    Waiting {
        request: Request,
        deadline: Duration,
        pending: u8,
    },
}

/// A request given up whose answer may still come.
#[derive(Debug)]
struct Owed {
    request: Request,
    until: Duration,
    pending: u8,
}

/// Asks one ECU. Without I/O and clock, like the [`Link`] below it: call [`poll`](Self::poll) until it returns `None`
/// after every other call, and again at [`next_deadline`](Self::next_deadline) at the latest.
///
/// ```
/// use core::time::Duration;
/// use isotp::uds::{Client, ClientOutput, Request, Timing};
/// use isotp::{Address, Config, Frame, Link};
///
/// let now = Duration::ZERO;
/// let link = Link::new(Config::new(Address::obd_11(0)).padded(0)).unwrap();
/// let mut client = Client::new(link, Timing::default());
/// client.request(Request::pid(0x5B)).unwrap();
/// let Some(ClientOutput::Transmit(frame)) = client.poll(now) else { panic!() };
/// assert_eq!(frame.to_string(), "7E0#02015B0000000000");
///
/// client.on_frame(now, &Frame::classic("7E8".parse().unwrap(), &[3, 0x41, 0x5B, 0xC0]).unwrap());
/// let Some(ClientOutput::Finished(Ok(answer))) = client.poll(now) else { panic!() };
/// assert_eq!(answer.record(), [0xC0]);
/// ```
#[derive(Debug)]
pub struct Client {
    link: Link,
    timing: Timing,
    state: State,
    owed: Option<Owed>,
    outputs: VecDeque<ClientOutput>,
}

impl Client {
    /// A client over `link`, which it alone uses.
    pub fn new(link: Link, timing: Timing) -> Self {
        Self {
            link,
            timing,
            state: State::Idle,
            owed: None,
            outputs: VecDeque::new(),
        }
    }

    /// The connection below.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The times in force.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Changes the times, for requests to come.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// Whether a request can be taken.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Takes a request. It is sent at once, or when an answer still owed from before can no longer come.
    pub fn request(&mut self, request: Request) -> Result<(), AskError> {
        if !self.is_idle() {
            return Err(AskError::Busy);
        }
        let bytes = request.encode()?;
        if u32::try_from(bytes.len()).is_err() {
            return Err(AskError::TooLong {
                len: bytes.len(),
                limit: u32::MAX as usize,
            });
        }
        self.state = State::Queued { request, bytes };
        Ok(())
    }

    /// Takes a frame from the bus. Returns whether it was addressed to this connection.
    ///
    /// While nothing is open or owed, frames are passed over: they belong to another tester, a workshop's perhaps,
    /// and our flow control would disturb it.
    pub fn on_frame(&mut self, now: Duration, frame: &Frame) -> bool {
        let is_owed = self.owed.as_ref().is_some_and(|owed| now < owed.until);
        if self.is_idle() && !is_owed && !self.link.is_receiving() {
            return self.link.is_addressed(frame);
        }
        self.link.on_frame(now, frame)
    }

    /// With [`Config::confirm`](crate::Config::confirm): the frame handed out last is on the bus.
    pub fn transmitted(&mut self, now: Duration) {
        self.link.transmitted(now);
    }

    /// The next thing to do or to know.
    pub fn poll(&mut self, now: Duration) -> Option<ClientOutput> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if let Some(frame) = self.work(now) {
            return Some(ClientOutput::Transmit(frame));
        }
        self.outputs.pop_front()
    }

    /// When to poll again if nothing happens before. A time in the past means now.
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.outputs.is_empty() {
            return Some(Duration::ZERO);
        }
        let own = match &self.state {
            State::Queued { .. } => {
                Some(self.owed.as_ref().map_or(Duration::ZERO, |owed| owed.until))
            }
            // While the answer is coming in, the link's own timeout counts.
            State::Waiting { deadline, .. } if !self.link.is_receiving_after_sent() => {
                Some(*deadline)
            }
            _ => None,
        };
        [own, self.link.next_deadline()].into_iter().flatten().min()
    }

    /// Lets everything happen that is due, up to the first frame to send or the first thing to tell.
    fn work(&mut self, now: Duration) -> Option<Frame> {
        while self.outputs.is_empty() {
            match self.link.poll(now) {
                Some(Output::Transmit(frame)) => return Some(frame),
                Some(output) => self.on_output(now, output),
                None if self.advance(now) => {}
                None => break,
            }
        }
        None
    }

    /// What only time brings. Returns whether something changed.
    fn advance(&mut self, now: Duration) -> bool {
        if self.owed.as_ref().is_some_and(|owed| now >= owed.until) {
            self.owed = None;
        }
        match core::mem::replace(&mut self.state, State::Idle) {
            State::Queued { request, bytes } if self.owed.is_none() => {
                self.link
                    .send(now, bytes)
                    .expect("a request is not empty, not too long, and alone on its link");
                self.state = State::Sending(request);
                true
            }
            State::Waiting {
                request,
                deadline,
                pending,
            } if now >= deadline && !self.link.is_receiving_after_sent() => {
                self.give_up(now, request, pending, ClientError::Timeout);
                true
            }
            state => {
                self.state = state;
                false
            }
        }
    }

    fn on_output(&mut self, now: Duration, output: Output) {
        match (output, core::mem::replace(&mut self.state, State::Idle)) {
            (Output::Sent, State::Sending(request)) => {
                if request.is_suppressed() {
                    self.outputs.push_back(ClientOutput::Sent);
                } else {
                    self.state = State::Waiting {
                        request,
                        deadline: now.saturating_add(self.timing.p2),
                        pending: 0,
                    };
                }
            }
            (Output::SendFailed(error), State::Sending(_)) => self.finish(Err(error.into())),
            (
                Output::Received {
                    payload,
                    after_sent: true,
                    ..
                },
                State::Waiting {
                    request,
                    deadline,
                    pending,
                },
            ) => {
                self.on_message(now, payload, request, deadline, pending);
            }
            (
                Output::ReceiveFailed {
                    error,
                    after_sent: true,
                },
                State::Waiting {
                    request, pending, ..
                },
            ) => {
                self.give_up(now, request, pending, error.into());
            }
            (Output::Received { payload, .. }, state) => {
                self.state = state;
                self.on_stray(now, payload);
            }
            (_, state) => self.state = state,
        }
    }

    fn on_message(
        &mut self,
        now: Duration,
        payload: Vec<u8>,
        request: Request,
        deadline: Duration,
        pending: u8,
    ) {
        match request.judge(&payload) {
            Verdict::Positive => {
                let answer = Answer::new(request, payload).expect("judged positive");
                self.finish(Ok(answer));
            }
            Verdict::Negative(code) => self.finish(Err(ClientError::Negative(code))),
            Verdict::Pending if pending >= self.timing.max_pending => {
                self.give_up(now, request, pending, ClientError::TooManyPending(pending));
            }
            Verdict::Pending => {
                let deadline = now.saturating_add(self.timing.p2_star);
                self.state = State::Waiting {
                    request,
                    deadline,
                    pending: pending + 1,
                };
            }
            Verdict::Foreign => {
                self.state = State::Waiting {
                    request,
                    deadline,
                    pending,
                };
                self.outputs.push_back(ClientOutput::Stray(payload));
            }
        }
    }

    /// A message no open request waits for: perhaps the answer owed from before.
    fn on_stray(&mut self, now: Duration, payload: Vec<u8>) {
        if let Some(owed) = &mut self.owed {
            match owed.request.judge(&payload) {
                Verdict::Positive | Verdict::Negative(_) => self.owed = None,
                Verdict::Pending if owed.pending < self.timing.max_pending => {
                    owed.pending += 1;
                    owed.until = now.saturating_add(self.timing.p2_star);
                }
                Verdict::Pending | Verdict::Foreign => {}
            }
        }
        self.outputs.push_back(ClientOutput::Stray(payload));
    }

    /// Finishes without an answer that may still come.
    fn give_up(&mut self, now: Duration, request: Request, pending: u8, error: ClientError) {
        let wait = if pending > 0 {
            self.timing.p2_star.max(self.timing.late_answer)
        } else {
            self.timing.late_answer
        };
        self.owed = Some(Owed {
            request,
            until: now.saturating_add(wait),
            pending,
        });
        self.finish(Err(error));
    }

    fn finish(&mut self, result: Result<Answer, ClientError>) {
        self.state = State::Idle;
        self.outputs.push_back(ClientOutput::Finished(result));
    }
}
