//! Personal data: what is kept of people, and what they ask about theirs.

use std::collections::BTreeMap;

use ::privacy::{
    Kept, New, PrivacyError, Request, Step,
    carry::{self, Corrections, Export},
    proof, register,
    request::{self, Kind, Person},
    retain::CarryOut,
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::civil::Date;
use jobs::{House, enqueue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::{Body, Caller, Code, List, PageSize, Params, Problem, Problems};

use super::{internal, number, sign_in::secret, users};
use crate::http::App;

/// What somebody asks about their data.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestToAdd {
    /// Which right they exercise.
    kind: Kind,
    /// Whose data: the kind of person and their number.
    #[schema(example = "user:12", pattern = "^[a-z_]+:[0-9]+$")]
    subject: String,
    /// For a rectification: what is wrong, and what it should be.
    #[serde(default)]
    #[schema(example = json!({"name": "Ana Pérez"}))]
    corrections: BTreeMap<String, String>,
    /// For an erasure: how else they are known, such as a phone number or another address, so that it is taken out of what
    /// people wrote. Forgotten when the request has ended.
    #[serde(default)]
    #[schema(max_items = 20, example = json!(["+52 55 1234 5678"]))]
    also: Vec<String>,
}

/// A request that was written down.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestAdded {
    /// Its number.
    id: i64,
    /// Last day for the answer: 20 working days.
    #[schema(value_type = String, format = Date, example = "2026-03-30")]
    due_on: Date,
    /// Proves afterwards, to whoever has the data, that these were the ones; told this once.
    receipt: String,
}

/// A request with what was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestShown {
    /// The request.
    #[serde(flatten)]
    request: Request,
    /// What was done, table by table, without the data.
    steps: Vec<Step>,
}

/// Why a request is refused, or what is answered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Why; it names nobody.
    #[schema(min_length = 1, max_length = 500)]
    because: String,
}

/// Which personal data are kept, why, how long, and what becomes of them on erasure; in one page.
#[utoipa::path(
    get, path = "/v1/privacy/data", tag = "privacy",
    security(("bearer" = ["privacy.read"]), ("page" = ["privacy.read"])),
    responses((status = 200, body = List<Kept>, description = "All of them."), Problems)
)]
pub async fn data(params: Params) -> Result<Json<List<Kept>>, Problem> {
    params.only(&[])?;
    let items = register().rows();
    Ok(Json(List { items, next: None }))
}

/// What people asked about their data, by number.
#[utoipa::path(
    get, path = "/v1/privacy/requests", tag = "privacy",
    security(("bearer" = ["privacy.read"]), ("page" = ["privacy.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Most requests of a page; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<Request>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Request>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::SHORT)?;
    let after = params.cursor::<i64>()?.unwrap_or(0);
    let tx = app.db.tenant(&caller.scope).await?;
    let found = request::list(&tx, caller.scope.organization, after, limit + 1).await;
    let found = found.map_err(problem)?;
    tx.commit().await?;
    Ok(Json(List::cut(found, limit, |one| one.id.to_string())))
}

/// Write down what somebody asks about their data. A rectification is carried out at once, an erasure by a job; access is given
/// by `export`, and an objection is for people. Nobody has somebody erased or corrected who may more than they, nor themselves.
#[utoipa::path(
    post, path = "/v1/privacy/requests", tag = "privacy",
    security(("bearer" = ["privacy.manage"]), ("page" = ["privacy.manage"])),
    request_body = RequestToAdd,
    responses(
        (status = 201, body = RequestAdded, description = "It is written down."),
        Problems,
        (status = 409, body = web::problem::Details, content_type = "application/problem+json", description = "`privacy_request_open`, `own_user`, `email_taken`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn add(
    State(app): State<App>,
    caller: Caller,
    body: Body<RequestToAdd>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let (scope, now) = (&caller.scope, app.clock.now());
    let corrects = wanted.kind == Kind::Rectification;
    if corrects == wanted.corrections.is_empty() {
        let rule = "there for a rectification, and for nothing else";
        return Err(Problem::body("corrections", rule, ""));
    }
    let person = Person::parse(&wanted.subject).map_err(|_| {
        let rule = "the kind of person and their number, such as user:12";
        Problem::body("subject", rule, &wanted.subject)
    })?;
    if matches!(wanted.kind, Kind::Rectification | Kind::Erasure) {
        // People of whom there is one kind as yet.
        users::other(&app, &caller, &person.number.to_string()).await?;
    }
    let new = New {
        kind: wanted.kind,
        person,
        also: wanted.also,
    };
    let due_on = ::privacy::deadline::answer_by(::privacy::deadline::today(now));
    let (id, receipt) = if corrects {
        let house = House::begin(&app.db).await?;
        let made = request::add(&house, scope, &new, now)
            .await
            .map_err(problem)?;
        let corrections: Corrections = wanted.corrections;
        let done = carry::out(&house, scope, made.0, &corrections, now).await;
        done.map_err(problem)?;
        house.commit().await?;
        made
    } else {
        let tx = app.db.tenant(scope).await?;
        let made = request::add(&tx, scope, &new, now).await.map_err(problem)?;
        if wanted.kind == Kind::Erasure {
            let job = jobs::New::of(&CarryOut { request: made.0 });
            let asked = enqueue(&tx, Some(scope), &job, now).await;
            asked.map_err(|error| internal(&error))?;
        }
        tx.commit().await?;
        made
    };
    let added = RequestAdded {
        id,
        due_on,
        receipt: hex::encode(receipt.0),
    };
    Ok(secret((StatusCode::CREATED, Json(added))))
}

/// A request, and what was done.
#[utoipa::path(
    get, path = "/v1/privacy/requests/{id}", tag = "privacy",
    security(("bearer" = ["privacy.read"]), ("page" = ["privacy.read"])),
    params(("id" = i64, Path, minimum = 1, description = "The request's number.")),
    responses((status = 200, body = RequestShown, description = "The request."), Problems)
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RequestShown>, Problem> {
    let id = number("id", &id)?;
    let organization = caller.scope.organization;
    let tx = app.db.tenant(&caller.scope).await?;
    let request = request::one(&tx, organization, id).await.map_err(problem)?;
    let steps = proof::steps(&tx, organization, id).await.map_err(problem)?;
    tx.commit().await?;
    Ok(Json(RequestShown { request, steps }))
}

/// Carry out a request for access: everything that is kept of the person, once. Whoever gets it hands it to them and to nobody
/// else.
#[utoipa::path(
    post, path = "/v1/privacy/requests/{id}/export", tag = "privacy",
    security(("bearer" = ["privacy.manage"]), ("page" = ["privacy.manage"])),
    params(("id" = i64, Path, minimum = 1, description = "The request's number.")),
    responses(
        (status = 200, body = Export, description = "What is kept."),
        Problems,
        (status = 409, body = web::problem::Details, content_type = "application/problem+json", description = "`privacy_request_ended`"),
    )
)]
pub async fn export(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let (scope, now) = (&caller.scope, app.clock.now());
    let house = House::begin(&app.db).await?;
    let asked = request::one(&house, scope.organization, id).await;
    if asked.map_err(problem)?.kind != Kind::Access {
        let rule = "the number of a request for access";
        return Err(Problem::parameter("id", rule, &id.to_string()));
    }
    let outcome = carry::out(&house, scope, id, &Corrections::new(), now).await;
    let export = outcome.map_err(problem)?.export;
    house.commit().await?;
    Ok(secret(Json(export)))
}

/// Refuse an open request, or note what was answered to an objection.
#[utoipa::path(
    post, path = "/v1/privacy/requests/{id}/refuse", tag = "privacy",
    security(("bearer" = ["privacy.manage"]), ("page" = ["privacy.manage"])),
    params(("id" = i64, Path, minimum = 1, description = "The request's number.")),
    request_body = Refusal,
    responses(
        (status = 204, description = "It is refused."),
        Problems,
        (status = 409, body = web::problem::Details, content_type = "application/problem+json", description = "`privacy_request_ended`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn refuse(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<Refusal>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let now = app.clock.now();
    let tx = app.db.tenant(&caller.scope).await?;
    let refused = request::refuse(&tx, &caller.scope, id, &body.value.because, now).await;
    refused.map_err(problem)?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn problem(error: PrivacyError) -> Problem {
    let says = error.to_string();
    match error {
        PrivacyError::NoRequest(_) | PrivacyError::NoSubject(_) => {
            Problem::new(Code::NotFound, says)
        }
        PrivacyError::Ended(_) => Problem::new(Code::PrivacyRequestEnded, says),
        PrivacyError::Open(_) => Problem::new(Code::PrivacyRequestOpen, says),
        PrivacyError::Bad { field, rule } => Problem::body(field, rule, ""),
        PrivacyError::Taken(_) => Problem::new(Code::EmailTaken, says),
        PrivacyError::Db(error) => error.into(),
        PrivacyError::Register { .. } | PrivacyError::Randomness(_) => internal(&says),
    }
}
