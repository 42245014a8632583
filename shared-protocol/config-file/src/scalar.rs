//! One value that holds no others: whether it is of its kind, and how it is quoted.

use toml::de::DeValue;

use crate::{
    Kind,
    amount::{parse_bytes, parse_duration},
    fault::clip,
    names::nearest,
};

/// Whether a value that holds no others is of this kind; the error is the hint, which may be empty.
pub(crate) fn scalar(kind: &Kind, value: &DeValue<'_>) -> Result<(), String> {
    let holds = |holds: bool| if holds { Ok(()) } else { Err(String::new()) };
    match (kind, value) {
        (Kind::Text | Kind::Path, DeValue::String(text)) if text.is_empty() => {
            Err("it must not be empty".to_owned())
        }
        (Kind::Text | Kind::Path, DeValue::String(text)) if text.chars().any(char::is_control) => {
            Err("it must not have line breaks or other control characters".to_owned())
        }
        (Kind::Syntax(syntax), DeValue::String(text)) => (syntax.check)(text),
        (Kind::AnyOf(kinds), value) => {
            let mut hints = Vec::new();
            for kind in *kinds {
                match scalar(kind, value) {
                    Ok(()) => return Ok(()),
                    Err(hint) => hints.push(hint),
                }
            }
            // A hint of one kind may contradict that of another.
            hints.retain(|hint| !hint.is_empty());
            Err(if hints.len() == 1 {
                hints.swap_remove(0)
            } else {
                String::new()
            })
        }
        (Kind::Integer { min, max }, DeValue::Integer(integer)) => {
            let integer = i64::from_str_radix(integer.as_str(), integer.radix());
            holds(integer.is_ok_and(|integer| (*min..=*max).contains(&integer)))
        }
        (Kind::Number { min, max }, DeValue::Integer(integer)) => {
            let integer = i64::from_str_radix(integer.as_str(), integer.radix());
            holds(integer.is_ok_and(|integer| (*min..=*max).contains(&(integer as f64))))
        }
        (Kind::Number { min, max }, DeValue::Float(float)) => {
            let float = float.as_str().parse::<f64>();
            holds(float.is_ok_and(|float| (*min..=*max).contains(&float)))
        }
        (Kind::Integer { .. } | Kind::Number { .. }, DeValue::String(text))
            if text.parse::<f64>().is_ok() =>
        {
            Err("write it without quotes".to_owned())
        }
        (Kind::Decimal, DeValue::String(text)) => holds(is_decimal(text)),
        (Kind::Decimal, DeValue::Integer(integer)) => {
            holds(integer.radix() == 10 && is_decimal(integer.as_str()))
        }
        (Kind::Decimal, DeValue::Float(float)) => holds(is_decimal(float.as_str())),
        (Kind::Text | Kind::Path, DeValue::String(_)) | (Kind::Bool, DeValue::Boolean(_)) => Ok(()),
        (Kind::Bool, DeValue::String(text)) if matches!(&**text, "true" | "false") => {
            Err("write it without quotes".to_owned())
        }
        (Kind::Choice(choices), DeValue::String(text)) => {
            if choices.contains(&&**text) {
                return Ok(());
            }
            Err(nearest(text, choices)
                .map_or(String::new(), |near| format!("did you mean \"{near}\"?")))
        }
        (Kind::Duration { min, max }, DeValue::String(text)) => {
            parse_duration(text).and_then(|time| holds((*min..=*max).contains(&time)))
        }
        (Kind::Bytes { min, max }, DeValue::String(text)) => {
            parse_bytes(text).and_then(|bytes| holds((*min..=*max).contains(&bytes)))
        }
        (Kind::Duration { .. }, DeValue::Integer(integer)) => Err(format!(
            "write it with its unit and in quotes, such as \"{integer}s\""
        )),
        (Kind::Bytes { .. }, DeValue::Integer(_)) => {
            Err("write it with its unit and in quotes, such as \"512MiB\"".to_owned())
        }
        (
            Kind::Text | Kind::Path | Kind::Syntax(_) | Kind::Choice(_),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_),
        ) => Err("write it in quotes".to_owned()),
        (Kind::List { .. }, _) => Err("write it in brackets, [ … ]".to_owned()),
        _ => Err(String::new()),
    }
}

/// A plain finite number of at most 18 digits. What else its type asks for, the type says when it is read.
fn is_decimal(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.bytes().filter(u8::is_ascii_digit).count() <= 18
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// What stands in the file, to be put after the word *found*.
pub(crate) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", clip(text)),
        DeValue::Integer(integer) => clip(&integer.to_string()),
        DeValue::Float(float) => clip(float.as_str()),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(datetime) => format!("the date or time {datetime}"),
        DeValue::Array(array) => found_list(array.len()),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

pub(crate) fn found_list(length: usize) -> String {
    match length {
        0 => "an empty list".to_owned(),
        1 => "a list of 1 value".to_owned(),
        length => format!("a list of {length} values"),
    }
}
