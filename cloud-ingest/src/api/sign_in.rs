//! Signing in and out, and the next pair of tokens.

use access::{Kind, SignedIn, Tokens};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use platform::{Actor, OrganizationId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::{Body, Caller, Code, Problem, Problems, guard::COOKIE};

use crate::http::App;

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The address of the user.
    email: String,
    /// The password.
    password: String,
    /// The one-time code, for users who need one.
    code: Option<String>,
    /// Whether a browser's page signs in: the session then is a cookie that scripts cannot read.
    #[serde(default)]
    page: bool,
}

/// A session of pages.
#[derive(Serialize, ToSchema)]
pub struct PageSession {
    /// What goes into the header `x-csrf-token` with everything that changes something.
    csrf_token: String,
    /// When the user has to sign in again.
    expires_at: Timestamp,
}

/// What signing in gives.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Session {
    /// For programs.
    Program(Tokens),
    /// For pages; the cookie is set.
    Page(PageSession),
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The token.
    refresh_token: String,
}

/// Who asks.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// The organisation's number.
    #[schema(value_type = i32)]
    organization: OrganizationId,
    /// `user:12` or `key:7`.
    #[schema(value_type = String, example = "key:7")]
    actor: Actor,
    /// Names of permissions.
    permissions: Vec<&'static str>,
    /// For pages: what goes into the header `x-csrf-token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
}

/// Sign in with address and password. Which of them is wrong, or whether there were too many attempts, is not told.
#[utoipa::path(
    post, path = "/v1/sign-in", tag = "sign-in", security(()),
    request_body = SignIn,
    responses(
        (status = 200, body = Session, description = "Tokens, or the session of a page."),
        Problems,
        (status = 401, body = web::problem::Details, content_type = "application/problem+json", description = "`sign_in_failed`, `code_needed`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn sign_in(State(app): State<App>, body: Body<SignIn>) -> Result<Response, Problem> {
    let SignIn {
        email,
        password,
        code,
        page,
    } = body.value;
    let kind = if page { Kind::Page } else { Kind::Program };
    match app
        .access
        .sign_in(&email, &password, code.as_deref(), kind)
        .await?
    {
        SignedIn::Program(tokens) => Ok(secret(Json(Session::Program(tokens)))),
        SignedIn::Page(page) => {
            let session = PageSession {
                csrf_token: page.csrf,
                expires_at: page.expires_at,
            };
            let mut response = secret(Json(Session::Page(session)));
            set_cookie(&mut response, &page.cookie, None);
            Ok(response)
        }
    }
}

/// Get the next pair of tokens. A refresh token is good once; when it comes again, its session ends.
#[utoipa::path(
    post, path = "/v1/refresh", tag = "sign-in", security(()),
    request_body = Refresh,
    responses(
        (status = 200, body = Tokens, description = "The next pair."),
        Problems,
        (status = 401, body = web::problem::Details, content_type = "application/problem+json", description = "`sign_in_failed`, `token_reused`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn refresh(State(app): State<App>, body: Body<Refresh>) -> Result<Response, Problem> {
    Ok(secret(Json(
        app.access.refresh(&body.value.refresh_token).await?,
    )))
}

/// End the session: none of its tokens is good any more. A program with an API key has none to end.
#[utoipa::path(
    post, path = "/v1/sign-out", tag = "sign-in",
    security(("bearer" = []), ("page" = [])),
    responses((status = 204, description = "It has ended."), Problems)
)]
pub async fn sign_out(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    if let Some(session) = caller.session {
        app.access.sign_out(session).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if caller.csrf.is_some() {
        set_cookie(&mut response, "", Some("0"));
    }
    Ok(response)
}

/// Who asks, and what they may.
#[utoipa::path(
    get, path = "/v1/me", tag = "sign-in",
    security(("bearer" = []), ("page" = [])),
    responses((status = 200, body = Me, description = "That is you."), Problems)
)]
pub async fn me(caller: Caller) -> Json<Me> {
    Json(Me {
        organization: caller.scope.organization,
        actor: caller.scope.actor,
        permissions: caller.permissions.names(),
        csrf_token: caller.csrf,
    })
}

/// The password that one has, and the one that one wants.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPassword {
    /// The one that is good now.
    old_password: String,
    /// The next one.
    new_password: String,
}

/// Give oneself another password. All of one's sessions end, this one included: sign in again.
#[utoipa::path(
    put, path = "/v1/me/password", tag = "sign-in",
    security(("bearer" = []), ("page" = [])),
    request_body = OwnPassword,
    responses(
        (status = 204, description = "It is good from now on."),
        Problems,
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn own_password(
    State(app): State<App>,
    caller: Caller,
    body: Body<OwnPassword>,
) -> Result<Response, Problem> {
    let Actor::User(user) = caller.scope.actor else {
        let detail = "an API key has no password: sign in as the user";
        return Err(Problem::new(Code::PermissionMissing, detail));
    };
    let OwnPassword {
        old_password,
        new_password,
    } = body.value;
    app.access
        .change_password(&caller.scope, user, &old_password, &new_password)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// One's own organisation.
#[derive(Serialize, ToSchema)]
pub struct OwnOrganization {
    /// Its number.
    id: i32,
    /// Its name.
    name: String,
    /// Since when it is here.
    created_at: Timestamp,
}

/// The organisation of whoever asks.
#[utoipa::path(
    get, path = "/v1/me/organization", tag = "sign-in",
    security(("bearer" = []), ("page" = [])),
    responses((status = 200, body = OwnOrganization, description = "It."), Problems)
)]
pub async fn own_organization(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<OwnOrganization>, Problem> {
    let tx = app.db.tenant(&caller.scope).await?;
    let sql = include_str!("../../queries/own_organization.sql");
    let row = tx.query_one(sql, &[&caller.scope.organization]).await?;
    tx.commit().await?;
    Ok(Json(OwnOrganization {
        id: row.get("id"),
        name: row.get("name"),
        created_at: row.get("created_at"),
    }))
}

/// An answer that nobody on the way may keep.
pub(super) fn secret(answer: impl axum::response::IntoResponse) -> Response {
    let mut response = answer.into_response();
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// The cookie of pages: not for scripts, not for other sites, not over plain HTTP (but to this machine itself).
pub(super) fn set_cookie(response: &mut Response, value: &str, max_age: Option<&str>) {
    let age = max_age.map_or_else(String::new, |age| format!("; Max-Age={age}"));
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; Secure; SameSite=Strict{age}");
    // The value is hexadecimal.
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
