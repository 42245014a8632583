//! Which block to send next, and when to send one again. Pure: time is an argument.
//!
//! The order: definitions of columns, transactions, the newest critical blocks, the newest live blocks; then what is
//! left of critical, live and bulk, oldest first. A block is on its way until the cloud answers or for as long as an
//! answer usually takes fourfold; one that is never answered is sent again at doubling intervals and holds nothing up.
//! Bytes are not kept here: what goes out again is read from the ledger again, as it is by then.

use std::{collections::HashMap, time::Duration};

use shared_protocol::{BlockNumber, Digest, Epoch, Stream};
use tokio::time::Instant;

use super::pace::Urgency;
use crate::buffer::{StoredBlock, priority};

/// Blocks that wait for the cloud's word at most, and their bytes.
const MOST_FLYING: usize = 64;
const MOST_FLYING_BYTES: usize = 2 * 1024 * 1024;
/// How many of them may have been sent before: what is never answered must not take the place of what will be.
const MOST_AGAIN: usize = 8;
/// Blocks that are remembered at most, for whatever reason.
const MOST_KNOWN: usize = 10_000;
const RESEND_FIRST: Duration = Duration::from_secs(10);
const RESEND_MOST: Duration = Duration::from_secs(300);
/// How long an answered block is remembered, so that it is not sent again before the ledger knows of the answer.
const REMEMBER: Duration = Duration::from_secs(5);
/// When columns were missing, how long they are given to arrive before the block goes out again.
const AFTER_COLUMNS: Duration = Duration::from_secs(1);
/// A cloud that said nothing for so long was away, and what waits for it may go out again at once.
const AWAY: Duration = Duration::from_secs(30);
/// As long as the cloud is not heard, so many blocks that may be dropped are out without an answer at most. What was handed out and
/// then dropped leaves a record of its own, for the cloud may have it; with a broker that takes everything and a cloud that is
/// away for weeks that would be one for every block.
const IN_THE_DARK: usize = 32;
/// The ledger is gone through from its beginning this often, for what may have been passed over.
const SWEEP: Duration = Duration::from_secs(300);
const PRIORITIES: usize = 5;
/// Blocks of this priority or dearer may never wait behind backlog.
const DEAR: u8 = 2;
const NEWEST: [(u8, Urgency); 2] = [(2, Urgency::Dear), (3, Urgency::Live)];

/// A question to the buffer: blocks of a priority after a place, oldest or newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// The priority, 0 is dearest.
    pub(super) priority: u8,
    /// The place.
    pub(super) after: i64,
    /// Newest first.
    pub(super) newest: bool,
    /// How many at most.
    pub(super) limit: u32,
    /// What they may push in before.
    pub(super) urgency: Urgency,
    /// The one block that is meant, when it goes out again.
    again: Option<i64>,
}

/// What to do with a block that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Nothing: it is known already.
    Known,
    /// Send it.
    Send {
        /// It was sent before on this connection.
        again: bool,
    },
    /// Nothing: it is longer than the broker takes, which is said here once.
    TooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may still be on its way until then.
    Flying(Instant),
    /// It goes out again then.
    Waiting(Instant),
    /// The cloud has answered; forgotten then.
    Answered(Instant),
    /// The broker of this connection does not take it.
    TooLong,
}

#[derive(Debug)]
struct Flight {
    priority: u8,
    number: BlockNumber,
    digest: Digest,
    length: usize,
    sent: Instant,
    attempts: u32,
    state: State,
}

/// What is known of a priority's blocks in the ledger.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// All blocks up to here have been looked at, oldest first.
    oldest: i64,
    /// And after it there are none, until there is news.
    at_end: bool,
    /// The youngest block that was looked at.
    newest: i64,
    /// And there are no younger ones, until there is news.
    no_newer: bool,
}

/// What is under way on one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    flights: HashMap<i64, Flight>,
    by_number: HashMap<BlockNumber, i64>,
    flying: usize,
    flying_bytes: usize,
    flying_again: usize,
    /// How long an answer takes.
    usual: Duration,
    places: [Place; PRIORITIES],
    answered: Option<Instant>,
    swept: Instant,
}

impl Outbox {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            flights: HashMap::new(),
            by_number: HashMap::new(),
            flying: 0,
            flying_bytes: 0,
            flying_again: 0,
            usual: Duration::from_millis(500),
            places: [Place::default(); PRIORITIES],
            answered: None,
            swept: now,
        }
    }

    /// The ledger has changed.
    pub(super) fn news(&mut self) {
        for place in &mut self.places {
            place.at_end = false;
            place.no_newer = false;
        }
    }

    /// Blocks that had been answered are to be sent again, wherever they are in the ledger.
    pub(super) fn look_again(&mut self) {
        let answered: Vec<i64> = self
            .flights
            .iter()
            .filter(|(_, flight)| matches!(flight.state, State::Answered(_)))
            .map(|(&id, _)| id)
            .collect();
        for id in answered {
            self.forget(id);
        }
        self.places = [Place::default(); PRIORITIES];
    }

    /// Lets time pass: what was on its way too long waits for its next turn, what was answered long ago is forgotten.
    pub(super) fn pass(&mut self, now: Instant) {
        let mut lapsed = Vec::new();
        self.flights.retain(|id, flight| match flight.state {
            State::Flying(until) if until <= now => {
                lapsed.push(*id);
                true
            }
            State::Answered(until) if until <= now => {
                self.by_number.remove(&flight.number);
                false
            }
            _ => true,
        });
        for id in lapsed {
            let patience = self.patience();
            let Some(flight) = self.flights.get(&id) else {
                continue;
            };
            let wait = patience * 2u32.saturating_pow(flight.attempts.min(8) - 1);
            let due = flight.sent + wait.min(RESEND_MOST.max(patience));
            self.land(id, State::Waiting(due));
        }
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.places = [Place::default(); PRIORITIES];
        }
    }

    /// Whether a block of this urgency may be sent now.
    pub(super) fn has_room(&self, urgency: Urgency) -> bool {
        let spare = match urgency {
            Urgency::Backlog => 16,
            Urgency::Live => 8,
            Urgency::Dear => 0,
        };
        self.flying + spare < MOST_FLYING
            && (self.flying_bytes < MOST_FLYING_BYTES || urgency > Urgency::Backlog)
    }

    /// The questions to ask now, dearest first, for those urgencies that may send.
    pub(super) fn asks(&self, may: impl Fn(Urgency) -> bool, now: Instant) -> Vec<Ask> {
        let may = |urgency| self.has_room(urgency) && may(urgency);
        let held_back = self.is_dark(now) && self.unanswered() >= IN_THE_DARK;
        let place = |priority: u8| self.places[usize::from(priority)];
        let mut asks = Vec::new();
        let again = self.due(now);
        let oldest = |priority, urgency| Ask {
            priority,
            after: place(priority).oldest,
            newest: false,
            limit: 4,
            urgency,
            again: None,
        };
        let dear = may(Urgency::Dear);
        if dear {
            asks.extend(again.filter(|ask| ask.priority <= DEAR));
            asks.extend(
                [0, 1]
                    .into_iter()
                    .filter(|&priority| !place(priority).at_end)
                    .map(|priority| oldest(priority, Urgency::Dear)),
            );
        }
        let is_new = |priority: u8| priority <= DEAR || !held_back;
        for (priority, urgency) in NEWEST {
            if is_new(priority) && !place(priority).no_newer && may(urgency) {
                asks.push(Ask {
                    priority,
                    after: place(priority).newest,
                    newest: true,
                    limit: 8,
                    urgency,
                    again: None,
                });
            }
        }
        if may(Urgency::Backlog) {
            asks.extend(again.filter(|ask| ask.priority > DEAR));
            asks.extend(
                [2, 3, 4]
                    .into_iter()
                    .filter(|&priority| is_new(priority) && !place(priority).at_end)
                    .map(|priority| oldest(priority, Urgency::Backlog)),
            );
        }
        asks
    }

    /// The dearest block whose turn has come again.
    fn due(&self, now: Instant) -> Option<Ask> {
        if self.flying_again >= MOST_AGAIN {
            return None;
        }
        self.flights
            .iter()
            .filter(|(_, flight)| matches!(flight.state, State::Waiting(due) if due <= now))
            .min_by_key(|(id, flight)| (flight.priority, **id))
            .map(|(&id, flight)| Ask {
                priority: flight.priority,
                after: id - 1,
                newest: false,
                limit: 1,
                urgency: if flight.priority <= DEAR {
                    Urgency::Dear
                } else {
                    Urgency::Backlog
                },
                again: Some(id),
            })
    }

    /// Takes one of the blocks that answer a question, in their order. `fits` says whether the broker takes it.
    pub(super) fn offer(
        &mut self,
        ask: &Ask,
        block: &StoredBlock,
        fits: bool,
        now: Instant,
    ) -> Offer {
        let place = &mut self.places[usize::from(ask.priority)];
        match ask.again {
            Some(meant) if meant != block.id => {
                // Its word has come by another way, or it had to make room.
                self.forget(meant);
                return Offer::Known;
            }
            Some(_) => {}
            None if ask.newest => place.newest = place.newest.max(block.id),
            None => place.oldest = place.oldest.max(block.id),
        }
        let attempts = match self.flights.get(&block.id) {
            Some(flight) if ask.again.is_none() || !matches!(flight.state, State::Waiting(_)) => {
                return Offer::Known;
            }
            Some(flight) => flight.attempts,
            None => 0,
        };
        if !self.flights.contains_key(&block.id) {
            self.make_room();
        }
        let state = if fits {
            self.flying += 1;
            self.flying_bytes += block.bytes.len();
            self.flying_again += usize::from(attempts > 0);
            State::Flying(now + self.patience())
        } else {
            State::TooLong
        };
        self.by_number.insert(block.number, block.id);
        let flight = Flight {
            priority: priority(block.number.stream),
            number: block.number,
            digest: block.digest,
            length: block.bytes.len(),
            sent: now,
            attempts: attempts + 1,
            state,
        };
        self.flights.insert(block.id, flight);
        if fits {
            Offer::Send {
                again: attempts > 0,
            }
        } else {
            Offer::TooLong
        }
    }

    /// All blocks that answer a question have been offered; there were so many.
    pub(super) fn exhausted(&mut self, ask: &Ask, count: usize) {
        let place = &mut self.places[usize::from(ask.priority)];
        match ask.again {
            Some(meant) if count == 0 => self.forget(meant),
            Some(_) => {}
            None if ask.newest => place.no_newer = true,
            None => place.at_end = count < ask.limit as usize,
        }
    }

    /// The cloud has said its last word on a content: its place is free. Returns the block's place in the ledger and when
    /// it was sent, if that was once on this connection.
    pub(super) fn answered(
        &mut self,
        number: &BlockNumber,
        digest: &Digest,
        now: Instant,
    ) -> Option<(i64, Instant)> {
        self.cloud_speaks(now);
        let (&id, flight) = self.flight(number, digest)?;
        let sent = flight.sent;
        let once = flight.attempts == 1 && matches!(flight.state, State::Flying(_));
        if once {
            let took = now.saturating_duration_since(sent);
            self.usual = (self.usual * 7 + took) / 8;
        }
        self.land(id, State::Answered(now + REMEMBER));
        once.then_some((id, sent))
    }

    /// The cloud has said its last word on all numbers of a range, first and last inclusive.
    pub(super) fn answered_range(
        &mut self,
        epoch: Epoch,
        stream: Stream,
        (first, last): (u64, u64),
        now: Instant,
    ) {
        self.cloud_speaks(now);
        let ids: Vec<i64> = self
            .flights
            .iter()
            .filter(|(_, flight)| {
                let number = flight.number;
                (number.epoch, number.stream) == (epoch, stream)
                    && (first..=last).contains(&number.seq)
            })
            .map(|(&id, _)| id)
            .collect();
        for id in ids {
            self.land(id, State::Answered(now + REMEMBER));
        }
    }

    /// Definitions of columns that were answered are to go out again: the ledger is looked through for them anew.
    pub(super) fn columns_again(&mut self) {
        let columns: Vec<i64> = self
            .flights
            .iter()
            .filter(|(_, flight)| {
                flight.number.stream == Stream::Columns
                    && matches!(flight.state, State::Answered(_))
            })
            .map(|(&id, _)| id)
            .collect();
        for id in columns {
            self.forget(id);
        }
        self.places[usize::from(priority(Stream::Columns))] = Place::default();
    }

    /// The cloud cannot open a content yet: it goes out again after the columns, later each time.
    pub(super) fn columns_needed(&mut self, number: &BlockNumber, digest: &Digest, now: Instant) {
        self.cloud_speaks(now);
        self.columns_again();
        let Some((&id, flight)) = self.flight(number, digest) else {
            return;
        };
        let wait = AFTER_COLUMNS * 2u32.saturating_pow(flight.attempts.clamp(1, 12) - 1);
        self.land(id, State::Waiting(now + wait.min(RESEND_MOST)));
    }

    /// How many blocks are on their way.
    pub(super) const fn in_flight(&self) -> usize {
        self.flying
    }

    fn flight(&self, number: &BlockNumber, digest: &Digest) -> Option<(&i64, &Flight)> {
        let id = self.by_number.get(number)?;
        let found = self.flights.get_key_value(id)?;
        let open = !matches!(found.1.state, State::Answered(_)) && found.1.digest == *digest;
        open.then_some(found)
    }

    /// Whether the cloud has not been heard on this connection yet, or not for a while.
    pub(super) fn is_dark(&self, now: Instant) -> bool {
        self.answered
            .is_none_or(|heard| now.saturating_duration_since(heard) >= AWAY)
    }

    /// Blocks that may be dropped and have no answer yet.
    fn unanswered(&self) -> usize {
        let flights = self.flights.values();
        flights
            .filter(|flight| flight.priority > DEAR)
            .filter(|flight| matches!(flight.state, State::Flying(_) | State::Waiting(_)))
            .count()
    }

    /// The cloud is heard. After a long silence what it did not hear goes out again at once.
    pub(super) fn cloud_speaks(&mut self, now: Instant) {
        let away = self
            .answered
            .replace(now)
            .is_some_and(|before| now.saturating_duration_since(before) >= AWAY);
        if !away {
            return;
        }
        for flight in self.flights.values_mut() {
            if let State::Waiting(due) = &mut flight.state {
                *due = now;
                flight.attempts = 1;
            }
        }
    }

    fn patience(&self) -> Duration {
        RESEND_FIRST.max(self.usual * 4)
    }

    fn land(&mut self, id: i64, state: State) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if let State::Flying(_) = std::mem::replace(&mut flight.state, state) {
            self.flying -= 1;
            self.flying_bytes -= flight.length;
            self.flying_again -= usize::from(flight.attempts > 1);
        }
    }

    fn forget(&mut self, id: i64) {
        self.land(id, State::TooLong);
        if let Some(flight) = self.flights.remove(&id) {
            self.by_number.remove(&flight.number);
        }
    }

    /// Forgets the block whose turn comes last when too many are known; the next sweep finds it again.
    fn make_room(&mut self) {
        if self.flights.len() < MOST_KNOWN {
            return;
        }
        let last = self
            .flights
            .iter()
            .filter_map(|(&id, flight)| match flight.state {
                State::Waiting(due) => Some((Some(due), id)),
                State::TooLong => Some((None, id)),
                State::Flying(_) | State::Answered(_) => None,
            })
            .max();
        if let Some((_, id)) = last {
            self.forget(id);
        }
    }
}

#[cfg(test)]
mod tests;
