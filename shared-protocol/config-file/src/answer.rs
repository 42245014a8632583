//! One value that somebody gives outside of a file, as the answer to a question.

use toml::{Value, de::DeValue};

use crate::{Key, Kind, walk};

/// Reads what somebody answered as the value of a key. Texts stand without quotes, the values of a list between
/// commas.
///
/// # Errors
/// What was expected and what was found.
pub fn answer(key: &'static Key, text: &str) -> Result<Value, String> {
    let text = text.trim();
    let written = written(&key.kind, text);
    let parsed = DeValue::parse(&written)
        .map_err(|_| format!("expected {}, found \"{text}\"", key.kind.expected(key.unit)))?;
    let faults = walk::value_faults(parsed, &key.kind, key.unit);
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault);
    }
    let table: toml::Table = format!("value = {written}")
        .parse()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    table
        .get("value")
        .cloned()
        .ok_or_else(|| "it is no value".to_owned())
}

fn written(kind: &Kind, text: &str) -> String {
    match kind {
        Kind::Integer { .. } | Kind::Number { .. } | Kind::Bool => text.to_owned(),
        Kind::List { of, .. } => {
            let values: Vec<_> = text
                .split(',')
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .map(|value| written(of, value))
                .collect();
            format!("[{}]", values.join(", "))
        }
        _ => Value::String(text.to_owned()).to_string(),
    }
}
