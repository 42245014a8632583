//! Writing events, in the transaction in which they happen.

use jiff::Timestamp;
use platform::Scope;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{
    Tx,
    catalogue::{Catalogue, Mismatch},
};

/// Why an event is not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The catalogue does not know it.
    #[error("there is no event `{0}`: describe it in catalogue.toml")]
    Unknown(String),
    /// The payload is not what the catalogue says.
    #[error(transparent)]
    Payload(#[from] Mismatch),
    /// The database refused.
    #[error("{}", platform::failure::in_words(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// What, as the catalogue calls it; its newest version is meant.
    pub name: &'a str,
    /// To which: number or id of the thing. With the kind that the catalogue names it is the subject: `vehicle:17`.
    pub of: &'a str,
    /// The payload.
    pub payload: Value,
}

/// Publishes events in the caller's transaction, which alone makes them true. All are checked before one is written.
///
/// Whoever publishes of the same subject waits for the end of this transaction: so do it late in it, and events of several
/// subjects in one call, which locks them in the same order as everybody.
pub async fn publish(
    tx: &Tx,
    scope: &Scope,
    events: &[Event<'_>],
    now: Timestamp,
) -> Result<(), PublishError> {
    let mut checked = Vec::with_capacity(events.len());
    for event in events {
        let definition = Catalogue::get()
            .newest(event.name)
            .ok_or_else(|| PublishError::Unknown(event.name.to_owned()))?;
        definition.check(&event.payload)?;
        let subject = format!("{}:{}", definition.aggregate, event.of);
        checked.push((subject, definition, &event.payload));
    }
    if checked.is_empty() {
        return Ok(());
    }
    // Stable: events of one subject stay in their order.
    checked.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    let statement = tx
        .prepare_cached(include_str!("../queries/publish.sql"))
        .await?;
    for (subject, definition, payload) in checked {
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &scope.organization,
            &Uuid::now_v7(),
            &subject,
            &definition.name,
            &definition.version,
            payload,
            &scope.request.as_str(),
            &now,
        ];
        tx.execute(&statement, &parameters).await?;
    }
    let statement = tx
        .prepare_cached(include_str!("../queries/notify_outbox.sql"))
        .await?;
    tx.execute(&statement, &[]).await?;
    Ok(())
}
