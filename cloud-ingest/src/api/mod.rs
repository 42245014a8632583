//! What the API answers. Each file is one subject; the frame is in [`crate::http`] and the room `web`.

pub mod assets;
pub mod audit;
pub mod commands;
pub mod dead;
pub mod devices;
pub mod events;
pub mod files;
pub mod gateways;
pub mod keys;
pub mod oidc;
pub mod privacy;
pub mod quarantine;
pub mod rollups;
pub mod series;
pub mod sign_in;
pub mod signals;
pub mod states;
pub mod transactions;
pub mod users;
pub mod webhooks;

use ::audit::Entry;
use jiff::Timestamp;
use platform::Tenant;
use serde_json::Value;
use web::{Code, Problem};

/// The number that a path names.
fn number(field: &str, text: &str) -> Result<i64, Problem> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Problem::parameter(field, "a number from 1 on", text))
}

/// Notes in the audit trail what was done to the `kind` with this number, shortly before the transaction's end.
async fn note(
    tx: &Tenant,
    action: &str,
    kind: &str,
    id: i64,
    after: Option<&Value>,
    now: Timestamp,
) -> Result<(), Problem> {
    let entry = Entry {
        action,
        subject: &format!("{kind}:{id}"),
        before: None,
        after,
    };
    ::audit::record(tx, tx.scope(), &entry, now).await?;
    Ok(())
}

/// What can only be a fault of this program or of its machine.
fn internal(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a request failed");
    Problem::new(Code::Internal, "the log says more")
}
