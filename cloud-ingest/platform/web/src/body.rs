//! JSON bodies, checked field by field.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderName, header},
};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::{
    MAX_BODY,
    problem::{Code, Problem},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What was asked, as far as asking the same again has to be recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) digest: [u8; 32],
    pub(crate) key: Option<String>,
}

/// A JSON body of at most `MOST` bytes. Types should refuse unknown fields (`deny_unknown_fields`).
#[derive(Debug)]
pub struct Body<T, const MOST: usize = MAX_BODY> {
    /// What it says.
    pub value: T,
    /// For [`crate::once::begin`].
    pub asked: Asked,
}

impl<S: Send + Sync, T: DeserializeOwned, const MOST: usize> FromRequest<S> for Body<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let media = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|media| media.to_str().ok())
            .unwrap_or_default();
        if media.split(';').next().unwrap_or_default().trim() != "application/json" {
            return Err(Problem::new(
                Code::MediaTypeNotSupported,
                format!("the body must be application/json, and is `{media}`"),
            ));
        }
        let key = parts.headers.get(IDEMPOTENCY_KEY).map(|value| {
            let text = value.to_str().unwrap_or_default();
            if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
                Ok(text.to_owned())
            } else {
                let rule = "1 to 255 visible ASCII characters";
                Err(Problem::parameter("Idempotency-Key", rule, text))
            }
        });
        let bytes = Limited::new(body, MOST)
            .collect()
            .await
            .map_err(|_| Problem::new(Code::BodyTooLong, format!("at most {MOST} bytes are read")))?
            .to_bytes();
        let asked = Asked {
            method: parts.method.to_string(),
            path: parts
                .uri
                .path_and_query()
                .map_or_else(|| parts.uri.path().to_owned(), ToString::to_string),
            digest: Sha256::digest(&bytes).into(),
            key: key.transpose()?,
        };
        let value = read(&bytes)?;
        Ok(Self { value, asked })
    }
}

/// Reads a body; an error names the field, the rule and the value.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let wrong = |field: &str, rule: &str| {
        let pointer = format!("/{}", field.replace(['.', '['], "/").replace(']', ""));
        let value = serde_json::from_slice::<serde_json::Value>(bytes)
            .ok()
            .and_then(|whole| whole.pointer(&pointer).map(ToString::to_string))
            .unwrap_or_default();
        Problem::body(field, rule, &value)
    };
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        wrong(&field, &error.inner().to_string())
    })?;
    reader
        .end()
        .map_err(|error| wrong(".", &error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[serde(rename = "lines")]
        _lines: Vec<Line>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        #[serde(rename = "count")]
        _count: u8,
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(read::<Order>(br#"{"lines":[{"count":1}]}"#).is_ok());
        for (body, field, rule, value) in [
            (
                r#"{"lines":[{"count":1},{"count":300}]}"#,
                "lines[1].count",
                "invalid value: integer `300`",
                "300",
            ),
            (
                r#"{"lines":[{"count":"x"}]}"#,
                "lines[0].count",
                "invalid type: string",
                "\"x\"",
            ),
            (
                r#"{"lines":[{}]}"#,
                "lines[0]",
                "missing field `count`",
                "{}",
            ),
            (
                r#"{"lines":[],"more":1}"#,
                "more",
                "unknown field `more`",
                "1",
            ),
            (r#"{"lines":[]} {}"#, ".", "trailing characters", ""),
            ("", ".", "EOF", ""),
        ] {
            let problem =
                serde_json::to_value(read::<Order>(body.as_bytes()).unwrap_err().details())
                    .unwrap();
            assert_eq!(problem["code"], "bad_body");
            assert_eq!(problem["field"], field, "{body}");
            assert!(
                problem["rule"].as_str().unwrap().contains(rule),
                "{problem}"
            );
            assert_eq!(problem["value"], value, "{body}");
        }
    }
}
