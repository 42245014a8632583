//! A station that speaks OCPP is told: what it falls back to once in a connection, its ceiling and how often it measures once
//! after a boot, and its leases.

use std::{collections::HashMap, sync::Arc};

use load_manager::Millis;
use ocpp::{Answer, Call, CallFailure, CallToken, Effect, Limit, Now, Station, Transaction};
use tokio::sync::Notify;

use super::{Post, board::Setting};

/// A station that has not taken what to fall back to is told again after so long.
const AGAIN: Millis = 60_000;
/// Stations say so often what a car draws, in s: one that does not obey is to be seen within 5 s, and what was measured 10 s
/// ago is not known any more.
const MEASURED: u32 = 5;

#[derive(Clone, Copy, Debug)]
enum Asked {
    Fallback,
    Setting(Setting),
    Lease(u64),
}

/// Tells one station while it is connected.
#[derive(Debug)]
pub struct Leash {
    name: String,
    post: Post,
    wake: Arc<Notify>,
    asked: HashMap<CallToken, Asked>,
    /// The newest order, and for how many answers it waits.
    waits: Option<(u64, usize)>,
    /// It has taken what to fall back to.
    falls_back: bool,
    tried: Option<Millis>,
    /// When it was last told a setting without an answer so far.
    unsettled: Option<Millis>,
}

impl Leash {
    /// For the station of this name, which has just connected. Whether it falls back to what the depot says is not known
    /// until it has said that it takes it.
    pub fn new(name: String, post: Post) -> Self {
        let wake = Arc::new(Notify::new());
        post.connected(Some(0));
        post.falls_back(false);
        post.begins();
        post.wakes(&wake);
        Self {
            name,
            post,
            wake,
            asked: HashMap::new(),
            waits: None,
            falls_back: false,
            tried: None,
            unsettled: None,
        }
    }

    /// Waits for an order. Dropping this costs nothing.
    pub async fn ordered(&self) {
        self.wake.notified().await;
    }

    /// The station has said these at this time.
    pub fn hear(&self, at: Millis, readings: &[ocpp::Reading]) {
        let own = readings.iter().filter(|reading| reading.evse <= 1);
        let said = own.map(|reading| (reading.signal, reading.milli as f64 / 1000.0));
        self.post.hear(at, said);
    }

    /// The station has said who it is: its boot, in the words of OCPP 1.6 or 2.0.1.
    pub fn booted(&self, boot: &serde_json::Value) {
        self.post.booted();
        let serials = [
            &boot["chargePointSerialNumber"],
            &boot["chargeBoxSerialNumber"],
            &boot["chargingStation"]["serialNumber"],
        ];
        if let Some(serial) = serials.into_iter().find_map(|serial| serial.as_str()) {
            self.post.identify(serial);
        }
    }

    /// Takes notice of what goes on at the station, and tells it what to fall back to, if that is not done yet.
    pub fn look(&mut self, station: &mut Station, now: Now, at: Millis) -> Vec<Effect> {
        self.post.connected(Some(open(station).len()));
        let again = self.tried.is_none_or(|tried| at - tried >= AGAIN);
        if self.falls_back {
            return self.settle(station, now, at);
        }
        if !again {
            return Vec::new();
        }
        self.tried = Some(at);
        let limit = Limit {
            amperes: self.post.fallback(),
            phases: self.post.phases(),
        };
        let call = station.fallback(limit).map_err(|error| error.to_string());
        let told = call.and_then(|call| self.call(station, now, &call, Asked::Fallback));
        told.unwrap_or_else(|error| {
            tracing::warn!(station = %self.name, error, "a station cannot be told what to fall back to");
            Vec::new()
        })
    }

    /// Tells what is told once after a boot, one thing at a time and never before an answer.
    fn settle(&mut self, station: &mut Station, now: Now, at: Millis) -> Vec<Effect> {
        let waits =
            !self.asked.is_empty() || self.unsettled.is_some_and(|tried| at - tried < AGAIN);
        let Some(setting) = self.post.unsettled().filter(|_| !waits) else {
            return Vec::new();
        };
        let call = match setting {
            Setting::Ceiling => {
                let limit = Limit {
                    amperes: self.post.max(),
                    phases: self.post.phases(),
                };
                station.ceiling(now, limit)
            }
            Setting::Interval => station.measure_every(MEASURED),
        };
        self.unsettled = Some(at);
        let call = call.map_err(|error| error.to_string());
        let told = call.and_then(|call| self.call(station, now, &call, Asked::Setting(setting)));
        told.unwrap_or_else(|error| {
            tracing::debug!(station = %self.name, ?setting, error, "a station cannot be told a setting yet");
            Vec::new()
        })
    }

    /// Carries out the order that waits, if there is one.
    pub fn carry(&mut self, station: &mut Station, now: Now, at: Millis) -> Vec<Effect> {
        let Some(order) = self.post.order(at) else {
            return Vec::new();
        };
        let transactions: Vec<_> = open(station).into_iter().cloned().collect();
        if transactions.is_empty() {
            self.post.late();
            return Vec::new();
        }
        // Several cars at one station share what it has; those for whom that is too little wait.
        let fits = (order.amperes / self.post.min().max(0.1)).floor() as usize;
        let charge = fits.min(transactions.len());
        let mut effects = Vec::new();
        self.waits = Some((order.number, transactions.len()));
        for (place, transaction) in transactions.iter().enumerate() {
            let limit = Limit {
                amperes: if place < charge {
                    order.amperes / charge as f64
                } else {
                    0.0
                },
                phases: self.post.phases(),
            };
            let call = station.lease(now, transaction, limit, order.seconds());
            let call = call.map_err(|error| error.to_string());
            let asked = Asked::Lease(order.number);
            match call.and_then(|call| self.call(station, now, &call, asked)) {
                Ok(told) => effects.extend(told),
                Err(error) => {
                    tracing::warn!(station = %self.name, error, "a station cannot be told its limit");
                    self.post.failed();
                    // Nor do the answers for its other cars carry it out.
                    self.waits = None;
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
        self.asked.insert(token, asked);
        Ok(effects)
    }

    /// A call has ended.
    pub fn ended(&mut self, token: CallToken, result: &Result<Answer, CallFailure>) {
        let Some(asked) = self.asked.remove(&token) else {
            return;
        };
        let status = result.as_ref().ok().and_then(|answer| {
            let answer: serde_json::Value = serde_json::from_str(answer.payload()?.get()).ok()?;
            // One variable was set.
            let variable = &answer["setVariableResult"][0]["attributeStatus"];
            let status = answer.get("status").unwrap_or(variable);
            Some(status.as_str()?.to_owned())
        });
        let accepted = status.as_deref() == Some("Accepted");
        match asked {
            Asked::Fallback => {
                self.falls_back = accepted;
                self.post.falls_back(accepted);
                if !accepted {
                    tracing::error!(station = %self.name, ?status, "a station does not take what to fall back to: it counts with its maximum when nobody hears it");
                }
            }
            Asked::Setting(setting) => {
                if result.is_ok() {
                    self.post.settled(setting);
                    self.unsettled = None;
                }
                if !accepted {
                    tracing::warn!(station = %self.name, ?setting, ?status, "a station does not take a setting");
                }
            }
            Asked::Lease(number) => self.answered(number, accepted),
        }
    }

    /// One of the calls of an order was answered.
    fn answered(&mut self, order: u64, accepted: bool) {
        let Some((_, waits)) = self.waits.filter(|(number, _)| *number == order) else {
            return;
        };
        self.waits = (accepted && waits > 1).then_some((order, waits - 1));
        if !accepted {
            self.post.failed();
        } else if waits == 1 {
            self.post.acknowledge(order);
        }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.post.connected(None);
    }
}

/// The newest transaction of each EVSE that goes on.
fn open(station: &Station) -> Vec<&Transaction> {
    let mut newest: Vec<&Transaction> = Vec::new();
    for one in station.memory().open() {
        newest.retain(|other| other.evse != one.evse);
        newest.push(one);
    }
    newest
}
