//! JSON bodies, checked field by field, and bodies of other types.

use axum::{
    body::{Bytes, HttpBody as _},
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::{
    MAX_BODY,
    problem::{Code, Problem},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

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
        let media = media_type(request.headers());
        if media != "application/json" {
            return Err(Problem::new(
                Code::MediaTypeNotSupported,
                format!("the body must be application/json, and is `{media}`"),
            ));
        }
        let content = Content::read(request, MOST).await?;
        let value = read(&content.bytes)?;
        Ok(Self {
            value,
            asked: content.asked,
        })
    }
}

/// A body of any type.
#[derive(Debug)]
pub struct Content {
    /// Its bytes.
    pub bytes: Bytes,
    /// What it is, without parameters; empty when the request does not say.
    pub media_type: String,
    /// For [`crate::once::begin`].
    pub asked: Asked,
}

impl Content {
    /// Reads a body of at most so many bytes. When the request has a `Content-Digest` (RFC 9530) with SHA-256, the bytes
    /// must fit it.
    pub async fn read(request: Request, longest: usize) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let key = parts.headers.get(IDEMPOTENCY_KEY).map(|value| {
            let text = value.to_str().unwrap_or_default();
            if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
                Ok(text.to_owned())
            } else {
                let rule = "1 to 255 visible ASCII characters";
                Err(Problem::parameter("Idempotency-Key", rule, text))
            }
        });
        let key = key.transpose()?;
        let announced = announced(&parts.headers)?;
        let too_long = || {
            Problem::new(
                Code::BodyTooLong,
                format!("at most {longest} bytes are read"),
            )
        };
        let hint = body.size_hint().lower();
        if hint > longest as u64 {
            return Err(too_long());
        }
        let bytes = Limited::new(body, longest)
            .collect()
            .await
            .map_err(|_| too_long())?
            .to_bytes();
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if announced.is_some_and(|announced| announced != digest) {
            return Err(Problem::new(
                Code::ChecksumMismatch,
                "the content does not have the SHA-256 of Content-Digest; nothing was kept",
            ));
        }
        let asked = Asked {
            method: parts.method.to_string(),
            path: parts
                .uri
                .path_and_query()
                .map_or_else(|| parts.uri.path().to_owned(), ToString::to_string),
            digest,
            key,
        };
        Ok(Self {
            bytes,
            media_type: media_type(&parts.headers),
            asked,
        })
    }
}

/// The type of a body, without parameters, in small letters.
fn media_type(headers: &HeaderMap) -> String {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|media| media.to_str().ok())
        .unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

/// The SHA-256 of `Content-Digest: sha-256=:…:`; digests by other algorithms may stand beside it.
fn announced(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    let Some(value) = headers.get(CONTENT_DIGEST) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let ours = text
        .split(',')
        .find_map(|one| one.trim().strip_prefix("sha-256="));
    ours.and_then(|ours| ours.strip_prefix(':'))
        .and_then(|rest| rest.strip_suffix(':'))
        .and_then(|base64| BASE64_STANDARD.decode(base64).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .map(Some)
        .ok_or_else(|| {
            let rule = "sha-256=:…: with the Base64 of 32 bytes between the colons";
            Problem::parameter("Content-Digest", rule, text)
        })
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
