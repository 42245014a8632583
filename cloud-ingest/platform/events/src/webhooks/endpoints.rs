//! Where events go: endpoints of an organisation, their secrets, and what was delivered to them.

use jiff::{SignedDuration, Timestamp};
use outbound::{CallError, Client};
use platform::Scope;
use serde::Serialize;
use tokio_postgres::Row;
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;
use vault::{Column, Ring, Secret, VaultError};

use super::{deliver::Deliver, sign};
use crate::{Tx, catalogue::Catalogue};

/// How long the secret before signs beside the new one.
pub const BOTH: SignedDuration = SignedDuration::from_hours(24);
/// Where secrets are sealed; for rotations of the key ring, too.
pub const SECRETS: [Column; 2] = [
    Column {
        table: "events.endpoint",
        column: "secret",
        row: "id",
    },
    Column {
        table: "events.endpoint",
        column: "old_secret",
        row: "id",
    },
];

/// Why an endpoint is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// A value is not what it must be.
    #[error("{field} must be {rule}, and is `{value}`")]
    Field {
        /// Which.
        field: &'static str,
        /// What it must be.
        rule: String,
        /// What it is, shortened.
        value: String,
    },
    /// There is no such endpoint, or it is somebody else's.
    #[error("there is no endpoint {0}")]
    Missing(i64),
    /// The secret cannot be kept.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database failed.
    #[error("{}", platform::failure::in_words(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// An endpoint, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Endpoint {
    /// Its number.
    pub id: i64,
    /// Where events are posted to.
    pub url: String,
    /// What it is for.
    pub description: String,
    /// The events that it gets.
    pub names: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when every delivery has failed.
    pub failing_since: Option<Timestamp>,
    /// Since when nothing is delivered to it.
    pub disabled_at: Option<Timestamp>,
    /// Why.
    pub disabled_reason: Option<String>,
}

/// An event that an endpoint is to get, or got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// Position of the event.
    pub position: i64,
    /// Id of the event: `webhook-id`.
    #[schema(value_type = String)]
    pub event: Uuid,
    /// What happened.
    pub name: String,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was decided.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: i32,
    /// Status of the answer.
    pub status: Option<i32>,
    /// Why there was none.
    pub error: Option<String>,
    /// How the answer begins.
    pub answer: Option<String>,
}

/// Which deliveries are to be made again.
#[derive(Clone, Copy, Debug)]
pub enum Again<'a> {
    /// These, whatever became of them.
    These(&'a [i64]),
    /// All that failed since.
    FailedSince(Timestamp),
}

/// Manages endpoints, in transactions of their organisation.
#[derive(Clone, Debug)]
pub struct Endpoints {
    ring: Ring,
    client: Client,
}

impl Endpoints {
    /// With the ring that seals secrets and the client that will send.
    pub const fn new(ring: Ring, client: Client) -> Self {
        Self { ring, client }
    }

    /// Makes an endpoint for these events. The secret is shown now and never again.
    pub async fn add(
        &self,
        tx: &Tx,
        scope: &Scope,
        url: &str,
        names: &[&str],
        description: &str,
        now: Timestamp,
    ) -> Result<(i64, String), EndpointError> {
        let url = self.check_url(url)?;
        check(names, description)?;
        let statement = tx
            .prepare_cached(include_str!("../../queries/add_endpoint.sql"))
            .await?;
        let row = tx
            .query_one(
                &statement,
                &[
                    &scope.organization,
                    &url.as_str(),
                    &description,
                    &names,
                    &now,
                ],
            )
            .await?;
        let id: i64 = row.get(0);
        let secret = sign::new_secret()?;
        self.keep(tx, id, &secret, None).await?;
        Ok((id, sign::show(&secret)))
    }

    /// Gives an endpoint a new secret, which is shown now and never again; for [`BOTH`] the one before signs, too.
    pub async fn rotate(&self, tx: &Tx, id: i64, now: Timestamp) -> Result<String, EndpointError> {
        let row = tx
            .query_opt(include_str!("../../queries/lock_endpoint.sql"), &[&id])
            .await?
            .ok_or(EndpointError::Missing(id))?;
        let sealed: Option<Vec<u8>> = row.get(0);
        let old = match sealed {
            Some(sealed) => Some(self.ring.open(SECRETS[0], id, &sealed)?),
            None => None,
        };
        let secret = sign::new_secret()?;
        let until = now.saturating_add(BOTH).unwrap_or(Timestamp::MAX);
        self.keep(tx, id, &secret, old.map(|old| (old, until)))
            .await?;
        Ok(sign::show(&secret))
    }

    async fn keep(
        &self,
        tx: &Tx,
        id: i64,
        secret: &Secret,
        old: Option<(Secret, Timestamp)>,
    ) -> Result<(), EndpointError> {
        let sealed = self.ring.seal(SECRETS[0], id, secret)?;
        let (old, until) = match old {
            Some((old, until)) => (Some(self.ring.seal(SECRETS[1], id, &old)?), Some(until)),
            None => (None, None),
        };
        tx.execute(
            include_str!("../../queries/set_secrets.sql"),
            &[&id, &sealed, &old, &until],
        )
        .await?;
        Ok(())
    }

    fn check_url(&self, text: &str) -> Result<Url, EndpointError> {
        let wrong = |rule: String| EndpointError::Field {
            field: "url",
            rule,
            value: text.chars().take(100).collect(),
        };
        if text.len() > 2000 {
            return Err(wrong("at most 2000 bytes long".to_owned()));
        }
        let url: Url = text
            .parse()
            .map_err(|error| wrong(format!("a URL ({error})")))?;
        match self.client.check(&url) {
            Ok(()) => Ok(url),
            Err(CallError::Url(reason)) => {
                Err(wrong(format!("a URL that can be called: {reason}")))
            }
            Err(error) => Err(wrong(format!("a URL of the public Internet ({error})"))),
        }
    }
}

fn check(names: &[&str], description: &str) -> Result<(), EndpointError> {
    let wrong = |field, rule: &str, value: &str| EndpointError::Field {
        field,
        rule: rule.to_owned(),
        value: value.chars().take(100).collect(),
    };
    if description.chars().count() > 500 || description.contains('\0') {
        return Err(wrong("description", "at most 500 characters", description));
    }
    if names.is_empty() {
        return Err(wrong("names", "at least one event", ""));
    }
    let unknown = |name: &&&str| Catalogue::get().newest(name).is_none();
    match names.iter().find(unknown) {
        Some(name) => Err(wrong("names", "events of the catalogue", name)),
        None => Ok(()),
    }
}

/// The endpoints of the organisation by number, from the one after `after` on.
pub async fn list(tx: &Tx, after: Option<i64>, limit: u32) -> Result<Vec<Endpoint>, EndpointError> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/endpoints.sql"))
        .await?;
    let rows = tx
        .query(&statement, &[&after.unwrap_or(0), &i64::from(limit)])
        .await?;
    Ok(rows.iter().map(endpoint).collect())
}

/// One of them.
pub async fn get(tx: &Tx, id: i64) -> Result<Endpoint, EndpointError> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/endpoint.sql"))
        .await?;
    let row = tx.query_opt(&statement, &[&id]).await?;
    row.as_ref().map(endpoint).ok_or(EndpointError::Missing(id))
}

fn endpoint(row: &Row) -> Endpoint {
    Endpoint {
        id: row.get("id"),
        url: row.get("url"),
        description: row.get("description"),
        names: row.get("names"),
        created_at: row.get("created_at"),
        failing_since: row.get("failing_since"),
        disabled_at: row.get("disabled_at"),
        disabled_reason: row.get("disabled_reason"),
    }
}

/// Removes an endpoint with its deliveries.
pub async fn remove(tx: &Tx, id: i64) -> Result<(), EndpointError> {
    one(tx, include_str!("../../queries/remove_endpoint.sql"), id).await
}

/// Puts an endpoint that was disabled back to use. What it missed is not delivered by itself: see [`replay`].
pub async fn enable(tx: &Tx, id: i64) -> Result<(), EndpointError> {
    one(tx, include_str!("../../queries/enable_endpoint.sql"), id).await
}

async fn one(tx: &Tx, sql: &str, id: i64) -> Result<(), EndpointError> {
    match tx.execute(sql, &[&id]).await? {
        0 => Err(EndpointError::Missing(id)),
        _ => Ok(()),
    }
}

/// The deliveries of an endpoint, the newest first, before a number or from the last on, in one state or all.
pub async fn deliveries(
    tx: &Tx,
    endpoint: i64,
    before: Option<i64>,
    state: Option<&str>,
    limit: u32,
) -> Result<Vec<Delivery>, EndpointError> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/deliveries.sql"))
        .await?;
    let rows = tx
        .query(&statement, &[&endpoint, &before, &state, &i64::from(limit)])
        .await?;
    Ok(rows
        .iter()
        .map(|row| Delivery {
            id: row.get("id"),
            position: row.get("position"),
            event: row.get("event_id"),
            name: row.get("name"),
            state: row.get("state"),
            attempts: row.get("attempts"),
            created_at: row.get("created_at"),
            ended_at: row.get("ended_at"),
        })
        .collect())
}

/// The attempts of a delivery, the oldest first.
pub async fn attempts(tx: &Tx, delivery: i64) -> Result<Vec<Attempt>, EndpointError> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/attempts.sql"))
        .await?;
    let rows = tx.query(&statement, &[&delivery]).await?;
    Ok(rows
        .iter()
        .map(|row| Attempt {
            at: row.get("at"),
            duration_ms: row.get("duration_ms"),
            status: row.get("status"),
            error: row.get("error"),
            answer: row.get("answer"),
        })
        .collect())
}

/// Makes deliveries of an endpoint again, from their first attempt; returns how many.
pub async fn replay(
    tx: &Tx,
    scope: &Scope,
    endpoint: i64,
    which: Again<'_>,
    now: Timestamp,
) -> Result<usize, EndpointError> {
    let (these, since) = match which {
        Again::These(ids) => (Some(ids), None),
        Again::FailedSince(time) => (None, Some(time)),
    };
    let rows = tx
        .query(
            include_str!("../../queries/replay.sql"),
            &[&endpoint, &these, &since],
        )
        .await?;
    let jobs: Vec<Deliver> = rows
        .iter()
        .map(|row| Deliver {
            delivery: row.get(0),
        })
        .collect();
    let asked = jobs::enqueue_many(tx, Some(scope), &jobs, jobs::Priority::Normal, now).await;
    match asked {
        Err(jobs::EnqueueError::Database(error)) => Err(error.into()),
        // Numbers are always JSON.
        _ => Ok(jobs.len()),
    }
}
