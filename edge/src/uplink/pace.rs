//! How much is on its way to the broker: little more than half a second of what the link carries, so that what is fresh never waits
//! behind much that is not. Pure: time is an argument.
//!
//! The measure is the broker's PUBACK. It frees nothing in the buffer, but it tells that the bytes before it have left the
//! link, which the cloud's word, after a transaction in a database, does not. When PUBACKs take longer than the target,
//! bytes are queueing somewhere on the way, and the window shrinks in proportion; when they take less, it grows.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// The window never shrinks below this and never grows above that.
const WINDOW: (usize, usize) = (8 * 1024, 1024 * 1024);
const FIRST_WINDOW: usize = 64 * 1024;
/// A block and its PUBACK take this long on a link that is full but not overfull, or twice what an idle one takes.
const TARGET: Duration = Duration::from_millis(600);
/// What was handed over so long ago has left the link, acknowledged or not; a broker acknowledges sooner.
const ON_THE_WAY: Duration = Duration::from_secs(12);

/// What a message may push in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// What is left from before.
    Backlog,
    /// The present.
    Live,
    /// Alarms, transactions, and the definitions without which nothing can be read.
    Dear,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    length: usize,
    /// Nothing else was on the way.
    alone: bool,
}

/// What is on its way.
#[derive(Debug)]
pub(super) struct Pace {
    sent: HashMap<u64, Sent>,
    next: u64,
    /// Messages that the broker takes before it acknowledges the first of them.
    slots: usize,
    window: usize,
    /// How long an idle link takes.
    idle: Duration,
}

impl Pace {
    pub(super) fn new(slots: u16) -> Self {
        Self {
            sent: HashMap::new(),
            next: 0,
            slots: usize::from(slots.max(1)),
            window: FIRST_WINDOW,
            idle: Duration::ZERO,
        }
    }

    /// Whether a message of this urgency may go out now. One may always be on the way, however long it is.
    pub(super) fn may_send(&self, urgency: Urgency, now: Instant) -> bool {
        let (bytes, spare) = match urgency {
            Urgency::Backlog => (self.window, self.slots / 4),
            Urgency::Live => (self.window / 2 * 3, self.slots / 8),
            Urgency::Dear => (self.window * 2 + WINDOW.0, 0),
        };
        let on_the_way = self.on_the_way(now);
        self.sent.len() + spare < self.slots && (on_the_way == 0 || on_the_way < bytes)
    }

    /// A message was handed to the client; returns what to call it by.
    pub(super) fn sent(&mut self, length: usize, now: Instant) -> u64 {
        let alone = self.on_the_way(now) == 0;
        let name = self.next;
        self.next += 1;
        let at = now;
        self.sent.insert(name, Sent { at, length, alone });
        name
    }

    /// The broker has acknowledged it; returns how long it was.
    pub(super) fn taken(&mut self, name: u64, now: Instant) -> Option<usize> {
        let full = self.on_the_way(now) >= self.window / 2;
        let sent = self.sent.remove(&name)?;
        let took = now.saturating_duration_since(sent.at);
        if sent.alone {
            self.idle = if self.idle.is_zero() {
                took
            } else {
                (self.idle + took) / 2
            };
        }
        let target = TARGET.max(self.idle * 2).as_secs_f64();
        let off = ((target - took.as_secs_f64()) / target).clamp(-1.0, 1.0);
        // A window that was not used says nothing about a larger one.
        if full || off < 0.0 {
            let step = sent.length as f64 * off / 2.0;
            let window = (self.window as f64 + step).max(0.0) as usize;
            self.window = window.clamp(WINDOW.0, WINDOW.1);
        }
        Some(sent.length)
    }

    /// The longest message that the broker has not acknowledged, 0 when it has acknowledged all.
    pub(super) fn longest(&self) -> usize {
        self.sent
            .values()
            .map(|sent| sent.length)
            .max()
            .unwrap_or(0)
    }

    /// How many messages the broker leaves unacknowledged, when they take up half of what it wants to have at most: on
    /// another connection all places are free again.
    pub(super) fn left_lying(&self, now: Instant) -> Option<usize> {
        let is_old = |sent: &&Sent| now.saturating_duration_since(sent.at) >= ON_THE_WAY;
        let old = self.sent.values().filter(is_old).count();
        (old * 2 >= self.slots).then_some(old)
    }

    fn on_the_way(&self, now: Instant) -> usize {
        self.sent
            .values()
            .filter(|sent| now.saturating_duration_since(sent.at) < ON_THE_WAY)
            .map(|sent| sent.length)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const MS: Duration = Duration::from_millis(1);

    /// A link that carries so many bytes a second, with this round trip; returns for each message of `length` that fits
    /// into the window how long its PUBACK took.
    fn drain(
        pace: &mut Pace,
        rate: f64,
        round_trip: Duration,
        length: usize,
        seconds: u64,
    ) -> Vec<Duration> {
        let mut now = Instant::now();
        let end = now + Duration::from_secs(seconds);
        let mut free_at = now;
        let mut due: VecDeque<(Instant, u64, Instant)> = VecDeque::new();
        let mut took = Vec::new();
        while now < end {
            while pace.may_send(Urgency::Backlog, now) {
                let name = pace.sent(length, now);
                free_at = free_at.max(now) + Duration::from_secs_f64(length as f64 / rate);
                due.push_back((free_at + round_trip, name, now));
            }
            let (at, name, sent) = due.pop_front().unwrap();
            now = at;
            pace.taken(name, now);
            took.push(now - sent);
        }
        took
    }

    #[test]
    fn the_queue_settles_below_a_second_and_the_link_stays_full() {
        for (kilobit, round_trip, length) in [
            (256.0, 100, 4_000),
            (1_000.0, 50, 16_000),
            (1_000.0, 600, 16_000),
            (20_000.0, 150, 30_000),
            (10_000.0, 20, 1_000),
        ] {
            let mut pace = Pace::new(64);
            let rate = kilobit * 125.0;
            // The hello finds the link idle.
            let now = Instant::now();
            let hello = pace.sent(200, now);
            pace.taken(hello, now + MS * round_trip);
            let took = drain(&mut pace, rate, MS * round_trip, length, 60);
            let settled = &took[took.len() / 2..];
            let longest = settled.iter().max().unwrap();
            assert!(*longest < MS * 1500, "{kilobit} kbit/s: {longest:?}");
            let slots = 48.0 * length as f64;
            let possible = rate.min(slots / (MS * round_trip).as_secs_f64());
            let used = (took.len() * length) as f64 / 60.0 / possible;
            assert!(used > 0.9, "{kilobit} kbit/s: {used}");
        }
    }

    #[test]
    fn what_is_dear_passes_a_full_window() {
        let now = Instant::now();
        let mut pace = Pace::new(64);
        while pace.may_send(Urgency::Backlog, now) {
            pace.sent(16_000, now);
        }
        assert!(pace.may_send(Urgency::Live, now));
        while pace.may_send(Urgency::Live, now) {
            pace.sent(1_000, now);
        }
        assert!(pace.may_send(Urgency::Dear, now));
    }

    #[test]
    fn slots_are_kept_for_what_is_dear_and_a_broker_that_frees_none_is_found() {
        let now = Instant::now();
        let mut pace = Pace::new(8);
        for (urgency, most) in [
            (Urgency::Backlog, 6),
            (Urgency::Live, 7),
            (Urgency::Dear, 8),
        ] {
            while pace.may_send(urgency, now) {
                pace.sent(10, now);
            }
            assert_eq!(pace.sent.len(), most);
        }
        assert_eq!(pace.left_lying(now + ON_THE_WAY - MS), None);
        assert_eq!(pace.left_lying(now + ON_THE_WAY), Some(8));
        for name in 0..4 {
            pace.taken(name, now + MS);
        }
        assert_eq!(pace.left_lying(now + ON_THE_WAY), Some(4));
        pace.taken(4, now + MS);
        assert_eq!(pace.left_lying(now + ON_THE_WAY), None);
    }

    #[test]
    fn a_puback_that_never_comes_holds_its_slot_and_not_the_window() {
        let now = Instant::now();
        let mut pace = Pace::new(4);
        pace.sent(10 * FIRST_WINDOW, now);
        assert!(!pace.may_send(Urgency::Dear, now));
        let later = now + ON_THE_WAY;
        for _ in 0..3 {
            assert!(pace.may_send(Urgency::Dear, later));
            pace.sent(10, later);
        }
        assert!(!pace.may_send(Urgency::Dear, later));
        // A broker that takes one at a time gets one.
        let mut pace = Pace::new(1);
        assert!(pace.may_send(Urgency::Backlog, now));
        pace.sent(10, now);
        assert!(!pace.may_send(Urgency::Dear, now));
    }
}
