//! Who did what.

use ::audit::{Filter, Was};
use axum::{Json, extract::State};
use platform::{Actor, RequestId};
use web::{Caller, List, PageSize, Params, Problem, Problems};

use crate::http::App;

/// What was done in the organisation, the newest first. Entries cannot be changed; `cloud-ingest audit verify` proves it.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit",
    security(("bearer" = ["audit.read"]), ("page" = ["audit.read"])),
    params(
        ("subject" = Option<String>, Query, description = "Only what was done to this, such as `webhook:17`."),
        ("actor" = Option<String>, Query, description = "Only what this one did: `user:12`, `key:7`, `system:…`, `job:…`."),
        ("request_id" = Option<String>, Query, description = "Only what was done in this request."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most entries of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same other parameters with it."),
    ),
    responses((status = 200, body = List<Was>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Was>>, Problem> {
    params.only(&["subject", "actor", "request_id", "limit", "cursor"])?;
    let limit = params.limit(PageSize::LONG)?;
    let before = params.cursor::<i64>()?;
    let filter = Filter {
        subject: params.plain("subject")?,
        actor: params.text("actor"),
        request: params.text("request_id"),
    };
    if let Some(actor) = filter.actor.filter(|text| text.parse::<Actor>().is_err()) {
        let rule = "somebody: user:12, key:7, system:name or job:kind";
        return Err(Problem::parameter("actor", rule, actor));
    }
    if let Some(id) = filter
        .request
        .filter(|text| text.parse::<RequestId>().is_err())
    {
        return Err(Problem::parameter("request_id", "the id of a request", id));
    }
    let organization = caller.scope.organization;
    let tx = app.db.tenant(&caller.scope).await?;
    let found = ::audit::trail(&tx, organization, filter, before, limit + 1).await?;
    tx.commit().await?;
    Ok(Json(List::cut(found, limit, |one| one.seq.to_string())))
}
