//! A station is asked what it would allow, and its answer is compared with what it was told: once in a connection, after it has
//! taken what to fall back to and a lease, and again after a long time. It is never asked while another call is outstanding.
//! One that would allow more is asked once more after its next lease: it may only have been slow to take the last one in.
//!
//! A station that has taken a profile knows the question: 1.6 has both in its feature profile `SmartCharging`, 2.0.1 in its
//! block K. One that gives no schedule is not asked again in this connection: nothing is known then, and a question that is
//! never answered keeps leases waiting.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use load_manager::Millis;
use ocpp::{
    Answer, Call, CallFailure, CallToken, Entry, Now, Station, Transaction,
    composite::{Agreement, Composite, Difference, Place, Profiles, Unit},
};
use serde_json::json;

use super::Post;

/// How often an EVSE is asked.
const AGAIN: Millis = 900_000;
/// A lease that was taken longer ago is not asked for: it is about to end.
const FRESH: Millis = 15_000;
/// What is asked for, in s: the longest lease, and that it ends.
const AHEAD: i64 = 240;

/// What an EVSE was asked, and by what its answer is judged.
#[derive(Debug)]
pub(super) struct Question {
    place: Place,
    /// By the station's clock.
    start: Timestamp,
    /// What it had when it was asked.
    profiles: Profiles,
}

/// What is known of what one station was told, while it is connected.
#[derive(Debug, Default)]
pub(super) struct Check {
    profiles: Profiles,
    /// Calls without an answer so far.
    told: HashMap<CallToken, Call>,
    /// When each EVSE has taken the lease that it was told last.
    leased: HashMap<i32, Millis>,
    /// When each EVSE was asked.
    asked: HashMap<i32, Millis>,
    /// Those that would have allowed more when they were asked last.
    doubted: HashSet<i32>,
    /// It gives no schedule, or has profiles that nobody here knows.
    off: bool,
    /// Less than it was told is noted once.
    noted: bool,
}

impl Check {
    /// A call was made, by whomever; with a lease, of this EVSE.
    pub(super) fn told(&mut self, token: CallToken, call: &Call, lease: Option<i32>) {
        self.told.insert(token, call.clone());
        if let Some(evse) = lease {
            // Whether the one before stands is not known until there is an answer.
            self.leased.remove(&evse);
        }
    }

    /// A call was answered. Where there was no answer, nobody knows what the station has until a call of the same kind is
    /// accepted: that of the next lease.
    pub(super) fn ended(&mut self, token: CallToken, accepted: bool) {
        let call = self.told.remove(&token);
        if let Some(call) = call.filter(|_| accepted) {
            self.off |= !self.profiles.took(&call);
        }
    }

    /// An EVSE has taken a lease.
    pub(super) fn leased(&mut self, evse: i32, at: Millis) {
        self.leased.insert(evse, at);
    }

    /// Whether an EVSE is to be asked now.
    pub(super) fn due(&self, evse: i32, at: Millis) -> bool {
        let fresh = self
            .leased
            .get(&evse)
            .is_some_and(|then| at - then <= FRESH);
        let again = self.asked.get(&evse).is_none_or(|then| at - then >= AGAIN);
        fresh && again && !self.off
    }

    /// The question to the EVSE of a transaction, as a call; `None` while nobody knows the time of day.
    pub(super) fn question(
        &mut self,
        station: &Station,
        (post, transaction): (&Post, &Transaction),
        now: Now,
        at: Millis,
    ) -> Option<(Call, Question)> {
        let evse = transaction.evse?;
        let ahead = SignedDuration::from_secs(station.clock_ahead().unwrap_or(0));
        let start = now.wall?.saturating_add(ahead).ok()?;
        let call = station.ask_composite(evse, AHEAD).ok()?;
        self.asked.insert(evse, at);
        let number = transaction.number.map(|number| number.to_string());
        let name = number.unwrap_or_else(|| transaction.id.clone());
        let place = Place {
            evse,
            transaction: Some((name, transaction.started.unwrap_or(start))),
            volts: post.volts(),
            phases: u8::try_from(post.phases()).unwrap_or(3),
        };
        let profiles = self.profiles.clone();
        Some((
            call,
            Question {
                place,
                start,
                profiles,
            },
        ))
    }

    /// Judges an answer; gives what the cloud is to hear, when that is new.
    pub(super) fn answered(
        &mut self,
        name: &str,
        post: &Post,
        question: &Question,
        result: &Result<Answer, CallFailure>,
    ) -> Option<Entry> {
        let Question {
            place,
            start,
            profiles,
        } = question;
        let payload = result.as_ref().ok().and_then(Answer::payload);
        let said = payload.and_then(|text| Composite::answered(text.get(), *start, AHEAD));
        let Some(said) = said else {
            tracing::debug!(station = %name, "a station does not say what it would allow");
            self.off = true;
            return None;
        };
        let agreement = profiles.agree(place, *start, AHEAD, &said);
        let more = match agreement {
            Agreement::More(difference) => Some(difference),
            Agreement::Less(difference) => {
                if !std::mem::replace(&mut self.noted, true) {
                    tracing::info!(station = %name, evse = place.evse, ?difference, "a station says that it would allow less than it was told");
                }
                None
            }
            Agreement::Same => None,
        };
        if more.is_none() {
            self.doubted.remove(&place.evse);
        } else if self.doubted.insert(place.evse) {
            self.asked.remove(&place.evse);
            return None;
        }
        let new = post.claims(place.evse, more.is_some());
        if let Some(difference) = more.filter(|_| new) {
            tracing::error!(station = %name, evse = place.evse, ?difference, "a station says that it would allow more than it was told: it counts with its maximum when nobody hears it");
        }
        new.then(|| entry(name, place, more))
    }
}

/// What the cloud is told: that a station would allow more than it was told, or does not any more.
fn entry(name: &str, place: &Place, more: Option<Difference>) -> Entry {
    let mut payload = json!({ "station": name, "evse": place.evse, "agrees": more.is_none() });
    payload["transaction"] = json!(place.transaction.as_ref().map(|(name, _)| name));
    if let Some(difference) = more {
        payload["after_s"] = json!(difference.after);
        payload["says"] = json!(difference.says);
        payload["told"] = json!(difference.told);
        payload["unit"] = json!(match difference.unit {
            Unit::Amperes => "A",
            Unit::Watts => "W",
        });
    }
    Entry {
        kind: "station.composite",
        payload,
    }
}
