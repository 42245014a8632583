//! Which vehicle is on which connector, without I/O.
//!
//! Each pair of a transaction and a vehicle is weighed by what speaks for and against it ([`evidence`]): natural logarithms
//! of likelihood ratios against chance, which add up. A vehicle is at one connector at a time and a connector has one
//! vehicle, so the pairs are decided together ([`assign`]): the assignment with the greatest sum, and how much of all
//! likelihood each of its pairs has. "Nobody of ours" competes with every vehicle.
//!
//! **Certain** is a pair only when what was measured (cable, power, state of charge) singles it out by itself, or when the
//! car has said who it is and nothing that was measured denies it; and never while a card or an id says that it is another car.
//! A card or a parking place makes a pair likely and no more: two drivers may hold each other's.

mod assign;
mod evidence;

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

pub use evidence::Evidence;
use evidence::{Means, Weight};

/// How likely a transaction is of a vehicle that is not of the fleet, before anything is known.
const STRANGER: f64 = 0.05;
/// From which share of all likelihood a pair is certain, with all that is known and with what was measured alone.
const CERTAIN: f64 = 0.999;
/// From which share on a pair is told at all.
const LIKELY: f64 = 0.5;
/// What may be measured against a car that has said who it is.
const DENIED: f64 = -1.0;

/// A transaction and what was measured at its connector.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its number.
    pub id: i64,
    /// The station's number as an asset.
    pub station: i32,
    /// The EVSE (2.0.1) or connector (1.6).
    pub evse: i32,
    /// The token that began it.
    pub token: Option<String>,
    /// When the connector saw a cable, if it told.
    pub plugged: Option<Timestamp>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; `None`: it goes on.
    pub ended: Option<Timestamp>,
    /// What the connector gave, in W, by time.
    pub power: Vec<(Timestamp, f64)>,
}

/// Between two reports of a vehicle a cable was plugged in.
#[derive(Clone, Copy, Debug)]
pub struct Plug {
    /// Last seen without.
    pub without: Timestamp,
    /// First seen with.
    pub with: Timestamp,
    /// First seen without again.
    pub until: Option<Timestamp>,
}

/// What a vehicle has told of itself.
#[derive(Clone, Debug, Default)]
pub struct Vehicle {
    /// Its number as an asset.
    pub asset: i32,
    /// Since when, and until when, it has told whether a cable is connected; `None`: it does not tell.
    pub watched: Option<(Timestamp, Timestamp)>,
    /// When that changed.
    pub plugs: Vec<Plug>,
    /// Power of its battery, positive while it is charged, in W, by time.
    pub power: Vec<(Timestamp, f64)>,
    /// Its state of charge in percent, by time.
    pub charge: Vec<(Timestamp, f64)>,
    /// Capacity of its battery in kWh.
    pub capacity_kwh: Option<f64>,
}

/// What people have told beforehand. Tokens are compared without case.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// Vehicles by cards that belong to them, in lower case.
    pub cards: HashMap<String, i32>,
    /// Vehicles by what they themselves say to a station (EVCC id, contract), in lower case.
    pub own_ids: HashMap<String, i32>,
    /// Vehicles by the connector of their parking place: station and EVSE.
    pub places: HashMap<(i32, i32), i32>,
}

/// Which vehicle a transaction is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The transaction.
    pub session: i64,
    /// The vehicle; `None`: it is not known.
    pub vehicle: Option<i32>,
    /// How likely that is, of 1.
    pub confidence: f64,
    /// Whether it may be relied upon.
    pub certain: bool,
    /// What speaks for it, strongest first.
    pub by: Vec<Evidence>,
}

/// Decides all transactions at once, at this instant; one answer for each, in their order. `taken`: vehicles that are known
/// to be elsewhere, with the time from which and until which.
pub fn matches(
    now: Timestamp,
    sessions: &[Session],
    vehicles: &[Vehicle],
    signs: &Signs,
    taken: &[(i32, Timestamp, Option<Timestamp>)],
) -> Vec<Match> {
    let mut taken = taken.to_vec();
    let mut found: Vec<Option<Match>> = vec![None; sessions.len()];
    for layer in layers(sessions) {
        let some: Vec<&Session> = layer.iter().map(|&at| &sessions[at]).collect();
        for (&at, one) in layer
            .iter()
            .zip(decide(now, &some, vehicles, signs, &taken))
        {
            if let Some(vehicle) = one.vehicle {
                taken.push((vehicle, sessions[at].began, sessions[at].ended));
            }
            found[at] = Some(one);
        }
    }
    found.into_iter().flatten().collect()
}

/// Transactions of one connector follow each other and may be of the same vehicle: the first of each connector are decided
/// together, then the second, and so on.
fn layers(sessions: &[Session]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sessions.len()).collect();
    order.sort_by_key(|&at| (sessions[at].began, sessions[at].id));
    let mut depth: BTreeMap<(i32, i32), usize> = BTreeMap::new();
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for at in order {
        let place = depth.entry((sessions[at].station, sessions[at].evse));
        let layer = place.or_insert(0);
        if layers.len() == *layer {
            layers.push(Vec::new());
        }
        layers[*layer].push(at);
        *layer += 1;
    }
    layers
}

fn decide(
    now: Timestamp,
    sessions: &[&Session],
    vehicles: &[Vehicle],
    signs: &Signs,
    taken: &[(i32, Timestamp, Option<Timestamp>)],
) -> Vec<Match> {
    let free = |session: &Session, vehicle: &Vehicle| {
        let until = session.ended.unwrap_or(now);
        !taken.iter().any(|(asset, from, to)| {
            *asset == vehicle.asset && *from < until && to.is_none_or(|to| session.began < to)
        })
    };
    let began = sessions.iter().map(|session| session.began).min();
    let means = |vehicle: &Vehicle| evidence::means(&vehicle.power, began.unwrap_or(now), now);
    let takes: Vec<Means> = vehicles.iter().map(means).collect();
    let row = |session: &&Session| -> Vec<Option<Weight>> {
        let gives = evidence::means(&session.power, session.began, session.ended.unwrap_or(now));
        let weigh = |(vehicle, takes): (&Vehicle, &Means)| {
            let (session, vehicle) = ((*session, &gives), (vehicle, takes));
            free(session.0, vehicle.0)
                .then(|| evidence::weigh(now, session, vehicle, signs, vehicles.len()))
        };
        vehicles.iter().zip(&takes).map(weigh).collect()
    };
    let weighed: Vec<Vec<Option<Weight>>> = sessions.iter().map(row).collect();
    // Before anything is known, each vehicle is as likely as any other.
    let prior = ((1.0 - STRANGER) / vehicles.len().max(1) as f64).ln();
    let scores = |of: fn(&Weight) -> f64| -> Vec<Vec<f64>> {
        let row = |row: &Vec<Option<Weight>>| {
            row.iter()
                .map(|one| one.as_ref().map_or(f64::NEG_INFINITY, |w| prior + of(w)))
                .collect()
        };
        weighed.iter().map(row).collect()
    };
    let (all, measured) = (scores(Weight::all), scores(Weight::measured));
    let stranger = STRANGER.ln();
    let chosen = assign::best(&all, stranger);
    let (shares, alone) = (
        assign::shares(&all, stranger),
        assign::shares(&measured, stranger),
    );
    let one = |(at, session): (usize, &&Session)| {
        let nobody = Match {
            session: session.id,
            vehicle: None,
            confidence: 0.0,
            certain: false,
            by: Vec::new(),
        };
        let Some(vehicle) = chosen[at] else {
            return nobody;
        };
        let (share, weight) = (shares[at][vehicle], &weighed[at][vehicle]);
        let speaks = |weight: &&Weight| share >= LIKELY && !weight.for_it().is_empty();
        let Some(weight) = weight.as_ref().filter(speaks) else {
            return nobody;
        };
        let said = weight.says(Evidence::OwnId) && weight.least_measured() >= DENIED;
        let measured = alone[at][vehicle] >= CERTAIN;
        let another = weighed[at].iter().enumerate().any(|(other, weight)| {
            let signs = |w: &Weight| w.says(Evidence::Card) || w.says(Evidence::OwnId);
            other != vehicle && weight.as_ref().is_some_and(signs)
        });
        Match {
            vehicle: Some(vehicles[vehicle].asset),
            confidence: share,
            certain: share >= CERTAIN && (said || measured) && !another,
            by: weight.for_it(),
            ..nobody
        }
    };
    sessions.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests;
