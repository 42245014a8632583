//! The messages of both versions, as pairs of action and payload.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Version,
    story::{Part, Seen, Tell},
};
use crate::yard::Status;

/// A station, in its own words.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) version: Version,
    pub(super) serial: String,
    /// Before the numbers of its transactions (2.0.1).
    pub(super) prefix: String,
}

pub(super) type Message = (&'static str, Value);

/// Times are told in milliseconds.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now().as_millisecond();
    Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Words {
    pub(super) fn boot(&self) -> Message {
        let payload = match self.version {
            Version::V16 => json!({
                "chargePointVendor": "Patio", "chargePointModel": "Virtual", "chargePointSerialNumber": self.serial,
            }),
            Version::V201 => json!({
                "reason": "PowerUp",
                "chargingStation": { "vendorName": "Patio", "model": "Virtual", "serialNumber": self.serial },
            }),
        };
        ("BootNotification", payload)
    }

    pub(super) fn status(&self, at: Timestamp, status: Status) -> Message {
        let payload = match self.version {
            Version::V16 => {
                let name = match status {
                    Status::Available => "Available",
                    Status::Preparing => "Preparing",
                    Status::Charging => "Charging",
                    Status::SuspendedEvse => "SuspendedEVSE",
                    Status::SuspendedEv => "SuspendedEV",
                    Status::Finishing => "Finishing",
                };
                json!({ "connectorId": 1, "errorCode": "NoError", "status": name, "timestamp": at })
            }
            Version::V201 => {
                let free = status == Status::Available;
                let name = if free { "Available" } else { "Occupied" };
                json!({ "evseId": 1, "connectorId": 1, "connectorStatus": name, "timestamp": at })
            }
        };
        ("StatusNotification", payload)
    }

    pub(super) fn authorize(&self, token: &str) -> Message {
        let payload = match self.version {
            Version::V16 => json!({ "idTag": token }),
            Version::V201 => json!({ "idToken": { "idToken": token, "type": "ISO14443" } }),
        };
        ("Authorize", payload)
    }

    /// The station's own name of a transaction (2.0.1).
    pub(super) fn name(&self, session: u64) -> String {
        format!("{}-{session}", self.prefix)
    }

    /// A message of a transaction. `number` is the one that it was given (1.6).
    pub(super) fn tell(&self, tell: &Tell, number: i64) -> Message {
        let time = tell.time;
        match (self.version, tell.part) {
            (Version::V16, Part::Begin) => (
                "StartTransaction",
                json!({ "connectorId": 1, "idTag": tell.token, "meterStart": tell.seen.register, "timestamp": time }),
            ),
            (Version::V16, Part::Middle) => (
                "MeterValues",
                json!({ "connectorId": 1, "transactionId": number, "meterValue": [values16(time, &tell.seen)] }),
            ),
            (Version::V16, Part::End) => (
                "StopTransaction",
                json!({
                    "transactionId": number, "idTag": tell.token, "meterStop": tell.seen.register, "timestamp": time,
                    "reason": tell.reason,
                }),
            ),
            (Version::V201, part) => ("TransactionEvent", self.event(tell, part)),
        }
    }

    fn event(&self, tell: &Tell, part: Part) -> Value {
        let (kind, trigger) = match (part, tell.reason) {
            (Part::Begin, _) => ("Started", "CablePluggedIn"),
            (Part::Middle, _) => ("Updated", "MeterValuePeriodic"),
            (Part::End, "Local") => ("Ended", "StopAuthorized"),
            (Part::End, "Remote") => ("Ended", "RemoteStop"),
            (Part::End, "PowerLoss") => ("Ended", "AbnormalCondition"),
            (Part::End, _) => ("Ended", "EVDeparted"),
        };
        let mut about = json!({ "transactionId": self.name(tell.session) });
        match (part, tell.seen.status) {
            (Part::End, _) => about["stoppedReason"] = json!(tell.reason),
            (_, Status::Charging) => about["chargingState"] = json!("Charging"),
            (_, Status::SuspendedEv) => about["chargingState"] = json!("SuspendedEV"),
            (_, Status::SuspendedEvse) => about["chargingState"] = json!("SuspendedEVSE"),
            _ => about["chargingState"] = json!("EVConnected"),
        }
        let mut event = json!({
            "eventType": kind, "triggerReason": trigger, "timestamp": tell.time, "seqNo": tell.number,
            "offline": tell.offline, "transactionInfo": about, "evse": { "id": 1, "connectorId": 1 },
            "meterValue": [values201(tell.time, &tell.seen)],
        });
        if part == Part::Begin {
            event["idToken"] = json!({ "idToken": tell.token, "type": "ISO14443" });
        }
        event
    }
}

fn values16(time: Timestamp, seen: &Seen) -> Value {
    json!({ "timestamp": time, "sampledValue": [
        { "value": seen.register.to_string() },
        { "value": seen.power.to_string(), "measurand": "Power.Active.Import", "unit": "W" },
        { "value": seen.state_of_charge.to_string(), "measurand": "SoC", "unit": "Percent" },
    ] })
}

fn values201(time: Timestamp, seen: &Seen) -> Value {
    json!({ "timestamp": time, "sampledValue": [
        { "value": seen.register },
        { "value": seen.power, "measurand": "Power.Active.Import", "unitOfMeasure": { "unit": "W" } },
        { "value": seen.state_of_charge, "measurand": "SoC", "unitOfMeasure": { "unit": "Percent" } },
    ] })
}
