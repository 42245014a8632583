//! Limits as stations are told them.

use ocpp::{Limit, Now, Refusal, Transaction, Version};
use serde_json::{Value, json};

use crate::support::{Peer, now};

const ACCEPTED: &str = "Accepted";

fn limit(amperes: f64, phases: usize) -> Limit {
    Limit {
        amperes,
        phases,
        phase: None,
    }
}

/// The one transaction that goes on.
fn open(peer: &Peer) -> Transaction {
    let mut open = peer.station.memory().open();
    let one = open.next().unwrap().clone();
    assert!(open.next().is_none());
    one
}

/// What a station is sent for a lease, and for what it falls back to.
fn told(peer: &mut Peer) -> [Value; 2] {
    let (at, transaction) = (now(peer.clock), open(peer));
    let lease = peer.station.lease(at, &transaction, limit(16.97, 1), 50);
    let fallback = peer.station.fallback(None, limit(6.0, 3));
    [lease.unwrap(), fallback.unwrap()].map(|call| {
        let (frame, outcome) = peer.call(&call, &json!({ "status": ACCEPTED }));
        assert_eq!(outcome.results.len(), 1);
        assert_eq!(frame[2], "SetChargingProfile");
        frame[3].clone()
    })
}

#[test]
fn a_lease_of_1_6_ends_by_itself_at_the_stations_own_time() {
    let mut peer = Peer::booted_16();
    // The station's clock is two hours ahead.
    let status = json!({"connectorId": 2, "errorCode": "NoError", "status": "Preparing", "timestamp": "2026-05-04T14:00:02Z"});
    peer.ask("StatusNotification", &status);
    let start = json!({"connectorId": 2, "idTag": "CARD-1", "meterStart": 0, "timestamp": "2026-05-04T14:00:03Z"});
    let number = peer.ask("StartTransaction", &start).answer()["transactionId"].clone();
    let [lease, fallback] = told(&mut peer);
    assert_eq!(
        lease,
        json!({
            "connectorId": 2,
            "csChargingProfiles": {
                "chargingProfileId": 102,
                "transactionId": number,
                "stackLevel": 0,
                "chargingProfilePurpose": "TxProfile",
                "chargingProfileKind": "Absolute",
                "chargingSchedule": {
                    "chargingRateUnit": "A",
                    "startSchedule": "2026-05-04T14:00:03Z",
                    "duration": 50,
                    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.9, "numberPhases": 1}]
                }
            }
        })
    );
    assert_eq!(
        fallback,
        json!({
            "connectorId": 0,
            "csChargingProfiles": {
                "chargingProfileId": 1,
                "stackLevel": 0,
                "chargingProfilePurpose": "TxDefaultProfile",
                "chargingProfileKind": "Relative",
                "chargingSchedule": {
                    "chargingRateUnit": "A",
                    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0, "numberPhases": 3}]
                }
            }
        })
    );
}

/// A station that can use one of its three phases is told which one, where its version has a word for it; others are not.
#[test]
fn a_station_that_can_choose_its_phase_is_told_which() {
    let event = json!({
        "eventType": "Started", "timestamp": "2026-05-04T12:00:02Z", "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-7"}, "evse": {"id": 1},
        "idToken": {"idToken": "CARD-1", "type": "ISO14443"}
    });
    let mut peer = Peer::booted_201();
    peer.ask("TransactionEvent", &event);
    let mut period = |limit: Limit| {
        let (at, transaction) = (now(peer.clock), open(&peer));
        let lease = peer.station.lease(at, &transaction, limit, 50).unwrap();
        let (frame, _) = peer.call(&lease, &json!({ "status": ACCEPTED }));
        let profile = &frame[3]["chargingProfile"];
        profile["chargingSchedule"][0]["chargingSchedulePeriod"][0].clone()
    };
    let first = |phases| Limit {
        phase: Some(1),
        ..limit(16.0, phases)
    };
    let one = json!({"startPeriod": 0, "limit": 16.0, "numberPhases": 1});
    let mut chosen = one.clone();
    chosen["phaseToUse"] = json!(1);
    assert_eq!(period(limit(16.0, 1)), one);
    assert_eq!(period(first(1)), chosen);
    assert_eq!(period(first(3)).get("phaseToUse"), None);

    let mut peer = Peer::booted_16();
    let start = json!({"connectorId": 1, "idTag": "CARD-1", "meterStart": 0, "timestamp": "2026-05-04T12:00:00Z"});
    peer.ask("StartTransaction", &start);
    let (at, transaction) = (now(peer.clock), open(&peer));
    let lease = peer.station.lease(at, &transaction, first(1), 50).unwrap();
    let (frame, _) = peer.call(&lease, &json!({ "status": ACCEPTED }));
    let schedule = &frame[3]["csChargingProfiles"]["chargingSchedule"];
    assert_eq!(schedule["chargingSchedulePeriod"][0], one);
}

#[test]
fn a_lease_of_2_0_1_names_the_stations_own_transaction() {
    let mut peer = Peer::booted_201();
    let event = json!({
        "eventType": "Started", "timestamp": "2026-05-04T12:00:02Z", "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-7"}, "evse": {"id": 1},
        "idToken": {"idToken": "CARD-1", "type": "ISO14443"}
    });
    peer.ask("TransactionEvent", &event);
    let [lease, fallback] = told(&mut peer);
    assert_eq!(lease["evseId"], 1);
    let profile = &lease["chargingProfile"];
    assert_eq!(profile["transactionId"], "tx-7");
    assert_eq!(profile["chargingProfilePurpose"], "TxProfile");
    let schedule = &profile["chargingSchedule"][0];
    assert_eq!(schedule["duration"], 50);
    assert_eq!(schedule["chargingSchedulePeriod"][0]["limit"], 16.9);
    assert_eq!(fallback["evseId"], 0);
    let profile = &fallback["chargingProfile"];
    assert_eq!(profile["chargingProfilePurpose"], "TxDefaultProfile");
    assert_eq!(profile.get("transactionId"), None);
}

/// What a station is sent for its ceiling, and for how often it measures.
fn settings(peer: &mut Peer, answer: &Value) -> [Value; 2] {
    let at = now(peer.clock);
    let ceiling = peer.station.ceiling(at, limit(32.0, 3)).unwrap();
    let every = peer.station.measure_every(5).unwrap();
    let (told, outcome) = peer.call(&ceiling, &json!({ "status": ACCEPTED }));
    assert_eq!(
        (outcome.results.len(), &told[2]),
        (1, &json!("SetChargingProfile"))
    );
    let (set, outcome) = peer.call(&every, answer);
    assert_eq!(outcome.results.len(), 1);
    [told[3].clone(), set[3].clone()]
}

#[test]
fn a_station_has_a_ceiling_and_measures_often() {
    let mut peer = Peer::booted_16();
    let [ceiling, every] = settings(&mut peer, &json!({ "status": ACCEPTED }));
    assert_eq!(ceiling["connectorId"], 0);
    let profile = &ceiling["csChargingProfiles"];
    assert_eq!(profile["chargingProfileId"], 2);
    assert_eq!(profile["chargingProfilePurpose"], "ChargePointMaxProfile");
    let period = &profile["chargingSchedule"]["chargingSchedulePeriod"][0];
    assert_eq!(
        (&period["limit"], &period["numberPhases"]),
        (&json!(32.0), &json!(3))
    );
    assert_eq!(profile["chargingSchedule"].get("duration"), None);
    assert_eq!(
        every,
        json!({ "key": "MeterValueSampleInterval", "value": "5" })
    );

    let mut peer = Peer::booted_201();
    let set = json!({ "component": { "name": "SampledDataCtrlr" }, "variable": { "name": "TxUpdatedInterval" } });
    let mut answered = set.clone();
    answered["attributeStatus"] = json!(ACCEPTED);
    let answer = json!({ "setVariableResult": [answered] });
    let [ceiling, every] = settings(&mut peer, &answer);
    assert_eq!(ceiling["evseId"], 0);
    let profile = &ceiling["chargingProfile"];
    assert_eq!(
        profile["chargingProfilePurpose"],
        "ChargingStationMaxProfile"
    );
    assert_eq!(profile["chargingProfileKind"], "Absolute");
    assert!(
        profile["chargingSchedule"][0]
            .get("startSchedule")
            .is_some()
    );
    let data = &every["setVariableData"][0];
    assert_eq!(
        (&data["component"], &data["variable"]),
        (&set["component"], &set["variable"])
    );
    assert_eq!(data["attributeValue"], "5");

    let unknown = Now {
        wall: None,
        ..now(peer.clock)
    };
    let refused = peer.station.ceiling(unknown, limit(32.0, 3));
    assert_eq!(refused.map(drop).unwrap_err(), Refusal::NotAccepted);
}

#[test]
fn without_the_time_or_the_place_there_is_no_lease() {
    let mut peer = Peer::booted_16();
    let start = json!({"connectorId": 1, "idTag": "CARD-1", "meterStart": 0, "timestamp": "2026-05-04T12:00:00Z"});
    peer.ask("StartTransaction", &start);
    let (at, mut transaction) = (now(peer.clock), open(&peer));
    let unknown = Now { wall: None, ..at };
    let lease = peer.station.lease(unknown, &transaction, limit(6.0, 1), 50);
    assert_eq!(lease.map(drop).unwrap_err(), Refusal::NotAccepted);
    transaction.evse = None;
    let lease = peer.station.lease(at, &transaction, limit(6.0, 1), 50);
    let error = lease.map(drop).unwrap_err();
    assert_eq!(error, Refusal::NoTransaction(transaction.id));
    assert_eq!(peer.station.version(), Version::V1_6);
}
