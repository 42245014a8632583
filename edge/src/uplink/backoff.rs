//! How long to wait before the next attempt: doubling, with jitter, so that a thousand gateways that lost the same
//! broker do not come back in the same second.

use std::time::Duration;

/// Waits between attempts of one thing.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// The first wait is up to `first`; none is longer than `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    /// The attempt succeeded: begin anew.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait now: between half of the current bound and the bound, which then doubles.
    /// `random` is any number; it is the jitter.
    pub fn wait(&mut self, random: u64) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(self.most);
        let half = bound / 2;
        half + half.mul_f64((random % 1001) as f64 / 1000.0)
    }
}

/// A random number for jitter; without randomness, none.
pub fn jitter() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(4));
        let most: Vec<_> = (0..6).map(|_| backoff.wait(1000).as_millis()).collect();
        assert_eq!(most, [500, 1000, 2000, 4000, 4000, 4000]);
        backoff.reset();
        assert_eq!(backoff.wait(0), Duration::from_millis(250));
    }
}
