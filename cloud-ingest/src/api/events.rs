//! The catalogue of events, and what happens as it happens.

use ::events::Catalogue;
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use web::{Caller, Code, List, Params, Problem, Problems};

use crate::http::App;

/// An event that there may be, in one version.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventKind {
    /// Its name.
    #[schema(example = "vehicle.ready")]
    name: &'static str,
    /// Version of its payload.
    version: i16,
    /// What it means.
    about: &'static str,
    /// The kind of thing it happens to: `vehicle` of `vehicle:17`.
    subject: &'static str,
    /// The permission without which nobody may read it.
    permission: &'static str,
    /// The payload's JSON Schema.
    schema: Value,
    /// A payload.
    example: Value,
}

/// Every event that there may be, by name and version, in one page.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    security(("bearer" = []), ("page" = [])),
    responses((status = 200, body = List<EventKind>, description = "All of them."), Problems)
)]
pub async fn catalogue(params: Params) -> Result<Json<List<EventKind>>, Problem> {
    params.only(&[])?;
    let items = Catalogue::get()
        .events()
        .map(|event| EventKind {
            name: &event.name,
            version: event.version,
            about: &event.about,
            subject: &event.aggregate,
            permission: &event.permission,
            schema: event.schema(),
            example: event.example(),
        })
        .collect();
    Ok(Json(List { items, next: None }))
}

/// What happens, as it happens: server-sent events whose `id` is a position. Whoever comes back with it in
/// `Last-Event-ID` misses nothing; what is no longer kept is said by an event `gap`. Only events are told that one may
/// read. A reader that does not keep up is closed, and everybody is after a while: come back then.
#[utoipa::path(
    get, path = "/v1/events/live", tag = "events",
    security(("bearer" = []), ("page" = [])),
    params(
        ("names" = Option<String>, Query, description = "Only these events, with commas between them; all that one may read when absent.", example = "vehicle.ready,gateway.offline"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was seen; without it only what is to come is told."),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream", description = "Events, without end."), Problems)
)]
pub async fn live(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    params.only(&["names"])?;
    let catalogue = Catalogue::get();
    let names: Vec<String> = match params.text("names") {
        None => {
            let readable = catalogue.readable(|permission| caller.permissions.has(permission));
            readable.into_iter().map(str::to_owned).collect()
        }
        Some(text) => {
            for name in text.split(',') {
                let event = catalogue.newest(name).ok_or_else(|| {
                    Problem::parameter("names", "events of `/v1/events`, with commas between", name)
                })?;
                caller.must(&event.permission)?;
            }
            text.split(',').map(str::to_owned).collect()
        }
    };
    if names.is_empty() {
        let detail = "there is no event that this caller may read";
        return Err(Problem::new(Code::PermissionMissing, detail));
    }
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    Ok(app.live.sse(caller.scope, last, names).into_response())
}
