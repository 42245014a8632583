//! Errors of the API: RFC 9457 problem details with a code that does not change, from one table.

use access::{AccessError, oidc};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use platform::{DbError, Failure, RegisterError};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{Ref, RefOr},
};

/// The media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! problems {
    ($($name:ident, $word:literal, $status:ident, $title:literal, $advice:literal;)*) => {
        /// What kind of problem it is. Programs may rely on these words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its word; never changes.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            /// What it means.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// What to do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice),* }
            }
        }
    };
}

// The table of problems: name, word, status, what it means, what to do. A room adds its rows here.
problems! {
    BadParameter, "bad_parameter", BAD_REQUEST, "A parameter is not what it must be",
        "`field`, `rule` and `value` say which and why.";
    BadBody, "bad_body", BAD_REQUEST, "The body is not what it must be",
        "`field`, `rule` and `value` say where and why; nothing of it was saved.";
    Unauthenticated, "unauthenticated", UNAUTHORIZED, "Nobody is signed in",
        "Send `Authorization: Bearer` with an API key or an access token; get new tokens when they have expired.";
    SignInFailed, "sign_in_failed", UNAUTHORIZED, "Address, password, code or token are not right",
        "Check them; after several attempts wait for a while. Which of them is wrong is not told.";
    CodeNeeded, "code_needed", UNAUTHORIZED, "A one-time code is needed",
        "Send `code` with address and password.";
    TokenReused, "token_reused", UNAUTHORIZED, "A refresh token was used twice",
        "Somebody else may have it, so the session was ended: sign in again.";
    PermissionMissing, "permission_missing", FORBIDDEN, "This is not permitted",
        "Use a key or a user with the permission that `detail` names.";
    CsrfTokenMissing, "csrf_token_missing", FORBIDDEN, "A page has to show that it is one of ours",
        "Send the value that signing in gave in the header `x-csrf-token`.";
    ProviderNotFound, "provider_not_found", NOT_FOUND, "There is no such provider to sign in at",
        "Ask whoever runs the service for its name.";
    ProviderUnavailable, "provider_unavailable", BAD_GATEWAY, "The provider to sign in at does not answer",
        "Try again later, or sign in with a password.";
    AssetNotFound, "asset_not_found", NOT_FOUND, "There is no such asset",
        "`/v1/assets` lists those that there are.";
    KeyNotFound, "key_not_found", NOT_FOUND, "There is no such key, or it is not good any more",
        "`/v1/keys` lists those that there are.";
    NotFound, "not_found", NOT_FOUND, "There is nothing of this name or number",
        "`detail` says what was looked for; the list of its kind names those that there are.";
    DepotNotFound, "depot_not_found", NOT_FOUND, "There is no such depot, or not this version of it",
        "`/v1/depots` lists those that there are.";
    UserNotFound, "user_not_found", NOT_FOUND, "There is no such user",
        "`/v1/users` lists those that there are.";
    EmailTaken, "email_taken", CONFLICT, "There is a user with this address already",
        "Use another address.";
    OwnUser, "own_user", CONFLICT, "One does not do this to oneself",
        "Have somebody else do it who may.";
    PrivacyRequestOpen, "privacy_request_open", CONFLICT, "There is an open request of this kind for this person already",
        "Carry it out or refuse it first; `/v1/privacy/requests` lists it.";
    PrivacyRequestEnded, "privacy_request_ended", CONFLICT, "The request has ended",
        "Make a new one.";
    WebhookNotFound, "webhook_not_found", NOT_FOUND, "There is no such endpoint of webhooks",
        "`/v1/webhooks` lists those that there are.";
    DeliveryNotFound, "delivery_not_found", NOT_FOUND, "There is no such delivery, or it is forgotten",
        "`/v1/webhooks/{id}/deliveries` lists those that there are.";
    DeadLetterNotFound, "dead_letter_not_found", NOT_FOUND, "There is no such job among those that were given up",
        "`/v1/jobs/dead` lists those that there are.";
    FileNotFound, "file_not_found", NOT_FOUND, "There is no such file",
        "`/v1/files` lists those that there are.";
    LinkNotGood, "link_not_good", NOT_FOUND, "The link is not one that was given out",
        "Use the whole link, or ask for a new one.";
    LinkExpired, "link_expired", GONE, "The link has expired",
        "Ask for a new one.";
    RouteNotFound, "route_not_found", NOT_FOUND, "There is no such route",
        "`/docs` shows all.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "The route does not know this method",
        "The header `Allow` names those that it knows.";
    DepotChanged, "depot_changed", PRECONDITION_FAILED, "The depot is not what it was when it was read",
        "Read it again, compare, and write with the ETag that `rule` names; `detail` names both versions.";
    BodyTooLong, "body_too_long", PAYLOAD_TOO_LARGE, "The body is too long",
        "Send less at a time.";
    MediaTypeNotSupported, "media_type_not_supported", UNSUPPORTED_MEDIA_TYPE, "The body is not of a type that is read",
        "Send `Content-Type: application/json`.";
    IdempotencyKeyReused, "idempotency_key_reused", UNPROCESSABLE_ENTITY, "An Idempotency-Key came with another request",
        "Use a new key for what is new, and the old one only for exactly the same.";
    DepotInvalid, "depot_invalid", UNPROCESSABLE_ENTITY, "The depot is not sound",
        "`faults` has everything that is wrong with it, with file, line and key; nothing of it was saved.";
    PreconditionRequired, "precondition_required", PRECONDITION_REQUIRED, "Which version is to be replaced has to be said",
        "Send `If-Match` with the ETag of the version that you read, or `If-None-Match: *` for what is new.";
    ChecksumMismatch, "checksum_mismatch", UNPROCESSABLE_ENTITY, "The content is not what its checksum says",
        "It was damaged on the way: send it again.";
    FileInfected, "file_infected", UNPROCESSABLE_ENTITY, "The scanner found something in the file",
        "Nothing was kept. Look at where the file comes from.";
    RateLimited, "rate_limited", TOO_MANY_REQUESTS, "That was too often",
        "Wait as many seconds as `Retry-After` says.";
    Internal, "internal", INTERNAL_SERVER_ERROR, "A fault of this program",
        "The log has the request's id, which is in `x-request-id`.";
    NotConfigured, "not_configured", NOT_IMPLEMENTED, "This service is not set up for it",
        "`detail` names the key of the configuration file that is missing.";
    FilesUnavailable, "files_unavailable", SERVICE_UNAVAILABLE, "The store of files, or its scanner, does not answer",
        "Nothing was kept. Try again later.";
    DatabaseUnavailable, "database_unavailable", SERVICE_UNAVAILABLE, "The database does not answer",
        "Try again later.";
    DeadlineExceeded, "deadline_exceeded", GATEWAY_TIMEOUT, "It took too long",
        "Ask for less at a time.";
}

/// The table of problems as a page (Markdown).
pub fn reference() -> String {
    let mut page = "| code | status | meaning | what to do |\n|---|---|---|---|\n".to_owned();
    page.extend(Code::ALL.iter().map(|code| {
        let status = code.status().as_u16();
        format!(
            "| `{}` | {status} | {} | {} |\n",
            code.word(),
            code.title(),
            code.advice()
        )
    }));
    page
}

/// An error that a handler answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(Box<Details>);

/// A problem, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Details {
    /// Always `about:blank`: `code` says more than the status.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What `code` means, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// What happened, for programs.
    code: Code,
    /// The parameter that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What it must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Everything that is wrong with files that were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FileFault>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileFault {
    /// The file.
    pub file: String,
    /// Its line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// The key with its tables; empty when none is meant.
    pub key: String,
    /// What was expected, what was found, and what to do.
    pub problem: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind: "about:blank",
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            field: None,
            rule: None,
            value: None,
            faults: Vec::new(),
            retry_after_s: None,
        }))
    }

    /// Files that were sent have faults.
    pub fn of_files(code: Code, faults: Vec<FileFault>) -> Self {
        let lines = faults.iter().map(|fault| {
            let FileFault {
                file,
                line,
                key,
                problem,
            } = fault;
            format!("{file}:{line}: {key}: {problem}")
        });
        let lines: Vec<_> = lines.collect();
        let mut made = Self::new(code, lines.join("\n"));
        made.0.faults = faults;
        made
    }

    /// What was said about the state of something (a header such as `If-Match`) does not hold.
    pub fn precondition(code: Code, detail: String, field: &str, rule: &str, value: &str) -> Self {
        Self::of_field(code, detail, field, rule.to_owned(), value)
    }

    /// What is answered.
    pub fn details(&self) -> &Details {
        &self.0
    }

    /// A parameter is not what it must be.
    pub fn parameter(field: &str, rule: impl Into<String>, value: &str) -> Self {
        let rule = rule.into();
        let detail = format!("{field} must be {rule}, and is `{}`", short(value));
        Self::of_field(Code::BadParameter, detail, field, rule, value)
    }

    /// A field of the body is not what it must be.
    pub fn body(field: &str, rule: impl Into<String>, value: &str) -> Self {
        let rule = rule.into();
        let detail = format!("{field}: {rule}");
        Self::of_field(Code::BadBody, detail, field, rule, value)
    }

    /// Somebody asks too often.
    pub fn too_often(wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        let mut problem = Self::new(Code::RateLimited, format!("ask again in {seconds} s"));
        problem.0.retry_after_s = Some(seconds);
        problem
    }

    fn of_field(code: Code, detail: String, field: &str, rule: String, value: &str) -> Self {
        let value = short(value);
        let mut problem = Self::new(code, detail);
        problem.0.field = Some(field.to_owned());
        problem.0.rule = Some(rule);
        problem.0.value = Some(value);
        problem
    }
}

fn short(value: &str) -> String {
    value.chars().take(100).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.0.code.status();
        // Texts and numbers are always JSON.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if let Some(seconds) = self.0.retry_after_s {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // RFC 9110, 15.5.2: whoever is not known is told how to be.
        if status == StatusCode::UNAUTHORIZED {
            let way = HeaderValue::from_static("Bearer realm=\"patio\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, way);
        }
        response
    }
}

/// Whoever signs in learns nothing but that it did not work.
impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let says = error.to_string();
        match error {
            AccessError::Refused => Self::new(Code::SignInFailed, says),
            AccessError::CodeNeeded => Self::new(Code::CodeNeeded, says),
            AccessError::Reused => Self::new(Code::TokenReused, says),
            AccessError::Bad { field, rule } => Self::body(field, rule, ""),
            AccessError::Missing { what: "key", .. } => Self::new(Code::KeyNotFound, says),
            AccessError::Missing { what: "user", .. } => Self::new(Code::UserNotFound, says),
            AccessError::Taken(_) => Self::new(Code::EmailTaken, says),
            AccessError::Db(error) => error.into(),
            AccessError::Missing { .. }
            | AccessError::NoRing
            | AccessError::Vault(_)
            | AccessError::Randomness(_) => {
                tracing::warn!(error = says, "a request failed");
                Self::new(Code::Internal, "the log says more")
            }
        }
    }
}

/// Whoever signs in at a provider learns nothing more, either; the log does.
impl From<oidc::Failed> for Problem {
    fn from(failed: oidc::Failed) -> Self {
        use oidc::Failed;
        match failed {
            Failed::NoProvider(name) => Self::new(
                Code::ProviderNotFound,
                format!("there is no provider {name}"),
            ),
            Failed::Elsewhere => {
                Self::parameter("return_to", "a path of this service, such as /docs", "")
            }
            Failed::Unavailable(error) => {
                tracing::warn!(%error, "a provider cannot be asked");
                Self::new(Code::ProviderUnavailable, "the log says more")
            }
            Failed::Access(error) => error.into(),
            Failed::Vault(error) => AccessError::Vault(error).into(),
            refused => {
                tracing::info!(reason = %refused, "nobody was signed in at a provider");
                Self::new(
                    Code::SignInFailed,
                    "the provider's answer signs nobody in: begin again",
                )
            }
        }
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Db(error) => error.into(),
            other => {
                tracing::warn!(error = %other, "the register failed");
                Self::new(Code::Internal, "the register failed")
            }
        }
    }
}

/// What the database says is for the log, not for the caller.
impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        tracing::warn!(%error, "a request failed in the database");
        match error {
            DbError::Query(error)
                if Failure::of(&error) != Failure::Connection && error.code().is_some() =>
            {
                Self::new(Code::Internal, "a query failed")
            }
            _ => Self::new(
                Code::DatabaseUnavailable,
                "the database does not answer; try again later",
            ),
        }
    }
}

/// Gives errors that come from the frame (unknown method, body too long, deadline) a body like all others.
#[expect(
    clippy::unused_async,
    reason = "that is how axum wants what maps responses"
)]
pub async fn from_bare(response: Response) -> Response {
    let ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media| media == MEDIA_TYPE || media == "application/json");
    let problem = match response.status() {
        _ if ours => return response,
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(Code::MethodNotAllowed, "/docs shows what each route takes")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            Code::BodyTooLong,
            format!("at most {} bytes are read", crate::MAX_BODY),
        ),
        StatusCode::GATEWAY_TIMEOUT => Problem::new(
            Code::DeadlineExceeded,
            "there was no answer in time; ask for less at a time",
        ),
        StatusCode::BAD_REQUEST => {
            Problem::parameter("(path)", "what the description of the route says", "")
        }
        StatusCode::INTERNAL_SERVER_ERROR => Problem::new(Code::Internal, "the log says more"),
        _ => return response,
    };
    let mut answer = problem.into_response();
    // `Allow` belongs to 405 (RFC 9110, 15.5.6).
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

/// The problem as the answer of routes in the OpenAPI document.
#[derive(Debug)]
pub struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<utoipa::openapi::response::Response>>
    {
        let answer = |description: &str| {
            let content = utoipa::openapi::content::ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            RefOr::T(
                utoipa::openapi::response::ResponseBuilder::new()
                    .description(description)
                    .content(MEDIA_TYPE, content)
                    .build(),
            )
        };
        [
            ("400", "`bad_parameter`"),
            ("401", "`unauthenticated`"),
            ("403", "`permission_missing`"),
            ("404", "what the path names is not there"),
            ("413", "`body_too_long`"),
            ("429", "`rate_limited`"),
            ("500", "`internal`"),
            ("503", "`database_unavailable`"),
            ("504", "`deadline_exceeded`"),
        ]
        .into_iter()
        .map(|(status, description)| (status.to_owned(), answer(description)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_as_the_table_has_them() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.word());
            assert!(reference().contains(&format!("`{}`", code.word())));
        }
    }
}
