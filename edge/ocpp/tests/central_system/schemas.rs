//! The official schemas: what is produced keeps to them, and what does not is answered with the right error.

use std::{collections::HashMap, sync::OnceLock};

use jsonschema::Validator;
use ocpp::Version;
use serde_json::{Map, Value, json};

use crate::{data, support::Peer};

type Schemas = HashMap<(bool, String), (Value, Validator)>;

/// Folder of a version's schemas.
fn folder(version: Version) -> &'static str {
    if version == Version::V1_6 {
        "ocpp/schemas/v16"
    } else {
        "ocpp/schemas/v201"
    }
}

/// Schemas by version (1.6 or not) and by name as files have it.
fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let mut schemas = HashMap::new();
        for version in [Version::V1_6, Version::V2_0_1] {
            let files = data::folder(folder(version)).map(|path| data::json_files(&path));
            for (name, schema) in files.unwrap_or_default() {
                let validator = jsonschema::options().build(&schema).unwrap();
                schemas.insert((version == Version::V1_6, name), (schema, validator));
            }
        }
        schemas
    })
}

fn schema(version: Version, action: &str, response: bool) -> Option<&'static (Value, Validator)> {
    let old = version == Version::V1_6;
    let end = match (response, old) {
        (true, _) => "Response",
        (false, true) => "",
        (false, false) => "Request",
    };
    schemas().get(&(old, format!("{action}{end}")))
}

/// Panics when a payload does not keep to its schema, if the schemas are there.
pub(crate) fn must_be_valid(version: Version, action: &str, response: bool, payload: &Value) {
    if let Some((_, validator)) = schema(version, action, response) {
        let errors: Vec<_> = validator
            .iter_errors(payload)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{action}: {payload}: {errors:?}");
    }
}

/// A payload that keeps to a schema: with everything in it, or with what is required alone.
fn example(root: &Value, schema: &Value, all: bool) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return example(root, &root["definitions"][name], all);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required = required(schema);
            let mut object = Map::new();
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if all && name != "customData" || required.contains(name) {
                    object.insert(name.clone(), example(root, property, all));
                }
            }
            Value::Object(object)
        }
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(1).max(1);
            (0..least)
                .map(|_| example(root, &schema["items"], all))
                .collect()
        }
        Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(1)),
        Some("number") => json!(1.5),
        Some("boolean") => json!(true),
        Some("string") if schema["format"] == "date-time" => json!("2026-05-04T12:00:00Z"),
        Some("string") if schema["format"] == "uri" => json!("ftp://x.example/y"),
        _ => json!("x"),
    }
}

fn required(schema: &Value) -> Vec<String> {
    let names = schema["required"].as_array().into_iter().flatten();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// The requests of a version that a station sends, with their schemas.
fn requests(version: Version) -> Vec<(&'static str, &'static Value)> {
    let old = version == Version::V1_6;
    let mut found: Vec<_> = schemas()
        .iter()
        .filter(|((is_old, name), _)| *is_old == old && !name.ends_with("Response"))
        .map(|((_, name), (schema, _))| {
            let action = if old {
                name
            } else {
                name.strip_suffix("Request").unwrap()
            };
            (action, schema)
        })
        .filter(|(action, _)| from_station(version, action))
        .collect();
    found.sort_by_key(|(action, _)| *action);
    found
}

/// Whether a station sends it: the central system does not say that it supports it otherwise.
fn from_station(version: Version, action: &str) -> bool {
    let mut peer = Peer::new(version);
    let outcome = peer.frame(&json!([2, "1", action, {}]).to_string());
    let code = outcome.sent[0][2].as_str();
    !matches!(code, Some("NotSupported" | "NotImplemented"))
}

fn skipped() -> bool {
    schemas().is_empty()
}

#[test]
fn real_data_every_valid_request_is_answered_with_a_valid_response() {
    if skipped() {
        return;
    }
    let (mut agree, mut of) = (0, 0);
    for version in [Version::V1_6, Version::V2_0_1] {
        for (action, schema) in requests(version) {
            for all in [false, true] {
                let payload = example(schema, schema, all);
                must_be_valid(version, action, false, &payload);
                of += 1;
                let outcome = Peer::new(version).ask(action, &payload);
                if outcome.sent.len() == 1 && outcome.sent[0][0] == json!(3) {
                    agree += 1;
                } else {
                    eprintln!("{version} {action} {payload}: {:?}", outcome.sent);
                }
            }
        }
    }
    println!("{agree} of {of} agree");
    assert!(of > 50 && agree == of);
}

/// Pointers of required members, with the payload without each.
fn without(root: &Value, schema: &Value, value: &Value, found: &mut Vec<(String, Value)>) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return without(root, &root["definitions"][name], value, found);
    }
    for name in required(schema) {
        let mut less = value.clone();
        less.as_object_mut().unwrap().remove(&name);
        found.push((name, less));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let Some(member) = value.get(name) else {
            continue;
        };
        let mut inner = Vec::new();
        match member.get(0) {
            Some(first) => {
                without(root, &property["items"], first, &mut inner);
                for one in &mut inner {
                    one.1 = json!([one.1]);
                }
            }
            None if member.is_object() => without(root, property, member, &mut inner),
            None => {}
        }
        for (inner_name, less) in inner {
            let mut whole = value.clone();
            whole[name] = less;
            found.push((format!("{name}/{inner_name}"), whole));
        }
    }
}

#[test]
fn real_data_a_missing_field_is_answered_with_the_versions_own_error() {
    if skipped() {
        return;
    }
    let (mut agree, mut of) = (0, 0);
    for version in [Version::V1_6, Version::V2_0_1] {
        let expected = if version == Version::V1_6 {
            "OccurenceConstraintViolation"
        } else {
            "OccurrenceConstraintViolation"
        };
        for (action, schema) in requests(version) {
            let mut missing = Vec::new();
            without(schema, schema, &example(schema, schema, true), &mut missing);
            for (name, payload) in missing {
                of += 1;
                let outcome = Peer::new(version).ask(action, &payload);
                let found = outcome.sent[0][2].as_str();
                if outcome.sent.len() == 1 && found == Some(expected) {
                    agree += 1;
                } else {
                    eprintln!("{version} {action} without {name}: {:?}", outcome.sent);
                }
            }
        }
    }
    println!("{agree} of {of} agree");
    assert!(of > 100 && agree == of);
}
