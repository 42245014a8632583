//! Who asks, for handlers.

use access::{Identity, Permissions};
use axum::{extract::FromRequestParts, http::request::Parts};
use platform::{RequestId, Scope};

use crate::problem::{Code, Problem};

/// Who asks: for whom, who they are, in which request, and what they may.
#[derive(Clone)]
pub struct Caller {
    /// Goes into `db.tenant(…)`, and into everything that comes of the request.
    pub scope: Scope,
    /// What they may.
    pub permissions: Permissions,
    /// Their session; programs with a key have none.
    pub session: Option<i64>,
    /// What their page has to send back with what it changes.
    pub csrf: Option<String>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Caller({:?})", self.scope)
    }
}

impl Caller {
    pub(crate) fn new(identity: Identity, request: RequestId) -> Self {
        Self {
            scope: Scope {
                organization: identity.organization,
                actor: identity.actor,
                request,
            },
            permissions: identity.permissions,
            session: identity.session,
            csrf: identity.csrf,
        }
    }

    /// Whether they may; for what a route's own description cannot say.
    pub fn must(&self, permission: &str) -> Result<(), Problem> {
        if self.permissions.has(permission) {
            return Ok(());
        }
        Err(Problem::new(
            Code::PermissionMissing,
            format!("this needs the permission {permission}"),
        ))
    }
}

/// Nobody asks: what a handler says whose route lets everybody in.
pub(crate) fn nobody() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "send `Authorization: Bearer` with an API key or an access token that is good",
    )
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(nobody)
    }
}

/// For routes that let everybody in, and tell some more than others.
impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(parts.extensions.get().cloned())
    }
}
