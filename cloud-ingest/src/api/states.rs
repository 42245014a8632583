//! State changes of one asset: plugged, charging, alarms.

use axum::{
    Json,
    extract::{Path, State},
};
use jiff::SignedDuration;
use telemetry::read::{self, Cursor, EventPage, EventQuery, MOST_ROWS};
use web::{Caller, Params, Problem, Problems};

use super::{assets, rollups::span};
use crate::http::App;

/// What is shown when nobody says from when.
const USUAL: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What began and ended with an asset, oldest first: each change of a state, and until when it stayed so. Exact in
/// whatever order its samples came.
#[utoipa::path(
    get, path = "/v1/assets/{id}/events", tag = "assets",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    params(
        ("id" = i32, Path, description = "The asset's number."),
        ("event" = Option<String>, Query, description = "Only of this kind: `plugged`, `charging`, `charger status`, `alarm`."),
        ("from" = Option<String>, Query, description = "From this time on (RFC 3339); a week before `to` when absent."),
        ("to" = Option<String>, Query, description = "Before this time (RFC 3339); now when absent."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "Most events of a page; 1000 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same other parameters with it."),
    ),
    responses(
        (status = 200, body = EventPage, description = "A page of them."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`asset_not_found`"),
    )
)]
pub async fn events(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<EventPage>, Problem> {
    params.only(&["event", "from", "to", "limit", "cursor"])?;
    let (from, to) = span(&params, USUAL)?;
    let limit = params.integer("limit", 1, MOST_ROWS, 1000)?;
    let cursor = params.cursor::<Cursor>()?;
    let tenant = app.db.tenant(&caller.scope).await?;
    let query = EventQuery {
        asset: assets::own(&tenant, &id).await?.id,
        event: text(&params, "event")?,
        from,
        to,
        limit,
        cursor,
    };
    let page = read::events(&tenant, &query).await?;
    tenant.commit().await?;
    Ok(Json(page))
}

/// A text that a database can compare with.
fn text(params: &Params, name: &str) -> Result<Option<String>, Problem> {
    match params.text(name) {
        Some(text) if text.contains('\0') => {
            Err(Problem::parameter(name, "without the character 0", text))
        }
        text => Ok(text.map(str::to_owned)),
    }
}
