//! What speaks for and against a pair of transaction and vehicle, as natural logarithms of likelihood ratios against chance.
//!
//! Each kind is capped: measurements of one kind fail together (a clock, a unit, a tracker that stands still), so that more of
//! them never outweigh everything else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Session, Signs, Vehicle};

/// Arrivals of about so long are told apart: over it a coincidence is compared to chance, in s.
const WINDOW: f64 = 3600.0;
/// By how much clocks of stations and vehicles differ, after correction, in s.
const CLOCKS: f64 = 15.0;
/// How long before its transaction a cable may be plugged in when the connector did not tell, in s.
const SHOWS_CARD: f64 = 300.0;
/// How late a vehicle's word may come before its silence says something, in s.
const LATE: i64 = 180;
/// Of the station's power this much gets into the battery.
const EFFICIENCY: f64 = 0.9;
/// Powers that are possible, in W: over it a coincidence is compared to chance.
const POWERS: f64 = 15_000.0;
/// Below this power nothing is told by power, in W.
const IDLE: f64 = 500.0;
/// Energy from which the state of charge tells something, in Wh.
const ENOUGH: f64 = 1500.0;
/// What a sign is worth: right to wrong. A card is another car's about once in 30 times, but then two drivers have changed theirs
/// and both cards are wrong together: each counts with the root of that. An id is read wrong once in 2000, a place is another's
/// once in 5.
const CARD: f64 = 6.0;
const OWN_ID: f64 = 2000.0;
const PLACE: f64 = 4.0;

/// A kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Its card was shown.
    Card,
    /// The car said its own id to the station (EVCC id, contract).
    OwnId,
    /// It usually stands there.
    Place,
    /// It told of a cable when the connector did.
    PlugIn,
    /// Its battery took the power that the connector gave.
    Power,
    /// Its state of charge grew by what the connector gave.
    StateOfCharge,
}

impl Evidence {
    /// The word in the database and in answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::OwnId => "own_id",
            Self::Place => "place",
            Self::PlugIn => "plug_in",
            Self::Power => "power",
            Self::StateOfCharge => "state_of_charge",
        }
    }

    const fn is_measured(self) -> bool {
        matches!(self, Self::PlugIn | Self::Power | Self::StateOfCharge)
    }
}

/// All that is known of a pair.
#[derive(Clone, Debug, Default)]
pub(super) struct Weight(Vec<(Evidence, f64)>);

impl Weight {
    fn add(&mut self, kind: Evidence, weight: f64) {
        if weight != 0.0 {
            self.0.push((kind, weight));
        }
    }

    pub(super) fn all(&self) -> f64 {
        self.0.iter().map(|(_, weight)| weight).sum()
    }

    pub(super) fn measured(&self) -> f64 {
        let measured = self.0.iter().filter(|(kind, _)| kind.is_measured());
        measured.map(|(_, weight)| weight).sum()
    }

    /// The measurement that speaks most against it.
    pub(super) fn least_measured(&self) -> f64 {
        let measured = self.0.iter().filter(|(kind, _)| kind.is_measured());
        measured.map(|(_, weight)| *weight).fold(0.0, f64::min)
    }

    pub(super) fn says(&self, kind: Evidence) -> bool {
        self.0.iter().any(|(one, _)| *one == kind)
    }

    /// What speaks for it, strongest first.
    pub(super) fn for_it(&self) -> Vec<Evidence> {
        let mut kinds: Vec<_> = self.0.iter().filter(|(_, weight)| *weight > 0.0).collect();
        kinds.sort_by(|one, other| other.1.total_cmp(&one.1));
        kinds.into_iter().map(|(kind, _)| *kind).collect()
    }
}

/// Weighs a pair, each with the means of its power. `of`: how many vehicles there are, one of which a sign points to.
pub(super) fn weigh(
    now: Timestamp,
    (session, given): (&Session, &Means),
    (vehicle, taken): (&Vehicle, &Means),
    signs: &Signs,
    of: usize,
) -> Weight {
    let mut weight = Weight::default();
    let points = |odds: f64| (odds * of.max(1) as f64).ln();
    let token = session.token.as_ref().map(|token| token.to_lowercase());
    let named = |by: &std::collections::HashMap<String, i32>| {
        let asset = token.as_ref().and_then(|token| by.get(token));
        asset == Some(&vehicle.asset)
    };
    if named(&signs.cards) {
        weight.add(Evidence::Card, points(CARD));
    }
    if named(&signs.own_ids) {
        weight.add(Evidence::OwnId, points(OWN_ID));
    }
    if signs.places.get(&(session.station, session.evse)) == Some(&vehicle.asset) {
        weight.add(Evidence::Place, points(PLACE));
    }
    weight.add(Evidence::PlugIn, plug_in(now, session, vehicle));
    weight.add(Evidence::Power, power(given, taken));
    weight.add(Evidence::StateOfCharge, charge(now, session, vehicle));
    weight
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// The cable: both tell of it, or one tells the contrary.
fn plug_in(now: Timestamp, session: &Session, vehicle: &Vehicle) -> f64 {
    let Some((since, until)) = vehicle.watched else {
        return 0.0;
    };
    let (instant, before) = match session.plugged {
        Some(plugged) => (plugged, CLOCKS),
        None => (session.began, SHOWS_CARD),
    };
    let mut best = f64::NEG_INFINITY;
    for plug in &vehicle.plugs {
        // How far the vehicle's interval is from the connector's; not at all when they overlap.
        let early = seconds(plug.with, instant) - before;
        let late = seconds(instant, plug.without) - CLOCKS;
        let apart = early.max(late).max(0.0);
        let end = session.ended.unwrap_or(now);
        let left = plug.until.map_or(0.0, |left| seconds(left, end));
        let fits = if left > LATE as f64 {
            // The cable was out while energy went on.
            -8.0
        } else if session.plugged.is_none() && early > 0.0 {
            // It has been in since long, as is usual when a transaction begins from afar or again.
            0.0
        } else if apart == 0.0 {
            let width = seconds(plug.without, plug.with).max(1.0) + before + CLOCKS;
            (WINDOW / width).ln().clamp(0.0, 6.0)
        } else {
            -(2.0 + apart / 15.0).min(8.0)
        };
        best = best.max(fits);
    }
    if best.is_finite() {
        return best;
    }
    // It has told all the time, and nothing of a cable.
    let told = seconds(session.began, until) > LATE as f64 && seconds(since, instant) > 0.0;
    if told { -8.0 } else { 0.0 }
}

/// Means of a power by minute since 1970, in W.
pub(super) type Means = BTreeMap<i64, f64>;

/// The means between two instants.
pub(super) fn means(series: &[(Timestamp, f64)], from: Timestamp, to: Timestamp) -> Means {
    let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    let during = series.iter().filter(|(time, _)| (from..=to).contains(time));
    for (time, value) in during {
        let sum = sums.entry(time.as_second().div_euclid(60)).or_default();
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    let mean = |(minute, (sum, count))| (minute, sum / count);
    sums.into_iter().map(mean).collect()
}

/// Powers: those of one model are alike, so what tells cars apart is when a power changes.
fn power(given: &Means, taken: &Means) -> f64 {
    let mut sum = 0.0;
    let mut count = 0.0_f64;
    for (minute, given) in given {
        let Some(taken) = taken.get(minute) else {
            continue;
        };
        if *given < IDLE && taken.abs() < IDLE {
            continue;
        }
        let deviation = 300.0 + 0.1 * given;
        let off = (taken - EFFICIENCY * given) / deviation;
        let chance = (POWERS / (deviation * std::f64::consts::TAU.sqrt())).ln();
        sum += (chance - off * off / 2.0).clamp(-6.0, 3.0);
        count += 1.0;
    }
    if count == 0.0 {
        return 0.0;
    }
    // Minutes are alike: what many say is hardly more than what some do.
    (sum / count * count.min(9.0).sqrt()).clamp(-12.0, 6.0)
}

/// The state of charge against the energy that was given meanwhile.
fn charge(now: Timestamp, session: &Session, vehicle: &Vehicle) -> f64 {
    let end = session.ended.unwrap_or(now);
    let mut during = vehicle
        .charge
        .iter()
        .filter(|(time, _)| (session.began..=end).contains(time));
    let (Some(first), Some(last)) = (during.next(), during.next_back()) else {
        return 0.0;
    };
    let energy = energy(&session.power, first.0, last.0);
    if energy < ENOUGH {
        return 0.0;
    }
    let grown = last.1 - first.1;
    if grown <= 0.1 {
        return -6.0;
    }
    // Steps of the display, and how well a capacity is known.
    let capacity = EFFICIENCY * energy / 1000.0 / (grown / 100.0);
    let (expected, spread, most) = match vehicle.capacity_kwh {
        Some(known) if known > 1.0 => (known, 0.2 + 0.5 / grown, 1.5),
        _ => (50.0, 0.7, 0.5),
    };
    let off = (capacity / expected).ln() / spread;
    (most - off * off / 2.0).clamp(-6.0, most)
}

/// Energy between two instants, in Wh: a power holds until the next one, but for no more than five minutes.
fn energy(power: &[(Timestamp, f64)], from: Timestamp, to: Timestamp) -> f64 {
    let mut sum = 0.0;
    for (at, &(time, watts)) in power.iter().enumerate() {
        let next = power.get(at + 1).map_or(to, |(next, _)| *next).min(to);
        let held = seconds(time.max(from), next).clamp(0.0, 300.0);
        sum += watts * held / 3600.0;
    }
    sum
}
