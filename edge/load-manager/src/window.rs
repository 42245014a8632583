//! The 15-minute average that the utility bills.

use crate::Millis;

/// The utility's window.
pub(crate) const WINDOW: Millis = 900_000;
/// The rest of a window is never taken for shorter: stations need time to obey.
const SHORTEST: Millis = 30_000;

/// What is remembered of a window over a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// How much of it had passed.
    pub into: Millis,
    /// Energy in it, in W·ms.
    pub energy: f64,
    /// Part of it that nobody measured.
    pub unseen: Millis,
    /// The greatest power that was measured in it, in W.
    pub greatest: f64,
}

/// Energy of the window that runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// How much of it had passed at the last step.
    into: Option<Millis>,
    /// Energy in it, in W·ms.
    energy: f64,
    /// Part of it that nobody measured.
    unseen: Millis,
    /// The greatest power that was measured in it, in W.
    greatest: f64,
    last: Option<Millis>,
}

impl Window {
    /// What is to be remembered of it; `None` while the time of day is not known.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.into.map(|into| Kept {
            into,
            energy: self.energy,
            unseen: self.unseen,
            greatest: self.greatest,
        })
    }

    /// Goes on with a window of which an earlier run has seen a part. What passed since then nobody has measured.
    pub(crate) fn resume(&mut self, kept: &Kept, into: Millis, now: Millis) {
        let into = into.rem_euclid(WINDOW);
        let sane = kept.energy.is_finite() && kept.energy >= 0.0 && kept.greatest.is_finite();
        if !sane || !(0..=into).contains(&kept.into) || !(0..=kept.into).contains(&kept.unseen) {
            return;
        }
        *self = Self {
            into: Some(into),
            energy: kept.energy,
            unseen: kept.unseen + into - kept.into,
            greatest: kept.greatest.max(0.0),
            last: Some(now),
        };
    }

    /// Time has passed at this power, in W; `None` when nobody measured it.
    pub(crate) fn pass(&mut self, now: Millis, into: Option<Millis>, power: Option<f64>) {
        let since = self.last.map_or(0, |last| (now - last).max(0));
        self.last = Some(now);
        let Some(into) = into.map(|into| into.rem_euclid(WINDOW)) else {
            self.into = None;
            return;
        };
        // A new window, or the first one that is seen.
        let (known, since) = match self.into {
            Some(before) if into >= before && since < WINDOW => (true, since),
            Some(_) => (false, into.min(since)),
            None => (false, 0),
        };
        if !known {
            self.energy = 0.0;
            self.greatest = 0.0;
            self.unseen = into - since;
        }
        match power {
            Some(power) => {
                self.energy += power.max(0.0) * since as f64;
                self.greatest = self.greatest.max(power);
            }
            None => self.unseen += since,
        }
        self.into = Some(into);
    }

    /// The average of the window so far, in W; `None` before any of it was measured.
    pub(crate) fn average(&self) -> Option<f64> {
        let seen = self.into? - self.unseen;
        (seen > 0).then(|| self.energy / seen as f64)
    }

    /// What may flow in the rest of the window, in W, so that its average is this one. Without the time of day every
    /// moment may be the last of a window.
    pub(crate) fn allows(&self, target: f64) -> f64 {
        let Some(into) = self.into else {
            return target;
        };
        let rest = (WINDOW - into).max(SHORTEST) as f64;
        // What nobody measured is taken for what was wanted, or for the most that was measured, if that is more.
        let used = self.energy + self.unseen as f64 * target.max(self.greatest);
        ((target * WINDOW as f64 - used) / rest).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_makes_up_for_what_was() {
        let mut window = Window::default();
        window.pass(0, Some(0), Some(0.0));
        for second in 1..=450 {
            window.pass(second * 1000, Some(second * 1000), Some(50_000.0));
        }
        assert!((window.allows(100_000.0) - 150_000.0).abs() < 1.0);
        assert!(
            window
                .average()
                .is_some_and(|average| (average - 50_000.0).abs() < 1.0)
        );
        for second in 451..=900 {
            window.pass(second * 1000, Some(second * 1000), Some(150_000.0));
        }
        // The next one begins with all that it may.
        assert!((window.allows(100_000.0) - 100_000.0).abs() < 500.0);
    }

    #[test]
    fn a_restart_forgets_nothing_and_what_it_took_counts_as_the_most_that_was_seen() {
        let mut window = Window::default();
        window.pass(0, Some(0), Some(0.0));
        for second in 1..=300 {
            let power = if second == 100 { 150_000.0 } else { 90_000.0 };
            window.pass(second * 1000, Some(second * 1000), Some(power));
        }
        let kept = window.kept().expect("the time of day is known");
        // A minute later another run goes on with it.
        let mut other = Window::default();
        other.resume(&kept, 360_000, 7);
        let used = 299.0 * 90_000.0 + 150_000.0 + 60.0 * 150_000.0;
        let rest = (900.0 * 100_000.0 - used) / 540.0;
        assert!((other.allows(100_000.0) - rest).abs() < 1.0);
        other.pass(1007, Some(361_000), Some(90_000.0));
        assert_eq!(other.kept().map(|kept| kept.unseen), Some(60_000));
        // What belongs to another window, or is no window, is nothing.
        let unseen = kept.into + 1;
        for wrong in [
            Kept {
                into: 500_000,
                ..kept
            },
            Kept {
                energy: f64::NAN,
                ..kept
            },
            Kept { unseen, ..kept },
        ] {
            let mut other = Window::default();
            other.resume(&wrong, 360_000, 7);
            assert_eq!(other.kept(), None);
        }
    }

    #[test]
    fn what_nobody_saw_counts_as_wanted() {
        let mut window = Window::default();
        window.pass(0, Some(600_000), Some(0.0));
        assert!((window.allows(100_000.0) - 100_000.0).abs() < 1e-6);
        assert_eq!(window.average(), None);
        window.pass(1000, None, Some(0.0));
        assert_eq!(window.allows(100_000.0), 100_000.0);
    }
}
