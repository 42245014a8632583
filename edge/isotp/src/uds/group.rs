//! Asking all ECUs at once: a functional request, and an answer from each that has one.
//!
//! The request goes out as a single frame on the functional identifier. Each ECU answers on its own physical
//! identifier, and flow control goes back to that ECU alone: 7E8 to 7E0, 18DAF110 to 18DA10F1
//! (ISO 15765-4; ISO 15765-2:2016 §8.3.2).

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::{Answer, AskError, ClientError, Request, Timing, Verdict};
use crate::address::{Address, FunctionalAddress, TESTER};
use crate::config::{Config, ConfigError};
use crate::frame::{CanId, Frame};
use crate::link::{Link, Output};
use crate::pdu::Framing;

/// How many ECUs one group listens to; more than any vehicle has on one functional address.
const MAX_ECUS: usize = 64;

/// Which identifiers answer to a functional request, and where their flow control goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Responders {
    /// 7E8 to 7EF; flow control eight below (ISO 15765-4).
    Obd11,
    /// `18DAF1xx`; flow control to `18DAxxF1` (ISO 15765-4).
    Obd29,
    /// All 11-bit identifiers from `first` to `last`; flow control `offset` below.
    Offset {
        /// The lowest answering identifier.
        first: u16,
        /// The highest answering identifier.
        last: u16,
        /// How far below it the ECU listens.
        offset: u16,
    },
    /// These, each as the tester sees it.
    Listed(Vec<Address>),
}

impl Responders {
    /// The connection to the ECU that answers on `id`; `None` if it is none of these.
    pub fn address(&self, id: CanId) -> Option<Address> {
        match self {
            Self::Obd11 => Self::Offset {
                first: 0x7E8,
                last: 0x7EF,
                offset: 8,
            }
            .address(id),
            Self::Obd29 => {
                let address = Address::normal_fixed(TESTER, id.raw() as u8);
                (address.rx_id() == id).then_some(address)
            }
            Self::Offset {
                first,
                last,
                offset,
            } => {
                let inside =
                    !id.is_extended() && (u32::from(*first)..=u32::from(*last)).contains(&id.raw());
                let listens = id
                    .raw()
                    .checked_sub((*offset).into())
                    .filter(|_| inside && *offset > 0)?;
                Some(Address::normal(CanId::standard(listens).ok()?, id))
            }
            Self::Listed(addresses) => addresses
                .iter()
                .copied()
                .find(|address| address.rx_id() == id),
        }
    }
}

/// What a [`Group`] wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupOutput {
    /// Send this frame.
    Transmit(Frame),
    /// One ECU's answer, or why it has none although it began to answer.
    Answered {
        /// The identifier the ECU answers on.
        from: CanId,
        /// What it said.
        result: Result<Answer, ClientError>,
    },
    /// A message that answers nothing although something is open: late, second, or foreign. For counting.
    Stray {
        /// The identifier it came on.
        from: CanId,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// Nobody is expected to answer any more. Comes exactly once for each request taken.
    Finished,
}

#[derive(Debug)]
enum State {
    Idle,
    /// Sent when late answers can no longer come.
    Queued {
        request: Request,
        frame: Frame,
    },
    /// New ECUs may begin to answer until the deadline.
    Waiting {
        request: Request,
        deadline: Duration,
    },
}

#[derive(Debug)]
struct Ecu {
    link: Link,
    /// Until when it must go on after a responsePending.
    promised: Option<Duration>,
    pending: u8,
    /// Its answer is there.
    done: bool,
}

impl Ecu {
    /// Whether its answer is on the way or was promised.
    fn is_expected(&self) -> bool {
        !self.done && (self.link.is_receiving_after_sent() || self.promised.is_some())
    }
}

/// Asks all ECUs on a functional address. Without I/O and clock: call [`poll`](Self::poll) until it returns `None`
/// after every other call, and again at [`next_deadline`](Self::next_deadline) at the latest.
#[derive(Debug)]
pub struct Group {
    functional: FunctionalAddress,
    responders: Responders,
    template: Config,
    timing: Timing,
    state: State,
    /// Until when an answer to the last request may still come.
    quiet_until: Duration,
    ecus: BTreeMap<CanId, Ecu>,
    outputs: VecDeque<GroupOutput>,
}

impl Group {
    /// A group that asks on `functional`. Lengths, padding, flow control and timeouts come from `template`; its
    /// address and `confirm` do not count.
    pub fn new(
        functional: FunctionalAddress,
        responders: Responders,
        template: &Config,
        timing: Timing,
    ) -> Result<Self, ConfigError> {
        let template = Config {
            confirm: false,
            ..template.clone()
        };
        template.check()?;
        Ok(Self {
            functional,
            responders,
            template,
            timing,
            state: State::Idle,
            quiet_until: Duration::ZERO,
            ecus: BTreeMap::new(),
            outputs: VecDeque::new(),
        })
    }

    /// The legislated OBD ECUs, 11 bit, frames padded with 00 (ISO 15765-4).
    pub fn obd_11(timing: Timing) -> Self {
        let config = Config::new(Address::obd_11(0)).padded(0);
        Self::new(
            FunctionalAddress::OBD_11,
            Responders::Obd11,
            &config,
            timing,
        )
        .expect("a valid configuration")
    }

    /// The legislated OBD ECUs, 29 bit, frames padded with 00 (ISO 15765-4).
    pub fn obd_29(timing: Timing) -> Self {
        let config = Config::new(Address::obd_29(0)).padded(0);
        Self::new(
            FunctionalAddress::OBD_29,
            Responders::Obd29,
            &config,
            timing,
        )
        .expect("a valid configuration")
    }

    /// Whether a request can be taken.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Takes a request. It is sent at once, or when answers to the one before can no longer come.
    pub fn request(&mut self, request: Request) -> Result<(), AskError> {
        if !self.is_idle() {
            return Err(AskError::Busy);
        }
        let bytes = request.encode()?;
        let mut framing = Framing::new(&self.template);
        (framing.id, framing.prefix) = (self.functional.id, self.functional.prefix);
        let limit = framing.single_limit();
        if bytes.len() > limit {
            return Err(AskError::TooLong {
                len: bytes.len(),
                limit,
            });
        }
        self.state = State::Queued {
            request,
            frame: framing.single(&bytes),
        };
        Ok(())
    }

    /// Takes a frame from the bus. Returns whether it was addressed to this group.
    ///
    /// While nothing is open, frames are passed over: they belong to another tester, a workshop's perhaps, and our
    /// flow control would disturb it.
    pub fn on_frame(&mut self, now: Duration, frame: &Frame) -> bool {
        let Some(address) = self
            .responders
            .address(frame.id())
            .filter(|address| address.strip(frame).is_some())
        else {
            return false;
        };
        let known = self.ecus.get(&frame.id());
        if self.is_idle() && !known.is_some_and(|ecu| ecu.link.is_receiving()) {
            return true;
        }
        if known.is_none() && self.ecus.len() < MAX_ECUS {
            let config = Config {
                address,
                ..self.template.clone()
            };
            if let Ok(link) = Link::new(config) {
                self.ecus.insert(
                    frame.id(),
                    Ecu {
                        link,
                        promised: None,
                        pending: 0,
                        done: false,
                    },
                );
            }
        }
        if let Some(ecu) = self.ecus.get_mut(&frame.id()) {
            ecu.link.on_frame(now, frame);
        }
        true
    }

    /// The next thing to do or to know.
    pub fn poll(&mut self, now: Duration) -> Option<GroupOutput> {
        while self.outputs.is_empty() {
            let polled = self
                .ecus
                .iter_mut()
                .find_map(|(id, ecu)| ecu.link.poll(now).map(|output| (*id, output)));
            match polled {
                Some((_, Output::Transmit(frame))) => return Some(GroupOutput::Transmit(frame)),
                Some((from, output)) => self.on_output(now, from, output),
                None if self.advance(now) => {}
                None => break,
            }
        }
        self.outputs.pop_front()
    }

    /// When to poll again if nothing happens before. A time in the past means now.
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.outputs.is_empty() {
            return Some(Duration::ZERO);
        }
        let own = match &self.state {
            State::Idle => None,
            State::Queued { .. } => Some(self.quiet_until),
            State::Waiting { deadline, .. } => {
                let (coming, others): (Vec<_>, Vec<_>) = self
                    .ecus
                    .values()
                    .filter(|ecu| ecu.is_expected())
                    .partition(|ecu| ecu.link.is_receiving_after_sent());
                let promised = others.iter().filter_map(|ecu| ecu.promised).min();
                // While an answer is coming in, the link's own timeout counts.
                promised.or(coming.is_empty().then_some(*deadline))
            }
        };
        let links = self
            .ecus
            .values()
            .filter_map(|ecu| ecu.link.next_deadline());
        links.chain(own).min()
    }

    /// What only time brings. Returns whether something changed.
    fn advance(&mut self, now: Duration) -> bool {
        match &self.state {
            State::Queued { request, frame } if now >= self.quiet_until => {
                self.outputs.push_back(GroupOutput::Transmit(*frame));
                self.state = if request.is_suppressed() {
                    self.outputs.push_back(GroupOutput::Finished);
                    State::Idle
                } else {
                    State::Waiting {
                        request: request.clone(),
                        deadline: now.saturating_add(self.timing.p2),
                    }
                };
                for ecu in self.ecus.values_mut() {
                    ecu.link.note_sending();
                    (ecu.promised, ecu.pending, ecu.done) = (None, 0, false);
                }
                true
            }
            State::Waiting { deadline, .. } => {
                let deadline = *deadline;
                for (&from, ecu) in &mut self.ecus {
                    let overdue = ecu.promised.is_some_and(|until| now >= until)
                        && !ecu.link.is_receiving_after_sent();
                    if overdue && !ecu.done {
                        (ecu.promised, ecu.done) = (None, true);
                        let result = Err(ClientError::Timeout);
                        self.outputs
                            .push_back(GroupOutput::Answered { from, result });
                    }
                }
                if now >= deadline && !self.ecus.values().any(Ecu::is_expected) {
                    self.state = State::Idle;
                    self.quiet_until = now.saturating_add(self.timing.late_answer);
                    self.outputs.push_back(GroupOutput::Finished);
                }
                !self.outputs.is_empty()
            }
            _ => false,
        }
    }

    fn on_output(&mut self, now: Duration, from: CanId, output: Output) {
        let (State::Waiting { request, .. }, Some(ecu)) = (&self.state, self.ecus.get_mut(&from))
        else {
            if let Output::Received { payload, .. } = output {
                self.outputs.push_back(GroupOutput::Stray { from, payload });
            }
            return;
        };
        let result = match output {
            Output::Received {
                payload,
                after_sent: true,
                ..
            } if !ecu.done => match request.judge(&payload) {
                Verdict::Positive => {
                    Ok(Answer::new(request.clone(), payload).expect("judged positive"))
                }
                Verdict::Negative(code) => Err(ClientError::Negative(code)),
                Verdict::Pending if ecu.pending >= self.timing.max_pending => {
                    Err(ClientError::TooManyPending(ecu.pending))
                }
                Verdict::Pending => {
                    ecu.pending += 1;
                    ecu.promised = Some(now.saturating_add(self.timing.p2_star));
                    return;
                }
                Verdict::Foreign => {
                    return self.outputs.push_back(GroupOutput::Stray { from, payload });
                }
            },
            Output::Received { payload, .. } => {
                return self.outputs.push_back(GroupOutput::Stray { from, payload });
            }
            Output::ReceiveFailed {
                error,
                after_sent: true,
            } if !ecu.done => Err(error.into()),
            _ => return,
        };
        (ecu.promised, ecu.done) = (None, true);
        self.outputs
            .push_back(GroupOutput::Answered { from, result });
    }
}
