//! A value back as the text of its file: keys in the order of the schema, defaults left out.

use std::fmt::Write;

use serde::Serialize;
use toml::{Table, Value};

use crate::{Key, Kind, Presence, Schema, names::written_key};

/// The text of a file that reads back as this value. What stands in the file by default is left out; a table with
/// plain keys alone stands on one line when it is within an array of tables.
///
/// # Errors
/// The value is not a table of TOML.
pub fn print<T: Serialize>(value: &T, schema: &'static Schema) -> Result<String, toml::ser::Error> {
    let table = Table::try_from(value)?;
    let mut text = String::new();
    write_table(&mut text, &table, schema, "", false);
    Ok(text)
}

/// One value as a TOML file writes it; a whole number without a point, also where any number may stand.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::Float(float) if float.fract() == 0.0 && float.abs() < 1e15 => {
            format!("{}", *float as i64)
        }
        Value::Array(array) => {
            let values: Vec<_> = array.iter().map(value_text).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Table(table) => {
            let values: Vec<_> = table
                .iter()
                .map(|(name, value)| format!("{} = {}", written_key(name), value_text(value)))
                .collect();
            format!("{{ {} }}", values.join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether two values mean the same: 12 and 12.0 do.
pub fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Integer(integer), Value::Float(float))
        | (Value::Float(float), Value::Integer(integer)) => *integer as f64 == *float,
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same_value(a, b))
        }
        (Value::Table(one), Value::Table(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, a)| other.get(name).is_some_and(|b| same_value(a, b)))
        }
        (one, other) => one == other,
    }
}

fn is_default(key: &Key, value: &Value) -> bool {
    let Presence::Default(default) = key.presence else {
        return false;
    };
    let parsed = format!("default = {default}").parse::<Table>();
    parsed.is_ok_and(|table| {
        table
            .get("default")
            .is_some_and(|default| same_value(default, value))
    })
}

fn plain(schema: &Schema) -> bool {
    !schema
        .keys
        .iter()
        .any(|key| matches!(key.kind, Kind::Table(_) | Kind::Tables(_)))
}

fn write_table(text: &mut String, table: &Table, schema: &'static Schema, path: &str, many: bool) {
    let mut later = Vec::new();
    for key in schema.keys {
        let Some(value) = table.get(key.name).filter(|value| !is_default(key, value)) else {
            continue;
        };
        match (&key.kind, value) {
            (Kind::Table(inner), Value::Table(value)) if many && plain(inner) => {
                let keys = inner.keys.iter().filter_map(|key| {
                    let value = value
                        .get(key.name)
                        .filter(|value| !is_default(key, value))?;
                    Some(format!("{} = {}", key.name, value_text(value)))
                });
                let keys: Vec<_> = keys.collect();
                line(
                    text,
                    format_args!("{} = {{ {} }}", key.name, keys.join(", ")),
                );
            }
            (Kind::Table(_) | Kind::Tables(_), _) => later.push((key, value)),
            _ => line(text, format_args!("{} = {}", key.name, value_text(value))),
        }
    }
    for (key, value) in later {
        let path = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        match (&key.kind, value) {
            (Kind::Table(inner), Value::Table(table)) => {
                header(text, format_args!("[{path}]"));
                write_table(text, table, inner, &path, many);
            }
            (Kind::Tables(inner), Value::Array(array)) => {
                for table in array.iter().filter_map(Value::as_table) {
                    header(text, format_args!("[[{path}]]"));
                    write_table(text, table, inner, &path, true);
                }
            }
            _ => {}
        }
    }
}

fn header(text: &mut String, header: std::fmt::Arguments<'_>) {
    if !text.is_empty() {
        text.push('\n');
    }
    line(text, header);
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a String takes every text");
    text.push('\n');
}
