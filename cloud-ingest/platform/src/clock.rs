//! Time that tests can move. Whoever needs the time gets a [`Clock`]; nobody asks the operating system.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// Wall time and monotonic time. Cloning it is cheap; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Works);

#[derive(Clone, Debug)]
enum Works {
    System(Instant),
    ByHand(Arc<Mutex<(Timestamp, Duration)>>),
}

/// Moves a clock made by [`Clock::by_hand`].
#[derive(Clone, Debug)]
pub struct Hand(Arc<Mutex<(Timestamp, Duration)>>);

impl Clock {
    /// The machine's time.
    pub fn system() -> Self {
        Self(Works::System(Instant::now()))
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn by_hand(start: Timestamp) -> (Self, Hand) {
        let shown = Arc::new(Mutex::new((start, Duration::ZERO)));
        (Self(Works::ByHand(Arc::clone(&shown))), Hand(shown))
    }

    /// Wall time: for stamps, never for order. In whole microseconds, as PostgreSQL keeps it, so that what is answered
    /// and what is read again later are the same.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Works::System(_) => {
                let now = Timestamp::now();
                Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
            }
            Works::ByHand(shown) => shown.lock().unwrap_or_else(PoisonError::into_inner).0,
        }
    }

    /// Time since some fixed instant; never goes back. For ages and deadlines.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Works::System(start) => start.elapsed(),
            Works::ByHand(shown) => shown.lock().unwrap_or_else(PoisonError::into_inner).1,
        }
    }
}

impl Hand {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.0 = shown.0.saturating_add(by).unwrap_or(Timestamp::MAX);
        shown.1 = shown.1.saturating_add(by);
    }

    /// Sets the wall time, as an operator or NTP does; monotonic time stays.
    pub fn set(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_by_hand_moves_only_by_hand() {
        let (clock, hand) = Clock::by_hand(Timestamp::UNIX_EPOCH);
        let copy = clock.clone();
        hand.advance(Duration::from_secs(5));
        assert_eq!(copy.now().as_second(), 5);
        assert_eq!(copy.monotonic(), Duration::from_secs(5));
        hand.set(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now().as_second(), 0);
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }
}
