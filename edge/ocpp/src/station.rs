//! One charging station: its connection, its boot, and the way of a frame.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use ocpp_kit::{
    Version,
    engine::{
        Answer, CallFailure, CallToken, Engine, EngineConfig, HeartbeatPolicy, IncomingRequest,
        Input, Instant, Output, Role, Timer,
    },
    rpc::CallError,
    types::CounterIds,
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    authorize::AuthList,
    decode::{self, Request},
    meter::Reading,
    transaction::{Entry, Memory, Said, Write},
    v16, v201,
};

/// How long a station may take for an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// When a station whose boot is pending asks again.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Messages by which the difference of a station's clock is judged.
const CLOCKS: usize = 8;
/// A station's clock that differs by more is wrong.
const CLOCK_WRONG: i64 = 60;

/// The instant at which something is handled.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since any fixed origin, never backwards.
    pub mono: Duration,
    /// The time of day, when the gateway knows it.
    pub wall: Option<Timestamp>,
    /// The time that it is at least.
    pub least: Timestamp,
}

/// What a station is told, and by what it is judged.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How often it says that it is there.
    pub heartbeat: Duration,
    /// Who may charge.
    pub tokens: Arc<AuthList>,
}

/// What has to be done next. Effects are carried out in their order: none before those in front of it are done.
#[derive(Debug)]
pub enum Effect {
    /// Make this durable. If that fails, close the connection and forget the [`Station`].
    Store(Box<Write>),
    /// Send this text frame.
    Send(String),
    /// Something to tell the cloud that is no transaction.
    Tell(Entry),
    /// Samples of the station.
    Readings(Vec<Reading>),
    /// A call has ended.
    Outcome {
        /// The one that [`Station::call`] gave.
        token: CallToken,
        /// What was called.
        action: String,
        /// The station's answer, or why there is none.
        result: Result<Answer, CallFailure>,
    },
    /// Something to log.
    Note(Note),
}

/// What operations may want to know.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Note {
    /// The station does not keep to the protocol; its connection goes on.
    #[error("the station does not keep to the protocol: {0}")]
    Violation(String),
    /// A payload does not keep to its schema.
    #[error("an invalid {action}: {error}; what is valid in it is kept: {kept}")]
    Invalid {
        /// What it was to be.
        action: String,
        /// What is wrong with it.
        error: CallError,
        /// Whether something of it is used.
        kept: bool,
    },
    /// The clock of the station is wrong: times of its transactions are, too. `BootNotification` and `Heartbeat` tell it
    /// the right one.
    #[error("the station's clock is {0} s ahead of the gateway's")]
    Clock(i64),
    /// An end that belongs to no transaction that is known.
    #[error("transaction {0} ended, and its beginning was never told")]
    Unknown(String),
    /// A sequence of a 2.0.1 transaction has gaps at its end.
    #[error("transaction {0} ended, and not all of its events were told")]
    Gaps(String),
    /// A register went back during a transaction.
    #[error("the register of transaction {0} went back")]
    Register(String),
}

/// What is known of a connector or EVSE.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evse {
    pub(crate) ground_failure: bool,
    pub(crate) unavailable: bool,
    pub(crate) in_use: bool,
}

/// One charging station, connected.
pub struct Station {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) policy: Policy,
    pub(crate) memory: Memory,
    pub(crate) evses: BTreeMap<i32, Evse>,
    pub(crate) booted: Option<bool>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) engine: Engine,
    clocks: Vec<i64>,
    told_wrong: bool,
    call_due: Option<Instant>,
}

impl Station {
    /// A station has connected in this version. `connection` numbers its connections: message ids are of one connection.
    pub fn connected(
        name: &str,
        version: Version,
        policy: Policy,
        memory: Memory,
        connection: u64,
        now: Now,
    ) -> Self {
        // What equals in 2.1 is taken as 2.0.1's; what is new in it is not supported.
        let spoken = match version {
            Version::V2_1 => Version::V2_0_1,
            other => other,
        };
        let mut config = EngineConfig::new(Role::Csms, spoken)
            .with_call_timeout(ANSWER)
            .with_heartbeat(HeartbeatPolicy::Manual);
        // What 1.6 has to say about money is heard before its boot is accepted, too; 2.0.1 wants a `SecurityError` (B02.FR.09).
        config.enforce_boot_gate = version != Version::V1_6;
        let mut engine = Engine::new(config);
        engine.set_id_generator(Box::new(CounterIds::with_prefix(format!(
            "{connection:x}-"
        ))));
        engine.handle(instant(now), Input::Connected { version: spoken });
        Self {
            name: name.to_owned(),
            version,
            policy,
            memory,
            evses: BTreeMap::new(),
            booted: None,
            effects: Vec::new(),
            engine,
            clocks: Vec::new(),
            told_wrong: false,
            call_due: None,
        }
    }

    /// A text frame has come.
    pub fn frame(&mut self, now: Now, text: &str) -> Vec<Effect> {
        self.engine.handle(instant(now), Input::Received(text));
        self.effects(now)
    }

    /// Time has passed: to be called when [`Station::due`] has come, and as often as one likes.
    pub fn time(&mut self, now: Now) -> Vec<Effect> {
        self.engine.handle(instant(now), Input::Timeout);
        self.effects(now)
    }

    /// The connection has ended: calls without an answer fail. What is remembered is [`Station::memory`].
    pub fn disconnected(&mut self, now: Now) -> Vec<Effect> {
        self.engine.handle(instant(now), Input::Disconnected);
        self.effects(now)
    }

    /// When [`Station::time`] has something to do, in the time of [`Now::mono`].
    pub fn due(&self) -> Option<Duration> {
        self.call_due
            .map(|due| Duration::from_millis(due.as_millis()))
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What is remembered of its transactions.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What decides about it from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// By how many seconds the station's clock is ahead, as far as its messages tell: the least delayed one counts.
    pub fn clock_ahead(&self) -> Option<i64> {
        self.clocks.iter().copied().max()
    }

    pub(crate) fn effects(&mut self, now: Now) -> Vec<Effect> {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(text) => self.effects.push(Effect::Send(text)),
                Output::Request(request) => self.request(now, &request),
                Output::Outcome(outcome) => self.effects.push(Effect::Outcome {
                    token: outcome.token,
                    action: outcome.action,
                    result: outcome.result,
                }),
                Output::SetTimer {
                    timer: Timer::CallTimeout,
                    at,
                } => self.call_due = Some(at),
                Output::ClearTimer(Timer::CallTimeout) => self.call_due = None,
                Output::Violation(violation) => {
                    self.note(Note::Violation(format!("{violation:?}")));
                }
                _ => {}
            }
        }
        std::mem::take(&mut self.effects)
    }

    fn request(&mut self, now: Now, request: &IncomingRequest) {
        let answer = match decode::request(self.version, &request.action, &request.payload) {
            Ok(decoded) => self.answer(now, decoded),
            Err(broken) => {
                let kept = broken.rest.is_some();
                // What is valid in it counts; the answer says what is not.
                if let Some(rest) = broken.rest {
                    let _ = self.answer(now, rest);
                }
                self.note(Note::Invalid {
                    action: request.action.clone(),
                    error: broken.error.clone(),
                    kept,
                });
                Err(broken.error)
            }
        };
        for effect in &mut self.effects {
            if let Effect::Store(write) = effect {
                write.said.get_or_insert_with(|| Said {
                    action: request.action.clone(),
                    payload: request.payload.get().to_owned(),
                });
            }
        }
        let at = instant(now);
        let sent = match answer.and_then(|value| raw(&value)) {
            Ok(payload) => self.engine.respond(at, &request.id, &payload),
            Err(error) => self.engine.respond_error(at, &request.id, error),
        };
        if let Err(error) = sent
            && request.kind == ocpp_kit::message::MessageKind::Call
        {
            self.note(Note::Violation(error.to_string()));
        }
    }

    fn answer(&mut self, now: Now, request: Request) -> Result<Value, CallError> {
        match request {
            Request::V16(request) => v16::answer(self, now, request),
            Request::V201(request) => v201::answer(self, now, request),
        }
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.effects.push(Effect::Note(note));
    }

    pub(crate) fn tell(&mut self, kind: &'static str, payload: Value) {
        let mut payload = payload;
        payload["station"] = json!(self.name);
        self.effects.push(Effect::Tell(Entry { kind, payload }));
    }

    pub(crate) fn readings(&mut self, readings: Vec<Reading>) {
        if !readings.is_empty() {
            self.effects.push(Effect::Readings(readings));
        }
    }

    /// The station has said what time it is for it now.
    pub(crate) fn clock(&mut self, now: Now, said: Timestamp) {
        let Some(wall) = now.wall else { return };
        if self.clocks.len() == CLOCKS {
            self.clocks.remove(0);
        }
        self.clocks
            .push(said.as_second().saturating_sub(wall.as_second()));
        let ahead = self.clock_ahead().unwrap_or(0);
        let wrong = ahead.abs() > CLOCK_WRONG;
        if wrong && !self.told_wrong {
            self.note(Note::Clock(ahead));
        }
        self.told_wrong = wrong;
    }

    /// The answer to a boot: pending until the gateway knows what time it is.
    pub(crate) fn boot(&mut self, now: Now) -> Boot {
        let accepted = now.wall.is_some();
        self.booted = Some(accepted);
        let interval = if accepted {
            self.policy.heartbeat
        } else {
            ASK_AGAIN
        };
        Boot {
            accepted,
            time: now.wall.unwrap_or(now.least),
            interval: i32::try_from(interval.as_secs()).unwrap_or(i32::MAX),
        }
    }

    /// The time, for whom it was promised to.
    pub(crate) fn wall(now: Now) -> Result<Timestamp, CallError> {
        now.wall
            .ok_or_else(|| CallError::internal("the central system does not know the time yet"))
    }
}

impl std::fmt::Debug for Station {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Station")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("booted", &self.booted)
            .finish_non_exhaustive()
    }
}

/// The answer to a boot.
pub(crate) struct Boot {
    pub(crate) accepted: bool,
    pub(crate) time: Timestamp,
    pub(crate) interval: i32,
}

pub(crate) fn instant(now: Now) -> Instant {
    Instant::from_millis(u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX))
}

/// A payload as the engine takes it.
pub(crate) fn raw(value: &Value) -> Result<Box<RawValue>, CallError> {
    serde_json::value::to_raw_value(value).map_err(|error| CallError::internal(error.to_string()))
}

/// A message as a payload.
pub(crate) fn payload(message: &impl serde::Serialize) -> Result<Value, CallError> {
    serde_json::to_value(message).map_err(|error| CallError::internal(error.to_string()))
}
