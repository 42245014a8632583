//! Composite schedules: what a connector or EVSE may draw over some time by all its charging profiles together (OCPP 1.6
//! §3.13, 2.0.1 part 2, block K).
//!
//! - Of the profiles of one purpose, that one *leads* at a second that is valid then, has a period for it, and stands on the
//!   highest stack level (1.6 §3.13.2, 2.0.1 K §3.5). On the same level one of the connector itself comes before one of the
//!   whole station.
//! - While a `TxProfile` leads, it takes the place of the `TxDefaultProfile`s (1.6 §3.13.1, 2.0.1 K §3.6).
//! - The least of that, of `ChargePointMaxProfile` (2.0.1: `ChargingStationMaxProfile`) and of
//!   `ChargingStationExternalConstraints` counts (1.6 §3.13.3, 2.0.1 K §3.6), on the fewest phases that any of them leaves.
//! - Where nothing leads, nothing limits: that is said, not filled with what came before.
//!
//! `ocpp-kit` has a calculation for those who build stations. It converts each limit by the phases of its own profile, takes a
//! limit that it cannot convert for none, and knows no order among profiles of one level; a central system that wants to
//! know the *most* that a station may do needs the opposite of each.
//!
//! | file | what it is |
//! |---|---|
//! | `read` | profiles from the calls that told them; a station's answer |
//! | `compare` | what a station says beside what it was told |

mod compare;
mod read;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use compare::{Agreement, Difference};

/// What limits are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A per phase.
    Amperes,
    /// W of all phases.
    Watts,
}

/// What a profile is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `ChargePointMaxProfile`, `ChargingStationMaxProfile`: the station as a whole.
    StationMax,
    /// `ChargingStationExternalConstraints` (2.0.1): what somebody else than the central system allows.
    External,
    /// `TxDefaultProfile`: any transaction.
    TxDefault,
    /// `TxProfile`: one transaction.
    Tx,
}

/// When a schedule begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At its start.
    Absolute,
    /// At its start, and again every so many seconds.
    Recurring(i64),
    /// When the transaction begins.
    Relative,
}

/// A part of a schedule, until the next one begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// In s from the schedule's beginning.
    pub start: i64,
    /// In the schedule's unit.
    pub limit: f64,
    /// How many phases may be used; all that there are, if absent.
    pub phases: Option<u8>,
}

/// A charging profile with its schedule, to the second. Of several schedules, from which an ISO 15118 vehicle chooses
/// (2.0.1), it is the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// One with the same takes its place.
    pub id: i32,
    /// Where: the connector (1.6) or EVSE (2.0.1); 0: all of the station.
    pub evse: i32,
    /// The higher leads.
    pub stack_level: i32,
    /// What it is for.
    pub purpose: Purpose,
    /// Of which transaction a `TxProfile` is; the one that goes on, if absent.
    pub transaction: Option<String>,
    /// It says nothing before.
    pub valid_from: Option<Timestamp>,
    /// Nor from then on.
    pub valid_to: Option<Timestamp>,
    /// When its schedule begins.
    pub kind: Kind,
    /// Its start; the transaction's beginning, if absent (1.6 §7.13).
    pub start: Option<Timestamp>,
    /// For how many seconds its schedule says something.
    pub duration: Option<i64>,
    /// What its limits are in.
    pub unit: Unit,
    /// By their starts.
    pub periods: Vec<Period>,
}

impl Profile {
    fn begin(&self, transaction: i64) -> i64 {
        let start = self.start.filter(|_| self.kind != Kind::Relative);
        start.map_or(transaction, Timestamp::as_second)
    }

    /// The period that holds at a second; `transaction` is when that began.
    fn period(&self, at: i64, transaction: i64) -> Option<&Period> {
        let early = self.valid_from.is_some_and(|from| at < from.as_second());
        let late = self.valid_to.is_some_and(|to| to.as_second() <= at);
        let since = at - self.begin(transaction);
        if early || late || since < 0 {
            return None;
        }
        let since = match self.kind {
            Kind::Recurring(every) => since % every.max(1),
            Kind::Absolute | Kind::Relative => since,
        };
        if self.duration.is_some_and(|duration| duration <= since) {
            return None;
        }
        self.periods.iter().rfind(|period| period.start <= since)
    }

    /// Seconds up to `until` at which it may say something else; those long before `from` are left out.
    fn edges(&self, (from, until): (i64, i64), transaction: i64) -> Vec<i64> {
        let first = self.begin(transaction);
        let begins: Vec<i64> = match self.kind {
            Kind::Recurring(every) => {
                let every = every.max(1);
                let past = (from - first).max(0) / every * every;
                let last = (until - first - past).max(0) / every;
                (0..=last).map(|turn| first + past + turn * every).collect()
            }
            Kind::Absolute | Kind::Relative => vec![first],
        };
        let starts = self.periods.iter().map(|period| period.start);
        let within: Vec<i64> = starts.chain(self.duration).chain([0]).collect();
        let each = begins
            .iter()
            .flat_map(|begin| within.iter().map(move |start| begin + start));
        let valid = [self.valid_from, self.valid_to].into_iter().flatten();
        each.chain(valid.map(Timestamp::as_second)).collect()
    }

    fn is_for(&self, place: &Place) -> bool {
        let here = self.evse == 0 || self.evse == place.evse;
        let running = place.transaction.as_ref().map(|(name, _)| name);
        let its = match self.purpose {
            Purpose::Tx => running.is_some_and(|name| {
                let meant = self.transaction.as_ref();
                meant.is_none_or(|meant| meant == name)
            }),
            _ => true,
        };
        here && its
    }
}

/// Where it is asked for, and what goes on there.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The connector (1.6) or EVSE (2.0.1), from 1.
    pub evse: i32,
    /// Name and beginning of the transaction that goes on; without one, as if one began now.
    pub transaction: Option<(String, Timestamp)>,
    /// What 1 A is on one phase, in W.
    pub volts: f64,
    /// How many phases there are.
    pub phases: u8,
}

/// A part of a composite schedule, until the next one begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// In s from the schedule's beginning.
    pub start: i64,
    /// In the schedule's unit; `None`: nothing limits.
    pub limit: Option<f64>,
    /// On how many phases.
    pub phases: u8,
}

/// What may be drawn over some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Composite {
    /// When it begins, to the second.
    pub start: Timestamp,
    /// How long it is, in s.
    pub seconds: i64,
    /// What its limits are in.
    pub unit: Unit,
    /// By their starts; two that follow each other differ.
    pub steps: Vec<Step>,
}

/// The profiles that a station has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiles(Vec<Profile>);

impl Profiles {
    /// One more, in the place of one with the same number, or of one of the same purpose and level at the same place (1.6
    /// §5.16.4, 2.0.1 K01.FR.05).
    pub fn set(&mut self, profile: Profile) {
        let place = |one: &Profile| (one.evse, one.purpose, one.stack_level);
        self.0.retain(|one| {
            let same = place(one) == place(&profile) && one.transaction == profile.transaction;
            one.id != profile.id && !same
        });
        self.0.push(profile);
    }

    /// One less.
    pub fn clear(&mut self, id: i32) {
        self.0.retain(|one| one.id != id);
    }

    /// What may be drawn from `start` on for so many seconds.
    pub fn composite(
        &self,
        place: &Place,
        start: Timestamp,
        seconds: i64,
        unit: Unit,
    ) -> Composite {
        let from = start.as_second();
        let until = from.saturating_add(seconds.max(0));
        let transaction = place.transaction.as_ref();
        let transaction = transaction.map_or(from, |(_, began)| began.as_second());
        let here: Vec<&Profile> = self.0.iter().filter(|one| one.is_for(place)).collect();
        let edges = here
            .iter()
            .flat_map(|profile| profile.edges((from, until), transaction));
        let mut edges: BTreeSet<i64> = edges.filter(|at| (from..until).contains(at)).collect();
        edges.insert(from);
        let mut steps: Vec<Step> = Vec::new();
        for at in edges {
            let (limit, phases) = least(&here, place, (at, transaction), unit);
            let last = steps.last().map(|step| (step.limit, step.phases));
            if last != Some((limit, phases)) {
                steps.push(Step {
                    start: at - from,
                    limit,
                    phases,
                });
            }
        }
        Composite {
            start,
            seconds,
            unit,
            steps,
        }
    }
}

/// What limits at a second, and on how many phases.
fn least(
    profiles: &[&Profile],
    place: &Place,
    (at, transaction): (i64, i64),
    unit: Unit,
) -> (Option<f64>, u8) {
    let leads = |purpose: Purpose| {
        let all = profiles.iter().filter(|one| one.purpose == purpose);
        let valid = all.filter_map(|one| Some((*one, one.period(at, transaction)?)));
        valid.max_by_key(|(one, _)| (one.stack_level, one.evse > 0))
    };
    let session = leads(Purpose::Tx).or_else(|| leads(Purpose::TxDefault));
    let ceilings = [Purpose::StationMax, Purpose::External].map(leads);
    let all = || [session].into_iter().chain(ceilings).flatten();
    let phases = all().filter_map(|(_, period)| period.phases);
    let phases = phases.fold(place.phases, u8::min).max(1);
    let watts = place.volts * f64::from(phases);
    let limits = all().map(|(profile, period)| match (profile.unit, unit) {
        (Unit::Amperes, Unit::Watts) => period.limit * watts,
        (Unit::Watts, Unit::Amperes) => period.limit / watts,
        _ => period.limit,
    });
    (limits.reduce(f64::min), phases)
}
