//! Errors of the API: RFC 9457 problem details with a code that does not change.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use platform::DbError;
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{Ref, RefOr},
};

/// The media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What kind of problem it is. Programs may rely on these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A parameter is not what it must be; `field`, `rule` and `value` say which and why.
    BadParameter,
    /// There is no asset with this number.
    AssetNotFound,
    /// There is no such route.
    RouteNotFound,
    /// The route does not know this method.
    MethodNotAllowed,
    /// The request's body is too long.
    BodyTooLong,
    /// The answer took too long.
    DeadlineExceeded,
    /// The database does not answer; try again later.
    DatabaseUnavailable,
    /// A fault of this program; the log has the request's id.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::BadParameter,
        Self::AssetNotFound,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::BodyTooLong,
        Self::DeadlineExceeded,
        Self::DatabaseUnavailable,
        Self::Internal,
    ];

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadParameter => StatusCode::BAD_REQUEST,
            Self::AssetNotFound | Self::RouteNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::DatabaseUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadParameter => "A parameter is not what it must be",
            Self::AssetNotFound => "There is no such asset",
            Self::RouteNotFound => "There is no such route",
            Self::MethodNotAllowed => "The route does not know this method",
            Self::BodyTooLong => "The body is too long",
            Self::DeadlineExceeded => "It took too long",
            Self::DatabaseUnavailable => "The database does not answer",
            Self::Internal => "A fault of this program",
        }
    }
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
        }))
    }

    /// A parameter is not what it must be.
    pub fn parameter(field: &str, rule: impl Into<String>, value: &str) -> Self {
        let rule = rule.into();
        let value: String = value.chars().take(100).collect();
        let detail = format!("{field} must be {rule}, and is `{value}`");
        let mut problem = Self::new(Code::BadParameter, detail);
        problem.0.field = Some(field.to_owned());
        problem.0.rule = Some(rule);
        problem.0.value = Some(value);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.0.code.status();
        // Texts and numbers are always JSON.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
    }
}

/// What the database says is for the log, not for the caller.
impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        tracing::warn!(%error, "a request failed in the database");
        match error {
            DbError::Query(error) if error.code().is_some() => {
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
pub(super) async fn from_bare(response: Response) -> Response {
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
            format!("at most {} bytes are read", super::MAX_BODY),
        ),
        StatusCode::GATEWAY_TIMEOUT => Problem::new(
            Code::DeadlineExceeded,
            format!(
                "there was no answer within {:?}; ask for less at a time",
                super::DEADLINE
            ),
        ),
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
            ("503", "`database_unavailable`"),
            ("504", "`deadline_exceeded`"),
        ]
        .into_iter()
        .map(|(status, description)| (status.to_owned(), answer(description)))
        .collect()
    }
}
