//! JSON Schema (draft 2020-12) from a schema, for editors that complete and check TOML while it is typed.

use serde_json::{Map, Value, json};

use crate::{
    Key, Kind, Presence, Schema,
    amount::{DATA, TIME},
};

/// The JSON Schema of a file.
pub fn json_schema(schema: &'static Schema) -> Value {
    let mut schema_object = object(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": schema.name,
        "description": schema.about,
    }));
    schema_object.extend(table(schema));
    Value::Object(schema_object)
}

fn table(schema: &'static Schema) -> Map<String, Value> {
    let properties: Map<_, _> = schema
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<_> = schema
        .keys
        .iter()
        .filter(|key| key.presence == Presence::Required)
        .map(|key| key.name)
        .collect();
    object(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

fn property(key: &Key) -> Value {
    let mut property = object(kind(&key.kind));
    let unit = if key.unit.is_empty() {
        String::new()
    } else {
        format!(" Unit: {}.", key.unit)
    };
    property.insert(
        "description".to_owned(),
        json!(format!("{}{unit}", key.about)),
    );
    if matches!(key.kind, Kind::Tables(_)) && key.presence == Presence::Required {
        property.insert("minItems".to_owned(), json!(1));
    }
    if let Presence::Default(default) = key.presence
        && let Some(default) = toml_to_json(default)
    {
        property.insert("default".to_owned(), default);
    }
    if let Some(example) = toml_to_json(key.example) {
        property.insert("examples".to_owned(), json!([example]));
    }
    Value::Object(property)
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::Integer { min, max } => {
            let mut integer = object(json!({ "type": "integer" }));
            if *min != i64::MIN {
                integer.insert("minimum".to_owned(), json!(min));
            }
            if *max != i64::MAX {
                integer.insert("maximum".to_owned(), json!(max));
            }
            Value::Object(integer)
        }
        Kind::Number { min, max } => {
            let mut number = object(json!({ "type": "number" }));
            if *min > f64::MIN {
                number.insert("minimum".to_owned(), json!(min));
            }
            if *max < f64::MAX {
                number.insert("maximum".to_owned(), json!(max));
            }
            Value::Object(number)
        }
        Kind::Decimal => json!({
            "anyOf": [
                { "type": "number" },
                { "type": "string", "pattern": "^[-+]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][-+]?[0-9]+)?$" },
            ],
        }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::Duration { .. } => json!({ "type": "string", "pattern": pattern(&TIME) }),
        Kind::Bytes { .. } => json!({ "type": "string", "pattern": pattern(&DATA) }),
        Kind::Syntax(_) => json!({ "type": "string" }),
        Kind::AnyOf(kinds) => json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>() }),
        Kind::List { of, min, max } => {
            let mut list =
                object(json!({ "type": "array", "items": self::kind(of), "minItems": min }));
            if *max != usize::MAX {
                list.insert("maxItems".to_owned(), json!(max));
            }
            Value::Object(list)
        }
        Kind::Map(of) => json!({ "type": "object", "additionalProperties": self::kind(of) }),
        Kind::Table(schema) => Value::Object(table(schema)),
        Kind::Tables(schema) => json!({ "type": "array", "items": Value::Object(table(schema)) }),
    }
}

fn pattern(units: &[(&str, u64)]) -> String {
    let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
    format!("^[0-9]+ ?({})$", names.join("|"))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// A value as TOML writes it, as JSON; none for a date, which JSON does not have.
fn toml_to_json(text: &str) -> Option<Value> {
    let value: toml::Value = format!("v = {text}")
        .parse::<toml::Table>()
        .ok()?
        .remove("v")?;
    serde_json::to_value(value).ok()
}
