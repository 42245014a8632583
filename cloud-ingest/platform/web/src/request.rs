//! Request ids: the caller's own `x-request-id` or a new one, in the answer, on every line of the log, and in the
//! [`Scope`](platform::Scope) of whatever comes of the request.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use platform::RequestId;
use tracing::Instrument as _;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware: gives the request its id, and writes one line about it.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let own = request
        .headers()
        .get(HEADER)
        .and_then(|id| id.to_str().ok());
    // One that cannot be an id is replaced, not refused: it is the caller's own mark and changes nothing.
    let id = own
        .and_then(|id| id.parse::<RequestId>().ok())
        .unwrap_or_else(RequestId::fresh);
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    // The route, not the path: paths are the caller's and may be anything.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    let span = tracing::info_span!("request", %id);
    let begun = std::time::Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let took_ms = begun.elapsed().as_millis() as u64;
    let status = response.status();
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::warn!(%method, route, status = status.as_u16(), took_ms, "answered");
        } else {
            tracing::debug!(%method, route, status = status.as_u16(), took_ms, "answered");
        }
    });
    // An id has only letters that a header may have.
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}
