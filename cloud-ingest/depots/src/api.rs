//! Depots over HTTP.

use std::collections::BTreeMap;

use audit::Entry;
use axum::{
    Json,
    extract::{FromRef, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use config_file::{Fault, Faults};
use depot_config::{Document, depot::Depot, diff::diff};
use events::{Event, publish};
use jiff::Timestamp;
use platform::Tenant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Body, Caller, Code, List, PageSize, Params, Problem, Problems, Turn, once, problem::FileFault,
};

use crate::{
    Depots, MAX_BODY,
    condition::{self, Condition, etag},
    kept::{self, DepotVersion},
};

/// Most changes that an entry of the audit trail lists.
const MOST_CHANGES: usize = 100;

/// A depot to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DepotToWrite {
    /// The depot file (TOML); `depot-config schema` says what may stand in it.
    text: String,
    /// The texts of the files that it names, by their paths: its own prices, calendars, device maps.
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// What was written.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepotWritten {
    /// The depot's id.
    id: String,
    /// Its version, from 1.
    #[schema(minimum = 1)]
    version: i32,
    /// Its ETag, for the next `If-Match`.
    #[schema(example = "\"4-9f86d081884c7d65\"")]
    etag: String,
    /// Whether anything changed: false when exactly this was there already.
    changed: bool,
}

/// A depot in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepotListed {
    /// Its id.
    id: String,
    /// What people call it.
    name: String,
    /// The version that holds, from 1.
    #[schema(minimum = 1)]
    version: i32,
    /// Its ETag.
    etag: String,
    /// When it was written.
    written_at: Timestamp,
    /// Who wrote it.
    written_by: String,
}

/// The routes of this room.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Depots: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, put))
}

/// The depots, by id.
#[utoipa::path(
    get, path = "/v1/depots", tag = "depots",
    security(("bearer" = ["depots.read"]), ("page" = ["depots.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most depots of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<DepotListed>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(depots): State<Depots>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<DepotListed>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::LONG)?;
    let after = params.text("cursor").map(id_of).transpose()?;
    let tx = depots.db.tenant(&caller.scope).await?;
    let sql = include_str!("../queries/list.sql");
    let rows = tx.query(sql, &[&after, &i64::from(limit + 1)]).await?;
    tx.commit().await?;
    let items = rows.iter().map(|row| DepotListed {
        id: row.get("id"),
        name: row.get("name"),
        version: row.get("version"),
        etag: row.get("etag"),
        written_at: row.get("written_at"),
        written_by: row.get("written_by"),
    });
    Ok(Json(List::cut(items.collect(), limit, |one| {
        one.id.clone()
    })))
}

/// A depot's file, and the files that it names.
#[utoipa::path(
    get, path = "/v1/depots/{id}", tag = "depots",
    security(("bearer" = ["depots.read"]), ("page" = ["depots.read"])),
    params(
        ("id" = String, Path, description = "The depot's id.", pattern = "^[a-z0-9._-]{1,64}$"),
        ("version" = Option<u32>, Query, minimum = 1, maximum = 1_000_000, description = "An earlier version; the one that holds when absent."),
    ),
    responses(
        (status = 200, body = DepotVersion, description = "The version.", headers(("ETag" = String, description = "For `If-Match`."))),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`depot_not_found`"),
    )
)]
pub async fn get(
    State(depots): State<Depots>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["version"])?;
    let id = id_of(&id)?;
    let wanted = match params.text("version") {
        Some(_) => Some(params.integer("version", 1, 1_000_000, 1)?.cast_signed()),
        None => None,
    };
    let tx = depots.db.tenant(&caller.scope).await?;
    let found = kept::read(&tx, &id, wanted).await?;
    tx.commit().await?;
    let found = found.ok_or_else(|| {
        let version = wanted.map_or_else(String::new, |version| format!(" in version {version}"));
        Problem::new(
            Code::DepotNotFound,
            format!("there is no depot `{id}`{version}"),
        )
    })?;
    Ok(([(header::ETAG, found.etag.clone())], Json(found)).into_response())
}

/// Write a depot's file, if the version that holds is the one that was read. It is checked as `depot-config check` does.
#[utoipa::path(
    put, path = "/v1/depots/{id}", tag = "depots",
    security(("bearer" = ["depots.write"]), ("page" = ["depots.write"])),
    params(
        ("id" = String, Path, description = "The depot's id, as its file says it.", pattern = "^[a-z0-9._-]{1,64}$"),
        ("If-Match" = Option<String>, Header, pattern = "^\"[!#-~]+\"$", description = "The ETag of the version that is replaced."),
        ("If-None-Match" = Option<String>, Header, pattern = "^\\*$", description = "`*`: there is no such depot yet."),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]+$", description = "The caller's own key for this request."),
    ),
    request_body = DepotToWrite,
    responses(
        (status = 200, body = DepotWritten, description = "It is written, or was there already."),
        (status = 201, body = DepotWritten, description = "It is new."),
        Problems,
        (status = 412, body = web::problem::Details, content_type = "application/problem+json", description = "`depot_changed`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
        (status = 422, body = web::problem::Details, content_type = "application/problem+json", description = "`depot_invalid`, `idempotency_key_reused`"),
        (status = 428, body = web::problem::Details, content_type = "application/problem+json", description = "`precondition_required`"),
    )
)]
pub async fn put(
    State(depots): State<Depots>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body<DepotToWrite, MAX_BODY>,
) -> Result<Response, Problem> {
    let id = id_of(&id)?;
    let condition = condition::of(&headers)?;
    let Body { value, asked } = body;
    let DepotToWrite { text, files } = value;
    let document = Document { text, files };
    let (document, depot) = checked(id.clone(), document).await?;
    let tx = match once::begin(&depots.db, &caller, &asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tx) => *tx,
    };
    let now = depots.clock.now();
    let held = kept::lock(&tx, &id).await?;
    let fits = match (&held, &condition) {
        (None, Condition::New) => true,
        (Some((_, held)), Condition::Version(read)) => held == read,
        _ => false,
    };
    let before = kept::read(&tx, &id, None).await?;
    let there = before.as_ref().map(|before| before.etag.clone());
    let next = held.as_ref().map_or(1, |(version, _)| version + 1);
    // What is there already may be what this very request wrote before its answer was lost.
    let same = held
        .as_ref()
        .is_some_and(|(version, held)| *held == etag(*version, &document.digest()));
    if let Some((version, etag)) = held.as_ref().filter(|_| same) {
        let written = DepotWritten {
            id,
            version: *version,
            etag: etag.clone(),
            changed: false,
        };
        return once::finish(tx, &asked, StatusCode::OK, &written).await;
    }
    if !fits {
        return Err(conflict(&id, &condition, before.as_ref()));
    }
    let name = depot.site.name.clone();
    if !kept::write(&tx, (&id, &name, next), &document, now).await? {
        let before = kept::read(&tx, &id, None).await?;
        return Err(conflict(&id, &condition, before.as_ref()));
    }
    let written = DepotWritten {
        etag: etag(next, &document.digest()),
        version: next,
        changed: true,
        id,
    };
    tell(&tx, &written, there, before, &depot, now).await?;
    let status = if next == 1 {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    once::finish(tx, &asked, status, &written).await
}

/// Event and audit trail.
async fn tell(
    tx: &Tenant,
    written: &DepotWritten,
    there: Option<String>,
    before: Option<DepotVersion>,
    depot: &Depot,
    now: Timestamp,
) -> Result<(), Problem> {
    let scope = tx.scope().clone();
    let DepotWritten {
        id, version, etag, ..
    } = written;
    // What an older version of this program took may be wrong to this one: then nobody counts.
    let was = before.and_then(|before| before.document().check(id).ok());
    let changes = was.map(|was| diff(&was, depot));
    let mut payload = json!({"depot": id, "version": version, "etag": etag});
    if let Some(changes) = &changes {
        payload["changes"] = json!(changes.len());
    }
    let event = Event {
        name: "depot.changed",
        of: id,
        payload,
    };
    publish(tx, &scope, &[event], now).await.map_err(|error| {
        tracing::error!(%error, "that a depot changed cannot be told");
        Problem::new(Code::Internal, "the log says more")
    })?;
    let changes = changes.unwrap_or_default();
    let texts: Vec<_> = changes
        .iter()
        .take(MOST_CHANGES)
        .map(ToString::to_string)
        .collect();
    let before = there.map(|etag| json!({"version": version - 1, "etag": etag}));
    let after = json!({"version": version, "etag": etag, "changes": texts});
    let entry = Entry {
        action: "depots.write",
        subject: &format!("depot:{id}"),
        before: before.as_ref(),
        after: Some(&after),
    };
    audit::record(tx, &scope, &entry, now).await?;
    Ok(())
}

/// Checks a depot where it holds nobody up.
async fn checked(id: String, document: Document) -> Result<(Document, Depot), Problem> {
    let task = tokio::task::spawn_blocking(move || {
        let depot = document.check(&id)?;
        Ok::<_, Faults>((document, depot))
    });
    let checked = task.await.map_err(|error| {
        tracing::error!(%error, "a depot cannot be checked");
        Problem::new(Code::Internal, "the log says more")
    })?;
    checked.map_err(|faults| {
        let faults = faults.into_vec().into_iter().map(file_fault);
        Problem::of_files(Code::DepotInvalid, faults.collect())
    })
}

fn file_fault(fault: Fault) -> FileFault {
    let hint = if fault.hint.is_empty() {
        String::new()
    } else {
        format!(" ({})", fault.hint)
    };
    FileFault {
        file: fault.file.display().to_string(),
        line: fault.position.map_or(0, |position| position.line),
        key: fault.key,
        problem: format!("{}{hint}", fault.problem),
    }
}

/// Both versions by name: the one that the writer has read, and the one that holds.
fn conflict(id: &str, condition: &Condition, held: Option<&DepotVersion>) -> Problem {
    let (field, read, given) = match condition {
        Condition::New => ("If-None-Match", "that there is none".to_owned(), "*"),
        Condition::Version(etag) => ("If-Match", format!("version {etag}"), etag.as_str()),
    };
    let (holds, rule) = match held {
        Some(held) => (
            format!(
                "the cloud has version {}, written by {} at {}",
                held.etag, held.written_by, held.written_at
            ),
            held.etag.clone(),
        ),
        None => (
            "the cloud has none".to_owned(),
            "If-None-Match: *".to_owned(),
        ),
    };
    let detail = format!("depot `{id}`: the writer says {read}, {holds}");
    Problem::precondition(Code::DepotChanged, detail, field, &rule, given)
}

fn id_of(text: &str) -> Result<String, Problem> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        let rule = "the id of a depot: 1 to 64 of a-z 0-9 . - _";
        Err(Problem::parameter("id", rule, text))
    }
}
