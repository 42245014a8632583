//! Taking due jobs: one statement, one transaction, `queries/claim.sql`.

use jiff::Timestamp;
use platform::{Actor, OrganizationId, RequestId, Scope};
use serde_json::Value;
use tracing::Span;
use uuid::Uuid;

use crate::{Tx, enqueue::JobId, handler::About};

/// A job that this worker has.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) id: JobId,
    /// As whom it is done: the organisation's, in the request that asked for it.
    pub(super) scope: Option<Scope>,
    pub(super) kind: String,
    pub(super) payload: Value,
    pub(super) due: Timestamp,
    pub(super) attempt: i32,
    pub(super) max_attempts: i32,
}

impl Taken {
    pub(super) fn organization(&self) -> Option<OrganizationId> {
        self.scope.as_ref().map(|scope| scope.organization)
    }

    /// Every line of the log that comes of it says which job it was, and in which request it was asked for.
    pub(super) fn span(&self) -> Span {
        let request = self.scope.as_ref().map(|scope| scope.request.as_str());
        tracing::info_span!("job", kind = self.kind, id = self.id, request)
    }

    pub(super) fn about(&self, now: Timestamp) -> About {
        About {
            id: self.id,
            scope: self.scope.clone(),
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
            let organization: Option<OrganizationId> = row.get("organization_id");
            let request: Option<&str> = row.get("request_id");
            let kind: String = row.get("kind");
            let job = Taken {
                id: row.get("id"),
                scope: organization.map(|organization| Scope {
                    organization,
                    actor: Actor::job(&kind),
                    request: request
                        .and_then(|id| id.parse().ok())
                        .unwrap_or_else(RequestId::fresh),
                }),
                kind,
                payload: row.get("payload"),
                due: row.get("run_at"),
                attempt: row.get("attempt"),
                max_attempts: row.get("max_attempts"),
            };
            (row.get("priority"), job)
        })
        .collect();
    taken.sort_by_key(|(priority, job)| (*priority, job.due, job.id));
    Ok(taken.into_iter().map(|(_, job)| job).collect())
}
