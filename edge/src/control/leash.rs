//! A station that speaks OCPP is told: what it falls back to once in a connection, its ceiling and how often it measures,
//! its leases, and what somebody at the depot asks of it.
//!
//! A station with several connectors that the depot's file has one by one (`station-01`, `station-01.2`) has a place for
//! each: each falls back by itself and has its own leases, and the circuit that feeds them holds what they share.

use std::{collections::HashMap, sync::Arc};

use load_manager::Millis;
use ocpp::{Answer, Call, CallFailure, CallToken, Effect, Limit, Now, Station, Transaction};
use tokio::sync::{Notify, oneshot};

use super::{
    Connectors, Post,
    board::{Asking, Setting},
    check::{Check, Question},
    local::Refused,
    remote,
    stay::Open,
};

/// A station that has not taken what to fall back to is told again after so long.
const AGAIN: Millis = 60_000;
/// Stations say so often what a car draws, in s: one that does not obey is to be seen within 5 s, and what was measured 10 s
/// ago is not known any more.
const MEASURED: u32 = 5;
/// The terminal that a station on three phases uses alone: the one that the load manager counts with.
const FIRST: u8 = 1;

#[derive(Debug)]
enum Asked {
    /// Of this place.
    Fallback(usize),
    Setting(Setting, String),
    /// Of this place, by this order, for this EVSE.
    Lease(usize, u64, i32),
    /// What an EVSE of this place would allow.
    Composite(usize, Box<Question>),
    Local(oneshot::Sender<Result<(), Refused>>),
}

/// One connector, or the station as a whole.
#[derive(Debug)]
struct Place {
    /// Its number; `None`: all that the station has.
    evse: Option<i32>,
    post: Post,
    /// The newest order, and for how many answers it waits.
    waits: Option<(u64, usize)>,
    /// It has taken what to fall back to.
    falls_back: bool,
    tried: Option<Millis>,
}

impl Place {
    fn has(&self, evse: Option<i32>) -> bool {
        self.evse.is_none() || self.evse == evse
    }

    /// The newest transaction of each EVSE of it that goes on.
    fn open<'a>(&self, station: &'a Station) -> Vec<&'a Transaction> {
        let mut newest: Vec<&Transaction> = Vec::new();
        for one in station.memory().open().filter(|one| self.has(one.evse)) {
            newest.retain(|other| other.evse != one.evse);
            newest.push(one);
        }
        newest
    }
}

/// Tells one station while it is connected.
#[derive(Debug)]
pub struct Leash {
    name: String,
    places: Vec<Place>,
    /// Most that the station as a whole draws.
    ceiling: Limit,
    wake: Arc<Notify>,
    asked: HashMap<CallToken, Asked>,
    /// When it was last told a setting without an answer so far.
    unsettled: Option<Millis>,
    /// What it was told, to be compared with what it says.
    check: Check,
    /// What the cloud is to hear.
    news: Vec<Effect>,
}

impl Leash {
    /// For the station of this name, which has just connected. Whether it falls back to what the depot says is not known
    /// until it has said that it takes it.
    pub fn new(name: String, connectors: Connectors) -> Self {
        let wake = Arc::new(Notify::new());
        let several = connectors.posts.len() > 1;
        let places = (1..).zip(connectors.posts).map(|(number, post)| {
            post.connected(Some(0));
            post.falls_back(false);
            post.begins();
            post.wakes(&wake);
            Place {
                evse: several.then_some(number),
                post,
                waits: None,
                falls_back: false,
                tried: None,
            }
        });
        Self {
            name,
            places: places.collect(),
            ceiling: Limit {
                amperes: connectors.ceiling,
                phases: connectors.phases,
                phase: None,
            },
            wake,
            asked: HashMap::new(),
            unsettled: None,
            check: Check::default(),
            news: Vec::new(),
        }
    }

    /// Waits for an order. Dropping this costs nothing.
    pub async fn ordered(&self) {
        self.wake.notified().await;
    }

    /// The station has said these at this time.
    pub fn hear(&self, at: Millis, readings: &[ocpp::Reading]) {
        for place in &self.places {
            let own = readings.iter().filter(|reading| match place.evse {
                None => reading.evse <= 1,
                Some(evse) => reading.evse == evse,
            });
            let said = own.map(|reading| (reading.signal, reading.milli as f64 / 1000.0));
            place.post.hear(at, said);
        }
    }

    /// The station has said who it is: its boot, in the words of OCPP 1.6 or 2.0.1.
    pub fn booted(&self, boot: &serde_json::Value) {
        let serials = [
            &boot["chargePointSerialNumber"],
            &boot["chargeBoxSerialNumber"],
            &boot["chargingStation"]["serialNumber"],
        ];
        let serial = serials.into_iter().find_map(|serial| serial.as_str());
        for place in &self.places {
            place.post.booted();
            if let Some(serial) = serial {
                place.post.identify(serial);
            }
        }
    }

    /// Takes notice of what goes on at the station, and tells it what to fall back to, if that is not done yet.
    pub fn look(&mut self, station: &mut Station, now: Now, at: Millis) -> Vec<Effect> {
        let ahead_us = station.clock_ahead().unwrap_or(0).saturating_mul(1_000_000);
        for place in &self.places {
            let open = place.open(station);
            let newest = open.last().map(|one| Open::of(one, ahead_us));
            place.post.connected(Some(open.len()));
            place.post.goes_on(newest);
        }
        let mut effects = std::mem::take(&mut self.news);
        for number in 0..self.places.len() {
            let place = &mut self.places[number];
            let again = place.tried.is_none_or(|tried| at - tried >= AGAIN);
            if place.falls_back || !again {
                continue;
            }
            place.tried = Some(at);
            let limit = Limit {
                amperes: place.post.fallback(),
                phases: place.post.phases(),
                phase: None,
            };
            let call = station.fallback(place.evse, limit);
            let call = call.map_err(|error| error.to_string());
            let told =
                call.and_then(|call| self.call(station, now, &call, Asked::Fallback(number)));
            match told {
                Ok(told) => effects.extend(told),
                Err(error) => {
                    tracing::warn!(station = %self.name, error, "a station cannot be told what to fall back to");
                }
            }
        }
        if self.places.iter().all(|place| place.falls_back) {
            effects.extend(self.settle(station, now, at));
            effects.extend(self.compare(station, now, at));
        }
        effects
    }

    /// Asks what an EVSE would allow, where that is to be known again and the station has nothing else to answer.
    fn compare(&mut self, station: &mut Station, now: Now, at: Millis) -> Vec<Effect> {
        let busy = !self.asked.is_empty() || station.due().is_some();
        let mut places = self.places.iter().enumerate().filter(|_| !busy);
        let due = places.find_map(|(number, place)| {
            let due = |one: &&Transaction| one.evse.is_some_and(|evse| self.check.due(evse, at));
            let one = place.open(station).into_iter().find(due)?;
            Some((number, one.clone()))
        });
        let asked = due.and_then(|(number, transaction)| {
            let about = (&self.places[number].post, &transaction);
            let (call, question) = self.check.question(station, about, now, at)?;
            let asked = Asked::Composite(number, Box::new(question));
            self.call(station, now, &call, asked).ok()
        });
        asked.unwrap_or_default()
    }

    /// Tells what is told once, one thing at a time and never before an answer.
    fn settle(&mut self, station: &mut Station, now: Now, at: Millis) -> Vec<Effect> {
        let waits =
            !self.asked.is_empty() || self.unsettled.is_some_and(|tried| at - tried < AGAIN);
        let Some(first) = self.places.first().filter(|_| !waits) else {
            return Vec::new();
        };
        let ceiling = self.ceiling;
        let value = |setting| match setting {
            Setting::Ceiling => format!("{:.1} A on {}", ceiling.amperes, ceiling.phases),
            Setting::Interval => MEASURED.to_string(),
        };
        let Some(setting) = first.post.unsettled(value) else {
            return Vec::new();
        };
        let call = match setting {
            Setting::Ceiling => station.ceiling(now, ceiling),
            Setting::Interval => station.measure_every(MEASURED),
        };
        self.unsettled = Some(at);
        let call = call.map_err(|error| error.to_string());
        let asked = Asked::Setting(setting, value(setting));
        let told = call.and_then(|call| self.call(station, now, &call, asked));
        told.unwrap_or_else(|error| {
            tracing::debug!(station = %self.name, ?setting, error, "a station cannot be told a setting yet");
            Vec::new()
        })
    }

    /// Carries out what was asked and the orders that wait, if there are any.
    pub fn carry(&mut self, station: &mut Station, now: Now, at: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        for number in 0..self.places.len() {
            effects.extend(self.asks(number, station, now));
            effects.extend(self.order(number, station, now, at));
        }
        effects
    }

    /// What somebody at the depot asks.
    fn asks(&mut self, number: usize, station: &mut Station, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(ask) = self.places[number].post.asked() {
            let place = &self.places[number];
            let version = station.version();
            let call = match &ask.asking {
                Asking::Start { token } => remote::start(version, place.evse.unwrap_or(1), token),
                Asking::Stop => match place.open(station).last() {
                    Some(open) => remote::stop(version, open),
                    None => Err(Refused::NoCar),
                },
            };
            let called = call.and_then(|call| {
                let called = station.call(now, &call);
                called.map_err(|refusal| Refused::Asked(refusal.to_string()))
            });
            match called {
                Ok((token, told)) => {
                    self.asked.insert(token, Asked::Local(ask.answer));
                    effects.extend(told);
                }
                Err(refused) => {
                    // Whoever asked may be gone.
                    let _ = ask.answer.send(Err(refused));
                }
            }
        }
        effects
    }

    fn order(&mut self, number: usize, station: &mut Station, now: Now, at: Millis) -> Vec<Effect> {
        let place = &mut self.places[number];
        let Some(order) = place.post.order(at) else {
            return Vec::new();
        };
        let transactions: Vec<_> = place.open(station).into_iter().cloned().collect();
        if transactions.is_empty() {
            place.post.late();
            return Vec::new();
        }
        // Several cars at one place share what it has; those for whom that is too little wait.
        let fits = (order.amperes / place.post.min().max(0.1)).floor() as usize;
        let charge = fits.min(transactions.len());
        let phase = (place.post.switches_phases() && order.phases == 1).then_some(FIRST);
        let mut effects = Vec::new();
        place.waits = Some((order.number, transactions.len()));
        for (turn, transaction) in transactions.iter().enumerate() {
            let limit = Limit {
                amperes: if turn < charge {
                    order.amperes / charge as f64
                } else {
                    0.0
                },
                phases: order.phases,
                phase,
            };
            let call = station.lease(now, transaction, limit, order.seconds());
            let call = call.map_err(|error| error.to_string());
            let asked = Asked::Lease(number, order.number, transaction.evse.unwrap_or(0));
            match call.and_then(|call| self.call(station, now, &call, asked)) {
                Ok(told) => effects.extend(told),
                Err(error) => {
                    tracing::warn!(station = %self.name, error, "a station cannot be told its limit");
                    let place = &mut self.places[number];
                    place.post.failed();
                    // Nor do the answers for its other cars carry it out.
                    place.waits = None;
                    break;
                }
            }
        }
        effects
    }

    fn call(
        &mut self,
        station: &mut Station,
        now: Now,
        call: &Call,
        asked: Asked,
    ) -> Result<Vec<Effect>, String> {
        let called = station.call(now, call).map_err(|error| error.to_string())?;
        let (token, effects) = called;
        let lease = match asked {
            Asked::Lease(_, _, evse) => Some(evse),
            _ => None,
        };
        self.check.told(token, call, lease);
        self.asked.insert(token, asked);
        Ok(effects)
    }

    /// Somebody else has made a call.
    pub fn told(&mut self, token: CallToken, call: &Call) {
        self.check.told(token, call, None);
    }

    /// A call has ended.
    pub fn ended(&mut self, token: CallToken, result: &Result<Answer, CallFailure>, at: Millis) {
        let status = result.as_ref().ok().and_then(|answer| {
            let answer: serde_json::Value = serde_json::from_str(answer.payload()?.get()).ok()?;
            // One variable was set.
            let variable = &answer["setVariableResult"][0]["attributeStatus"];
            let status = answer.get("status").unwrap_or(variable);
            Some(status.as_str()?.to_owned())
        });
        let accepted = status.as_deref() == Some("Accepted");
        self.check.ended(token, accepted);
        let Some(asked) = self.asked.remove(&token) else {
            return;
        };
        match asked {
            Asked::Fallback(number) => {
                let place = &mut self.places[number];
                place.falls_back = accepted;
                place.post.falls_back(accepted);
                if !accepted {
                    tracing::error!(station = %self.name, ?status, "a station does not take what to fall back to: it counts with its maximum when nobody hears it");
                }
            }
            Asked::Setting(setting, value) => {
                if result.is_ok() {
                    if let Some(first) = self.places.first() {
                        first.post.settled(setting, accepted.then_some(value));
                    }
                    self.unsettled = None;
                }
                if !accepted {
                    tracing::warn!(station = %self.name, ?setting, ?status, "a station does not take a setting");
                }
            }
            Asked::Lease(number, order, evse) => {
                if accepted {
                    self.check.leased(evse, at);
                }
                self.answered(number, order, accepted);
            }
            Asked::Composite(number, question) => {
                let post = &self.places[number].post;
                let news = self.check.answered(&self.name, post, &question, result);
                self.news.extend(news.map(Effect::Tell));
            }
            Asked::Local(answer) => {
                let done = match status {
                    _ if accepted => Ok(()),
                    Some(status) => Err(Refused::Says(status)),
                    None => Err(Refused::Silent),
                };
                // Whoever asked may be gone.
                let _ = answer.send(done);
            }
        }
    }

    /// One of the calls of an order was answered.
    fn answered(&mut self, number: usize, order: u64, accepted: bool) {
        let place = &mut self.places[number];
        let Some((_, waits)) = place.waits.filter(|(number, _)| *number == order) else {
            return;
        };
        place.waits = (accepted && waits > 1).then_some((order, waits - 1));
        if !accepted {
            place.post.failed();
        } else if waits == 1 {
            place.post.acknowledge(order);
        }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        for place in &self.places {
            place.post.connected(None);
        }
    }
}
