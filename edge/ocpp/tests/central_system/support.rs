//! A station that a test plays, connected to a central system under test.

use std::{sync::Arc, time::Duration};

use ocpp::{AuthList, Call, Effect, Memory, Now, Policy, Station, Token, Version, Write};
use serde_json::{Value, json};

pub(crate) const WALL: &str = "2026-05-04T12:00:00Z";

pub(crate) fn now(seconds: u64) -> Now {
    let start: jiff::Timestamp = WALL.parse().unwrap();
    let wall = start + Duration::from_secs(seconds);
    Now {
        mono: Duration::from_secs(seconds),
        wall: Some(wall),
        least: wall,
    }
}

pub(crate) fn policy() -> Policy {
    let mut tokens = AuthList::default();
    let token = |blocked, expires: Option<&str>| Token {
        blocked,
        expires: expires.map(|text| text.parse().unwrap()),
        group: Some("fleet".into()),
    };
    tokens.set("CARD-1", token(false, None));
    tokens.set("CARD-2", token(false, Some("2030-01-01T00:00:00Z")));
    tokens.set("BLOCKED", token(true, None));
    tokens.set("EXPIRED", token(false, Some("2020-01-01T00:00:00Z")));
    Policy {
        heartbeat: Duration::from_secs(300),
        tokens: Arc::new(tokens),
    }
}

/// What came of a frame.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Value>,
    pub(crate) stored: Vec<Write>,
    pub(crate) told: Vec<(String, Value)>,
    pub(crate) readings: Vec<ocpp::Reading>,
    pub(crate) notes: Vec<ocpp::Note>,
    pub(crate) results: Vec<Result<Value, ocpp::CallFailure>>,
    /// Whether something was sent before something was stored.
    pub(crate) early: bool,
}

impl Outcome {
    pub(crate) fn add(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Store(write) => {
                    self.early |= !self.sent.is_empty();
                    self.stored.push(*write);
                }
                Effect::Send(text) => self.sent.push(serde_json::from_str(&text).unwrap()),
                Effect::Tell(entry) => self.told.push((entry.kind.to_owned(), entry.payload)),
                Effect::Readings(readings) => self.readings.extend(readings),
                Effect::Note(note) => self.notes.push(note),
                Effect::Outcome { result, .. } => self.results.push(result.map(|answer| {
                    let payload = answer.payload().map_or("null", |payload| payload.get());
                    serde_json::from_str(payload).unwrap()
                })),
            }
        }
    }

    /// The payload of the one answer.
    pub(crate) fn answer(&self) -> &Value {
        assert_eq!(self.sent.len(), 1, "{self:?}");
        assert_eq!(self.sent[0][0], json!(3), "{:?}", self.sent[0]);
        &self.sent[0][2]
    }

    /// The code of the one error.
    pub(crate) fn error(&self) -> &str {
        assert_eq!(self.sent.len(), 1, "{self:?}");
        assert_eq!(self.sent[0][0], json!(4), "{:?}", self.sent[0]);
        self.sent[0][2].as_str().unwrap()
    }
}

/// The test's end of the connection.
pub(crate) struct Peer {
    pub(crate) station: Station,
    pub(crate) clock: u64,
    /// Whether the gateway does not know what time it is.
    pub(crate) blind: bool,
    number: u64,
    connections: u64,
}

impl Peer {
    pub(crate) fn new(version: Version) -> Self {
        Self::remembering(version, Memory::default())
    }

    pub(crate) fn remembering(version: Version, memory: Memory) -> Self {
        Self {
            station: Station::connected("cp-1", version, policy(), memory, 1, now(0)),
            clock: 0,
            blind: false,
            number: 0,
            connections: 1,
        }
    }

    /// A station of 1.6 that has booted.
    pub(crate) fn booted_16() -> Self {
        let mut peer = Self::new(Version::V1_6);
        let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
        assert_eq!(
            peer.ask("BootNotification", &boot).answer()["status"],
            "Accepted"
        );
        peer
    }

    /// A station of 2.0.1 that has booted.
    pub(crate) fn booted_201() -> Self {
        let mut peer = Self::new(Version::V2_0_1);
        let boot =
            json!({"chargingStation": {"vendorName": "V", "model": "M"}, "reason": "PowerUp"});
        assert_eq!(
            peer.ask("BootNotification", &boot).answer()["status"],
            "Accepted"
        );
        peer
    }

    /// The instant, as far as the gateway knows it.
    fn at(&self) -> Now {
        let now = now(self.clock);
        Now {
            wall: now.wall.filter(|_| !self.blind),
            ..now
        }
    }

    pub(crate) fn frame(&mut self, text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.add(self.station.frame(self.at(), text));
        assert!(
            !outcome.early,
            "an answer before its transaction was durable"
        );
        outcome
    }

    /// Sends a request; every answer to one in a test of ours has to keep to the schemas.
    pub(crate) fn ask(&mut self, action: &str, payload: &Value) -> Outcome {
        self.number += 1;
        self.clock += 1;
        let outcome = self.frame(&json!([2, self.number.to_string(), action, payload]).to_string());
        for frame in &outcome.sent {
            if frame[0] == json!(3) {
                let version = self.station.version();
                crate::schemas::must_be_valid(version, action, true, &frame[2]);
            }
        }
        outcome
    }

    /// Makes a call, and answers it.
    pub(crate) fn call(&mut self, call: &Call, answer: &Value) -> (Value, Outcome) {
        let (_, effects) = self.station.call(self.at(), call).unwrap();
        let mut outcome = Outcome::default();
        outcome.add(effects);
        let sent = outcome.sent.remove(0);
        let action = sent[2].as_str().unwrap();
        crate::schemas::must_be_valid(self.station.version(), action, false, &sent[3]);
        let answered = self.frame(&json!([3, sent[1], answer]).to_string());
        (sent, answered)
    }

    /// Loses the connection and connects again; what was stored is what is remembered.
    pub(crate) fn reconnect(&mut self) {
        let memory = Memory::new(self.station.memory().transactions().cloned());
        self.connections += 1;
        let version = self.station.version();
        let at = self.at();
        self.station = Station::connected("cp-1", version, policy(), memory, self.connections, at);
    }
}
