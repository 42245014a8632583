//! Messages of the organisation's gateways that could not be used.

use axum::{
    Json,
    extract::{Path, State},
};
use platform::{Clock, register};
use serde::Serialize;
use telemetry::{
    Ingestor, OutcomeKind, ReadmitError,
    read::{self, Quarantined},
};
use utoipa::ToSchema;
use web::{Caller, Code, List, PageSize, Params, Problem, Problems};

use crate::http::App;

/// What became of a message that was dealt with again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readmitted {
    /// Whether its content is stored now.
    stored: bool,
    /// How many samples it carries.
    samples: u32,
    /// Why it is not stored, for people; empty when it is.
    detail: String,
}

/// Messages that came from the organisation's gateways, or claim it (`closed` says which), by number.
#[utoipa::path(
    get, path = "/v1/quarantine", tag = "quarantine",
    security(("bearer" = ["gateways.read"]), ("page" = ["gateways.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most messages of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<Quarantined>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Quarantined>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::LONG)?;
    let after = params.cursor::<i64>()?;
    let found = own(&app, &caller, after, limit + 1).await?;
    Ok(Json(List::cut(found, limit, |one| one.id.to_string())))
}

/// One message.
#[utoipa::path(
    get, path = "/v1/quarantine/{id}", tag = "quarantine",
    security(("bearer" = ["gateways.read"]), ("page" = ["gateways.read"])),
    params(("id" = i64, Path, minimum = 1, description = "The message's number.")),
    responses(
        (status = 200, body = Quarantined, description = "The message, without its bytes."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`not_found`"),
    )
)]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<Quarantined>, Problem> {
    params.only(&[])?;
    Ok(Json(one(&app, &caller, &id).await?))
}

/// Deal with a message as if it had just arrived: after a key was registered or a program was put right. Doing it again
/// changes nothing.
#[utoipa::path(
    post, path = "/v1/quarantine/{id}/readmit", tag = "quarantine",
    security(("bearer" = ["quarantine.readmit"]), ("page" = ["quarantine.readmit"])),
    params(("id" = i64, Path, minimum = 1, description = "The message's number.")),
    responses(
        (status = 200, body = Readmitted, description = "What became of it."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`not_found`"),
    )
)]
pub async fn readmit(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<Readmitted>, Problem> {
    params.only(&[])?;
    let message = one(&app, &caller, &id).await?;
    let ingestor = Ingestor::new(app.store.clone(), Clock::system());
    let failed = |detail| Readmitted {
        stored: false,
        samples: 0,
        detail,
    };
    let stored = |samples| Readmitted {
        stored: true,
        samples,
        detail: String::new(),
    };
    let became = match ingestor.readmit(message.id).await {
        Ok(outcome) => match outcome.result {
            OutcomeKind::Stored { samples, .. } => stored(samples),
            OutcomeKind::Superseded { .. } => stored(0),
            OutcomeKind::Quarantined { reason, detail }
            | OutcomeKind::Rejected { reason, detail } => {
                failed(format!("{}: {detail}", reason.name()))
            }
            OutcomeKind::Refused { detail } => failed(detail),
            OutcomeKind::ColumnsNeeded(first) => failed(format!(
                "its epoch's columns from number {first} on are not known"
            )),
            OutcomeKind::NotStored { detail } => {
                return Err(Problem::new(Code::DatabaseUnavailable, detail));
            }
        },
        Err(error @ ReadmitError::CutOff { .. }) => failed(error.to_string()),
        Err(error @ ReadmitError::Unknown(_)) => {
            return Err(Problem::new(Code::NotFound, error.to_string()));
        }
        Err(error @ ReadmitError::Later(_)) => {
            return Err(Problem::new(Code::DatabaseUnavailable, error.to_string()));
        }
    };
    Ok(Json(became))
}

/// Messages of the caller's own gateways. The quarantine is the system's, for most of what is in it belongs to nobody.
async fn own(
    app: &App,
    caller: &Caller,
    after: Option<i64>,
    most: u32,
) -> Result<Vec<Quarantined>, Problem> {
    let tenant = app.db.tenant(&caller.scope).await?;
    let gateways = register::gateways(&tenant).await?;
    tenant.commit().await?;
    let names: Vec<String> = gateways.into_iter().map(|gateway| gateway.name).collect();
    let client = app.db.system().await?;
    Ok(read::quarantine_of(&client, Some(&names), after, most).await?)
}

async fn one(app: &App, caller: &Caller, id: &str) -> Result<Quarantined, Problem> {
    let number = id
        .parse::<i64>()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Problem::parameter("id", "the number of a message", id))?;
    let found = own(app, caller, Some(number - 1), 1).await?;
    found
        .into_iter()
        .find(|message| message.id == number)
        .ok_or_else(|| {
            let says = format!("no message of your gateways has the number {number}");
            Problem::new(Code::NotFound, says)
        })
}
