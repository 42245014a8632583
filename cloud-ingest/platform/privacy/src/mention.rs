//! Names in what people write: finding somebody by what they are known by, and taking it out.

use std::fmt::Write as _;

/// What stands where a name stood. Not longer than any name, so that a column's limit holds.
pub const INSTEAD: &str = "***";

/// A pattern (PostgreSQL's regular expressions, case-insensitive) that finds somebody in a text by any of these: an
/// address, a full name, a phone number however it is grouped. What is too short to mean one person alone, such as a
/// first name, is not looked for. `None`: there is nothing to look for. With `json` the text is JSON.
pub fn pattern(known_by: &[String], json: bool) -> Option<String> {
    let mut each: Vec<String> = known_by
        .iter()
        .filter_map(|text| one(text.trim(), json))
        .collect();
    each.sort();
    each.dedup();
    if each.is_empty() {
        return None;
    }
    // A letter or digit may be the end of an escape, of JSON or of a URL, which is none of the text.
    let before = if json {
        r"(?:(?<![[:alnum:]])|(?<=%[[:xdigit:]]{2})|(?<=\\[nrtbf]))"
    } else {
        "(?:(?<![[:alnum:]])|(?<=%[[:xdigit:]]{2}))"
    };
    Some(format!("{before}(?:{})(?![[:alnum:]])", each.join("|")))
}

fn one(text: &str, json: bool) -> Option<String> {
    if text.contains('@') {
        return Some(escape(text, json));
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if text
        .chars()
        .all(|c| c.is_ascii_digit() || "+ ().-".contains(c))
    {
        // With the country's code or without it: ten digits are a number of Mexico (NOM, E.164).
        let own = digits.get(digits.len().saturating_sub(10)..)?;
        let code = &digits[..digits.len() - own.len()];
        let grouped = |digits: &str| {
            let each: Vec<String> = digits.chars().map(String::from).collect();
            each.join("[ ().-]*")
        };
        let code = if code.is_empty() {
            String::new()
        } else {
            format!(r"(?:\+?[ ]*{}[ ().-]*)?", grouped(code))
        };
        return (own.len() >= 7).then(|| format!(r"{code}\(?{}", grouped(own)));
    }
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| escape(word, json))
        .collect();
    (words.len() >= 2).then(|| words.join(r"(?:[[:space:]]|\+|%20)+"))
}

fn escape(text: &str, json: bool) -> String {
    let text = if json {
        text.replace('\\', "\\\\").replace('"', "\\\"")
    } else {
        text.to_owned()
    };
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            escaped.push(c);
            continue;
        }
        // As it is, and as URLs have it. Writing to a string does not fail.
        let plain = if c.is_ascii() { "\\" } else { "" };
        let _ = write!(escaped, "(?:{plain}{c}|");
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped.push(')');
    }
    escaped
}

/// How a column holds text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Text,
    Texts,
    Json,
    /// JSON as bytes of UTF-8.
    Bytes,
}

impl Sort {
    /// By the name of its type.
    pub(crate) fn of(kind: &str) -> Option<Self> {
        match kind {
            "text" | "character varying" | "name" => Some(Self::Text),
            "text[]" => Some(Self::Texts),
            "jsonb" | "json" => Some(Self::Json),
            "bytea" => Some(Self::Bytes),
            _ => None,
        }
    }

    /// Whether its text has JSON's escapes.
    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Bytes)
    }

    /// Its content as one text.
    pub(crate) fn read(self, column: &str) -> String {
        match self {
            Self::Text | Self::Json => format!("t.{column}::text"),
            Self::Bytes => format!("convert_from(t.{column}, 'UTF8')"),
            Self::Texts => format!("array_to_string(t.{column}, E'\\n')"),
        }
    }

    /// Its content without what the pattern in this parameter finds.
    pub(crate) fn without(self, column: &str, kind: &str, pattern: &str) -> String {
        let replace = |from: &str| format!("regexp_replace({from}, {pattern}, '{INSTEAD}', 'gi')");
        match self {
            Self::Text => replace(&format!("t.{column}")),
            Self::Texts => format!(
                "ARRAY(SELECT {} FROM unnest(t.{column}) AS x)",
                replace("x")
            ),
            Self::Bytes => {
                let text = replace(&format!("convert_from(t.{column}, 'UTF8')"));
                format!("convert_to({text}, 'UTF8')")
            }
            Self::Json => format!("{}::{kind}", replace(&format!("t.{column}::text"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_one_person_is_looked_for() {
        let of = |text: &str| pattern(&[text.to_owned()], false);
        let address = of("ana@example.com").unwrap();
        assert!(
            address.contains(r"ana(?:\@|%40)example(?:\.|%2E)com"),
            "{address}"
        );
        let name = of("Ana Pérez").unwrap();
        assert!(
            name.contains(r"Ana(?:[[:space:]]|\+|%20)+P(?:é|%C3%A9)rez"),
            "{name}"
        );
        assert!(of("+52 55 1234 5678").unwrap().contains(r"5[ ().-]*5"));
        for short in ["Ana", "", "12", "+52"] {
            assert_eq!(of(short), None, "{short}");
        }
        assert_eq!(pattern(&[], true), None);
        let quoted = pattern(&["Ana \"La\" Paz".to_owned()], true).unwrap();
        assert!(quoted.contains(r#"(?:\"|%22)La"#), "{quoted}");
    }
}
