//! Taking due jobs: one statement, one transaction, `queries/claim.sql`.

use jiff::Timestamp;
use platform::{Actor, OrganizationId, RequestId, Scope};
use serde_json::Value;
use uuid::Uuid;

use crate::{Tx, enqueue::JobId, handler::About};

/// A job that this worker has.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) id: JobId,
    pub(super) organization: Option<OrganizationId>,
    pub(super) kind: String,
    pub(super) payload: Value,
    pub(super) due: Timestamp,
    pub(super) attempt: i32,
    pub(super) max_attempts: i32,
    request: Option<RequestId>,
}

impl Taken {
    /// As whom it is done.
    pub(super) fn scope(&self) -> Option<Scope> {
        self.organization.map(|organization| Scope {
            organization,
            actor: Actor::job(&self.kind),
            request: self.request.clone().unwrap_or_else(RequestId::fresh),
        })
    }

    pub(super) fn about(&self, scope: Option<Scope>, now: Timestamp) -> About {
        About {
            id: self.id,
            scope,
            attempt: self.attempt.unsigned_abs(),
            last: self.attempt >= self.max_attempts,
            due: self.due,
            now,
        }
    }
}

pub(super) async fn claim(
    client: &Tx,
    worker: Uuid,
    kinds: &[&'static str],
    now: Timestamp,
    room: usize,
    per_organization: usize,
) -> Result<Vec<Taken>, tokio_postgres::Error> {
    let statement = client
        .prepare_cached(include_str!("../../queries/claim.sql"))
        .await?;
    let (room, most) = (room as i64, per_organization.max(1) as i64);
    let rows = client
        .query(&statement, &[&worker, &kinds, &now, &room, &most])
        .await?;
    let mut taken: Vec<(i16, Taken)> = rows
        .iter()
        .map(|row| {
            let request: Option<&str> = row.get("request_id");
            let job = Taken {
                id: row.get("id"),
                organization: row.get("organization_id"),
                kind: row.get("kind"),
                payload: row.get("payload"),
                due: row.get("run_at"),
                attempt: row.get("attempt"),
                max_attempts: row.get("max_attempts"),
                request: request.and_then(|id| id.parse().ok()),
            };
            (row.get("priority"), job)
        })
        .collect();
    taken.sort_by_key(|(priority, job)| (*priority, job.due, job.id));
    Ok(taken.into_iter().map(|(_, job)| job).collect())
}
