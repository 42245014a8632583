//! Which version a writer has read (RFC 9110, 13.1).

use axum::http::{HeaderMap, header};
use web::{Code, Problem};

/// What must hold for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There is no depot with this id.
    New,
    /// The version with this ETag is the one that holds.
    Version(String),
}

/// The ETag of a version.
pub(crate) fn etag(version: i32, digest: &[u8]) -> String {
    let digest = hex::encode(digest);
    format!("\"{version}-{}\"", digest.get(..16).unwrap_or(&digest))
}

/// The condition of a request.
pub(crate) fn of(headers: &HeaderMap) -> Result<Condition, Problem> {
    let text = |name| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        // One header with a list or several: the same, and both more than one.
        let more = values.next().is_some();
        Some(
            if more {
                ""
            } else {
                first.to_str().unwrap_or("")
            }
            .trim(),
        )
    };
    let rule = "the one ETag that reading gave; `*` would replace what nobody has read";
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, Some("*")) => Ok(Condition::New),
        (None, Some(other)) => Err(Problem::parameter("If-None-Match", "*", other)),
        (Some(tag), None) => {
            let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            match inner.filter(|inner| !inner.contains('"')) {
                Some(_) => Ok(Condition::Version(tag.to_owned())),
                None => Err(Problem::parameter("If-Match", rule, tag)),
            }
        }
        (Some(tag), Some(_)) => {
            let rule = "alone: a depot is new, or replaces a version";
            Err(Problem::parameter("If-Match", rule, tag))
        }
        (None, None) => Err(Problem::new(
            Code::PreconditionRequired,
            "say with If-Match which version is to be replaced, or with If-None-Match: * that there is none",
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn said(headers: &[(HeaderName, &str)]) -> Result<Condition, String> {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, value.parse().expect("a header")));
        let headers: HeaderMap = headers.collect();
        of(&headers).map_err(|problem| {
            let problem = serde_json::to_value(problem.details()).expect("it is JSON");
            problem["code"].as_str().unwrap_or_default().to_owned()
        })
    }

    #[test]
    fn one_version_or_none() {
        let (is, none) = (header::IF_MATCH, header::IF_NONE_MATCH);
        assert_eq!(said(&[(none.clone(), "*")]), Ok(Condition::New));
        assert_eq!(
            said(&[(is.clone(), "\"1-a\"")]),
            Ok(Condition::Version("\"1-a\"".to_owned()))
        );
        assert_eq!(said(&[]), Err("precondition_required".to_owned()));
        for headers in [
            vec![(is.clone(), "*")],
            vec![(is.clone(), "1-a")],
            vec![(is.clone(), "W/\"1-a\"")],
            vec![(is.clone(), "\"1-a\", \"2-b\"")],
            vec![(none.clone(), "\"1-a\"")],
            vec![(is, "\"1-a\""), (none, "*")],
        ] {
            assert_eq!(
                said(&headers),
                Err("bad_parameter".to_owned()),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn an_etag_has_number_and_content() {
        assert_eq!(etag(3, &[0xab; 32]), "\"3-abababababababab\"");
    }
}
