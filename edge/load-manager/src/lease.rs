//! When an order is written, and for how long it holds.
//!
//! A station keeps what it is told in flash, so it is told on change, at half of a lease, and again while it does not
//! acknowledge. The budget never keeps back a cut or a renewal: those are safety. It makes leases longer and keeps back
//! raises.

use crate::{Millis, Rules, site::StationOptions};

/// Without an answer an order is written again after this time.
const AGAIN: Millis = 5_000;
const HOUR: f64 = 3_600_000.0;

/// Something to tell a station.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Place of the station in the depot.
    pub station: usize,
    /// Number of the order, to be acknowledged.
    pub number: u64,
    /// Limit per phase, in A; 0: pause.
    pub limit: f64,
    /// How many of its phases it may use.
    pub phases: usize,
    /// How long it holds, in ms.
    pub lease: Millis,
}

/// The order that a station was last given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) limit: f64,
    pub(crate) phases: usize,
    pub(crate) at: Millis,
    pub(crate) lease: Millis,
    pub(crate) acknowledged: bool,
}

/// How many writes are left.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    per_hour: f64,
    left: f64,
    last: Millis,
}

impl Budget {
    pub(crate) fn new(options: &StationOptions, now: Millis) -> Self {
        let per_hour = f64::from(options.writes_per_day) / 24.0;
        Self {
            per_hour,
            left: per_hour,
            last: now,
        }
    }

    pub(crate) fn pass(&mut self, now: Millis) {
        let since = (now - self.last).max(0) as f64;
        self.last = now;
        self.left = (self.left + since / HOUR * self.per_hour).min(self.per_hour);
    }

    /// Whether there is enough for what is no safety.
    pub(crate) fn allows_raises(&self) -> bool {
        self.left > self.per_hour * 0.25
    }

    fn lease(&self, rules: &Rules) -> Millis {
        if self.left > self.per_hour * 0.5 {
            rules.lease.0
        } else {
            rules.lease.1
        }
    }
}

/// The order to write now, if any.
pub(crate) fn next(
    held: Option<&Order>,
    (limit, phases): (f64, usize),
    rules: &Rules,
    budget: &mut Budget,
    number: u64,
    now: Millis,
) -> Option<Order> {
    let due = held.is_none_or(|held| {
        let age = now - held.at;
        held.limit != limit
            || held.phases != phases
            || age >= held.lease / 2
            || !held.acknowledged && age >= AGAIN
    });
    due.then(|| {
        let lease = budget.lease(rules);
        budget.left = (budget.left - 1.0).max(0.0);
        Order {
            number,
            limit,
            phases,
            at: now,
            lease,
            acknowledged: false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_change_at_half_time_and_again() {
        let rules = Rules::default();
        let mut budget = Budget::new(&StationOptions::default(), 0);
        let mut ask =
            |held: Option<&Order>, limit, now| next(held, (limit, 3), &rules, &mut budget, 7, now);
        let mut order = ask(None, 16.0, 0).expect("the first one");
        assert_eq!(ask(Some(&order), 16.0, 4_999), None);
        assert!(ask(Some(&order), 16.0, 5_000).is_some());
        order.acknowledged = true;
        assert_eq!(ask(Some(&order), 16.0, 29_999), None);
        assert!(ask(Some(&order), 16.0, 30_000).is_some());
        assert!(ask(Some(&order), 15.0, 1_000).is_some());
    }

    #[test]
    fn a_small_budget_makes_leases_long() {
        let rules = Rules::default();
        let options = StationOptions {
            writes_per_day: 1200,
            ..StationOptions::default()
        };
        let mut budget = Budget::new(&options, 0);
        let (mut held, mut writes) = (None, 0);
        for second in 0..86_400 {
            budget.pass(second * 1000);
            if let Some(order) = next(
                held.as_ref(),
                (6.0, 1),
                &rules,
                &mut budget,
                1,
                second * 1000,
            ) {
                held = Some(Order {
                    acknowledged: true,
                    ..order
                });
                writes += 1;
            }
        }
        assert!((960..=1250).contains(&writes), "{writes}");
    }
}
