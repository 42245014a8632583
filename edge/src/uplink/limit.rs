//! How long a packet the broker takes, when it does not say so and closes the connection over a longer one: such a packet
//! would end every connection at the same place, and nothing behind it would ever arrive. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// After so many connections in a row the longest packet that none of them got through is held to be the cause.
const STRIKES: u32 = 3;
/// A broker that takes no packet of this length cannot be served; a link that breaks often must not make it look like one.
const EVERY_BROKER_TAKES: usize = 4096;
/// After so long the broker may have been put right.
const FORGET: Duration = Duration::from_secs(600);

/// What earlier connections have taught.
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// The longest packet that it has acknowledged.
    passed: usize,
    strikes: u32,
    /// The shortest of the packets that the last connections have ended over.
    suspect: usize,
    learned: Option<(usize, Instant)>,
}

impl Limit {
    /// The broker has acknowledged a packet of this length.
    pub(super) fn passed(&mut self, length: usize) {
        self.passed = self.passed.max(length);
        if length >= self.suspect {
            self.strikes = 0;
        }
    }

    /// The broker has closed a connection when the longest packet that it had not acknowledged was so long; it may have
    /// said that this was over a packet's length.
    pub(super) fn closed(&mut self, longest: usize, said_so: bool, now: Instant) {
        if longest <= self.passed.max(EVERY_BROKER_TAKES) {
            return;
        }
        self.suspect = if self.strikes == 0 {
            longest
        } else {
            self.suspect.min(longest)
        };
        self.strikes += 1;
        if said_so || self.strikes >= STRIKES {
            tracing::warn!(
                length = self.suspect,
                "the broker closes the connection over a packet of this length; such packets are held back for a while"
            );
            self.learned = Some((self.suspect - 1, now));
            self.strikes = 0;
        }
    }

    /// The longest packet to send.
    pub(super) fn longest(&self, now: Instant) -> usize {
        match self.learned {
            Some((longest, since)) if now.saturating_duration_since(since) < FORGET => longest,
            _ => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_connection_that_ends_over_the_same_length_teaches_it_for_ten_minutes() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        limit.passed(9_000);
        for _ in 0..2 {
            limit.closed(30_000, false, now);
            assert_eq!(limit.longest(now), usize::MAX);
        }
        limit.closed(40_000, false, now);
        assert_eq!(limit.longest(now), 29_999);
        // It was the limit for shorter ones, too: it is found in the same way.
        for length in [29_000, 21_000, 22_000] {
            limit.closed(length, false, now);
        }
        assert_eq!(limit.longest(now), 20_999);
        assert_eq!(limit.longest(now + FORGET), usize::MAX);
    }

    #[test]
    fn what_has_passed_before_is_not_the_cause() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        limit.passed(30_000);
        for _ in 0..9 {
            limit.closed(30_000, false, now);
            limit.closed(0, false, now);
        }
        assert_eq!(limit.longest(now), usize::MAX);
        // Nor what passes in between.
        for _ in 0..9 {
            limit.closed(50_000, false, now);
            limit.closed(50_000, false, now);
            limit.passed(50_000);
        }
        assert_eq!(limit.longest(now), usize::MAX);
    }

    #[test]
    fn a_broken_link_does_not_hold_short_packets_back() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        for _ in 0..9 {
            limit.closed(EVERY_BROKER_TAKES, false, now);
        }
        assert_eq!(limit.longest(now), usize::MAX);
    }

    #[test]
    fn a_broker_that_says_so_is_believed_at_once() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        limit.closed(30_000, true, now);
        assert_eq!(limit.longest(now), 29_999);
    }
}
