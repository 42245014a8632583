//! What happens to transactions in the world: answers that are lost, numbers that were never given, registers that go back.

use std::collections::BTreeMap;

use ocpp::{Call, Note, Refusal, Version, Wh, v1_6};
use serde_json::{Value, json};

use crate::{
    conformance::call,
    support::{Outcome, Peer, now},
};

const BEGIN: &str = "2026-05-04T11:00:00Z";
const END: &str = "2026-05-04T12:00:00Z";

fn start(meter: i32) -> Value {
    json!({"connectorId": 1, "idTag": "CARD-1", "meterStart": meter, "timestamp": BEGIN})
}

fn stop(number: i64, meter: i32) -> Value {
    json!({"transactionId": number, "idTag": "CARD-1", "meterStop": meter, "timestamp": END})
}

fn values(number: i64, register: &str, time: &str) -> Value {
    json!({"connectorId": 1, "transactionId": number, "meterValue": [{"timestamp": time, "sampledValue": [{"value": register}]}]})
}

fn number(outcome: &Outcome) -> i64 {
    outcome.answer()["transactionId"].as_i64().unwrap()
}

#[test]
fn a_start_that_comes_again_is_the_same_one() {
    let mut peer = Peer::booted_16();
    let first = peer.ask("StartTransaction", &start(1000));
    assert_eq!(first.stored.len(), 1);
    for round in 0..3 {
        let again = peer.ask("StartTransaction", &start(1000));
        assert_eq!(
            (number(&again), again.stored.len()),
            (number(&first), 0),
            "{round}"
        );
        peer.reconnect();
    }
    let other = peer.ask("StartTransaction", &start(1001));
    assert!(number(&other) != number(&first) && other.stored.len() == 1);
}

#[test]
fn an_end_is_always_accepted_and_told_once() {
    let mut peer = Peer::booted_16();
    let begun = number(&peer.ask("StartTransaction", &start(1000)));
    let ended = peer.ask("StopTransaction", &stop(begun, 2500));
    assert_eq!(ended.answer()["idTagInfo"]["status"], "Accepted");
    assert_eq!(ended.stored[0].transaction.energy, Wh::whole(1500));
    for _ in 0..2 {
        peer.reconnect();
        let again = peer.ask("StopTransaction", &stop(begun, 2500));
        assert!(again.answer().is_object() && again.stored.is_empty());
    }
    // One that nobody has begun.
    let unknown = peer.ask("StopTransaction", &stop(77, 9000));
    assert_eq!(unknown.stored[0].entry.payload["beginning_unknown"], true);
    assert!(matches!(unknown.notes[..], [Note::Unknown(_)]));
    assert!(
        peer.ask("StopTransaction", &stop(77, 9000))
            .stored
            .is_empty()
    );
}

#[test]
fn a_number_that_was_never_given_means_the_one_that_goes_on() {
    let mut peer = Peer::booted_16();
    let begun = number(&peer.ask("StartTransaction", &start(1000)));
    let updated = peer.ask("MeterValues", &values(-1, "1200", "2026-05-04T11:30:00Z"));
    assert_eq!(updated.stored[0].transaction.id, begun.to_string());
    let ended = peer.ask("StopTransaction", &stop(-1, 2500));
    let payload = &ended.stored[0].entry.payload;
    assert_eq!(
        (&payload["transaction"], &payload["told_number"]),
        (&json!(begun.to_string()), &json!(-1))
    );
    assert!(payload["beginning_unknown"].is_null());
    assert!(
        peer.ask("StopTransaction", &stop(-1, 2500))
            .stored
            .is_empty()
    );
}

#[test]
fn a_register_that_goes_back_is_said_and_loses_nothing() {
    let mut peer = Peer::booted_16();
    let begun = number(&peer.ask("StartTransaction", &start(1000)));
    peer.ask(
        "MeterValues",
        &values(begun, "1500", "2026-05-04T11:10:00Z"),
    );
    let reset = peer.ask("MeterValues", &values(begun, "200", "2026-05-04T11:20:00Z"));
    assert!(matches!(reset.notes[..], [Note::Register(_)]));
    let ended = peer.ask("StopTransaction", &stop(begun, 700));
    let transaction = &ended.stored[0].transaction;
    assert_eq!(
        (transaction.energy, transaction.resets),
        (Wh::whole(1200), 1)
    );
}

#[test]
fn meter_values_that_come_again_count_once() {
    let mut peer = Peer::booted_16();
    let begun = number(&peer.ask("StartTransaction", &start(1000)));
    let value = values(begun, "1500", "2026-05-04T11:10:00Z");
    assert_eq!(peer.ask("MeterValues", &value).stored.len(), 1);
    peer.reconnect();
    assert_eq!(peer.ask("MeterValues", &value).stored.len(), 0);
}

fn event(kind: &str, number: i32, register: f64) -> Value {
    json!({"eventType": kind, "timestamp": BEGIN, "triggerReason": "MeterValuePeriodic", "seqNo": number, "evse": {"id": 1},
        "transactionInfo": {"transactionId": "tx-1"}, "idToken": {"idToken": "card-1", "type": "ISO14443"},
        "meterValue": [{"timestamp": BEGIN, "sampledValue": [{"value": register, "unitOfMeasure": {"unit": "kWh"}}]}]})
}

#[test]
fn events_of_2_0_1_count_once_in_any_order() {
    let events = [
        event("Started", 0, 1.0),
        event("Updated", 1, 1.25),
        event("Updated", 2, 1.5),
        event("Ended", 3, 2.0),
    ];
    for order in [[0, 1, 2, 3], [3, 0, 2, 1], [1, 3, 2, 0], [2, 3, 0, 1]] {
        let mut peer = Peer::booted_201();
        let mut kinds = BTreeMap::<_, u32>::new();
        for place in order {
            for _ in 0..2 {
                let outcome = peer.ask("TransactionEvent", &events[place]);
                assert_eq!(outcome.answer()["idTokenInfo"]["status"], "Accepted");
                for write in outcome.stored {
                    *kinds.entry(write.entry.kind).or_default() += 1;
                }
            }
            peer.reconnect();
        }
        let expected = [
            ("transaction.ended", 1),
            ("transaction.started", 1),
            ("transaction.updated", 2),
        ];
        assert!(
            kinds
                .iter()
                .map(|(kind, count)| (*kind, *count))
                .eq(expected),
            "{order:?}: {kinds:?}"
        );
        let transaction = peer.station.memory().transactions().next().unwrap();
        assert_eq!(
            (transaction.energy, transaction.resets),
            (Wh::whole(1000), 0),
            "{order:?}"
        );
        assert_eq!(transaction.seen, [(0, 3)]);
    }
}

#[test]
fn a_boot_is_pending_until_the_time_is_known() {
    let mut peer = Peer::new(Version::V1_6);
    let boot =
        json!([2, "1", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}])
            .to_string();
    let blind = ocpp::Now {
        wall: None,
        ..now(1)
    };
    let answer = |peer: &mut Peer, at| {
        let mut outcome = Outcome::default();
        outcome.add(peer.station.frame(at, &boot));
        outcome.answer().clone()
    };
    assert_eq!(answer(&mut peer, blind)["status"], "Pending");
    let mut outcome = Outcome::default();
    outcome.add(peer.station.frame(blind, r#"[2,"2","Heartbeat",{}]"#));
    assert_eq!(outcome.error(), "InternalError");
    let remote = call(
        Version::V1_6,
        "RemoteStartTransaction",
        &json!({"idTag": "CARD-1"}),
    );
    assert_eq!(
        peer.station.call(blind, &remote).unwrap_err(),
        Refusal::NotAccepted
    );
    // A transaction is heard all the same.
    let stop = json!([2, "3", "StopTransaction", stop(5, 10)]).to_string();
    let mut outcome = Outcome::default();
    outcome.add(peer.station.frame(blind, &stop));
    assert_eq!(
        (outcome.answer(), outcome.stored.len()),
        (
            &json!({"idTagInfo": {"status": "Accepted", "parentIdTag": "fleet"}}),
            1
        )
    );
    let accepted = answer(&mut peer, now(60));
    assert_eq!(
        (&accepted["status"], &accepted["interval"]),
        (&json!("Accepted"), &json!(300))
    );
    assert_eq!(accepted["currentTime"], "2026-05-04T12:01:00Z");
}

#[test]
fn a_wrong_clock_is_told_once() {
    let mut peer = Peer::booted_16();
    let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": "2026-05-04T14:00:00Z"});
    let first = peer.ask("StatusNotification", &status);
    assert!(
        matches!(first.notes[..], [Note::Clock(ahead)] if ahead > 7000),
        "{first:?}"
    );
    assert!(peer.ask("StatusNotification", &status).notes.is_empty());
}

#[test]
fn what_is_not_allowed_is_refused_with_its_reason() {
    let mut peer = Peer::booted_16();
    let refused = |peer: &mut Peer, action: &str, with: Value| {
        let call = call(Version::V1_6, action, &with);
        let at = now(peer.clock);
        peer.station.call(at, &call).map(drop).unwrap_err()
    };
    let status =
        |error: &str, status: &str| json!({"connectorId": 1, "errorCode": error, "status": status});
    peer.ask("StatusNotification", &status("GroundFailure", "Faulted"));
    let remote = json!({"idTag": "CARD-1", "connectorId": 1});
    assert_eq!(
        refused(&mut peer, "RemoteStartTransaction", remote.clone()),
        Refusal::GroundFailure(1)
    );
    assert_eq!(
        refused(
            &mut peer,
            "RemoteStartTransaction",
            json!({"idTag": "CARD-1"})
        ),
        Refusal::GroundFailure(1)
    );
    peer.ask("StatusNotification", &status("NoError", "Unavailable"));
    assert_eq!(
        refused(&mut peer, "RemoteStartTransaction", remote),
        Refusal::Unavailable(1)
    );
    assert_eq!(
        refused(
            &mut peer,
            "RemoteStopTransaction",
            json!({"transactionId": 4})
        ),
        Refusal::NoTransaction("4".into())
    );
    assert!(matches!(
        refused(&mut peer, "UnlockConnector", json!({"connectorId": 0})),
        Refusal::Invalid(_)
    ));
    let new = call(Version::V2_0_1, "ClearCache", &json!({}));
    assert_eq!(
        peer.station.call(now(9), &new).unwrap_err(),
        Refusal::Version(Version::V1_6)
    );
}

#[test]
fn one_call_is_out_at_a_time_and_late_answers_belong_to_nothing() {
    let mut peer = Peer::booted_16();
    let clear = Call::V16(v1_6::CsmsRequest::ClearCache(
        v1_6::ClearCacheRequest::default(),
    ));
    let mut outcome = Outcome::default();
    for _ in 0..2 {
        outcome.add(peer.station.call(now(1), &clear).unwrap().1);
    }
    assert_eq!(outcome.sent.len(), 1, "the second waits");
    let first = outcome.sent[0][1].clone();
    assert!(peer.station.due().is_some());
    let mut late = Outcome::default();
    late.add(peer.station.time(now(40)));
    assert_eq!(
        (late.results.len(), late.sent.len()),
        (1, 1),
        "the first has failed, the second is out"
    );
    peer.clock = 41;
    let answer = peer.frame(&json!([3, first, {"status": "Accepted"}]).to_string());
    assert!(
        answer.results.is_empty() && answer.notes.len() == 1,
        "{answer:?}"
    );
    let right = peer.frame(&json!([3, late.sent[0][1], {"status": "Accepted"}]).to_string());
    assert_eq!(right.results, [Ok(json!({"status": "Accepted"}))]);
    let mut gone = Outcome::default();
    gone.add(peer.station.call(now(42), &clear).unwrap().1);
    gone.add(peer.station.disconnected(now(43)));
    assert_eq!(gone.results, [Err(ocpp::CallFailure::Disconnected)]);
}
