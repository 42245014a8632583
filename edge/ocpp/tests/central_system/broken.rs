//! Frames that are not what they should be.

use std::{
    env,
    time::{Duration, Instant},
};

use ocpp::Version;
use serde_json::{Value, json};

use crate::{data, support::Peer};

const SECONDS: u64 = 2;

/// A small generator of numbers, so that a seed repeats a run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

fn frames(version: Version) -> Vec<String> {
    let time = "2026-05-04T12:00:00Z";
    let frames = if version == Version::V1_6 {
        vec![
            json!([2, "1", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}]),
            json!([2, "2", "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Charging"}]),
            json!([2, "3", "StartTransaction", {"connectorId": 1, "idTag": "CARD-1", "meterStart": 5, "timestamp": time}]),
            json!([2, "4", "MeterValues", {"connectorId": 1, "transactionId": 1, "meterValue": [{"timestamp": time,
                "sampledValue": [{"value": "1.5e3", "unit": "kWh"}, {"value": "7", "measurand": "Voltage", "phase": "L1"}]}]}]),
            json!([2, "5", "StopTransaction", {"transactionId": -1, "meterStop": 2_147_483_647, "timestamp": time}]),
            json!([3, "1-1", {"status": "Accepted"}]),
            json!([4, "1-1", "InternalError", "", {}]),
        ]
    } else {
        vec![
            json!([2, "1", "TransactionEvent", {"eventType": "Ended", "timestamp": time, "triggerReason": "Deauthorized", "seqNo": 2_147_483_647,
                "transactionInfo": {"transactionId": "t"}, "evse": {"id": 1}, "meterValue": [{"timestamp": time, "sampledValue": [{"value": -1e30,
                "unitOfMeasure": {"unit": "kWh", "multiplier": 2_147_483_647}}]}]}]),
            json!([2, "2", "NotifyReport", {"requestId": 1, "generatedAt": time, "seqNo": 0}]),
            json!([5, "x", "InternalError", "", {}]),
            json!([6, "x", "NotifyPeriodicEventStream", {}]),
        ]
    };
    frames.iter().map(Value::to_string).collect()
}

fn mutated(chance: &mut Chance, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=chance.below(4) {
        let place = chance.below(bytes.len());
        match chance.below(6) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, b"{}[]\",:-0e\\u"[chance.below(12)]),
            2 if !bytes.is_empty() => drop(bytes.remove(place)),
            3 if !bytes.is_empty() => bytes[place] ^= 1 << chance.below(7),
            4 => {
                let end = (place + chance.below(20)).min(bytes.len());
                let piece = bytes[place..end].to_vec();
                let at = chance.below(bytes.len() + 1);
                bytes.splice(at..at, piece);
            }
            _ => {
                let value: &[u8] =
                    [b"null" as &[u8], b"1e999", b"-1", b"[]", b"\"\""][chance.below(5)];
                bytes.splice(place..place, value.iter().copied());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn mutated_frames_change_no_connection_into_a_panic() {
    let seconds = env::var("PATIO_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.map_or(SECONDS, |s: u64| s.min(10)));
    let mut seed = 1;
    let mut count = 0u64;
    while seed == 1 || Instant::now() < end {
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        for version in [Version::V1_6, Version::V2_0_1] {
            let originals = frames(version);
            let mut peer = Peer::new(version);
            for _ in 0..500 {
                let original = &originals[chance.below(originals.len())];
                let text = mutated(&mut chance, original);
                peer.clock += 1;
                peer.frame(&text);
                count += 1;
            }
            // Still there, and still right.
            let beat = peer.ask("Heartbeat", &json!({}));
            let pending = peer.station.version() == Version::V2_0_1;
            assert!(
                beat.sent[0][0] == json!(3) || pending,
                "seed {seed}: {beat:?}"
            );
        }
        seed += 1;
    }
    println!("{count} mutated frames of {seed} seeds, no panic");
}

#[test]
fn what_is_valid_beside_something_invalid_is_kept() {
    let mut peer = Peer::booted_16();
    let time = "2026-05-04T12:00:00Z";
    let outcome = peer.frame(&json!([2, "7", "MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": time, "sampledValue": [
        {"value": "581"}, {"value": 5, "measurand": "SoC"}, {"measurand": "Voltage"},
        {"value": "50", "measurand": "Frequency"}]}]}]).to_string());
    assert_eq!(outcome.error(), "TypeConstraintViolation");
    let signals: Vec<_> = outcome
        .readings
        .iter()
        .map(|one| (one.signal, one.milli))
        .collect();
    assert_eq!(
        signals,
        [
            ("Energy.Active.Import.Register", 581_000),
            ("Frequency", 50_000)
        ]
    );
    // The end of a transaction is one, whatever its readings look like.
    let outcome = peer.frame(
        &json!([2, "8", "StopTransaction", {"transactionId": 9, "meterStop": 5, "timestamp": time,
        "transactionData": [{"sampledValue": [{"value": "1"}]}]}])
        .to_string(),
    );
    assert_eq!(outcome.error(), "OccurenceConstraintViolation");
    assert_eq!(outcome.stored.len(), 1);
    assert_eq!(peer.ask("Heartbeat", &json!({})).sent[0][0], json!(3));
}

#[test]
fn times_without_an_offset_are_utc() {
    let mut peer = Peer::booted_16();
    let outcome = peer.frame(
        &json!([2, "7", "MeterValues", {"connectorId": 1, "meterValue": [
        {"timestamp": "2026-05-04 12:00:00", "sampledValue": [{"value": "1"}]}]}])
        .to_string(),
    );
    assert_eq!(outcome.answer(), &json!({}));
    assert_eq!(outcome.readings[0].time.to_string(), "2026-05-04T12:00:00Z");
}

#[test]
fn errors_have_the_names_of_their_version() {
    let code = |version, frame: Value| {
        let outcome = Peer::new(version).frame(&frame.to_string());
        outcome
            .sent
            .first()
            .map(|sent| sent[2].as_str().unwrap().to_owned())
    };
    let old = |frame| code(Version::V1_6, frame).unwrap();
    assert_eq!(old(json!([2, "1", "Heartbeat", []])), "FormationViolation");
    assert_eq!(old(json!([2, "1", "NoSuchAction", {}])), "NotImplemented");
    assert_eq!(
        old(json!([2, "1", "RemoteStartTransaction", {"idTag": "a"}])),
        "NotSupported"
    );
    assert_eq!(
        old(json!([2, "1", "Authorize", {"idTag": 5}])),
        "TypeConstraintViolation"
    );
    assert_eq!(
        old(json!([2, "1", "Authorize", {"idTag": "x".repeat(21)}])),
        "PropertyConstraintViolation"
    );
    assert_eq!(
        old(json!([2, "1", "Authorize", {}])),
        "OccurenceConstraintViolation"
    );
    let new = |frame| code(Version::V2_0_1, frame).unwrap();
    assert_eq!(new(json!([2, "1", "Heartbeat", []])), "FormatViolation");
    assert_eq!(
        new(json!([2, "1", "Authorize", {}])),
        "OccurrenceConstraintViolation"
    );
    assert_eq!(new(json!([7, "1", {}])), "MessageTypeNotSupported");
}

#[test]
fn real_data_frames_of_real_chargers_are_understood() {
    let Some(path) = data::folder("ocpp/real_frames.jsonl") else {
        return;
    };
    let (mut agree, mut of) = (0, 0);
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let Some(frame) = case["frame"].as_str() else {
            continue;
        };
        of += 1;
        let mut peer = Peer::booted_16();
        let outcome = peer.frame(frame);
        let parsed: Value = serde_json::from_str(frame).unwrap_or_default();
        let is_call = parsed[0] == json!(2);
        let valid = case["mobilityhouse_1.6"] == "valid";
        // A valid call is answered, an invalid one gets an answer or an error, an answer to nothing gets none.
        let right = match (is_call, valid) {
            (true, true) => outcome.sent.len() == 1 && outcome.sent[0][0] == json!(3),
            (true, false) => outcome.sent.len() == 1,
            _ => outcome.sent.len() <= 1,
        };
        let alive = peer.ask("Heartbeat", &json!({})).sent[0][0] == json!(3);
        if right && alive {
            agree += 1;
        } else {
            eprintln!("{frame}: {:?}", outcome.sent);
        }
    }
    println!("{agree} of {of} agree");
    assert!(of > 0 && agree == of);
}
