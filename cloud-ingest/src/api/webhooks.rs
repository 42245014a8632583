//! Endpoints of outgoing webhooks, and what was delivered to them.

use ::events::webhooks::endpoints::{self, Again, Attempt, Delivery, Endpoint, EndpointError};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use web::{Body, Caller, Code, List, PageSize, Params, Problem, Problems, Turn, once};

use super::{internal, note, number, sign_in::secret};
use crate::http::App;

/// Most deliveries that are named at once.
const MOST: usize = 1000;

/// An endpoint to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointToAdd {
    /// Where events are posted to: https, an address of the public Internet.
    #[schema(example = "https://example.com/patio", max_length = 2000)]
    url: String,
    /// The events that it gets, of `/v1/events`; only such as one may read oneself.
    #[schema(min_items = 1, example = json!(["vehicle.ready"]))]
    names: Vec<String>,
    /// What it is for, for people.
    #[serde(default)]
    #[schema(max_length = 500)]
    description: String,
}

/// An endpoint that was just made. Its secret is told this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewEndpoint {
    /// The endpoint.
    endpoint: Endpoint,
    /// The secret that signs what is sent to it (Standard Webhooks).
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// A new secret of an endpoint, told this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewSecret {
    /// The secret; the one before signs beside it for a day.
    secret: String,
}

/// A delivery with what came of each attempt.
#[derive(Debug, Serialize, ToSchema)]
pub struct Attempted {
    /// The delivery.
    delivery: Delivery,
    /// The attempts, the oldest first.
    attempts: Vec<Attempt>,
}

/// What is delivered again: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// These deliveries, whatever became of them, by their numbers.
    #[schema(max_items = 1000)]
    deliveries: Option<Vec<i64>>,
    /// All that were decided since then and failed.
    failed_since: Option<Timestamp>,
}

/// How many deliveries are made again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// So many.
    deliveries: usize,
}

/// Endpoints of the organisation, by number. Their secrets are not shown.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks",
    security(("bearer" = ["webhooks.read"]), ("page" = ["webhooks.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Most endpoints of a page; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<Endpoint>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Endpoint>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::SHORT)?;
    let after = params.cursor::<i64>()?;
    let tx = app.db.tenant(&caller.scope).await?;
    let found = endpoints::list(&tx, after, limit + 1).await;
    let items = found.map_err(problem)?;
    tx.commit().await?;
    Ok(Json(List::cut(items, limit, |one| one.id.to_string())))
}

/// Make an endpoint. Its secret is told this once, so the request cannot be repeated by an Idempotency-Key: an endpoint
/// whose secret was lost on the way gets a new one.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks",
    security(("bearer" = ["webhooks.manage"]), ("page" = ["webhooks.manage"])),
    request_body = EndpointToAdd,
    responses(
        (status = 201, body = NewEndpoint, description = "The endpoint and its secret."),
        Problems,
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
        (status = 501, body = web::problem::Details, content_type = "application/problem+json", description = "`not_configured`"),
    )
)]
pub async fn add(
    State(app): State<App>,
    caller: Caller,
    body: Body<EndpointToAdd>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let making = app.endpoints.as_ref().ok_or_else(no_ring)?;
    may_read(&caller, &wanted.names)?;
    let (scope, now) = (&caller.scope, app.clock.now());
    let tx = app.db.tenant(scope).await?;
    let names: Vec<&str> = wanted.names.iter().map(String::as_str).collect();
    let made = making.add(&tx, scope, &wanted.url, &names, &wanted.description, now);
    let (id, told) = made.await.map_err(problem)?;
    let endpoint = endpoints::get(&tx, id).await.map_err(problem)?;
    let after = json!({"names": endpoint.names});
    note(&tx, "events.add_endpoint", "webhook", id, Some(&after), now).await?;
    tx.commit().await?;
    let made = NewEndpoint {
        endpoint,
        secret: told,
    };
    Ok(secret((StatusCode::CREATED, Json(made))))
}

/// An endpoint.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks",
    security(("bearer" = ["webhooks.read"]), ("page" = ["webhooks.read"])),
    params(("id" = i64, Path, minimum = 1, description = "The endpoint's number.")),
    responses((status = 200, body = Endpoint, description = "The endpoint."), Problems)
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Endpoint>, Problem> {
    let id = number("id", &id)?;
    let tx = app.db.tenant(&caller.scope).await?;
    let endpoint = endpoints::get(&tx, id).await.map_err(problem)?;
    tx.commit().await?;
    Ok(Json(endpoint))
}

/// Remove an endpoint, and the log of what was delivered to it.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    security(("bearer" = ["webhooks.manage"]), ("page" = ["webhooks.manage"])),
    params(("id" = i64, Path, minimum = 1, description = "The endpoint's number.")),
    responses((status = 204, description = "It is gone."), Problems)
)]
pub async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let tx = app.db.tenant(&caller.scope).await?;
    endpoints::remove(&tx, id).await.map_err(problem)?;
    note(
        &tx,
        "events.remove_endpoint",
        "webhook",
        id,
        None,
        app.clock.now(),
    )
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Give an endpoint a new secret. For a day the one before signs beside it, so that receivers can change over.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/rotate", tag = "webhooks",
    security(("bearer" = ["webhooks.manage"]), ("page" = ["webhooks.manage"])),
    params(("id" = i64, Path, minimum = 1, description = "The endpoint's number.")),
    responses(
        (status = 200, body = NewSecret, description = "The new secret."),
        Problems,
        (status = 501, body = web::problem::Details, content_type = "application/problem+json", description = "`not_configured`"),
    )
)]
pub async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let keeping = app.endpoints.as_ref().ok_or_else(no_ring)?;
    let now = app.clock.now();
    let tx = app.db.tenant(&caller.scope).await?;
    let told = keeping.rotate(&tx, id, now).await.map_err(problem)?;
    note(&tx, "events.rotate_secret", "webhook", id, None, now).await?;
    tx.commit().await?;
    Ok(secret(Json(NewSecret { secret: told })))
}

/// Put an endpoint that was disabled back to use. What it missed is delivered when somebody asks for it: `…/replay`.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/enable", tag = "webhooks",
    security(("bearer" = ["webhooks.manage"]), ("page" = ["webhooks.manage"])),
    params(("id" = i64, Path, minimum = 1, description = "The endpoint's number.")),
    responses((status = 204, description = "It is in use."), Problems)
)]
pub async fn enable(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let tx = app.db.tenant(&caller.scope).await?;
    endpoints::enable(&tx, id).await.map_err(problem)?;
    note(
        &tx,
        "events.enable_endpoint",
        "webhook",
        id,
        None,
        app.clock.now(),
    )
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What an endpoint got or is to get, the newest first.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks",
    security(("bearer" = ["webhooks.read"]), ("page" = ["webhooks.read"])),
    params(
        ("id" = i64, Path, minimum = 1, description = "The endpoint's number."),
        ("state" = Option<String>, Query, description = "Only those that are `waiting`, `delivered` or `failed`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Most deliveries of a page; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same `state` with it."),
    ),
    responses((status = 200, body = List<Delivery>, description = "A page of them."), Problems)
)]
pub async fn deliveries(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<List<Delivery>>, Problem> {
    params.only(&["state", "limit", "cursor"])?;
    let id = number("id", &id)?;
    let limit = params.limit(PageSize::SHORT)?;
    let before = params.cursor::<i64>()?;
    let state = params.text("state");
    if let Some(state) = state.filter(|s| !["waiting", "delivered", "failed"].contains(s)) {
        let rule = "one of waiting, delivered, failed";
        return Err(Problem::parameter("state", rule, state));
    }
    let tx = app.db.tenant(&caller.scope).await?;
    endpoints::get(&tx, id).await.map_err(problem)?;
    let found = endpoints::deliveries(&tx, id, before, state, limit + 1).await;
    let items = found.map_err(problem)?;
    tx.commit().await?;
    Ok(Json(List::cut(items, limit, |one| one.id.to_string())))
}

/// A delivery with its attempts: when, how long, and what the receiver said.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/deliveries/{delivery}", tag = "webhooks",
    security(("bearer" = ["webhooks.read"]), ("page" = ["webhooks.read"])),
    params(
        ("id" = i64, Path, minimum = 1, description = "The endpoint's number."),
        ("delivery" = i64, Path, minimum = 1, description = "The delivery's number."),
    ),
    responses((status = 200, body = Attempted, description = "The delivery."), Problems)
)]
pub async fn delivery(
    State(app): State<App>,
    caller: Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<Json<Attempted>, Problem> {
    let (id, delivery) = (number("id", &id)?, number("delivery", &delivery)?);
    let tx = app.db.tenant(&caller.scope).await?;
    let next = Some(delivery.saturating_add(1));
    let found = endpoints::deliveries(&tx, id, next, None, 1).await;
    let found = found.map_err(problem)?.into_iter().next();
    let Some(found) = found.filter(|found| found.id == delivery) else {
        return Err(Problem::new(
            Code::DeliveryNotFound,
            format!("endpoint {id} has no delivery {delivery}"),
        ));
    };
    let attempts = endpoints::attempts(&tx, delivery).await.map_err(problem)?;
    tx.commit().await?;
    Ok(Json(Attempted {
        delivery: found,
        attempts,
    }))
}

/// Deliver again: some deliveries by their numbers, or all that failed since a time. With an `Idempotency-Key` the request
/// may be sent again.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/replay", tag = "webhooks",
    security(("bearer" = ["webhooks.manage"]), ("page" = ["webhooks.manage"])),
    params(
        ("id" = i64, Path, minimum = 1, description = "The endpoint's number."),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]+$", description = "The caller's own key for this request."),
    ),
    request_body = Replay,
    responses(
        (status = 202, body = Replayed, description = "They are on their way."),
        Problems,
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
        (status = 422, body = web::problem::Details, content_type = "application/problem+json", description = "`idempotency_key_reused`"),
    )
)]
pub async fn replay(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<Replay>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let which = match (&body.value.deliveries, body.value.failed_since) {
        (Some(these), None) if these.len() <= MOST => Again::These(these),
        (None, Some(since)) => Again::FailedSince(since),
        (Some(these), None) => {
            let rule = format!("at most {MOST} numbers");
            return Err(Problem::body("deliveries", rule, &these.len().to_string()));
        }
        _ => {
            let rule = "either `deliveries` or `failed_since`";
            return Err(Problem::body(".", rule, ""));
        }
    };
    let now = app.clock.now();
    let tx = match once::begin(&app.db, &caller, &body.asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tx) => *tx,
    };
    endpoints::get(&tx, id).await.map_err(problem)?;
    let again = endpoints::replay(&tx, &caller.scope, id, which, now).await;
    let answer = Replayed {
        deliveries: again.map_err(problem)?,
    };
    let after = json!({"deliveries": answer.deliveries});
    note(&tx, "events.replay", "webhook", id, Some(&after), now).await?;
    once::finish(tx, &body.asked, StatusCode::ACCEPTED, &answer).await
}

/// Nobody hears through an endpoint what they may not read.
fn may_read(caller: &Caller, names: &[String]) -> Result<(), Problem> {
    let catalogue = ::events::Catalogue::get();
    for event in names.iter().filter_map(|name| catalogue.newest(name)) {
        caller.must(&event.permission)?;
    }
    Ok(())
}

fn no_ring() -> Problem {
    let detail = "webhooks need a key ring that seals their secrets: keys.vault names none";
    Problem::new(Code::NotConfigured, detail)
}

fn problem(error: EndpointError) -> Problem {
    let says = error.to_string();
    match error {
        EndpointError::Field { field, rule, value } => Problem::body(field, rule, &value),
        EndpointError::Missing(_) => Problem::new(Code::WebhookNotFound, says),
        EndpointError::Database(error) => error.into(),
        EndpointError::Vault(error) => internal(&error),
    }
}
