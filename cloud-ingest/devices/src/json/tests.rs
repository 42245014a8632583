use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Kind;

fn device() -> Arc<Device> {
    Arc::new(Device {
        id: 1,
        organization: platform::OrganizationId(1),
        asset: 1,
        kind: Kind::Json,
        key: "van-1".to_owned(),
    })
}

fn accepted(payload: &[u8]) -> Result<Message, Unreadable> {
    read(payload, &device(), &List::shipped())
}

const EXAMPLE: &str = include_str!("../../data/json.example.json");

/// Messages, and whether they can be read.
fn cases() -> Vec<(Value, bool)> {
    let record = json!({"time": 1, "signals": {"soc": 1}});
    let with = |time: Value, signals: Value| json!({"time": time, "signals": signals});
    let many: Map<String, Value> = (0..201).map(|n| (format!("s{n}"), json!(n))).collect();
    let good = json!({"soc": 1});
    vec![
        (serde_json::from_str(EXAMPLE).unwrap(), true),
        (record.clone(), true),
        (json!([record, record]), true),
        (json!({"records": [record]}), true),
        (with(json!("2026-01-31T08:00:00+01:00"), good.clone()), true),
        (
            with(
                json!(1),
                json!({"x": true, "y": {"value": false, "unit": ""}}),
            ),
            true,
        ),
        (with(json!("2026-01-31"), good.clone()), false),
        (with(json!("2026-01-31T08:00:00"), good.clone()), false),
        (with(json!(-1), good.clone()), false),
        (with(json!(1.5), good.clone()), false),
        (with(json!(9_000_000_000_000_000_i64), good.clone()), false),
        (with(Value::Null, good.clone()), false),
        (with(json!(1), json!({})), false),
        (with(json!(1), Value::Object(many)), false),
        (with(json!(1), json!({"": 1})), false),
        (with(json!(1), json!({"x".repeat(101): 1})), false),
        (with(json!(1), json!({"soc": "1"})), false),
        (with(json!(1), json!({"soc": null})), false),
        (with(json!(1), json!({"soc": {"value": 1}})), false),
        (
            with(
                json!(1),
                json!({"soc": {"value": 1, "unit": "x".repeat(41)}}),
            ),
            false,
        ),
        (
            with(
                json!(1),
                json!({"soc": {"value": 1, "unit": "percent", "x": 1}}),
            ),
            false,
        ),
        (json!({"time": 1, "signals": good, "more": 1}), false),
        (json!({"signals": good}), false),
        (json!({"time": 1}), false),
        (json!({"id": 7, "records": [record]}), false),
        (json!({"id": "x".repeat(65), "records": [record]}), false),
        (json!({"records": [record], "more": 1}), false),
        (json!({"records": []}), false),
        (json!({"records": {}}), false),
        (json!([]), false),
        (json!(7), false),
        (Value::Array(vec![record; 1001]), false),
    ]
}

#[test]
fn the_schema_says_what_the_reader_does() {
    let schema: Value = serde_json::from_str(include_str!("../../data/json.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for (message, right) in cases() {
        let said = accepted(message.to_string().as_bytes());
        assert_eq!(said.is_ok(), right, "{message}: {said:?}");
        assert_eq!(schema.is_valid(&message), right, "{message}");
    }
}

#[test]
fn the_example_means_what_it_says() {
    let message = accepted(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(message.id.as_deref(), Some("4711"));
    let values: Vec<(String, f64)> = message
        .records
        .iter()
        .flat_map(|record| &record.values)
        .map(|(_, def, raw)| (def.signal.name().to_owned(), def.encoding.value(*raw)))
        .collect();
    assert_eq!(
        values,
        [
            ("Vehicle.Speed".to_owned(), 51.2),
            (
                "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed".to_owned(),
                80.5
            ),
            (
                "Vehicle.Powertrain.TractionBattery.Charging.IsCharging".to_owned(),
                1.0
            ),
        ]
    );
    assert_eq!(
        message.records[0].time,
        "2026-01-31T08:00:00.25Z".parse().unwrap()
    );
    assert_eq!(
        message.records[1].time,
        "2026-01-31T08:00:01Z".parse().unwrap()
    );
}

#[test]
fn what_is_not_stored_is_counted() {
    let message = json!({"time": 1, "signals": {"what": 1, "Vehicle.Speed": {"value": 1, "unit": "mph"}, "speed": 2}});
    let record = accepted(message.to_string().as_bytes())
        .unwrap()
        .records
        .remove(0);
    assert_eq!(record.values.len(), 1);
    let unread: Vec<(&str, Why)> = record
        .unread
        .iter()
        .map(|unread| (unread.code.as_str(), unread.why))
        .collect();
    assert_eq!(
        unread,
        [("what", Why::Unmapped), ("Vehicle.Speed", Why::Impossible)]
    );
    assert!(
        record.unread[1].detail.contains("it is given in km/h"),
        "{record:?}"
    );
}

#[test]
fn a_record_is_the_same_however_it_is_packed() {
    let one = accepted(br#"{"time": 1000, "signals": {"soc": 1, "speed": 2}}"#).unwrap();
    let other =
        accepted(br#"[{"signals": {"speed": 2.0, "soc": 1}, "time": "1970-01-01T00:00:01Z"}]"#)
            .unwrap();
    assert_eq!(one.records[0].digest, other.records[0].digest);
    let third = accepted(br#"{"time": 1000, "signals": {"soc": 1, "speed": 3}}"#).unwrap();
    assert_ne!(one.records[0].digest, third.records[0].digest);
}

#[test]
fn topics_name_their_device() {
    assert_eq!(key(&topic("van-1")), Some("van-1"));
    for other in [
        answer_topic("van-1"),
        topic("a b"),
        topic(""),
        "patio/1/van-1/up/live".to_owned(),
    ] {
        assert_eq!(key(&other), None, "{other}");
    }
}

#[test]
fn lists_with_faults_are_refused() {
    let entry = |name: &str, signal: &str, unit: &str, scale: f64| {
        List::read(&format!(
            "[[signal]]\nname = \"{name}\"\nsignal = \"{signal}\"\nunit = \"{unit}\"\nscale = {scale:?}\n"
        ))
    };
    assert!(entry("v", "Vehicle.Speed", "km/h", 3.6).is_ok());
    assert!(
        entry("v", "Vehicle.Speed", "mph", 1.0)
            .unwrap_err()
            .contains("km/h")
    );
    assert!(entry("Vehicle.Speed", "x", "y", 1.0).is_err());
    assert!(entry("v", "Vehicle.Speed", "km/h", 0.0).is_err());
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes: Vec<u8>) {
        let _ = accepted(&bytes);
    }

    #[test]
    fn nor_does_a_message_with_one_byte_changed(at in 0..EXAMPLE.len(), byte: u8) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = accepted(&bytes);
    }
}
