//! Webhooks of others. A handler gets the raw bytes and the headers, and a [`Verifier`] of the sender's scheme; only what
//! it has verified is [`Verified`], and only that can be read and dealt with.
//!
//! Dealing with it once: [`Verified::accept`] notes it in the transaction in which it is dealt with. Who sends it again,
//! because our answer was lost, gets the same answer, and nothing happens.

use hyper::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use platform::Scope;
use serde::de::DeserializeOwned;
use vault::Secret;

use crate::{Tx, webhooks::sign};

/// How far the sender's clock may be from ours (Standard Webhooks).
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Why a message is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A header is missing or is not what it must be.
    #[error("the header {0} is missing or is none")]
    Header(&'static str),
    /// It is too old, or of the future: somebody repeats it, or a clock is wrong.
    #[error("the message is of {0}, too far from now")]
    Time(Timestamp),
    /// It is not signed with the secret.
    #[error("the signature does not fit")]
    Signature,
}

/// A sender whose messages are verified by Standard Webhooks.
#[derive(Clone, Debug)]
pub struct Verifier {
    source: String,
    secrets: Vec<Secret>,
}

/// A message that its sender has signed. Only a [`Verifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    source: String,
    id: String,
    at: Timestamp,
    body: Vec<u8>,
}

impl Verifier {
    /// Of this sender, with its secrets: two while one is being changed.
    pub fn new(source: impl Into<String>, secrets: Vec<Secret>) -> Self {
        Self {
            source: source.into(),
            secrets,
        }
    }

    /// Verifies the raw bytes of a body by its headers.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Verified, Refused> {
        let header = |name| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or(Refused::Header(name))
        };
        let id = header("webhook-id")?;
        if !(1..=200).contains(&id.len()) {
            return Err(Refused::Header("webhook-id"));
        }
        let seconds: i64 = header("webhook-timestamp")?
            .parse()
            .map_err(|_| Refused::Header("webhook-timestamp"))?;
        let at =
            Timestamp::from_second(seconds).map_err(|_| Refused::Header("webhook-timestamp"))?;
        if now.duration_since(at).abs() > TOLERANCE {
            return Err(Refused::Time(at));
        }
        let signatures = header("webhook-signature")?;
        if !sign::is_signed(&self.secrets, id, seconds, body, signatures) {
            return Err(Refused::Signature);
        }
        Ok(Verified {
            source: self.source.clone(),
            id: id.to_owned(),
            at,
            body: body.to_vec(),
        })
    }
}

impl Verified {
    /// The sender's id of the message, the same when it is sent again.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it was sent.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// What it says.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Notes that it is dealt with in the caller's transaction; says whether it is the first time. Who sends it twice at
    /// the same time waits here for the end of the first.
    pub async fn accept(
        &self,
        tx: &Tx,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<bool, tokio_postgres::Error> {
        let statement = tx
            .prepare_cached(include_str!("../queries/receive.sql"))
            .await?;
        let noted = tx
            .execute(
                &statement,
                &[&self.source, &self.id, &scope.organization, &now],
            )
            .await?;
        Ok(noted == 1)
    }
}
