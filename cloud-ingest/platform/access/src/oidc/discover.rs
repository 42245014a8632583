//! What a provider says of itself (OpenID Connect Discovery 1.0, 4), and its keys: fetched when they are needed, kept for
//! a while, and fetched again when a token names a key that is not among them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::Method;
use outbound::{Answer, CallError, Client, Request};
use serde::Deserialize;
use url::Url;

use super::keys::KeySet;

/// How long what was fetched is believed.
pub(super) const FRESH: Duration = Duration::from_hours(1);
/// A token with an unknown key makes us fetch the keys again, but not more often than this.
pub(super) const AGAIN: Duration = Duration::from_secs(10);

/// Why a provider cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// It does not answer.
    #[error("{0}")]
    Call(#[from] CallError),
    /// It answers something else.
    #[error("{what} of the provider: {reason}")]
    Answer {
        /// Asked for what.
        what: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// A provider's metadata, as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    /// Its issuer identifier.
    pub issuer: String,
    /// Where people are sent.
    pub authorization_endpoint: Url,
    /// Where a code becomes a token.
    pub token_endpoint: Url,
    /// Where its keys are.
    pub jwks_uri: Url,
    /// Where claims are that an ID token may leave out.
    pub userinfo_endpoint: Option<Url>,
    /// How we may prove who we are; `client_secret_basic` when it does not say.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether its answers carry `iss` (RFC 9207, 3).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// Metadata and keys of providers, by issuer.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<ByIssuer>);

/// Since when what is known.
type ByIssuer = HashMap<String, (Duration, Arc<Metadata>, Arc<KeySet>)>;

impl Known {
    /// What is known of an issuer; asked for when it is not known, or was learnt too long ago. `older_than` is the age at
    /// which it counts as too old.
    pub(super) async fn of(
        &self,
        client: &Client,
        issuer: &str,
        now: Duration,
        older_than: Duration,
    ) -> Result<(Arc<Metadata>, Arc<KeySet>), Unavailable> {
        if let Some((since, metadata, keys)) = self.lock().get(issuer)
            && now.saturating_sub(*since) < older_than
        {
            return Ok((Arc::clone(metadata), Arc::clone(keys)));
        }
        let metadata = Arc::new(discover(client, issuer).await?);
        let answer = get(client, "the keys", metadata.jwks_uri.clone(), None).await?;
        let keys = Arc::new(KeySet::read(&answer.body).map_err(|_| Unavailable::Answer {
            what: "the keys",
            reason: "they are no JWK Set".to_owned(),
        })?);
        let known = (now, Arc::clone(&metadata), Arc::clone(&keys));
        self.lock().insert(issuer.to_owned(), known);
        Ok((metadata, keys))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ByIssuer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn discover(client: &Client, issuer: &str) -> Result<Metadata, Unavailable> {
    let what = "the metadata";
    let wrong = |reason: String| Unavailable::Answer { what, reason };
    // Discovery 4.1: a slash at the end of the issuer is taken off first.
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let url = Url::parse(&format!("{base}/.well-known/openid-configuration"))
        .map_err(|error| wrong(error.to_string()))?;
    let answer = get(client, what, url, None).await?;
    let metadata: Metadata = serde_json::from_slice(&answer.body)
        .map_err(|error| wrong(format!("line {}: it lacks something", error.line())))?;
    // Discovery 4.3: to the letter.
    if metadata.issuer != issuer {
        return Err(wrong("it names another issuer".to_owned()));
    }
    client.check(&metadata.authorization_endpoint)?;
    Ok(metadata)
}

/// Asks for a document.
pub(super) async fn get(
    client: &Client,
    what: &'static str,
    url: Url,
    token: Option<&str>,
) -> Result<Answer, Unavailable> {
    let mut request = Request::new(Method::GET, url, "").header("accept", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", &format!("Bearer {token}"));
    }
    let answer = client.call(request).await?;
    if answer.status == 200 && !answer.cut {
        return Ok(answer);
    }
    let reason = format!("status {}, {} bytes", answer.status, answer.body.len());
    Err(Unavailable::Answer { what, reason })
}
