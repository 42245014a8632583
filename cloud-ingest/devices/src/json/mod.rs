//! What devices say as JSON over MQTT (`data/json.schema.json`, with an example beside it). Pure: bytes in, records out.
//!
//! A device publishes to [`topic`] and hears on [`answer_topic`] what has been dealt with; until then it keeps it and sends it
//! again. Each record is itself by its time and its values: packed otherwise, in another order, it is the same one.

mod list;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use shared_protocol::Digest;

pub use self::list::List;
use crate::{Device, Record, Unread, Why};

/// Longest message, in bytes.
pub const LONGEST: usize = 64 * 1024;
/// Most records of one message.
const MOST_RECORDS: usize = 1000;
/// Most values of one record.
const MOST_SIGNALS: usize = 200;
const LONGEST_ID: usize = 64;
const LONGEST_NAME: usize = 100;
const LONGEST_UNIT: usize = 40;
/// 9999-12-30: the last millisecond that a time may name.
const LAST_MS: i64 = 253_402_207_200_000;

/// What the cloud subscribes to.
pub const ALL: &str = "patio/json/1/+";

/// Where a device with this key publishes.
pub fn topic(key: &str) -> String {
    format!("patio/json/1/{key}")
}

/// Where it hears what has been dealt with.
pub fn answer_topic(key: &str) -> String {
    format!("patio/json/1/{key}/stored")
}

/// The key that a topic names.
pub fn key(topic: &str) -> Option<&str> {
    let key = topic.strip_prefix("patio/json/1/")?;
    crate::register::check_key(crate::Kind::Json, key)
        .is_ok()
        .then_some(key)
}

/// A message that could be read.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it calls itself.
    pub id: Option<String>,
    /// What it carries.
    pub records: Vec<Record>,
}

/// Why a message cannot be used; nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}{reason}")]
pub struct Unreadable {
    /// What it calls itself, where that could be read.
    pub id: Option<String>,
    at: String,
    reason: String,
}

/// Reads a message of a device.
pub fn read(payload: &[u8], device: &Arc<Device>, list: &List) -> Result<Message, Unreadable> {
    let fail = |id: &Option<String>, at: String, reason: String| Unreadable {
        id: id.clone(),
        at,
        reason,
    };
    let plain = |reason: String| fail(&None, String::new(), reason);
    if payload.len() > LONGEST {
        return Err(plain(format!(
            "it has {} bytes, at most {LONGEST} are read",
            payload.len()
        )));
    }
    let value: Value = serde_json::from_slice(payload)
        .map_err(|error| plain(format!("it is no JSON: {error}")))?;
    let (id, records) = parts(value).map_err(plain)?;
    if !(1..=MOST_RECORDS).contains(&records.len()) {
        let reason = format!(
            "it has {} records, expected 1 to {MOST_RECORDS}",
            records.len()
        );
        return Err(fail(&id, "records: ".to_owned(), reason));
    }
    let mut read = Vec::with_capacity(records.len());
    for (place, value) in records.iter().enumerate() {
        let one = record(value, device, list)
            .map_err(|(at, reason)| fail(&id, format!("records[{place}]{at}: "), reason))?;
        read.push(one);
    }
    Ok(Message { id, records: read })
}

/// Its name and its records: it is one, a list of them, or an object with both.
fn parts(value: Value) -> Result<(Option<String>, Vec<Value>), String> {
    match value {
        Value::Array(records) => Ok((None, records)),
        Value::Object(mut object) if object.contains_key("records") => {
            let id = match object.remove("id") {
                None => None,
                Some(Value::String(id)) if id.chars().count() <= LONGEST_ID => Some(id),
                Some(_) => {
                    return Err(format!(
                        "id: expected a text of at most {LONGEST_ID} characters"
                    ));
                }
            };
            let Some(Value::Array(records)) = object.remove("records") else {
                return Err("records: expected a list".to_owned());
            };
            match object.keys().next() {
                None => Ok((id, records)),
                Some(key) => Err(format!("{}: there are id and records", short(key))),
            }
        }
        Value::Object(object) => Ok((None, vec![Value::Object(object)])),
        _ => Err("expected a record, a list of records, or an object with records".to_owned()),
    }
}

type Wrong = (String, String);

fn wrong(at: &str, reason: impl Into<String>) -> Wrong {
    (at.to_owned(), reason.into())
}

fn record(value: &Value, device: &Arc<Device>, list: &List) -> Result<Record, Wrong> {
    let object = value
        .as_object()
        .ok_or_else(|| wrong("", "expected an object with time and signals"))?;
    if let Some(key) = object
        .keys()
        .find(|key| !matches!(key.as_str(), "time" | "signals"))
    {
        return Err(wrong(
            &format!(".{}", short(key)),
            "there are time and signals",
        ));
    }
    let time = time(object.get("time")).ok_or_else(|| {
        wrong(
            ".time",
            "expected 2026-01-31T08:00:00.25Z, or milliseconds since 1970",
        )
    })?;
    let signals = object
        .get("signals")
        .and_then(Value::as_object)
        .filter(|signals| (1..=MOST_SIGNALS).contains(&signals.len()))
        .ok_or_else(|| {
            wrong(
                ".signals",
                format!("expected 1 to {MOST_SIGNALS} values by their names"),
            )
        })?;
    let (mut values, mut unread) = (Vec::new(), Vec::new());
    for (name, given) in signals {
        let at = || format!(".signals.{}", short(name));
        if !(1..=LONGEST_NAME).contains(&name.chars().count()) {
            return Err((at(), format!("a name has 1 to {LONGEST_NAME} characters")));
        }
        let (number, unit) = number(given).ok_or_else(|| {
            (
                at(),
                "expected a number, true, false, or {\"value\": …, \"unit\": …}".to_owned(),
            )
        })?;
        match list.meaning(name) {
            Some(meaning) if unit.is_none_or(|unit| unit == meaning.def.signal.unit()) => {
                let raw = (number * meaning.scale).to_bits().cast_signed();
                values.push((name.clone(), Arc::clone(&meaning.def), raw));
            }
            meaning => unread.push(Unread {
                code: name.chars().filter(|c| *c != '\0').collect(),
                why: if meaning.is_some() {
                    Why::Impossible
                } else {
                    Why::Unmapped
                },
                detail: match (meaning, unit) {
                    (Some(meaning), Some(unit)) => {
                        format!(
                            "{number} {unit}; it is given in {}",
                            meaning.def.signal.unit()
                        )
                    }
                    _ => given.to_string(),
                },
            }),
        }
    }
    // An empty code is refused by the table.
    unread.retain(|unread| !unread.code.is_empty());
    Ok(Record {
        device: Arc::clone(device),
        time,
        digest: digest(time, signals),
        values,
        unread,
        payload: value.to_string().into_bytes(),
    })
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    match value? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => {
            let ms = number.as_i64().filter(|ms| (0..=LAST_MS).contains(ms))?;
            Timestamp::from_millisecond(ms).ok()
        }
        _ => None,
    }
}

/// A value, and its unit where it is given.
fn number(value: &Value) -> Option<(f64, Option<&str>)> {
    let plain = |value: &Value| match value {
        Value::Bool(is) => Some(f64::from(u8::from(*is))),
        value => value.as_f64().filter(|number| number.is_finite()),
    };
    match value {
        Value::Object(object) if object.len() == 2 => {
            let unit = object.get("unit")?.as_str()?;
            let number = plain(object.get("value")?)?;
            (unit.chars().count() <= LONGEST_UNIT).then_some((number, Some(unit)))
        }
        value => Some((plain(value)?, None)),
    }
}

/// What makes a record itself, in whatever order it was written.
fn digest(time: Timestamp, signals: &Map<String, Value>) -> Digest {
    let mut names: Vec<&String> = signals.keys().collect();
    names.sort_unstable();
    let mut text = format!("json:{}", time.as_nanosecond());
    for name in names {
        let (number, unit) = number(&signals[name]).unwrap_or((f64::NAN, None));
        let one = serde_json::json!([name, number, unit]);
        text.push_str(&one.to_string());
    }
    Digest::of(text.as_bytes())
}

/// A name that a stranger has chosen, for people.
fn short(text: &str) -> String {
    text.chars()
        .take(60)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

#[cfg(test)]
mod tests;
