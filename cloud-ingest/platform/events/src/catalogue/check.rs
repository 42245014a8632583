//! Whether a payload is what its definition says.

use jiff::Timestamp;
use serde_json::Value;

use super::{Definition, Field, Kind};

/// Longest text of a field, in characters.
const LONGEST: usize = 10_000;
/// Whole numbers beyond this are rounded by readers that know only doubles (RFC 8259, section 6).
const LARGEST: u64 = 1 << 53;

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event}: {field} must be {rule}, and is {value}")]
pub struct Mismatch {
    /// The event.
    pub event: String,
    /// The field.
    pub field: String,
    /// What it must be.
    pub rule: String,
    /// What it is, shortened.
    pub value: String,
}

impl Definition {
    /// Whether a payload is one of this event.
    pub fn check(&self, payload: &Value) -> Result<(), Mismatch> {
        let wrong = |field: &str, rule: String, value: &Value| Mismatch {
            event: self.name.clone(),
            field: field.to_owned(),
            rule,
            value: value.to_string().chars().take(100).collect(),
        };
        let Some(object) = payload.as_object() else {
            return Err(wrong("the payload", "an object".to_owned(), payload));
        };
        for (name, field) in &self.fields {
            match object.get(name) {
                None if field.optional => {}
                None => return Err(wrong(name, format!("there, {}", rule(field)), &Value::Null)),
                Some(value) if fits(field, value) => {}
                Some(value) => return Err(wrong(name, rule(field), value)),
            }
        }
        match object
            .iter()
            .find(|(name, _)| !self.fields.contains_key(*name))
        {
            Some((name, value)) => Err(wrong(
                name,
                "left out: the catalogue does not know it".to_owned(),
                value,
            )),
            None => Ok(()),
        }
    }
}

fn rule(field: &Field) -> String {
    match field.kind {
        Kind::Text => format!("a text of at most {LONGEST} characters"),
        Kind::Integer => "a whole number between -2^53 and 2^53".to_owned(),
        Kind::Number => "a number".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Time => "a time such as 2026-03-02T12:00:00Z".to_owned(),
        Kind::Money => "an amount such as {\"minor\": 12345, \"currency\": \"MXN\"}".to_owned(),
        Kind::Choice => format!("one of {}", field.choices.join(", ")),
    }
}

fn fits(field: &Field, value: &Value) -> bool {
    match field.kind {
        Kind::Text => value
            .as_str()
            .is_some_and(|text| text.chars().count() <= LONGEST && !text.contains('\0')),
        Kind::Integer => is_integer(value),
        Kind::Number => value.is_number(),
        Kind::Boolean => value.is_boolean(),
        Kind::Time => value
            .as_str()
            .is_some_and(|text| text.parse::<Timestamp>().is_ok()),
        Kind::Money => value.as_object().is_some_and(|money| {
            let currency = money.get("currency").and_then(Value::as_str);
            money.len() == 2
                && money.get("minor").is_some_and(is_integer)
                && currency
                    .is_some_and(|c| c.len() == 3 && c.bytes().all(|b| b.is_ascii_uppercase()))
        }),
        Kind::Choice => value
            .as_str()
            .is_some_and(|text| field.choices.iter().any(|c| c == text)),
    }
}

fn is_integer(value: &Value) -> bool {
    value
        .as_i64()
        .is_some_and(|number| number.unsigned_abs() <= LARGEST)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Catalogue;

    #[test]
    fn what_does_not_fit_is_named_with_its_rule_and_value() {
        let event = Catalogue::get().newest("payment.received").unwrap();
        let good = event.example();
        event.check(&good).unwrap();
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove("contract");
        event.check(&without).unwrap();
        for (field, value, says) in [
            ("amount", json!(12.5), "an amount"),
            (
                "amount",
                json!({"minor": 1.5, "currency": "MXN"}),
                "an amount",
            ),
            (
                "amount",
                json!({"minor": 1, "currency": "mxn"}),
                "an amount",
            ),
            (
                "amount",
                json!({"minor": 1, "currency": "MXN", "x": 1}),
                "an amount",
            ),
            ("contract", json!("88"), "a whole number"),
            ("contract", json!(1_u64 << 60), "a whole number"),
            ("contract", json!(null), "a whole number"),
            ("method", json!("cheque"), "one of card, cash, transfer"),
            ("received_at", json!("yesterday"), "a time"),
            ("payment", json!(7), "a text"),
            ("payment", json!("a\0b"), "a text"),
            ("other", json!(1), "left out"),
        ] {
            let mut wrong = good.clone();
            wrong[field] = value.clone();
            let mismatch = event.check(&wrong).unwrap_err();
            assert_eq!(mismatch.field, field);
            assert!(mismatch.rule.contains(says), "{mismatch}");
            assert_eq!(mismatch.value, value.to_string());
        }
        without.as_object_mut().unwrap().remove("amount");
        assert!(
            event
                .check(&without)
                .unwrap_err()
                .rule
                .starts_with("there, an amount")
        );
        assert!(event.check(&json!([])).is_err());
    }
}
