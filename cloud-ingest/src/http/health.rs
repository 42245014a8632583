//! For load balancers and monitoring.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json,
    extract::{ConnectInfo, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use web::{Caller, Code, Problem, Problems};

use super::App;

const PATIENCE: Duration = Duration::from_secs(2);

/// Whether blocks can be taken and questions answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// All of the checks are well.
    ready: bool,
    /// Each part.
    checks: Vec<Check>,
    /// Seconds since blocks were last committed; absent before the first.
    last_commit_age_s: Option<f64>,
    /// Bytes of blocks that wait for a commit.
    waiting_bytes: usize,
}

/// How one part is doing.
#[derive(Debug, Serialize, ToSchema)]
pub struct Check {
    /// Which part: `database`, `broker` or `ingest`.
    name: &'static str,
    /// Whether it is well.
    ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Check {
    fn new(name: &'static str, fault: Option<String>) -> Self {
        Self {
            name,
            ok: fault.is_none(),
            reason: fault,
        }
    }
}

/// Whether the process answers. A process that does not should be started again.
#[utoipa::path(
    get, path = "/health/live", tag = "health",
    responses((status = 204, description = "It does."))
)]
pub async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether database and broker are there and blocks are committed. A process that is not ready should be left alone: it
/// goes on by itself when what it needs is back.
#[utoipa::path(
    get, path = "/health/ready", tag = "health",
    responses(
        (status = 200, body = Readiness, description = "Everything is there."),
        (status = 503, body = Readiness, description = "Something is not; `reason` says what."),
    )
)]
pub async fn ready(State(app): State<App>) -> Response {
    let database = app.store.health(PATIENCE).await.err();
    let checks = vec![
        Check::new("database", database.map(|error| error.to_string())),
        Check::new("broker", app.status.broker_fault()),
        Check::new("ingest", app.status.ingest_fault()),
    ];
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let readiness = Readiness {
        ready,
        checks,
        last_commit_age_s: app.status.commit_age().map(|age| age.as_secs_f64()),
        waiting_bytes: app.status.waiting_bytes(),
    };
    (status, Json(readiness)).into_response()
}

/// The metrics, in Prometheus' text format: for whoever asks from this machine, and for keys with `metrics.read`.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    security((), ("bearer" = ["metrics.read"])),
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "All of them."),
        Problems,
    )
)]
pub async fn metrics(
    State(app): State<App>,
    caller: Option<Caller>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Result<Response, Problem> {
    match caller {
        Some(caller) => caller.must("metrics.read")?,
        None if from.ip().is_loopback() => {}
        None => {
            return Err(Problem::new(
                Code::Unauthenticated,
                "from another machine this needs a key with the permission metrics.read",
            ));
        }
    }
    let media = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((media, app.metrics.render()).into_response())
}
