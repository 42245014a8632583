//! Sending, as a job: the port to receivers, made as `outbound` describes.
//!
//! The id of the event is the idempotency key (`webhook-id`): after a timeout nobody knows whether the receiver has it,
//! so it gets it again under the same id.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use jobs::{About, Fault, Job, Policy, Retry, Task, Tx, Verdict};
use outbound::{Answer, CallError, Client, Request};
use platform::{Db, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::Row;
use url::Url;
use uuid::Uuid;
use vault::{Ring, Secret};

use super::{endpoints::SECRETS, sign};
use crate::publish::{Event, publish};

/// For how long every delivery to an endpoint may fail before it is disabled.
pub const FAILING: SignedDuration = SignedDuration::from_hours(5 * 24);
/// The waits that the specification proposes; the last attempt comes after 75 hours and a half.
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
/// How much of an answer the delivery log keeps, in characters.
const ANSWER: usize = 300;

/// A delivery to be made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Deliver {
    /// Its number.
    pub delivery: i64,
}

impl Job for Deliver {
    const KIND: &'static str = "events.deliver";
    const POLICY: Policy = Policy {
        attempts: WAITS.len() as u32 + 1,
        retry: Retry::Steps(&WAITS),
        timeout: Duration::from_mins(1),
        together: 1,
    };
}

/// Makes deliveries.
#[derive(Clone, Debug)]
pub struct Deliverer {
    db: Db,
    ring: Ring,
    client: Client,
}

impl Deliverer {
    /// With the ring that opens secrets and a client with the rules for strangers.
    pub const fn new(db: Db, ring: Ring, client: Client) -> Self {
        Self { db, ring, client }
    }

    fn request(&self, row: &Row, now: Timestamp) -> Result<Request, Fault> {
        let never = |error: &dyn std::fmt::Display| Fault::Never(error.to_string());
        let endpoint: i64 = row.get("endpoint_id");
        let url: Url = row
            .get::<_, &str>("url")
            .parse()
            .map_err(|error| never(&error))?;
        let body = body(row);
        let id = row.get::<_, Uuid>("event_id").to_string();
        let mut secrets: Vec<Secret> = Vec::new();
        let sealed: [Option<Vec<u8>>; 2] = [row.get("secret"), row.get("old_secret")];
        let until: Option<Timestamp> = row.get("old_until");
        let both = until.is_some_and(|until| now < until);
        for (at, sealed) in sealed.iter().enumerate() {
            if let Some(sealed) = sealed.as_ref().filter(|_| at == 0 || both) {
                let secret = self.ring.open(SECRETS[at], endpoint, sealed);
                // A key that is not in the ring may be put back.
                secrets.push(secret.map_err(|error| Fault::Again(error.to_string()))?);
            }
        }
        let timestamp = now.as_second();
        let signature = sign::signature(&secrets, &id, timestamp, &body);
        Ok(Request::new(Method::POST, url, body)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp.to_string())
            .header("webhook-signature", &signature)
            .header("x-request-id", row.get("request_id")))
    }
}

/// What is sent: the same bytes at every attempt.
fn body(row: &Row) -> Bytes {
    let event = told(row);
    Bytes::from(event.to_string())
}

/// An event as it is told outside, of a row with the columns of the log.
pub(crate) fn told(row: &Row) -> Value {
    json!({
        "id": row.get::<_, Uuid>("event_id").to_string(),
        "type": row.get::<_, &str>("name"),
        "version": row.get::<_, i16>("version"),
        "timestamp": row.get::<_, Timestamp>("at").to_string(),
        "subject": row.get::<_, &str>("aggregate"),
        "sequence": row.get::<_, i64>("sequence"),
        "request": row.get::<_, &str>("request_id"),
        "data": row.get::<_, Value>("payload"),
    })
}

/// What came of sending.
#[derive(Debug)]
pub struct Sent {
    endpoint: i64,
    took: Duration,
    result: Result<Answer, CallError>,
}

impl Task for Deliverer {
    type Job = Deliver;
    /// `None`: there was nothing to send, the delivery has ended or its endpoint is disabled.
    type Outcome = Option<Sent>;

    async fn work(&self, job: &Deliver, about: &About) -> Result<Option<Sent>, Fault> {
        let scope = scope(about)?;
        let row = {
            let tx = self.db.tenant(scope).await?;
            let statement = tx
                .prepare_cached(include_str!("../../queries/delivery.sql"))
                .await?;
            let row = tx.query_opt(&statement, &[&job.delivery]).await?;
            tx.commit().await?;
            row
        };
        // Removed with its endpoint, or forgotten.
        let Some(row) = row else { return Ok(None) };
        if row.get::<_, &str>("state") != "waiting" || row.get("disabled") {
            return Ok(None);
        }
        let request = self.request(&row, about.now)?;
        let begun = Instant::now();
        let result = self.client.call(request).await;
        Ok(Some(Sent {
            endpoint: row.get("endpoint_id"),
            took: begun.elapsed(),
            result,
        }))
    }

    async fn settle(
        &self,
        job: &Deliver,
        sent: Option<Sent>,
        about: &About,
        tx: &Tx,
    ) -> Result<Verdict, Fault> {
        let scope = scope(about)?;
        let Some(sent) = sent else {
            end(tx, job, "failed", 0, Some(about.now)).await?;
            return Ok(Verdict::Done);
        };
        let status = sent
            .result
            .as_ref()
            .ok()
            .map(|answer| i32::from(answer.status));
        log(tx, scope, job, about, &sent).await?;
        if status.is_some_and(|status| (200..300).contains(&status)) {
            end(tx, job, "delivered", 1, Some(about.now)).await?;
            let statement = tx
                .prepare_cached(include_str!("../../queries/succeeded.sql"))
                .await?;
            tx.execute(&statement, &[&sent.endpoint]).await?;
            return Ok(Verdict::Done);
        }
        let disabled = failing(tx, scope, sent.endpoint, status == Some(410), about.now).await?;
        if disabled || about.last {
            end(tx, job, "failed", 1, Some(about.now)).await?;
            return Ok(Verdict::Done);
        }
        end(tx, job, "waiting", 1, None).await?;
        Ok(Verdict::Again(match &sent.result {
            Ok(answer) => format!("the receiver answers {}", answer.status),
            Err(error) => error.to_string(),
        }))
    }
}

fn scope(about: &About) -> Result<&Scope, Fault> {
    about
        .scope
        .as_ref()
        .ok_or_else(|| Fault::Never("a delivery belongs to an organisation".to_owned()))
}

async fn end(
    tx: &Tx,
    job: &Deliver,
    state: &str,
    attempts: i32,
    at: Option<Timestamp>,
) -> Result<(), Fault> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/end_delivery.sql"))
        .await?;
    tx.execute(&statement, &[&job.delivery, &state, &attempts, &at])
        .await?;
    Ok(())
}

async fn log(
    tx: &Tx,
    scope: &Scope,
    job: &Deliver,
    about: &About,
    sent: &Sent,
) -> Result<(), Fault> {
    let plain = |text: &str| -> String {
        let kept = text.chars().filter(|c| *c != '\0');
        kept.take(ANSWER).collect()
    };
    let (status, error, answer) = match &sent.result {
        Ok(answer) => (
            Some(i32::from(answer.status)),
            None,
            Some(plain(&String::from_utf8_lossy(&answer.body))),
        ),
        Err(error) => (None, Some(plain(&error.to_string())), None),
    };
    let took = i32::try_from(sent.took.as_millis()).unwrap_or(i32::MAX);
    let statement = tx
        .prepare_cached(include_str!("../../queries/add_attempt.sql"))
        .await?;
    tx.execute(
        &statement,
        &[
            &scope.organization,
            &job.delivery,
            &about.now,
            &took,
            &status,
            &error,
            &answer,
        ],
    )
    .await?;
    Ok(())
}

/// Notes that an endpoint has failed; says whether it is disabled now.
async fn failing(
    tx: &Tx,
    scope: &Scope,
    endpoint: i64,
    gone: bool,
    now: Timestamp,
) -> Result<bool, Fault> {
    let row = tx
        .query_opt(
            include_str!("../../queries/failing.sql"),
            &[&endpoint, &now],
        )
        .await?;
    let Some(row) = row else { return Ok(true) };
    let since: Timestamp = row.get("failing_since");
    if row.get::<_, Option<Timestamp>>("disabled_at").is_some() {
        return Ok(true);
    }
    if !gone && now.duration_since(since) < FAILING {
        return Ok(false);
    }
    let (reason, words) = if gone {
        ("gone", "it answered 410 Gone".to_owned())
    } else {
        (
            "failing",
            format!("every delivery has failed since {since}"),
        )
    };
    tx.execute(
        include_str!("../../queries/disable_endpoint.sql"),
        &[&endpoint, &now, &words],
    )
    .await?;
    let payload =
        json!({"endpoint": endpoint, "reason": reason, "failing_since": since.to_string()});
    let event = Event {
        name: "webhook.endpoint.disabled",
        of: &endpoint.to_string(),
        payload,
    };
    publish(tx, scope, &[event], now)
        .await
        .map_err(|error| Fault::Again(error.to_string()))?;
    Ok(true)
}
