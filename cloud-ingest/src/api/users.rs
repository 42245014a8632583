//! People of the organisation, the roles that they may have, and the organisation itself.

use access::{NewUser, Permissions, User, permission};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use platform::Actor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::{Body, Caller, Code, List, PageSize, Params, Problem, Problems};

use super::{number, sign_in::secret};
use crate::http::App;

/// Somebody to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserToAdd {
    /// By which they sign in.
    #[schema(example = "ana@example.com")]
    email: String,
    /// Their name, for people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Their first password.
    #[schema(example = "correct horse battery staple")]
    password: String,
    /// Names of roles, of `/v1/roles`.
    #[schema(example = json!(["viewer"]))]
    roles: Vec<String>,
}

/// The number of somebody who was added.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserAdded {
    /// It.
    id: i32,
}

/// The roles that somebody is to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Their names; no others are kept.
    #[schema(example = json!(["viewer"]))]
    roles: Vec<String>,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// It.
    password: String,
}

/// What an authenticator reads.
#[derive(Debug, Serialize, ToSchema)]
pub struct Authenticator {
    /// An `otpauth` URL, to be shown as a QR code; told this once.
    url: String,
}

/// A role.
#[derive(Debug, Serialize, ToSchema)]
pub struct Role {
    /// Its name.
    name: &'static str,
    /// Who has it.
    about: &'static str,
    /// What it permits.
    permissions: &'static [String],
}

/// The roles that there are, in one page.
#[utoipa::path(
    get, path = "/v1/roles", tag = "users",
    security(("bearer" = ["users.read"]), ("page" = ["users.read"])),
    responses((status = 200, body = List<Role>, description = "All of them."), Problems)
)]
pub async fn roles(params: Params) -> Result<Json<List<Role>>, Problem> {
    params.only(&[])?;
    let roles = permission::catalogue().roles.iter();
    let items = roles.map(|role| Role {
        name: &role.name,
        about: &role.about,
        permissions: &role.permissions,
    });
    Ok(Json(List {
        items: items.collect(),
        next: None,
    }))
}

/// Everybody of the organisation, by number.
#[utoipa::path(
    get, path = "/v1/users", tag = "users",
    security(("bearer" = ["users.read"]), ("page" = ["users.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Most users of a page; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<User>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<User>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::SHORT)?;
    let after = params.cursor::<i32>()?;
    let users = app.access.users(&caller.scope, after, limit + 1).await?;
    Ok(Json(List::cut(users, limit, |user| user.id.to_string())))
}

/// Add somebody. Nobody gives roles that permit more than they may themselves.
#[utoipa::path(
    post, path = "/v1/users", tag = "users",
    security(("bearer" = ["users.manage"]), ("page" = ["users.manage"])),
    request_body = UserToAdd,
    responses(
        (status = 201, body = UserAdded, description = "They may sign in."),
        Problems,
        (status = 409, body = web::problem::Details, content_type = "application/problem+json", description = "`email_taken`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn add(
    State(app): State<App>,
    caller: Caller,
    body: Body<UserToAdd>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    no_more_than(&caller, &wanted.roles)?;
    let new = NewUser {
        email: wanted.email,
        name: wanted.name,
        password: wanted.password,
        roles: wanted.roles,
    };
    let id = app.access.add_user(&caller.scope, &new).await?;
    Ok((StatusCode::CREATED, Json(UserAdded { id })).into_response())
}

/// Give somebody these roles and no others: at once in this process, within 5 s in others.
#[utoipa::path(
    put, path = "/v1/users/{id}/roles", tag = "users",
    security(("bearer" = ["users.manage"]), ("page" = ["users.manage"])),
    params(("id" = i32, Path, minimum = 1, description = "The user's number.")),
    request_body = Roles,
    responses(
        (status = 204, description = "They have them."),
        Problems,
        (status = 409, body = web::problem::Details, content_type = "application/problem+json", description = "`own_user`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn set_roles(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<Roles>,
) -> Result<Response, Problem> {
    let user = other(&app, &caller, &id).await?;
    no_more_than(&caller, &body.value.roles)?;
    let set = app
        .access
        .set_roles(&caller.scope, &user.email, &body.value.roles);
    set.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Give somebody another password, and end their sessions.
#[utoipa::path(
    put, path = "/v1/users/{id}/password", tag = "users",
    security(("bearer" = ["users.manage"]), ("page" = ["users.manage"])),
    params(("id" = i32, Path, minimum = 1, description = "The user's number.")),
    request_body = NewPassword,
    responses(
        (status = 204, description = "It is theirs."),
        Problems,
        (status = 409, body = web::problem::Details, content_type = "application/problem+json", description = "`own_user`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
    )
)]
pub async fn set_password(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<NewPassword>,
) -> Result<Response, Problem> {
    let user = other(&app, &caller, &id).await?;
    let set = app
        .access
        .set_password(&caller.scope, &user.email, &body.value.password);
    set.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Have somebody give one-time codes from now on. What their authenticator reads is told this once.
#[utoipa::path(
    post, path = "/v1/users/{id}/codes", tag = "users",
    security(("bearer" = ["users.manage"]), ("page" = ["users.manage"])),
    params(("id" = i32, Path, minimum = 1, description = "The user's number.")),
    responses(
        (status = 200, body = Authenticator, description = "What their authenticator reads."),
        Problems,
        (status = 409, body = web::problem::Details, content_type = "application/problem+json", description = "`own_user`"),
    )
)]
pub async fn require_codes(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let user = other(&app, &caller, &id).await?;
    let url = app.access.require_codes(&caller.scope, &user.email).await?;
    Ok(secret(Json(Authenticator { url })))
}

/// Somebody may not sign in any more, and is signed out.
#[utoipa::path(
    post, path = "/v1/users/{id}/disable", tag = "users",
    security(("bearer" = ["users.manage"]), ("page" = ["users.manage"])),
    params(("id" = i32, Path, minimum = 1, description = "The user's number.")),
    responses(
        (status = 204, description = "They are out."),
        Problems,
        (status = 409, body = web::problem::Details, content_type = "application/problem+json", description = "`own_user`"),
    )
)]
pub async fn disable(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let user = other(&app, &caller, &id).await?;
    app.access.disable_user(&caller.scope, &user.email).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The user that a path names: not oneself, and nobody who may more.
pub(super) async fn other(app: &App, caller: &Caller, id: &str) -> Result<User, Problem> {
    let id = number("id", id)?;
    let nobody = || Problem::new(Code::UserNotFound, format!("there is no user {id}"));
    let id = i32::try_from(id).map_err(|_| nobody())?;
    let users = app.access.users(&caller.scope, Some(id - 1), 1).await?;
    let user = users.into_iter().find(|user| user.id == id);
    let user = user.ok_or_else(nobody)?;
    if caller.scope.actor == Actor::User(user.id) {
        return Err(Problem::new(
            Code::OwnUser,
            "one does not change one's own rights: somebody else has to",
        ));
    }
    no_more_than(caller, &user.roles)?;
    Ok(user)
}

fn no_more_than(caller: &Caller, roles: &[String]) -> Result<(), Problem> {
    let asked = Permissions::of_roles(roles);
    match asked.beyond(&caller.permissions).first() {
        Some(more) => Err(Problem::new(
            Code::PermissionMissing,
            format!("this is about somebody with a permission that one has not oneself: {more}"),
        )),
        None => Ok(()),
    }
}
