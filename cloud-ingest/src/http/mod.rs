//! HTTP: the frame around the API. What each route answers is in [`crate::api`].
//!
//! - [`problem`]: every error as RFC 9457 `application/problem+json` with a stable code
//! - [`params`]: query parameters, checked one by one
//! - [`health`]: `/health/live`, `/health/ready`, `/metrics`
//!
//! Each request has an id (its own `x-request-id`, or a new one) that is in the answer and in the log, a deadline, and
//! a limit on its body.

pub mod health;
pub mod params;
pub mod problem;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{HeaderName, StatusCode},
    middleware::{Next, from_fn},
    response::Response,
};
use metrics_exporter_prometheus::PrometheusHandle;
use platform::Db;
use tower_http::{
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    timeout::TimeoutLayer,
};
use tracing::Instrument as _;
use utoipa::{OpenApi, openapi::OpenApi as Document};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use self::problem::{Code, Problem};
use crate::{api, status::Status};

/// Longest time that a request may take.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Longest body that is read; no route wants one.
pub const MAX_BODY: usize = 64 * 1024;

/// What handlers share.
#[derive(Clone)]
pub struct App {
    /// The database, for questions.
    pub db: Db,
    /// The database as blocks reach it: what health is about.
    pub store: Db,
    /// How the parts are doing.
    pub status: Arc<Status>,
    /// The metrics.
    pub metrics: PrometheusHandle,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Patio",
        description = "Vehicles, chargers and meters of an electric fleet: what they are, what they measured, and \
            how complete it is. Values are in the unit that is given with them, times are RFC 3339 in UTC. \
            Lists come in pages: follow `next` with `cursor` until there is none. Every error is a problem \
            (RFC 9457) whose `code` does not change from version to version."
    ),
    components(schemas(problem::Details, Code)),
    tags(
        (name = "assets", description = "Vehicles, chargers, meters and what they measured."),
        (name = "catalogue", description = "The signals that are known by name."),
        (name = "gateways", description = "What came from which gateway, and what is missing."),
        (name = "health", description = "For load balancers and monitoring."),
    )
)]
struct Api;

/// All routes with their description.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(api::assets::list))
        .routes(routes!(api::assets::latest))
        .routes(routes!(api::series::series))
        .routes(routes!(api::signals::list))
        .routes(routes!(api::gateways::list))
}

/// The OpenAPI description.
pub fn document() -> Document {
    routes().into_openapi()
}

/// The whole service.
pub fn service(app: App) -> Router {
    let (router, document) = routes().split_for_parts();
    let id = HeaderName::from_static("x-request-id");
    router
        .with_state(app)
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .fallback(|| async {
            Problem::new(
                Code::RouteNotFound,
                "there is no such route; /docs shows all",
            )
        })
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            DEADLINE,
        ))
        .layer(axum::middleware::map_response(problem::from_bare))
        .layer(from_fn(log))
        .layer(PropagateRequestIdLayer::new(id.clone()))
        .layer(SetRequestIdLayer::new(id, MakeRequestUuid))
}

/// One line for each request, and its id on every line that is logged on the way.
async fn log(request: Request, next: Next) -> Response {
    let id = request
        .extensions()
        .get::<RequestId>()
        .and_then(|id| id.header_value().to_str().ok())
        .map(|id| id.chars().take(64).collect::<String>())
        .unwrap_or_default();
    let method = request.method().clone();
    // The route, not the path: paths are the caller's and may be anything.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    let span = tracing::info_span!("request", id);
    let begun = std::time::Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let took_ms = begun.elapsed().as_millis() as u64;
    let status = response.status();
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::warn!(%method, route, status = status.as_u16(), took_ms, "answered");
        } else {
            tracing::debug!(%method, route, status = status.as_u16(), took_ms, "answered");
        }
    });
    response
}
