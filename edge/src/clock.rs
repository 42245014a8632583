//! Time: a monotonic clock for order, and what to add to it for the time of day, once that is known.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of day is not believed before this (2025-01-01 UTC): a machine without a battery clock starts in 1970 or
/// at the date of its image.
const EARLIEST_US: i64 = 1_735_689_600_000_000;
/// Offsets that differ by less are the same: small corrections by NTP must not tear apart samples of one instant
/// that travel in different blocks.
const STEADY_US: i64 = 2_000;

/// The gateway's clock. Its monotonic zero is the start of the process, which `boot` names.
#[derive(Debug)]
pub struct Clock {
    zero: Instant,
    /// Random number of this start; times of different starts are not comparable without it.
    pub boot: u64,
    offset: std::sync::Mutex<Option<i64>>,
}

impl Clock {
    /// A clock that starts now; errors when the operating system has no randomness to give.
    pub fn start() -> Result<Self, getrandom::Error> {
        Ok(Self {
            zero: Instant::now(),
            boot: getrandom::u64()?,
            offset: std::sync::Mutex::new(None),
        })
    }

    /// Microseconds since the start, never going back.
    pub fn now_us(&self) -> i64 {
        self.zero.elapsed().as_micros() as i64
    }

    /// Milliseconds since the start, as microseconds: the instant of a sample whose source has no finer stamp.
    pub fn tick_us(&self) -> i64 {
        self.now_us() / 1000 * 1000
    }

    /// The monotonic time of an instant, 0 for those before the start.
    pub fn at_us(&self, instant: Instant) -> i64 {
        instant.saturating_duration_since(self.zero).as_micros() as i64
    }

    /// The instant of a monotonic time.
    pub fn instant(&self, time_us: i64) -> Instant {
        self.zero + Duration::from_micros(u64::try_from(time_us).unwrap_or(0))
    }

    /// What to add to a monotonic time to get microseconds since 1970; `None` while the time of day is unknown.
    /// Steady: it moves only when the clock was really set.
    pub fn wall_offset_us(&self) -> Option<i64> {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_micros() as i64;
        let mut held = self
            .offset
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *held = steady(*held, wall, self.now_us());
        *held
    }
}

fn steady(held: Option<i64>, wall_us: i64, mono_us: i64) -> Option<i64> {
    if wall_us < EARLIEST_US {
        return held;
    }
    let new = wall_us - mono_us;
    match held {
        Some(old) if (new - old).abs() < STEADY_US => Some(old),
        _ => Some(new / 1000 * 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_steady_until_the_clock_is_set() {
        let wall = EARLIEST_US + 5_000_000;
        assert_eq!(steady(None, 1_000_000, 0), None);
        let first = steady(None, wall, 1_000).unwrap();
        assert_eq!(first % 1000, 0);
        assert_eq!(
            steady(Some(first), wall + 1_000_700, 1_001_000),
            Some(first)
        );
        let stepped = steady(Some(first), wall + 3_600_000_000, 2_000_000).unwrap();
        assert!((stepped - first - 3_598_000_000).abs() < 10_000);
        // A clock that falls back to 1970 is not believed; what was known stays.
        assert_eq!(steady(Some(first), 5, 3_000_000), Some(first));
    }
}
