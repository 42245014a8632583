//! API keys of programs.

use std::time::Duration;

use access::{ApiKey, NewKey, Permissions, keys::LONGEST_OVERLAP};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::ToSchema;
use web::{Body, Caller, Code, List, PageSize, Params, Problem, Problems};

use super::sign_in::secret;
use crate::http::App;

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What it is for, for people.
    #[schema(min_length = 1, max_length = 200, example = "route planner")]
    name: String,
    /// Names of permissions; no more than one has oneself.
    #[schema(min_items = 1, example = json!(["telemetry.read"]))]
    scopes: Vec<String>,
    /// Until when it is good (RFC 3339); until it is revoked when absent.
    expires_at: Option<Timestamp>,
}

/// How a key is rotated.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// For how many hours the old key goes on beside the new one.
    #[schema(maximum = 2160, example = 24)]
    overlap_hours: u16,
}

/// Keys of the organisation, by number. The keys themselves are kept nowhere.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys",
    security(("bearer" = ["keys.manage"]), ("page" = ["keys.manage"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Most keys of a page; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<ApiKey>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<ApiKey>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::SHORT)?;
    let after = params.cursor::<i32>()?;
    let keys = app.access.keys(&caller.scope, after, limit + 1).await?;
    Ok(Json(List::cut(keys, limit, |key| key.id.to_string())))
}

/// Make a key. It is told this once, so the request cannot be repeated by an Idempotency-Key: a key that was lost on the
/// way is revoked.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys",
    security(("bearer" = ["keys.manage"]), ("page" = ["keys.manage"])),
    request_body = Key,
    responses(
        (status = 201, body = NewKey, description = "The key."),
        Problems,
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn add(
    State(app): State<App>,
    caller: Caller,
    body: Body<Key>,
) -> Result<Response, Problem> {
    let key = body.value;
    let scopes = Permissions::named(&key.scopes)
        .map_err(|unknown| Problem::body("scopes", unknown.to_string(), &unknown.0))?;
    if let Some(more) = scopes.beyond(&caller.permissions).first() {
        return Err(Problem::new(
            Code::PermissionMissing,
            format!("a key has no permissions that its maker has not: {more}"),
        ));
    }
    let made = app
        .access
        .add_key(&caller.scope, &key.name, &scopes, key.expires_at)
        .await?;
    Ok(secret((StatusCode::CREATED, Json(made))))
}

/// Make a key that takes another's place. The old one goes on for a while, so that programs can change over.
#[utoipa::path(
    post, path = "/v1/keys/{id}/rotate", tag = "keys",
    security(("bearer" = ["keys.manage"]), ("page" = ["keys.manage"])),
    params(("id" = i32, Path, minimum = 1, description = "The key's number.")),
    request_body = Rotation,
    responses(
        (status = 201, body = NewKey, description = "The new key."),
        Problems,
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<Rotation>,
) -> Result<Response, Problem> {
    let hours = body.value.overlap_hours;
    let overlap = Duration::from_hours(hours.into());
    if overlap > LONGEST_OVERLAP {
        let most = LONGEST_OVERLAP.as_secs() / 3600;
        let rule = format!("at most {most}");
        return Err(Problem::body("overlap_hours", rule, &hours.to_string()));
    }
    let made = app
        .access
        .rotate_key(&caller.scope, number(&id)?, overlap)
        .await?;
    Ok(secret((StatusCode::CREATED, Json(made))))
}

/// A key is good no more: at once in this process, within 5 s in others.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys",
    security(("bearer" = ["keys.manage"]), ("page" = ["keys.manage"])),
    params(("id" = i32, Path, minimum = 1, description = "The key's number.")),
    responses((status = 204, description = "It is revoked."), Problems)
)]
pub async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    app.access.revoke_key(&caller.scope, number(&id)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn number(id: &str) -> Result<i32, Problem> {
    id.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Problem::parameter("id", "the number of a key", id))
}
