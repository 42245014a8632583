//! The cloud's API for depots, as a client sees it.

use std::{collections::BTreeMap, fmt, fs, path::Path, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use ureq::{
    Agent,
    http::{Response, header},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::CloudError;
use crate::document::Document;

/// Longest time that a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// An API key. It is shown nowhere.
#[derive(Clone)]
pub struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// A key as its text, or what a file says. Never an argument: other people of the machine see those.
    pub fn new(text: Option<String>, file: Option<&Path>) -> Result<Self, CloudError> {
        let (text, place) = match (file, text) {
            (Some(file), _) => {
                let text = fs::read_to_string(file);
                let text = text.map_err(|error| CloudError::file(file, error))?;
                (text, format!("in {}", file.display()))
            }
            (None, Some(text)) => (text, "in PATIO_API_KEY".to_owned()),
            (None, None) => {
                let permission = "depots.read, and depots.write for a push,";
                return Err(CloudError::NoKey { permission });
            }
        };
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CloudError::BadKey { place });
        }
        Ok(Self(text.to_owned()))
    }
}

/// A depot as the cloud has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Kept {
    /// The depot's id.
    pub id: String,
    /// Its version, from 1.
    pub version: u32,
    /// The ETag of this version.
    pub etag: String,
    /// When it was written (RFC 3339).
    pub written_at: String,
    /// Who wrote it.
    pub written_by: String,
    /// What it says.
    #[serde(flatten, deserialize_with = "document")]
    pub document: Document,
}

/// The content among other fields.
fn document<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Document, D::Error> {
    #[derive(Deserialize)]
    struct Fields {
        text: String,
        files: BTreeMap<String, String>,
    }
    let Fields { text, files } = Fields::deserialize(from)?;
    Ok(Document { text, files })
}

/// A version that was written, or was there already.
#[derive(Clone, Debug, Deserialize)]
pub struct Written {
    /// Its version, from 1.
    pub version: u32,
    /// The ETag of this version.
    pub etag: String,
    /// Whether anything changed.
    pub changed: bool,
}

/// What the cloud must have for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// No depot with this id.
    New,
    /// The version with this ETag.
    Version(String),
}

/// What came of a write.
#[derive(Clone, Debug)]
pub enum Put {
    /// The cloud has it.
    Written(Written),
    /// The cloud has another version than the basis; its own words.
    Conflict(String),
}

/// A cloud.
#[derive(Debug)]
pub struct Cloud {
    agent: Agent,
    url: String,
    key: Key,
}

impl Cloud {
    /// The cloud at `https://HOST`; `ca` has the certificates that vouch for it, where those of the Web do not.
    pub fn new(url: &str, key: Key, ca: Option<&Path>) -> Result<Self, CloudError> {
        let url = url.trim_end_matches('/').to_owned();
        let wrong = || CloudError::Url { url: url.clone() };
        let parts: ureq::http::Uri = url.parse().map_err(|_| wrong())?;
        let host = parts.host().ok_or_else(wrong)?;
        let local = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        if !(parts.scheme_str() == Some("https") || parts.scheme_str() == Some("http") && local) {
            return Err(wrong());
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca {
            tls = tls.root_certs(certificates(path)?);
        }
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("depot-config/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build();
        Ok(Self {
            agent: config.into(),
            url,
            key,
        })
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The depot with this id; `None` when there is none.
    pub fn get(&self, id: &str) -> Result<Option<Kept>, CloudError> {
        let url = format!("{}/v1/depots/{id}", self.url);
        let request = self.agent.get(&url);
        let answer = request.header(header::AUTHORIZATION, self.bearer()).call();
        let answer = Answer::of(&url, answer)?;
        match answer.0 {
            404 if answer.code() == "depot_not_found" => Ok(None),
            200 => answer.read(&url).map(Some),
            _ => Err(answer.refused(&url)),
        }
    }

    /// Writes a depot, if the cloud has what `basis` says.
    pub fn put(&self, id: &str, document: &Document, basis: &Basis) -> Result<Put, CloudError> {
        let url = format!("{}/v1/depots/{id}", self.url);
        let (condition, value) = match basis {
            Basis::New => (header::IF_NONE_MATCH, "*"),
            Basis::Version(etag) => (header::IF_MATCH, etag.as_str()),
        };
        let request = self.agent.put(&url).header(condition, value);
        let request = request.header(header::AUTHORIZATION, self.bearer());
        let answer = Answer::of(&url, request.send_json(document))?;
        match answer.0 {
            200 | 201 => answer.read(&url).map(Put::Written),
            412 => Ok(Put::Conflict(answer.detail())),
            422 if answer.code() == "depot_invalid" => Err(CloudError::Invalid(answer.detail())),
            _ => Err(answer.refused(&url)),
        }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.key.0)
    }
}

/// Status and body.
struct Answer(u16, String);

impl Answer {
    fn of(
        url: &str,
        answer: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Self, CloudError> {
        let none = |error: ureq::Error| CloudError::NoAnswer {
            url: url.to_owned(),
            reason: error.to_string(),
        };
        let mut response = answer.map_err(none)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST);
        Ok(Self(status, body.read_to_string().map_err(none)?))
    }

    fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, CloudError> {
        serde_json::from_str(&self.1).map_err(|error| CloudError::Strange {
            url: url.to_owned(),
            found: error.to_string(),
        })
    }

    fn field(&self, name: &str) -> Option<String> {
        let problem: serde_json::Value = serde_json::from_str(&self.1).ok()?;
        Some(problem.get(name)?.as_str()?.to_owned())
    }

    fn code(&self) -> String {
        self.field("code").unwrap_or_default()
    }

    fn detail(&self) -> String {
        self.field("detail").unwrap_or_default()
    }

    fn refused(&self, url: &str) -> CloudError {
        let url = url.to_owned();
        match self.field("detail") {
            Some(detail) => CloudError::Refused {
                url,
                status: self.0,
                detail,
            },
            None => CloudError::Strange {
                url,
                found: format!("status {} and no problem that Patio tells", self.0),
            },
        }
    }
}

fn certificates(path: &Path) -> Result<RootCerts, CloudError> {
    let wrong = |found: String| CloudError::Certificates {
        path: path.to_owned(),
        found,
    };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(one) = item.map_err(|error| wrong(error.to_string()))? {
            found.push(one);
        }
    }
    if found.is_empty() {
        return Err(wrong("none".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&found))
}
