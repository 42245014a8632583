//! Jobs that were given up: looked at, tried again, thrown away.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use jobs::Dead;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use web::{Caller, Code, List, PageSize, Params, Problem, Problems};

use super::{note, number};
use crate::http::App;

/// A job that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetter {
    /// Its number.
    id: i64,
    /// What was to be done.
    #[schema(example = "events.deliver")]
    kind: String,
    /// What with.
    payload: Value,
    /// How often it was tried.
    attempts: u32,
    /// The request that asked for it.
    request_id: Option<String>,
    /// When it was asked for.
    created_at: Timestamp,
    /// When it was given up.
    died_at: Timestamp,
    /// Why.
    reason: String,
}

impl From<Dead> for DeadLetter {
    fn from(dead: Dead) -> Self {
        Self {
            id: dead.id,
            kind: dead.kind,
            payload: dead.payload,
            attempts: dead.attempts,
            request_id: dead.request_id,
            created_at: dead.created_at,
            died_at: dead.died_at,
            reason: dead.reason,
        }
    }
}

/// Jobs of the organisation that were given up, the latest asked for first.
#[utoipa::path(
    get, path = "/v1/jobs/dead", tag = "jobs",
    security(("bearer" = ["jobs.read"]), ("page" = ["jobs.read"])),
    params(
        ("kind" = Option<String>, Query, description = "Only those of this kind."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Most jobs of a page; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same `kind` with it."),
    ),
    responses((status = 200, body = List<DeadLetter>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<DeadLetter>>, Problem> {
    params.only(&["kind", "limit", "cursor"])?;
    let limit = params.limit(PageSize::SHORT)?;
    let before = params.cursor::<i64>()?;
    let kind = params.plain("kind")?;
    let tx = app.db.tenant(&caller.scope).await?;
    let found = jobs::dead(&tx, kind, before, limit + 1).await?;
    tx.commit().await?;
    let items = found.into_iter().map(DeadLetter::from).collect();
    Ok(Json(List::cut(items, limit, |one| one.id.to_string())))
}

/// One of them.
#[utoipa::path(
    get, path = "/v1/jobs/dead/{id}", tag = "jobs",
    security(("bearer" = ["jobs.read"]), ("page" = ["jobs.read"])),
    params(("id" = i64, Path, minimum = 1, description = "The job's number.")),
    responses((status = 200, body = DeadLetter, description = "The job."), Problems)
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<DeadLetter>, Problem> {
    let id = number("id", &id)?;
    let tx = app.db.tenant(&caller.scope).await?;
    let found = jobs::dead_letter(&tx, id).await?;
    tx.commit().await?;
    let dead = found.ok_or_else(|| missing(id))?;
    Ok(Json(dead.into()))
}

/// Have a job tried again, from its first attempt.
#[utoipa::path(
    post, path = "/v1/jobs/dead/{id}/replay", tag = "jobs",
    security(("bearer" = ["jobs.manage"]), ("page" = ["jobs.manage"])),
    params(("id" = i64, Path, minimum = 1, description = "The job's number.")),
    responses((status = 204, description = "It waits for a worker."), Problems)
)]
pub async fn replay(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let now = app.clock.now();
    let tx = app.db.tenant(&caller.scope).await?;
    if jobs::replay(&tx, &[id], now).await?.is_empty() {
        return Err(missing(id));
    }
    note(&tx, "jobs.replay", "job", id, None, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Throw a job away for good.
#[utoipa::path(
    delete, path = "/v1/jobs/dead/{id}", tag = "jobs",
    security(("bearer" = ["jobs.manage"]), ("page" = ["jobs.manage"])),
    params(("id" = i64, Path, minimum = 1, description = "The job's number.")),
    responses((status = 204, description = "It is gone."), Problems)
)]
pub async fn discard(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let tx = app.db.tenant(&caller.scope).await?;
    if !jobs::discard(&tx, id).await? {
        return Err(missing(id));
    }
    note(&tx, "jobs.discard", "job", id, None, app.clock.now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn missing(id: i64) -> Problem {
    Problem::new(
        Code::DeadLetterNotFound,
        format!("no job {id} was given up"),
    )
}
