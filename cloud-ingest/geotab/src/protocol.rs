//! Requests and answers (Geotab's guides "Getting Started", "Data Feed", "Rate Limits" and the API reference: Authenticate,
//! GetFeed, JsonRpcError). Everything is a POST of `{method, params}` to `/apiv1`; errors mostly come with status 200.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Most records of an answer that MyGeotab gives.
pub const MOST: u32 = 50_000;

/// What feeds are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// Vehicles.
    Device,
    /// Positions.
    LogRecord,
    /// Values of diagnostics.
    StatusData,
    /// Faults.
    FaultData,
}

impl Entity {
    /// All of them; vehicles first, whom the others speak of.
    pub const ALL: [Self; 4] = [
        Self::Device,
        Self::LogRecord,
        Self::StatusData,
        Self::FaultData,
    ];

    /// Its name at MyGeotab.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "Device",
            Self::LogRecord => "LogRecord",
            Self::StatusData => "StatusData",
            Self::FaultData => "FaultData",
        }
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The credentials that every request carries.
    pub credentials: Value,
    /// The host to go on with, when it is another one.
    pub host: Option<String>,
}

/// A page of a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its records.
    pub data: Vec<Value>,
    /// The version to go on from.
    pub to_version: String,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session is over, or the password is wrong.
    #[error("MyGeotab does not accept the sign-in: {0}")]
    Session(String),
    /// Too many requests: none before this has passed, where it says so.
    #[error("MyGeotab has been asked too often")]
    OverLimit(Option<Duration>),
    /// It cannot answer now, or says what this program does not know.
    #[error("MyGeotab: {0}")]
    Other(String),
    /// The answer is none.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

/// The request that signs in.
pub fn authenticate(database: &str, user: &str, password: &str) -> Value {
    json!({"method": "Authenticate", "params": {"database": database, "userName": user, "password": password}})
}

/// The request for a page. Without a version the feed begins at a time.
pub fn get_feed(
    entity: Entity,
    version: &str,
    since: Timestamp,
    limit: u32,
    session: &Session,
) -> Value {
    let mut params = json!({
        "typeName": entity.name(),
        "resultsLimit": limit.min(MOST),
        "credentials": session.credentials,
    });
    if !version.is_empty() {
        params["fromVersion"] = version.into();
    } else if entity != Entity::Device {
        params["search"] = json!({"fromDate": since.to_string()});
    }
    json!({"method": "GetFeed", "params": params})
}

#[derive(Deserialize)]
struct Envelope {
    result: Option<Value>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    errors: Vec<Single>,
}

#[derive(Deserialize)]
struct Single {
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
}

/// The result of an answer. `wait` is its `Retry-After`.
pub fn result(status: u16, wait: Option<Duration>, body: &[u8]) -> Result<Value, Refusal> {
    let envelope = match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => envelope,
        Err(_) if status == 429 => return Err(Refusal::OverLimit(wait)),
        Err(_) if !(200..300).contains(&status) => {
            return Err(Refusal::Other(format!("status {status}")));
        }
        Err(error) => return Err(Refusal::Unreadable(error.to_string())),
    };
    if let Some(fault) = envelope.error {
        let (name, message) = match fault.errors.into_iter().next() {
            Some(single) => (single.name, single.message),
            None => (fault.name, fault.message),
        };
        let message: String = message.chars().take(300).collect();
        return Err(match name.as_str() {
            "InvalidUserException" => Refusal::Session(message),
            "OverLimitException" => Refusal::OverLimit(wait),
            _ => Refusal::Other(format!("{name}: {message}")),
        });
    }
    match envelope.result {
        Some(result) if (200..300).contains(&status) => Ok(result),
        _ if status == 429 => Err(Refusal::OverLimit(wait)),
        _ => Err(Refusal::Other(format!(
            "status {status}, and neither result nor error"
        ))),
    }
}

/// The session that `Authenticate` gives.
pub fn session(result: &Value) -> Result<Session, Refusal> {
    let unreadable = |what: &str| Refusal::Unreadable(format!("Authenticate gives no {what}"));
    let credentials = &result["credentials"];
    if !credentials["sessionId"].is_string() {
        return Err(unreadable("session"));
    }
    let path = result["path"].as_str().ok_or_else(|| unreadable("path"))?;
    Ok(Session {
        credentials: credentials.clone(),
        host: (path != "ThisServer" && !path.is_empty()).then(|| path.to_owned()),
    })
}

/// The page that `GetFeed` gives.
pub fn page(result: Value) -> Result<Page, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Feed {
        data: Vec<Value>,
        to_version: String,
    }
    let feed: Feed =
        serde_json::from_value(result).map_err(|error| Refusal::Unreadable(error.to_string()))?;
    if feed.to_version.is_empty() || feed.to_version.len() > 100 {
        return Err(Refusal::Unreadable(
            "GetFeed gives no version to go on from".to_owned(),
        ));
    }
    Ok(Page {
        data: feed.data,
        to_version: feed.to_version,
    })
}

/// Whether credentials for one host may be sent to another that an answer names: one of the same domain.
pub fn may_follow(from: &str, to: &str) -> bool {
    let plain = |host: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
        (1..=253).contains(&host.len()) && host.bytes().all(fits)
    };
    let name = |host: &str| host.split(':').next().unwrap_or_default().to_owned();
    let (from, to_name) = (name(from), name(to));
    let is_address = |host: &str| host.parse::<std::net::IpAddr>().is_ok();
    let domain = |host: &str| {
        let labels: Vec<&str> = host.rsplit('.').take(2).collect();
        labels.join(".").to_ascii_lowercase()
    };
    plain(to)
        && if is_address(&from) || is_address(&to_name) {
            from == to_name
        } else {
            to_name.contains('.') && domain(&from) == domain(&to_name)
        }
}

/// How long to wait, as the headers of an answer say it: `Retry-After` in seconds, else the instant of `X-Rate-Limit-Reset` (the
/// rate limits' page of the developers' guide); an hour at most, whatever they say.
pub fn told_to_wait(
    retry_after: Option<&str>,
    reset: Option<&str>,
    now: Timestamp,
) -> Option<Duration> {
    let seconds = || retry_after?.trim().parse::<u64>().ok();
    let until = || {
        let reset: Timestamp = reset?.trim().parse().ok()?;
        // One that has passed is no reason to wait.
        Some(Duration::try_from(reset.duration_since(now)).unwrap_or_default())
    };
    let wait = seconds().map(Duration::from_secs).or_else(until)?;
    Some(wait.min(Duration::from_hours(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let error = |name: &str| {
            format!(r#"{{"error":{{"errors":[{{"name":"{name}","message":"no"}}]}}}}"#)
        };
        let wait = Some(Duration::from_secs(7));
        for (status, body, expected) in [
            (
                200,
                error("InvalidUserException"),
                Refusal::Session("no".to_owned()),
            ),
            (200, error("OverLimitException"), Refusal::OverLimit(wait)),
            (429, String::new(), Refusal::OverLimit(wait)),
            (
                200,
                error("DbUnavailableException"),
                Refusal::Other("DbUnavailableException: no".to_owned()),
            ),
            (
                503,
                "<html>".to_owned(),
                Refusal::Other("status 503".to_owned()),
            ),
            (
                200,
                "{}".to_owned(),
                Refusal::Other("status 200, and neither result nor error".to_owned()),
            ),
        ] {
            assert_eq!(
                result(status, wait, body.as_bytes()),
                Err(expected),
                "{body}"
            );
        }
        assert!(matches!(
            result(200, None, br#"{"result":{"data":[{"#),
            Err(Refusal::Unreadable(_))
        ));
        assert_eq!(result(200, None, br#"{"result":3}"#), Ok(json!(3)));
    }

    #[test]
    fn a_wait_is_told_in_seconds_or_by_its_end() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (retry_after, reset, seconds) in [
            (Some("58"), None, Some(58)),
            (Some(" 0 "), Some("2026-01-01T00:00:30Z"), Some(0)),
            (None, Some("2026-01-01T00:00:30.0000000Z"), Some(30)),
            (Some("soon"), Some("2026-01-01T00:00:07Z"), Some(7)),
            (None, Some("2025-12-31T00:00:00Z"), Some(0)),
            (Some("99999999"), None, Some(3600)),
            (None, Some("2027-01-01T00:00:00Z"), Some(3600)),
            (None, Some("tomorrow"), None),
            (None, None, None),
        ] {
            assert_eq!(
                told_to_wait(retry_after, reset, now),
                seconds.map(Duration::from_secs),
                "{retry_after:?} {reset:?}"
            );
        }
    }

    #[test]
    fn credentials_stay_in_their_domain() {
        for (to, may) in [
            ("my3.geotab.com", true),
            ("MY3.GEOTAB.COM", true),
            ("geotab.com.evil.example", false),
            ("evil.example", false),
            ("my.geotab.com@evil.example", false),
            ("my.geotab.com/x", false),
            ("127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(may_follow("my.geotab.com", to), may, "{to}");
        }
        assert!(may_follow("127.0.0.1:80", "127.0.0.1:81"));
    }

    #[test]
    fn a_feed_begins_at_a_time_and_goes_on_from_a_version() {
        let session = Session {
            credentials: json!({"sessionId": "s"}),
            host: None,
        };
        let ask = |version: &str| {
            get_feed(
                Entity::LogRecord,
                version,
                Timestamp::UNIX_EPOCH,
                90_000,
                &session,
            )
        };
        assert_eq!(
            ask("")["params"]["search"]["fromDate"],
            "1970-01-01T00:00:00Z"
        );
        let next = ask("000a");
        assert_eq!(next["params"]["fromVersion"], "000a");
        assert_eq!(next["params"]["resultsLimit"], 50_000);
        assert_eq!(next["params"]["search"], Value::Null);
    }
}
