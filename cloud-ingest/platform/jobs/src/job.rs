//! What a kind of job is, and how it is tried again.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

/// A kind of job: its payload as a type, its name, and how it is run.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name, `room.what`, lower case. It is stored: a new name is a new kind.
    const KIND: &'static str;
    /// How it is run.
    const POLICY: Policy = Policy::DEFAULT;
}

/// How jobs of a kind are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After how many failed attempts a job is given up. The death of a worker counts as one.
    pub attempts: u32,
    /// How long to wait between them.
    pub retry: Retry,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many jobs of the kind and of one organisation may share a transaction: 1 for most; more where a job is a
    /// short statement or two. When one of them fails, all are rolled back and run again, each alone.
    pub together: usize,
}

impl Policy {
    /// 12 attempts over about a day, a minute each, one transaction each.
    pub const DEFAULT: Self = Self {
        attempts: 12,
        retry: Retry::Doubling {
            first: Duration::from_secs(5),
            longest: Duration::from_hours(6),
        },
        timeout: Duration::from_mins(1),
        together: 1,
    };
}

/// How long to wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Each wait twice the one before.
    Doubling {
        /// After the first failure.
        first: Duration,
        /// Never more.
        longest: Duration,
    },
    /// These, and then always the last.
    Steps(&'static [Duration]),
}

impl Retry {
    /// The wait after so many failed attempts (from 1), with jitter `[0, 1)`: between three quarters of the step and
    /// all of it, so that what failed together does not come back together.
    pub fn wait(self, failed: u32, jitter: f64) -> Duration {
        let index = failed.saturating_sub(1);
        let step = match self {
            Self::Doubling { first, longest } => first
                .saturating_mul(2_u32.saturating_pow(index))
                .min(longest),
            Self::Steps(steps) => steps
                .get(index as usize)
                .or(steps.last())
                .copied()
                .unwrap_or_default(),
        };
        step.mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0))
    }
}

/// What goes first within an organisation. Between organisations time is shared, whatever the priorities are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody is waiting for it.
    Urgent,
    /// Most jobs.
    #[default]
    Normal,
    /// When there is nothing else to do. The workers are not told of it: they find it at their next look, so that a
    /// million of them cost no notifications.
    Bulk,
}

impl Priority {
    pub(crate) const fn number(self) -> i16 {
        match self {
            Self::Urgent => 0,
            Self::Normal => 1,
            Self::Bulk => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_or_follow_their_steps_with_jitter() {
        const STEPS: &[Duration] = &[Duration::from_secs(5), Duration::from_secs(300)];
        let s = Duration::from_secs;
        let doubling = Retry::Doubling {
            first: s(4),
            longest: s(30),
        };
        let full: Vec<_> = (1..=5).map(|n| doubling.wait(n, 1.0)).collect();
        assert_eq!(full, [s(4), s(8), s(16), s(30), s(30)]);
        assert_eq!(doubling.wait(1, 0.0), s(3));
        assert_eq!(doubling.wait(u32::MAX, 1.0), s(30));
        let steps = Retry::Steps(STEPS);
        assert_eq!(steps.wait(1, 1.0), s(5));
        assert_eq!(steps.wait(2, 1.0), s(300));
        assert_eq!(steps.wait(9, 1.0), s(300));
    }
}
