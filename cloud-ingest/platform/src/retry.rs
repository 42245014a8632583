//! How long to wait before doing it again.

use std::time::Duration;

/// Waits that double from `first` to `longest`, each with jitter, for a bounded number of attempts.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
    left: u32,
}

impl Backoff {
    /// `attempts` counts the first one, before which nobody waits.
    pub fn new(first: Duration, longest: Duration, attempts: u32) -> Self {
        Self {
            next: first,
            longest,
            left: attempts.saturating_sub(1),
        }
    }

    /// The wait before the next attempt, between half and the whole of the current step; `None` when there were
    /// enough of them.
    pub fn wait(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.longest);
        Some(step.mul_f64(rand::random_range(0.5..=1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(300), 5);
        for step in [100, 200, 300, 300] {
            let wait = backoff.wait().unwrap();
            assert!(wait >= ms(step) / 2 && wait <= ms(step), "{wait:?} {step}");
        }
        assert_eq!(backoff.wait(), None);
    }
}
