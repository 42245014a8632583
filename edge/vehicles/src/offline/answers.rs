//! Recorded answers into values.

use serde_json::{Map, Number, Value, json};
use shared_protocol::{Decimal, Encoding};

use super::{Definition, DefinitionError};
use crate::{Reading, capture, diagnostic::Table, exact, profile::Command};

/// How recorded frames become answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reassembly {
    /// As ISO 15765-2 says: what is not whole is an error, see [`capture::answers`].
    Strict,
    /// However they come, see [`capture::as_recorded`]: to compare with tools that do so. Values can be wrong.
    AsRecorded,
}

/// Decodes recorded answers by a profile or signal set: `file` is its name, `text` its content.
///
/// Each line is a JSON object: `cmd` names the command (see [`Definition::command`]), `frames` or `lines` are the recorded
/// lines, `year` may be the model year. Each result is a line of JSON: `{"cmd": …, "values": {signal: value}}`, values
/// being numbers in the signal's unit, or texts where the signal has texts; with a key `error` when something was wrong
/// with the line, the recording or the answer. Of several answers the last whole one counts; if none is whole, the
/// signals before the fault of the last one.
pub fn decode_answers<L: AsRef<str>>(
    file: &str,
    text: &str,
    reassembly: Reassembly,
    lines: impl Iterator<Item = L>,
) -> Result<impl Iterator<Item = String>, DefinitionError> {
    let definition = Definition::read(file, text)?;
    Ok(lines
        .filter(|line| !line.as_ref().trim().is_empty())
        .map(move |line| {
            let result = match serde_json::from_str(line.as_ref()) {
                Ok(recorded) => definition.answer(&recorded, reassembly),
                Err(error) => json!({ "error": format!("not JSON: {error}") }),
            };
            result.to_string()
        }))
}

impl Definition {
    /// Decodes one recorded answer, a line of [`decode_answers`].
    pub fn answer(&self, recorded: &Value, reassembly: Reassembly) -> Value {
        let name = recorded
            .get("cmd")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut errors = Vec::new();
        let mut values = Map::new();
        let frames = recorded
            .get("frames")
            .or_else(|| recorded.get("lines"))
            .and_then(Value::as_array);
        let year = recorded.get("year").and_then(year);
        match (self.command(name, year), frames) {
            (None, _) => errors.push(format!("there is no command `{name}`")),
            (_, None) => errors.push("neither `frames` nor `lines` is a list of lines".to_owned()),
            (Some(command), Some(frames)) => {
                let lines = frames.iter().filter_map(Value::as_str);
                self.decode(command, lines, reassembly, &mut values, &mut errors);
            }
        }
        let mut result = json!({ "cmd": name, "values": values });
        if !errors.is_empty() {
            result["error"] = errors.join("; ").into();
        }
        result
    }

    fn decode<'a>(
        &self,
        number: usize,
        lines: impl Iterator<Item = &'a str>,
        reassembly: Reassembly,
        values: &mut Map<String, Value>,
        errors: &mut Vec<String>,
    ) {
        let command: &Command = &self.table.commands()[number];
        let (answers, trusted) = match reassembly {
            Reassembly::Strict => {
                let captured = capture::answers(lines, command);
                errors.extend(captured.faults.iter().map(ToString::to_string));
                (captured.answers, true)
            }
            Reassembly::AsRecorded => (capture::as_recorded(lines, command), false),
        };
        let mut refusals = Vec::new();
        let mut best: Option<(bool, Vec<Reading>)> = None;
        for answer in &answers {
            let mut readings = Vec::new();
            match self.table.decode(number, &answer.payload, &mut readings) {
                Err(error) => refusals.push(error.to_string()),
                Ok(_) if !trusted => {
                    // Each answer replaces what it has, as in such tools.
                    put(&self.table, &readings, values);
                    best = Some((false, Vec::new()));
                }
                Ok(_) if answer.whole || best.as_ref().is_none_or(|(whole, _)| !whole) => {
                    best = Some((answer.whole, readings));
                }
                Ok(_) => {}
            }
        }
        match best {
            Some((_, readings)) => put(&self.table, &readings, values),
            None if answers.is_empty() => errors.push("no answer".to_owned()),
            None => errors.append(&mut refusals),
        }
    }
}

fn put(table: &Table, readings: &[Reading], values: &mut Map<String, Value>) {
    for reading in readings {
        let signal = &table.signals()[reading.signal as usize];
        let value = match signal.texts.get(&reading.raw) {
            Some(text) => text.clone().into(),
            None => value(signal.def.encoding, reading.raw),
        };
        values.insert(signal.name.clone(), value);
    }
}

/// A value as JSON: exact where it is a decimal.
fn value(encoding: Encoding, raw: i64) -> Value {
    let exact = match encoding {
        Encoding::Scaled { scale, offset } => {
            let raw = Decimal::new(raw, 0).ok();
            raw.and_then(|raw| exact::sum(exact::product(raw, scale)?, offset))
        }
        Encoding::Unsigned { .. } | Encoding::Float => None,
    };
    let exact = exact.and_then(|value| value.to_string().parse::<Number>().ok());
    exact
        .or_else(|| Number::from_f64(encoding.value(raw)))
        .map_or(Value::Null, Value::Number)
}

fn year(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|year| u16::try_from(year).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = r#"{"commands": [{"hdr": "7E4", "rax": "7EC", "cmd": {"22": "0101"}, "freq": 1, "signals": [
        {"id": "A", "name": "a", "fmt": {"len": 8, "max": 10, "div": 10, "unit": "volts"}},
        {"id": "B", "name": "b", "fmt": {"bix": 8, "len": 8, "map": {"1": {"description": "x", "value": "ON"}}}},
        {"id": "C", "name": "c", "fmt": {"bix": 112, "len": 16, "max": 65535, "unit": "volts"}}]}]}"#;

    fn run(reassembly: Reassembly, line: &str) -> String {
        let mut results = decode_answers("set.json", SET, reassembly, [line].into_iter()).unwrap();
        results.next().unwrap()
    }

    #[test]
    fn lines_into_lines() {
        let strict = |line: &str| run(Reassembly::Strict, line);
        assert_eq!(
            strict(r#"{"cmd": "7E4.7EC.220101", "frames": ["7EC056201013301"]}"#),
            r#"{"cmd":"7E4.7EC.220101","values":{"A":5.1,"B":"ON"}}"#
        );
        assert_eq!(
            strict(r#"{"cmd": "7E4.7EC.220101", "frames": ["7EC101462010133AAAA"]}"#),
            r#"{"cmd":"7E4.7EC.220101","values":{"A":5.1},"error":"line 1: the recording ends before the answer: 6 of 20 bytes"}"#
        );
        for (line, error) in [
            (
                r#"{"cmd": "7E4.7EC.220101", "frames": ["7EC037F2231"]}"#,
                "refused: negative response code 31 to service 22",
            ),
            (
                r#"{"cmd": "7E4.7EC.220101", "frames": ["7EC0462010255"]}"#,
                "the answer begins with 620102, not with 620101: it answers another request",
            ),
            (r#"{"cmd": "7E4.7EC.220101", "frames": []}"#, "no answer"),
            (
                r#"{"cmd": "7E4.7EC.220102", "frames": []}"#,
                "there is no command `7E4.7EC.220102`",
            ),
            (
                r#"{"cmd": "7E4.7EC.220101"}"#,
                "neither `frames` nor `lines` is a list of lines",
            ),
        ] {
            let result: Value = serde_json::from_str(&strict(line)).unwrap();
            assert_eq!(
                (
                    &result["error"],
                    result["values"].as_object().unwrap().len()
                ),
                (&json!(error), 0),
                "{line}"
            );
        }
        assert!(strict("{").starts_with(r#"{"error":"not JSON"#));
    }

    #[test]
    fn as_recorded_takes_what_strict_refuses() {
        let line = r#"{"cmd": "7E4.7EC.220101", "frames": ["7EC101462010133AAAA", "7EC21AAAAAAAAAAAAAA", "7EC237777777788AAAA"]}"#;
        let strict: Value = serde_json::from_str(&run(Reassembly::Strict, line)).unwrap();
        assert_eq!(
            strict["values"],
            json!({ "A": Number::from_f64(5.1).unwrap() })
        );
        assert_eq!(
            strict["error"],
            "line 3: expected consecutive frame 2, found 3"
        );
        let loose: Value = serde_json::from_str(&run(Reassembly::AsRecorded, line)).unwrap();
        assert_eq!(loose["values"]["C"].to_string(), 0x88AA.to_string());
    }
}
