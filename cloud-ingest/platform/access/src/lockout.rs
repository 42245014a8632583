//! How many wrong passwords are borne for one address. Pure: the state and the time go in, the verdict comes out.

use std::time::Duration;

use jiff::Timestamp;

/// So many attempts are free.
pub const FREE: i32 = 5;
/// How long the first lock lasts; each further one twice as long.
pub const FIRST: Duration = Duration::from_secs(30);
/// How long a lock lasts at most.
pub const LONGEST: Duration = Duration::from_hours(1);
/// After so long without an attempt all is forgotten.
pub const FORGET: Duration = Duration::from_hours(24);

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// Attempts since the last success.
    pub failures: i32,
    /// When the last one was.
    pub last_at: Timestamp,
    /// Until when it is locked.
    pub locked_until: Option<Timestamp>,
}

/// Whether one more attempt may succeed, and what is known afterwards unless it does. An attempt while it is locked
/// counts for nothing, or whoever wants to could keep the owner out for ever.
pub fn attempt(before: Attempts, now: Timestamp) -> (bool, Attempts) {
    if before.locked_until.is_some_and(|until| until > now) {
        return (false, before);
    }
    let forgotten = now.duration_since(before.last_at)
        > jiff::SignedDuration::try_from(FORGET).unwrap_or_default();
    let failures = if forgotten {
        1
    } else {
        before.failures.saturating_add(1)
    };
    let locked_until = (failures >= FREE).then(|| {
        let doublings = (failures - FREE).clamp(0, 20).unsigned_abs();
        let wait = FIRST.saturating_mul(1 << doublings).min(LONGEST);
        now.saturating_add(wait).unwrap_or(now)
    });
    let after = Attempts {
        failures,
        last_at: now,
        locked_until,
    };
    (true, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_come_after_a_few_and_grow() {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let mut state = Attempts {
            failures: 0,
            last_at: start,
            locked_until: None,
        };
        let mut now = start;
        for n in 1..FREE {
            let (may, after) = attempt(state, now);
            assert!(may && after.locked_until.is_none() && after.failures == n);
            state = after;
        }
        let mut wait = FIRST;
        for _ in 0..12 {
            let (may, after) = attempt(state, now);
            assert!(may);
            assert_eq!(after.locked_until, Some(now + wait));
            // While it is locked nothing helps and nothing makes it worse.
            assert_eq!(attempt(after, now + wait / 2), (false, after));
            now += wait;
            wait = (wait * 2).min(LONGEST);
            state = after;
        }
        let (may, after) = attempt(state, now + FORGET + Duration::from_secs(1));
        assert!(may && after.failures == 1 && after.locked_until.is_none());
    }
}
