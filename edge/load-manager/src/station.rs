//! What a station was told, and the most that it may therefore draw.

use crate::{
    Millis, Rules,
    input::{Measured, StationReport},
    lease::{Budget, Order},
    site::StationOf,
};

/// What a station does not do as it was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// It draws more than it may.
    pub(crate) disobeys: bool,
    /// It is linked and does not acknowledge.
    pub(crate) unheard: bool,
    /// It was told to use one phase and was seen to use more.
    pub(crate) keeps_phases: bool,
}

/// What is remembered of a station.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Most that it may draw per phase by what it was told and is not known to have given up, in A.
    pub(crate) entitled: f64,
    /// The newest order.
    pub(crate) order: Option<Order>,
    /// What was last decided, in A.
    pub(crate) limit: f64,
    /// How many phases it may use.
    pub(crate) phases: usize,
    /// On how many phases it may draw by what it was told and is not known to have given up.
    pub(crate) wide: usize,
    /// Until when an order holds that it has acknowledged, or may have from before.
    lease_until: Millis,
    /// Most that it may offer by what it was told when its last car was there, in A, and until when.
    left: (f64, Millis),
    pub(crate) faults: Faults,
    had_car: bool,
    /// What it does by itself when nobody hears it, in A.
    alone: f64,
    pub(crate) on_since: Option<Millis>,
    pub(crate) off_since: Option<Millis>,
    pub(crate) waits_since: Option<Millis>,
    pub(crate) cut_at: Option<Millis>,
    pub(crate) raised_at: Option<Millis>,
    pub(crate) switched_at: Option<Millis>,
    pub(crate) budget: Budget,
    /// The newest measurement that is fresh.
    pub(crate) measured: Option<Measured>,
}

impl Memory {
    /// Nothing is known: it may have been told everything.
    pub(crate) fn new(station: &StationOf, rules: &Rules, now: Millis) -> Self {
        Self {
            entitled: station.max,
            order: None,
            limit: 0.0,
            phases: station.terminals,
            wide: station.terminals,
            lease_until: now + rules.lease.1,
            left: (station.max, now + rules.lease.1),
            faults: Faults::default(),
            had_car: false,
            alone: Self::alone(station, station.options.ignores_duration),
            on_since: None,
            off_since: None,
            waits_since: None,
            cut_at: None,
            raised_at: None,
            switched_at: None,
            budget: Budget::new(&station.options, now),
            measured: None,
        }
    }

    /// The greatest current of a terminal that was measured, in A.
    pub(crate) fn draws(&self, station: &StationOf) -> Option<f64> {
        let measured = self.measured?;
        let used = &measured.current[..station.terminals];
        Some(used.iter().copied().fold(0.0, f64::max))
    }

    /// What others have to reckon with, per phase, in A.
    pub(crate) fn counted(&self, station: &StationOf) -> f64 {
        if !self.faults.disobeys {
            return self.entitled;
        }
        self.draws(station)
            .map_or(station.max, |draws| draws.max(self.limit))
    }

    /// On how many phases others have to reckon with it, where it is to use so many; 0: it is to get nothing. On all of them:
    /// nobody has seen yet that a car uses fewer, but where it has said so, or the station was told so and was not seen to
    /// use more.
    pub(crate) fn on(&self, station: &StationOf, wanted: usize) -> usize {
        match wanted {
            0 => station.terminals,
            wanted if station.options.switches_phases => wanted.max(self.wide),
            wanted if self.limit > 0.0 => wanted.max(self.phases.min(station.terminals)),
            wanted => wanted,
        }
    }

    /// Whether it can be relied on to follow what is decided.
    pub(crate) fn follows(&self, report: &StationReport) -> bool {
        report.linked && !self.faults.disobeys && !self.faults.unheard
    }

    /// Takes notice of what is known now.
    pub(crate) fn observe(
        &mut self,
        station: &StationOf,
        report: &StationReport,
        rules: &Rules,
        now: Millis,
    ) {
        self.budget.pass(now);
        let sane = |measured: &Measured| {
            measured.current.iter().all(|a| a.is_finite() && *a >= 0.0)
                && (0..=rules.meter_stale).contains(&(now - measured.at))
        };
        self.measured = report.measured.filter(sane);
        if report.linked {
            let goes_on = station.options.ignores_duration || report.never_falls_back;
            self.alone = Self::alone(station, goes_on);
        }
        if !report.linked {
            self.wide = station.terminals;
            self.unlinked(now);
        } else if report.car.is_none() {
            self.wide = station.terminals;
            self.idle(station, report, rules, now);
            return;
        } else {
            if !self.had_car {
                // A car begins at what the station does by itself.
                self.entitled = self.entitled.max(self.alone);
                self.waits_since = Some(now);
            }
            self.heard(station, report, rules, now);
        }
        self.had_car = report.car.is_some();
        self.judge(station, rules, now);
    }

    /// One that goes on with what it was told may have been told everything.
    fn alone(station: &StationOf, goes_on: bool) -> f64 {
        if goes_on {
            station.max
        } else {
            station.fallback
        }
    }

    /// Nobody can tell it anything: when its lease ends it does what it does by itself.
    fn unlinked(&mut self, now: Millis) {
        let back = self.alone;
        self.entitled = if now > self.lease_until {
            back
        } else {
            self.entitled.max(back)
        };
        self.order = None;
        self.faults.unheard = false;
    }

    /// No car: nothing flows. What is still offered to the next one counts, as far as it is more than what the station
    /// does by itself.
    fn idle(&mut self, station: &StationOf, report: &StationReport, rules: &Rules, now: Millis) {
        if let Some(order) = self.order.take() {
            let until = self.lease_until.max(order.at + order.lease);
            self.left = (self.entitled.max(order.limit), until);
        }
        let stays = station.options.limit_outlives_car && now <= self.left.1;
        let offered = report.offered.or(stays.then_some(self.left.0));
        let more = |offered: &f64| *offered > station.fallback + rules.tolerance;
        self.entitled = offered.filter(more).unwrap_or(0.0).min(station.max);
        self.limit = 0.0;
        self.faults.unheard = false;
        self.had_car = false;
        (self.on_since, self.off_since, self.waits_since) = (None, None, None);
        (self.cut_at, self.raised_at) = (None, None);
        self.faults.disobeys = self
            .draws(station)
            .is_some_and(|draws| draws > rules.tolerance);
    }

    fn heard(&mut self, station: &StationOf, report: &StationReport, rules: &Rules, now: Millis) {
        let draws = self.draws(station);
        let back = self.alone;
        let Some(order) = &mut self.order else {
            return;
        };
        if report.acknowledged == Some(order.number) && !order.acknowledged {
            order.acknowledged = true;
            self.lease_until = order.at + order.lease;
        } else if report.acknowledged.is_none() && order.acknowledged {
            // It has forgotten what it was told, and may do anything until it is told again.
            order.acknowledged = false;
            (self.entitled, self.wide) = (station.max, station.terminals);
        }
        let late = now - order.at >= rules.obey;
        self.faults.unheard = !order.acknowledged && (self.faults.unheard || late);
        if order.acknowledged {
            if late && draws.is_none_or(|draws| draws <= order.limit + rules.tolerance) {
                self.entitled = order.limit;
                if order.limit <= 0.0 {
                    // What draws nothing is on no phase: it may begin on one.
                    self.wide = 1;
                }
            }
            if late && order.phases < station.terminals {
                let (since, phases) = (order.at + rules.obey, order.phases);
                self.narrow(station, phases, since, rules);
            }
        } else if self.faults.unheard {
            self.wide = station.terminals;
            // Its lease ends, unless the order came through and only the answer is missing.
            self.entitled = if now > self.lease_until {
                back.max(order.limit)
            } else {
                self.entitled.max(back)
            };
        }
    }

    /// It was told to use so many of its phases: what was measured since it had to obey says whether it does. Where nothing
    /// measures it, that it has taken the order is all there is to know; while it draws nothing, nothing is known.
    fn narrow(&mut self, station: &StationOf, told: usize, since: Millis, rules: &Rules) {
        let Some(measured) = self.measured else {
            self.wide = told;
            return;
        };
        let draws = |current: &f64| *current > rules.tolerance;
        let (used, kept) = measured.current[..station.terminals].split_at(told);
        if measured.at < since {
            return;
        }
        if kept.iter().any(draws) {
            (self.wide, self.faults.keeps_phases) = (station.terminals, true);
        } else if used.iter().any(draws) {
            self.wide = told;
        }
    }

    fn judge(&mut self, station: &StationOf, rules: &Rules, now: Millis) {
        let Some(draws) = self.draws(station) else {
            return;
        };
        let settled = self.order.as_ref().is_some_and(|order| {
            let since = self.measured.map_or(0, |measured| measured.at - order.at);
            order.acknowledged && since >= rules.obey && now - order.at >= rules.obey
        });
        let may = match &self.order {
            Some(order) if settled => order.limit,
            _ => self.entitled,
        };
        if draws > may + rules.tolerance {
            self.faults.disobeys = true;
        } else if settled || self.order.is_none() {
            self.faults.disobeys = false;
        }
    }

    /// Takes over what was decided.
    pub(crate) fn decide(&mut self, limit: f64, phases: usize, car: bool, now: Millis) {
        if limit < self.limit {
            self.cut_at = Some(now);
        } else if limit > self.limit {
            self.raised_at = Some(now);
        }
        if phases != self.phases {
            self.switched_at = Some(now);
        }
        if limit > 0.0 {
            self.on_since = self.on_since.or(Some(now));
            (self.off_since, self.waits_since) = (None, None);
        } else {
            if self.on_since.take().is_some() {
                self.off_since = Some(now);
            }
            if car {
                self.waits_since = self.waits_since.or(Some(now));
            }
        }
        (self.limit, self.phases) = (limit, phases);
    }
}
