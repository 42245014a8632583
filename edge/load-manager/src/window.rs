//! The 15-minute average that the utility bills.

use crate::Millis;

/// The utility's window.
pub(crate) const WINDOW: Millis = 900_000;
/// The rest of a window is never taken for shorter: stations need time to obey.
const SHORTEST: Millis = 30_000;

/// Energy of the window that runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// How much of it had passed at the last step.
    into: Option<Millis>,
    /// Energy in it, in W·ms.
    energy: f64,
    /// Part of it that nobody measured.
    unseen: Millis,
    last: Option<Millis>,
}

impl Window {
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
            self.unseen = into - since;
        }
        match power {
            Some(power) => self.energy += power.max(0.0) * since as f64,
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
        // What nobody measured is taken for what was wanted.
        let used = self.energy + self.unseen as f64 * target;
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
    fn what_nobody_saw_counts_as_wanted() {
        let mut window = Window::default();
        window.pass(0, Some(600_000), Some(0.0));
        assert!((window.allows(100_000.0) - 100_000.0).abs() < 1e-6);
        assert_eq!(window.average(), None);
        window.pass(1000, None, Some(0.0));
        assert_eq!(window.allows(100_000.0), 100_000.0);
    }
}
