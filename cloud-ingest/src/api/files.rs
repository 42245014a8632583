//! Photos and documents: kept, listed, given out by links that expire.

use std::fmt::Write as _;

use axum::{
    Json,
    extract::{Path, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::{SignedDuration, Timestamp};
use platform::Scope;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use vault::files::{
    self, File, FileError, LONGEST,
    links::{LinkError, Target},
};
use web::{
    Body, Caller, Code, List, PageSize, Params, Problem, Problems, Turn, body::Content, once,
};

use super::{internal, note, number};
use crate::http::App;

/// Longest time that a link is good, in seconds.
const LONGEST_LINK: u32 = 7 * 24 * 3600;

/// What is known of a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileAbout {
    /// Its number.
    id: i64,
    /// Its name, for people.
    #[schema(example = "left-door.jpg")]
    name: String,
    /// What it is.
    #[schema(example = "image/jpeg")]
    media_type: String,
    /// Its length in bytes.
    size: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    sha256: String,
    /// Whether a virus scanner has looked at it and found nothing; false: there was no scanner.
    scanned: bool,
    /// Who brought it.
    #[schema(example = "user:12")]
    created_by: String,
    /// When.
    created_at: Timestamp,
}

impl From<File> for FileAbout {
    fn from(file: File) -> Self {
        Self {
            id: file.id,
            name: file.name,
            media_type: file.media_type,
            size: file.size,
            sha256: hex::encode(file.sha256),
            scanned: file.scanned,
            created_by: file.created_by,
            created_at: file.created_at,
        }
    }
}

/// For how long a link is to be good.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkWanted {
    /// Seconds from now.
    #[schema(minimum = 1, maximum = 604_800, example = 900)]
    seconds: u32,
}

/// A link to the content of a file. Whoever has it can read the file, without signing in.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkMade {
    /// Its path on this service.
    path: String,
    /// When it ends.
    expires_at: Timestamp,
}

/// Files of the organisation, by number.
#[utoipa::path(
    get, path = "/v1/files", tag = "files",
    security(("bearer" = ["files.read"]), ("page" = ["files.read"])),
    params(
        ("sha256" = Option<String>, Query, min_length = 64, max_length = 64, description = "Only those with this content: its SHA-256 in hexadecimal digits."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most files of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same other parameters with it."),
    ),
    responses((status = 200, body = List<FileAbout>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<FileAbout>>, Problem> {
    params.only(&["sha256", "limit", "cursor"])?;
    let limit = params.limit(PageSize::LONG)?;
    let after = params.cursor::<i64>()?;
    let sha256 = params.text("sha256").map(digest).transpose()?;
    let tx = app.db.tenant(&caller.scope).await?;
    let found = files::list(&tx, after, sha256.as_ref(), limit + 1).await;
    let items = found.map_err(problem)?.into_iter().map(FileAbout::from);
    tx.commit().await?;
    Ok(Json(List::cut(items.collect(), limit, |one| {
        one.id.to_string()
    })))
}

/// Keep a file. The body is its content and `Content-Type` what it is, up to 32 MiB. With a `Content-Digest` (RFC 9530,
/// sha-256) what was damaged on the way is refused; what a virus scanner finds something in is, too. With an
/// `Idempotency-Key` the request may be sent again.
#[utoipa::path(
    post, path = "/v1/files", tag = "files",
    security(("bearer" = ["files.write"]), ("page" = ["files.write"])),
    params(
        ("name" = String, Query, min_length = 1, max_length = 200, description = "Its name, for people; without `/`.", example = "left-door.jpg"),
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:…:`, the Base64 of the content's SHA-256 between the colons.",
            pattern = "^sha-256=:[A-Za-z0-9+/]{43}=:$", example = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]+$", description = "The caller's own key for this request."),
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "The content, of whatever type."),
    responses(
        (status = 201, body = FileAbout, description = "It is kept."),
        Problems,
        (status = 422, body = web::problem::Details, content_type = "application/problem+json", description = "`checksum_mismatch`, `file_infected`, `idempotency_key_reused`"),
        (status = 501, body = web::problem::Details, content_type = "application/problem+json", description = "`not_configured`"),
        (status = 503, body = web::problem::Details, content_type = "application/problem+json", description = "`files_unavailable`, `database_unavailable`"),
    )
)]
pub async fn add(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    params.only(&["name"])?;
    let keeping = app.files.as_ref().ok_or_else(no_store)?;
    let name = params.required("name", "1 to 200 characters without `/`")?;
    let content = Content::read(request, LONGEST).await?;
    let looked = keeping.look(name, &content.media_type, content.bytes).await;
    let looked = looked.map_err(problem)?;
    let now = app.clock.now();
    let tx = match once::begin(&app.db, &caller, &content.asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tx) => *tx,
    };
    let kept = keeping.keep(&tx, &caller.scope, looked, now).await;
    let about = FileAbout::from(kept.map_err(problem)?);
    let after = json!({"sha256": about.sha256, "size": about.size});
    note(&tx, "vault.add_file", "file", about.id, Some(&after), now).await?;
    once::finish(tx, &content.asked, StatusCode::CREATED, &about).await
}

/// What is known of a file.
#[utoipa::path(
    get, path = "/v1/files/{id}", tag = "files",
    security(("bearer" = ["files.read"]), ("page" = ["files.read"])),
    params(("id" = i64, Path, minimum = 1, description = "The file's number.")),
    responses((status = 200, body = FileAbout, description = "The file."), Problems)
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<FileAbout>, Problem> {
    let id = number("id", &id)?;
    let tx = app.db.tenant(&caller.scope).await?;
    let file = files::about(&tx, id).await.map_err(problem)?;
    tx.commit().await?;
    Ok(Json(file.into()))
}

/// Forget a file, and its content when no other file has the same.
#[utoipa::path(
    delete, path = "/v1/files/{id}", tag = "files",
    security(("bearer" = ["files.write"]), ("page" = ["files.write"])),
    params(("id" = i64, Path, minimum = 1, description = "The file's number.")),
    responses(
        (status = 204, description = "It is gone."),
        Problems,
        (status = 501, body = web::problem::Details, content_type = "application/problem+json", description = "`not_configured`"),
    )
)]
pub async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let keeping = app.files.as_ref().ok_or_else(no_store)?;
    let tx = app.db.tenant(&caller.scope).await?;
    note(&tx, "vault.forget_file", "file", id, None, app.clock.now()).await?;
    // The content goes at once, so this comes last.
    let gone = keeping.forget(&tx, &caller.scope, id).await;
    gone.map_err(problem)?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Make a link to a file's content, for somebody who does not sign in: a browser's image, a receiver of a mail.
#[utoipa::path(
    post, path = "/v1/files/{id}/links", tag = "files",
    security(("bearer" = ["files.read"]), ("page" = ["files.read"])),
    params(("id" = i64, Path, minimum = 1, description = "The file's number.")),
    request_body = LinkWanted,
    responses(
        (status = 201, body = LinkMade, description = "The link."),
        Problems,
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn link(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<LinkWanted>,
) -> Result<Response, Problem> {
    let id = number("id", &id)?;
    let seconds = body.value.seconds;
    if !(1..=LONGEST_LINK).contains(&seconds) {
        let rule = format!("from 1 to {LONGEST_LINK}");
        return Err(Problem::body("seconds", rule, &seconds.to_string()));
    }
    let now = app.clock.now();
    let tx = app.db.tenant(&caller.scope).await?;
    let file = files::about(&tx, id).await.map_err(problem)?;
    note(
        &tx,
        "vault.make_link",
        "file",
        id,
        Some(&json!({"seconds": seconds})),
        now,
    )
    .await?;
    tx.commit().await?;
    let until = now
        .saturating_add(SignedDuration::from_secs(seconds.into()))
        .unwrap_or(Timestamp::MAX);
    let target = Target {
        organization: caller.scope.organization,
        file: file.id,
    };
    let made = LinkMade {
        path: format!("/v1/links/{}", app.links.make(target, until)),
        expires_at: until,
    };
    Ok(super::sign_in::secret((StatusCode::CREATED, Json(made))))
}

/// Follow a link to the content of a file. Browsers save it and do not run it.
#[utoipa::path(
    get, path = "/v1/links/{token}", tag = "files", security(()),
    params(("token" = String, Path, description = "As the link was given out.")),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream", description = "The content; its type is the file's."),
        Problems,
        (status = 410, body = web::problem::Details, content_type = "application/problem+json", description = "`link_expired`"),
        (status = 501, body = web::problem::Details, content_type = "application/problem+json", description = "`not_configured`"),
    )
)]
pub async fn follow(
    State(app): State<App>,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let target = app.links.follow(&token, app.clock.now()).map_err(|error| {
        let code = match error {
            LinkError::Forged => Code::LinkNotGood,
            LinkError::Expired => Code::LinkExpired,
        };
        Problem::new(code, error.to_string())
    })?;
    let keeping = app.files.as_ref().ok_or_else(no_store)?;
    let scope = Scope::of_system(target.organization, "links");
    let tx = app.db.tenant(&scope).await?;
    let file = files::about(&tx, target.file).await.map_err(problem)?;
    tx.commit().await?;
    let content = keeping.content(target.organization, &file).await;
    let content = content.map_err(problem)?;
    let text = |text: String| {
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
    };
    let fixed = |text| HeaderValue::from_static(text);
    let saved = format!("attachment; filename*=UTF-8''{}", percent(&file.name));
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, text(file.media_type)),
        (header::CONTENT_DISPOSITION, text(saved)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (
            header::CONTENT_SECURITY_POLICY,
            fixed("sandbox; default-src 'none'"),
        ),
        (header::CACHE_CONTROL, fixed("private, no-store")),
    ];
    Ok((headers, content).into_response())
}

/// A name as RFC 8187 writes it in a header.
fn percent(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn digest(text: &str) -> Result<[u8; 32], Problem> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest)
        .map_err(|_| Problem::parameter("sha256", "64 hexadecimal digits", text))?;
    Ok(digest)
}

fn no_store() -> Problem {
    let detail = "files need a place to be kept: the table [files] names none";
    Problem::new(Code::NotConfigured, detail)
}

fn problem(error: FileError) -> Problem {
    let says = error.to_string();
    match error {
        FileError::TooLong(_) => Problem::new(Code::BodyTooLong, says),
        FileError::Field {
            field: "media_type",
            rule,
            value,
        } => Problem::parameter("Content-Type", rule, &value),
        FileError::Field { field, rule, value } => Problem::parameter(field, rule, &value),
        FileError::Infected(_) => Problem::new(Code::FileInfected, says),
        FileError::Scan(_) | FileError::Store(files::store::StoreError::Failed { .. }) => {
            tracing::warn!(error = says, "a file could not be kept or given");
            Problem::new(
                Code::FilesUnavailable,
                "the store or its scanner does not answer",
            )
        }
        FileError::Missing(_) => Problem::new(Code::FileNotFound, says),
        FileError::Store(_) | FileError::Changed(_) => internal(&says),
        FileError::Database(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_headers_want_them() {
        assert_eq!(percent("a-1.jpg"), "a-1.jpg");
        assert_eq!(percent("año \"7\""), "a%C3%B1o%20%227%22");
    }
}
