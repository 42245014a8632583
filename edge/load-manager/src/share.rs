//! Who gets how much of it.
//!
//! Critical cars first, with all that they want; then those that somebody at the depot wants first. Of the others
//! everybody gets the least with which a car charges, by their order, as long as there is room; then all are raised
//! together, step by step. Who gets nothing waits; who has waited for long goes before those that charge.

use std::cmp::Ordering;

use crate::{
    Millis, Rules, Why,
    input::{Request, StationReport},
    room::Room,
    site::{Site, StationOf},
    station::Memory,
};

/// What a station is to get.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Share {
    pub(crate) limit: f64,
    pub(crate) phases: usize,
}

/// A car that wants energy at a station that follows.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) station: usize,
    pub(crate) phases: usize,
    /// It may be told to use one phase only.
    single: bool,
    pub(crate) most: f64,
    pub(crate) min: f64,
    rank: Rank,
}

/// Classes of [`Rank`] whose cars have all that they want before the next class has the least.
const CRITICAL: u8 = 0;
const FIRST: u8 = 1;
/// The class of those that have waited for long.
const PATIENT: u8 = 3;

/// The order in which cars get something: less is earlier.
#[derive(Clone, Copy, Debug)]
struct Rank {
    class: u8,
    slack: f64,
    charge: f64,
    since: Millis,
}

impl Rank {
    fn order(&self, other: &Self) -> Ordering {
        let (one, two) = (self, other);
        one.class
            .cmp(&two.class)
            .then(one.slack.total_cmp(&two.slack))
            .then(one.charge.total_cmp(&two.charge))
            .then(one.since.cmp(&two.since))
    }
}

/// Everybody who may get something, the first one first; and by station what keeps it from getting more than that, or
/// anything. `ceiling` is the most by station, for safety.
pub(crate) fn candidates(
    site: &Site,
    rules: &Rules,
    memories: &[Memory],
    reports: &[StationReport],
    ceiling: &[(f64, Why)],
    now: Millis,
) -> (Vec<Candidate>, Vec<Why>) {
    let mut found = Vec::new();
    let mut whys = vec![Why::NoCar; site.stations.len()];
    for (place, (station, memory)) in site.stations.iter().zip(memories).enumerate() {
        let report = &reports[place];
        let Some(car) = report.car.as_ref() else {
            continue;
        };
        if !memory.follows(report) {
            whys[place] = Why::Unreliable;
            continue;
        }
        let (phases, single) = phases(station, memory, car, rules, now);
        let planned = car.planned.filter(|_| !car.critical && !car.first);
        let planned = planned.map_or(f64::INFINITY, |w| w / (station.power * phases as f64));
        let step = station.options.step.max(0.1);
        let min = (station.min / step - 1e-9).ceil() * step;
        let bounds = [
            (station.max, Why::Nothing),
            (car.max_current.unwrap_or(f64::INFINITY), Why::Car),
            (planned, Why::Plan),
            slowly(station, min, memory, rules, now),
            ceiling[place],
        ];
        let (most, why) =
            bounds.into_iter().fold(
                bounds[0],
                |least, bound| {
                    if bound.0 < least.0 { bound } else { least }
                },
            );
        whys[place] = why;
        let most = (most / step + 1e-9).floor() * step;
        // Not NaN, and enough for a car to charge.
        if most.is_finite() && most + 1e-9 >= min && most > 0.0 {
            found.push(Candidate {
                station: place,
                phases,
                single,
                most,
                min,
                rank: rank(station, memory, car, rules, now),
            });
        }
    }
    found.sort_by(|one, two| {
        one.rank
            .order(&two.rank)
            .then(one.station.cmp(&two.station))
    });
    (found, whys)
}

/// How many phases a car uses, and whether it may be brought down to one. Never while it charges.
fn phases(
    station: &StationOf,
    memory: &Memory,
    car: &Request,
    rules: &Rules,
    now: Millis,
) -> (usize, bool) {
    let uses = car
        .phases
        .unwrap_or(station.terminals)
        .clamp(1, station.terminals);
    let may = station.options.switches_phases && uses > 1 && !memory.faults.keeps_phases;
    if !may {
        return (uses, false);
    }
    let rests = memory
        .switched_at
        .is_none_or(|at| now - at >= rules.switch_every);
    if memory.limit > 0.0 || !rests {
        return (memory.phases.min(uses), false);
    }
    (uses, true)
}

/// Raised slowly; a car that was paused begins with the least.
fn slowly(
    station: &StationOf,
    min: f64,
    memory: &Memory,
    rules: &Rules,
    now: Millis,
) -> (f64, Why) {
    let since = |at: Option<Millis>| at.map_or(Millis::MAX, |at| now - at);
    if memory.limit <= 0.0 {
        if since(memory.off_since) < rules.least_off {
            return (0.0, Why::Rests);
        }
        return (min.max(station.fallback), Why::Slowly);
    }
    let rests = since(memory.cut_at) >= rules.hold && since(memory.raised_at) >= rules.raise_every;
    let most = if rests && memory.budget.allows_raises() {
        memory.limit + rules.raise_by
    } else {
        memory.limit
    };
    (most, Why::Slowly)
}

fn rank(station: &StationOf, memory: &Memory, car: &Request, rules: &Rules, now: Millis) -> Rank {
    let waits = memory.waits_since.map_or(0, |since| now - since);
    let class = if car.critical {
        CRITICAL
    } else if car.first {
        FIRST
    } else if memory.on_since.is_some_and(|on| now - on < rules.least_on) {
        2
    } else if memory.limit <= 0.0 && waits >= rules.patience {
        PATIENT
    } else if memory.limit > 0.0 {
        4
    } else {
        5
    };
    // Time that is left when it charges with all that the station has.
    let power = station.power * station.terminals as f64 * station.max;
    let needs = car
        .energy
        .map_or(0.0, |energy| energy / power * 3_600_000.0);
    let slack = car
        .departure
        .map_or(f64::INFINITY, |at| (at - now) as f64 - needs);
    Rank {
        class,
        // Who has waited for long goes by how long, whatever others have before them.
        slack: if class == PATIENT { 0.0 } else { slack },
        charge: car
            .state_of_charge
            .filter(|_| class != PATIENT)
            .unwrap_or(100.0),
        since: memory.waits_since.unwrap_or(0),
    }
}

/// The shares by station, of those for whom there is room.
pub(crate) fn share(candidates: &[Candidate], room: &mut Room<'_>, stations: usize) -> Vec<Share> {
    let mut shares = vec![Share::default(); stations];
    let mut begun = Vec::new();
    let mut before = None;
    for one in candidates {
        // Who comes before all others has all that they want before anybody else gets the least.
        let class = one.rank.class;
        if before
            .replace(class)
            .is_some_and(|before| before <= FIRST && before < class)
        {
            raise(&begun, room, &mut shares);
        }
        let phases = if room.fits(one.station, one.phases, one.min) {
            one.phases
        } else if one.single && room.fits(one.station, 1, one.min) {
            1
        } else {
            continue;
        };
        room.add(one.station, phases, one.min);
        shares[one.station] = Share {
            limit: one.min,
            phases,
        };
        begun.push(one);
    }
    raise(&begun, room, &mut shares);
    shares
}

/// Raises all of them together until nobody can be raised: by four amperes while there is room for all, else by one, and
/// in the end by what is left of limits that are no whole numbers.
fn raise(candidates: &[&Candidate], room: &mut Room<'_>, shares: &mut [Share]) {
    let mut open = candidates.to_vec();
    loop {
        open.retain(|one| one.most - shares[one.station].limit >= 1e-6);
        let all = open
            .iter()
            .all(|one| one.most - shares[one.station].limit >= 4.0);
        if all && !open.is_empty() {
            let mut tried = room.clone();
            let fits = open.iter().all(|one| {
                let phases = shares[one.station].phases;
                let fits = tried.fits(one.station, phases, 4.0);
                tried.add(one.station, phases, 4.0);
                fits
            });
            if fits {
                *room = tried;
                for one in &open {
                    shares[one.station].limit += 4.0;
                }
                continue;
            }
        }
        let mut raised = false;
        let mut left = Vec::new();
        for one in open {
            let share = &mut shares[one.station];
            let more = f64::min(1.0, one.most - share.limit);
            if room.fits(one.station, share.phases, more) {
                room.add(one.station, share.phases, more);
                share.limit += more;
                raised = true;
                left.push(one);
            } else if room.may_balance(one.station, share.phases) {
                // What stands in its way may go when others are raised, too.
                left.push(one);
            }
        }
        open = left;
        if !raised {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_earlier() {
        let rank = |class, slack, charge, since| Rank {
            class,
            slack,
            charge,
            since,
        };
        let sorted = [
            rank(0, 9.0, 90.0, 9),
            rank(1, 1.0, 20.0, 5),
            rank(1, 1.0, 30.0, 1),
            rank(1, f64::INFINITY, 0.0, 1),
            rank(1, f64::INFINITY, 0.0, 2),
            rank(2, 0.0, 0.0, 0),
        ];
        assert!(sorted.is_sorted_by(|one, two| one.order(two) == Ordering::Less));
    }
}
