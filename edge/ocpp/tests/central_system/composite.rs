//! Composite schedules: what a station may draw by all its profiles together, by cases (`composite.toml`); and what it says
//! beside what it was told.

use jiff::{SignedDuration, Timestamp};
use ocpp::{
    Call, Version,
    composite::{
        Agreement, Composite, Place, Profiles,
        Unit::{Amperes, Watts},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::Peer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    title: String,
    clause: String,
    version: String,
    unit: Option<String>,
    phases: Option<u8>,
    tell: Vec<Value>,
    #[serde(default)]
    clear: Vec<Value>,
    ask: Vec<Ask>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    evse: i32,
    transaction: Option<String>,
    began: Option<Timestamp>,
    at: Timestamp,
    seconds: i64,
    unit: Option<String>,
    gets: Vec<(i64, Value, u8)>,
}

/// Has a station take a call.
fn take(profiles: &mut Profiles, version: Version, action: &str, payload: &Value) {
    let call = Call::read(version, action, payload.clone()).unwrap();
    assert!(profiles.took(&call), "{payload}");
}

#[test]
fn profiles_come_to_what_the_cases_say() {
    let cases: Cases = toml::from_str(include_str!("../../composite.toml")).unwrap();
    for case in cases.case {
        let name = format!("{} ({})", case.title, case.clause);
        let version = match case.version.as_str() {
            "1.6" => Version::V1_6,
            "2.0.1" => Version::V2_0_1,
            other => panic!("{name}: {other}"),
        };
        let mut profiles = Profiles::default();
        for told in &case.tell {
            take(&mut profiles, version, "SetChargingProfile", told);
        }
        for told in &case.clear {
            take(&mut profiles, version, "ClearChargingProfile", told);
        }
        for ask in case.ask {
            let unit = match ask.unit.as_ref().or(case.unit.as_ref()).map(String::as_str) {
                None => Amperes,
                Some("W") => Watts,
                Some(other) => panic!("{name}: {other}"),
            };
            let transaction = ask.transaction.unwrap_or_else(|| "tx".to_owned());
            let place = Place {
                evse: ask.evse,
                transaction: ask.began.map(|began| (transaction, began)),
                volts: 230.0,
                phases: case.phases.unwrap_or(3),
            };
            let found = profiles.composite(&place, ask.at, ask.seconds, unit);
            let steps = found.steps.iter();
            let steps: Vec<_> = steps
                .map(|step| (step.start, step.limit, step.phases))
                .collect();
            let gets = ask.gets.into_iter();
            let gets: Vec<_> = gets
                .map(|(start, limit, phases)| (start, limit.as_f64(), phases))
                .collect();
            assert_eq!(steps, gets, "{name}: at {}", ask.at);
        }
    }
}

#[test]
fn what_was_cleared_without_a_number_nobody_knows() {
    let mut profiles = Profiles::default();
    for (version, payload) in [
        (Version::V1_6, json!({ "stackLevel": 0 })),
        (
            Version::V2_0_1,
            json!({ "chargingProfileCriteria": { "stackLevel": 0 } }),
        ),
    ] {
        let call = Call::read(version, "ClearChargingProfile", payload).unwrap();
        assert!(!profiles.took(&call));
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A lease of 16 A for 50 s over 6 A, and what a station says of it.
fn judged(said: impl Fn(&mut Value)) -> Agreement {
    let mut profiles = Profiles::default();
    let start = "2026-05-04T12:00:00Z";
    let fallback = json!({ "evseId": 0, "chargingProfile": {
        "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Relative",
        "chargingSchedule": [{ "id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{ "startPeriod": 0, "limit": 6.0 }] }],
    } });
    let lease = json!({ "evseId": 1, "chargingProfile": {
        "id": 101, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute", "transactionId": "tx",
        "chargingSchedule": [{
            "id": 101, "startSchedule": start, "duration": 50, "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{ "startPeriod": 0, "limit": 16.0, "numberPhases": 1 }],
        }],
    } });
    for told in [fallback, lease] {
        take(&mut profiles, Version::V2_0_1, "SetChargingProfile", &told);
    }
    let mut schedule = json!({
        "evseId": 1, "duration": 90, "scheduleStart": start, "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{ "startPeriod": 0, "limit": 16.0 }, { "startPeriod": 50, "limit": 6.0 }],
    });
    said(&mut schedule);
    let place = Place {
        evse: 1,
        transaction: Some(("tx".to_owned(), at("2026-05-04T11:00:00Z"))),
        volts: 220.0,
        phases: 1,
    };
    let answer = json!({ "status": "Accepted", "schedule": schedule }).to_string();
    let said = Composite::answered(&answer, at(start), 90).unwrap();
    profiles.agree(&place, at(start), 90, &said)
}

#[test]
fn a_station_that_says_more_is_told_from_one_that_rounds_or_whose_clock_is_a_little_wrong() {
    assert_eq!(judged(|_| {}), Agreement::Same);
    let limit = |amperes: f64| {
        judged(|schedule| schedule["chargingSchedulePeriod"][0]["limit"] = json!(amperes))
    };
    assert_eq!(limit(16.1), Agreement::Same);
    let Agreement::More(more) = limit(16.3) else {
        panic!("{:?}", limit(16.3))
    };
    assert_eq!((more.after, more.says, more.told), (0, 16.3, Some(16.0)));
    // In the first seconds its clock may not have come to the lease yet.
    assert!(matches!(limit(15.0), Agreement::Less(less) if less.after == 5 && less.says == 15.0));
    // The station's clock is 4 s behind; 8 s are too many.
    let late = |seconds: i64| {
        judged(|schedule| {
            schedule["chargingSchedulePeriod"][1]["startPeriod"] = json!(50 + seconds);
        })
    };
    assert_eq!(late(5), Agreement::Same);
    let Agreement::More(more) = late(8) else {
        panic!("{:?}", late(8))
    };
    assert_eq!((more.after, more.says, more.told), (55, 16.0, Some(6.0)));
    // It goes on, whatever the lease's end; or it says nothing of that.
    let goes_on = |schedule: &mut Value| {
        schedule["chargingSchedulePeriod"]
            .as_array_mut()
            .unwrap()
            .pop();
    };
    assert!(matches!(judged(goes_on), Agreement::More(more) if more.after == 55));
    assert_eq!(
        judged(|schedule| {
            goes_on(schedule);
            schedule["duration"] = json!(40);
        }),
        Agreement::Same
    );
    // Watts at a voltage that a supply may have, and at one that it may not.
    let watts = |volts: f64| {
        judged(|schedule| {
            schedule["chargingRateUnit"] = json!("W");
            for period in schedule["chargingSchedulePeriod"].as_array_mut().unwrap() {
                period["limit"] = json!(period["limit"].as_f64().unwrap() * volts);
            }
        })
    };
    assert_eq!(
        (watts(220.0), watts(235.0), watts(205.0)),
        (Agreement::Same, Agreement::Same, Agreement::Same)
    );
    assert!(
        matches!(watts(300.0), Agreement::More(more) if more.unit == Watts && more.told == Some(3520.0))
    );
    assert!(matches!(watts(120.0), Agreement::Less(_)));
}

#[test]
fn a_station_is_asked_in_its_version_and_its_answer_read() {
    let start = "2026-05-04T12:00:00Z";
    let schedule = json!({ "chargingRateUnit": "A", "chargingSchedulePeriod": [{ "startPeriod": 0, "limit": 6 }] });
    let mut whole = schedule.clone();
    (whole["evseId"], whole["duration"], whole["scheduleStart"]) =
        (json!(1), json!(60), json!(start));
    let answers = [
        (
            Peer::booted_16(),
            json!({ "connectorId": 1, "duration": 90, "chargingRateUnit": "A" }),
            json!({ "status": "Accepted", "connectorId": 1, "scheduleStart": start, "chargingSchedule": schedule }),
        ),
        (
            Peer::booted_201(),
            json!({ "evseId": 1, "duration": 90, "chargingRateUnit": "A" }),
            json!({ "status": "Accepted", "schedule": whole }),
        ),
    ];
    for ((mut peer, asked, answer), seconds) in answers.into_iter().zip([90, 60]) {
        let call = peer.station.ask_composite(1, 90).unwrap();
        let (frame, outcome) = peer.call(&call, &answer);
        assert_eq!(
            (&frame[2], &frame[3]),
            (&json!("GetCompositeSchedule"), &asked)
        );
        let said = outcome.results[0].as_ref().unwrap().to_string();
        let later = at(start) + SignedDuration::from_secs(7);
        let said = Composite::answered(&said, later, 90).unwrap();
        assert_eq!(
            (said.start, said.seconds, said.unit),
            (at(start), seconds, Amperes)
        );
        assert_eq!(said.steps[0].limit, Some(6.0));
    }
    for nothing in [
        json!({ "status": "Rejected" }),
        json!({ "status": "Accepted" }),
        json!({}),
    ] {
        assert_eq!(
            Composite::answered(&nothing.to_string(), at(start), 90),
            None
        );
    }
}
