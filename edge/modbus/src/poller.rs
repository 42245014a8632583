//! What to poll next. A pure function of what happened and of the time since start; it never waits and never reads a clock.

use std::time::Duration;

/// A unit that gave nothing is tried again after this many times what the attempt cost, whichever unit it is:
/// dead units together take at most 1 ÷ (1 + 32) ≈ 3 % of the line.
const DEAD_SHARE: u32 = 32;
/// A unit that has answered before may fail this many cycles in a row before it counts as dead.
const PATIENCE: u32 = 2;
/// Dead units are tried at least this often, unless [`DEAD_SHARE`] forbids it.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(1);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read these groups of this unit.
    Poll {
        /// Index of the unit.
        unit: usize,
        /// Indices of its groups that are due.
        groups: Vec<usize>,
        /// The unit counts as dead: find out whether it is back, with one request.
        trial: bool,
    },
    /// Nothing is due before this time since start.
    Wait(Duration),
}

/// How a cycle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The unit answered something that could be trusted.
    Answered,
    /// It did not.
    Silent,
    /// The line could not be opened: nothing was learnt about the unit.
    LineDown,
}

#[derive(Clone, Debug)]
struct Schedule {
    /// Interval and next due time of every group.
    groups: Vec<(Duration, Duration)>,
    polled: Option<Duration>,
    failures: u32,
    has_answered: bool,
    retry_at: Duration,
}

impl Schedule {
    fn is_dead(&self) -> bool {
        self.failures >= if self.has_answered { PATIENCE } else { 1 }
    }
}

/// The schedule of all units of one line.
#[derive(Clone, Debug, Default)]
pub struct Poller {
    units: Vec<Schedule>,
    next_trial: Duration,
}

impl Poller {
    /// A schedule without units.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a unit whose groups are read at these intervals, all of them due at once; gives its index.
    pub fn add(&mut self, intervals: impl IntoIterator<Item = Duration>) -> usize {
        let groups = intervals
            .into_iter()
            .map(|interval| (interval, Duration::ZERO))
            .collect();
        self.units.push(Schedule {
            groups,
            polled: None,
            failures: 0,
            has_answered: false,
            retry_at: Duration::ZERO,
        });
        self.units.len() - 1
    }

    /// Whether a unit counts as dead.
    pub fn is_dead(&self, unit: usize) -> bool {
        self.units.get(unit).is_some_and(Schedule::is_dead)
    }

    /// What to do at `now`. Of the units that are due the one that was polled longest ago comes first.
    pub fn next(&self, now: Duration) -> Next {
        let ready = || {
            self.units
                .iter()
                .enumerate()
                .filter_map(|(unit, schedule)| Some((self.ready(schedule)?, unit)))
        };
        let due = ready()
            .filter(|(ready, _)| *ready <= now)
            .map(|(_, unit)| unit);
        if let Some(unit) = due.min_by_key(|unit| self.units[*unit].polled) {
            let schedule = &self.units[unit];
            let is_due =
                |(index, (_, due)): (usize, &(Duration, Duration))| (*due <= now).then_some(index);
            let groups = schedule
                .groups
                .iter()
                .enumerate()
                .filter_map(is_due)
                .collect();
            return Next::Poll {
                unit,
                groups,
                trial: schedule.is_dead(),
            };
        }
        Next::Wait(
            ready()
                .map(|(ready, _)| ready)
                .min()
                .unwrap_or(now + LONGEST_BACK_OFF),
        )
    }

    /// When a unit may be polled.
    fn ready(&self, schedule: &Schedule) -> Option<Duration> {
        let due = schedule.groups.iter().map(|(_, due)| *due).min()?;
        Some(if schedule.is_dead() {
            due.max(schedule.retry_at).max(self.next_trial)
        } else {
            due
        })
    }

    /// Says how the cycle of these groups, begun at `started`, ended at `now`.
    ///
    /// A group that is late by less than an interval is read once more at once, so that a stall of the line costs no
    /// reading; what is later than that is left out, and the rhythm is kept.
    pub fn finished(
        &mut self,
        unit: usize,
        groups: &[usize],
        started: Duration,
        now: Duration,
        outcome: Outcome,
    ) {
        let Some(schedule) = self.units.get_mut(unit) else {
            return;
        };
        schedule.polled = Some(now);
        for &group in groups {
            let Some((interval, due)) = schedule.groups.get_mut(group) else {
                continue;
            };
            *due += *interval;
            if *due + *interval < now {
                let missed = now.saturating_sub(*due).as_nanos() / interval.as_nanos().max(1);
                *due += *interval * u32::try_from(missed).unwrap_or(u32::MAX);
            }
        }
        match outcome {
            Outcome::Answered => {
                schedule.failures = 0;
                schedule.has_answered = true;
            }
            Outcome::Silent => {
                schedule.failures = schedule.failures.saturating_add(1);
                if schedule.is_dead() {
                    let back_off = Duration::from_secs(1) * (1 << schedule.failures.min(6));
                    schedule.retry_at = now + back_off.min(LONGEST_BACK_OFF);
                    self.next_trial = now + (now.saturating_sub(started)) * DEAD_SHARE;
                }
            }
            Outcome::LineDown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn poll(unit: usize) -> Next {
        Next::Poll {
            unit,
            groups: vec![0],
            trial: false,
        }
    }

    #[test]
    fn a_stall_of_less_than_an_interval_costs_no_reading() {
        let mut poller = Poller::new();
        poller.add([SECOND]);
        poller.finished(0, &[0], Duration::ZERO, SECOND / 10, Outcome::Answered);
        assert_eq!(poller.next(SECOND / 10), Next::Wait(SECOND));
        // The second reading is late by 0.9 s: the third is still due at its time.
        poller.finished(0, &[0], SECOND, SECOND * 19 / 10, Outcome::Answered);
        assert_eq!(poller.next(SECOND * 19 / 10), Next::Wait(SECOND * 2));
        // Late by 5.5 s: one reading at once, and then in the old rhythm.
        poller.finished(0, &[0], SECOND * 2, SECOND * 15 / 2, Outcome::Answered);
        assert_eq!(poller.next(SECOND * 15 / 2), poll(0));
        poller.finished(0, &[0], SECOND * 15 / 2, SECOND * 15 / 2, Outcome::Answered);
        assert_eq!(poller.next(SECOND * 15 / 2), Next::Wait(SECOND * 8));
    }

    #[test]
    fn units_that_are_due_take_turns() {
        let mut poller = Poller::new();
        (0..3).for_each(|_| _ = poller.add([SECOND / 1000]));
        let mut now = Duration::ZERO;
        let mut turns = Vec::new();
        for _ in 0..9 {
            let Next::Poll { unit, groups, .. } = poller.next(now) else {
                panic!("all are always due")
            };
            turns.push(unit);
            poller.finished(unit, &groups, now, now + SECOND / 10, Outcome::Answered);
            now += SECOND / 10;
        }
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn groups_are_read_when_they_are_due() {
        let mut poller = Poller::new();
        poller.add([SECOND, SECOND * 10]);
        assert_eq!(
            poller.next(Duration::ZERO),
            Next::Poll {
                unit: 0,
                groups: vec![0, 1],
                trial: false
            }
        );
        poller.finished(
            0,
            &[0, 1],
            Duration::ZERO,
            Duration::ZERO,
            Outcome::Answered,
        );
        assert_eq!(poller.next(SECOND), poll(0));
    }

    #[test]
    fn dead_units_together_take_a_fixed_share() {
        let mut poller = Poller::new();
        (0..4).for_each(|_| _ = poller.add([SECOND]));
        let (mut now, mut spent) = (Duration::ZERO, Duration::ZERO);
        let end = Duration::from_mins(60);
        while now < end {
            match poller.next(now) {
                Next::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
                Next::Poll { unit, groups, .. } => {
                    poller.finished(unit, &groups, now, now + SECOND / 2, Outcome::Silent);
                    now += SECOND / 2;
                    spent += SECOND / 2;
                    assert!(poller.is_dead(unit));
                }
            }
        }
        assert!(spent * 32 <= end + SECOND * 4 * 16, "{spent:?} of {end:?}");
        assert!(
            spent * 40 >= end,
            "{spent:?} of {end:?}: dead units are forgotten"
        );
    }

    #[test]
    fn a_line_that_is_down_kills_no_unit() {
        let mut poller = Poller::new();
        poller.add([SECOND]);
        for _ in 0..10 {
            poller.finished(0, &[0], Duration::ZERO, Duration::ZERO, Outcome::LineDown);
        }
        assert!(!poller.is_dead(0));
        assert_eq!(
            Poller::new().next(SECOND),
            Next::Wait(SECOND + LONGEST_BACK_OFF)
        );
    }
}
