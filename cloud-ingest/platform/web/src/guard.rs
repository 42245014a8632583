//! Who asks, and whether they may. What a route wants is read from its OpenAPI description, so that what is documented
//! is what is enforced: `security(("bearer" = ["telemetry.read"]))`, or `security(())` for everybody. A route under
//! `/v1` that says neither is an error at the start.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use access::{Access, Permissions};
use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use platform::RequestId;
use serde_json::Value;

use crate::{
    caller::{Caller, nobody},
    limit::Limits,
    problem::{Code, Problem},
};

/// The cookie of pages.
pub const COOKIE: &str = "patio_session";
/// The header by which a page shows that it may read its own cookie's session.
pub const CSRF: &str = "x-csrf-token";

/// What a route wants.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// Nothing; but who is known is known.
    Everybody,
    /// Somebody with all of these.
    Permissions(Permissions),
}

/// A description that does not say who may use a route, or names a permission that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unclear(String);

/// Stands before every route.
#[derive(Clone, Debug)]
pub struct Guard {
    rules: Arc<HashMap<(Method, String), Rule>>,
    access: Access,
    limits: Arc<Limits>,
}

impl Guard {
    /// Reads the rules from an OpenAPI document.
    pub fn new(document: &Value, access: Access, limits: Arc<Limits>) -> Result<Self, Unclear> {
        Ok(Self {
            rules: Arc::new(rules(document)?),
            access,
            limits,
        })
    }

    /// Who asks, unless they may not. Takes the request apart: its body must not be held while this waits.
    async fn admit(&self, asked: Asked) -> Result<Option<Caller>, Problem> {
        // What no route takes gets its 404 or 405 from the router.
        let method = match asked.method {
            Method::HEAD => Method::GET,
            ref method => method.clone(),
        };
        let rule = asked.path.as_ref().and_then(|path| {
            let key = (method, path.as_str().to_owned());
            self.rules.get(&key)
        });
        let Some(rule) = rule else {
            return Ok(None);
        };
        let caller = self.recognise(&asked).await?;
        match &caller {
            Some(caller) => self
                .limits
                .caller(caller.scope.organization, &caller.scope.actor)
                .map_err(Problem::too_often)?,
            // Health and documents are asked for by everybody all the time; what signs in, or fails to, is not.
            None if *rule != Rule::Everybody || asked.method == Method::POST => {
                self.limits
                    .stranger(asked.from)
                    .map_err(Problem::too_often)?;
            }
            None => {}
        }
        if let Rule::Permissions(wanted) = rule {
            let caller = caller.as_ref().ok_or_else(nobody)?;
            if let Some(missing) = wanted.beyond(&caller.permissions).first() {
                return Err(Problem::new(
                    Code::PermissionMissing,
                    format!("this needs the permission {missing}"),
                ));
            }
        }
        Ok(caller)
    }

    async fn recognise(&self, asked: &Asked) -> Result<Option<Caller>, Problem> {
        let identity = if let Some(token) = bearer(&asked.headers) {
            self.access.who(token).await?
        } else if let Some(cookie) = page(&asked.headers) {
            let identity = self.access.whose_page(&cookie).await?;
            let sent = asked
                .headers
                .get(CSRF)
                .and_then(|value| value.to_str().ok());
            // Another site can have the cookie sent, but not the header.
            if let Some(identity) = &identity
                && !asked.method.is_safe()
                && sent != identity.csrf.as_deref()
            {
                return Err(Problem::new(
                    Code::CsrfTokenMissing,
                    format!(
                        "what a page changes needs the header {CSRF} with the value of its sign-in"
                    ),
                ));
            }
            identity
        } else {
            None
        };
        Ok(identity.map(|identity| Caller::new(identity, asked.id.clone())))
    }
}

/// What has to be known of a request.
struct Asked {
    method: Method,
    path: Option<MatchedPath>,
    headers: HeaderMap,
    id: RequestId,
    from: IpAddr,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        Self {
            method: request.method().clone(),
            path: extensions.get().cloned(),
            headers: request.headers().clone(),
            id: extensions.get().cloned().unwrap_or_else(RequestId::fresh),
            from: address(request),
        }
    }
}

/// Middleware: lets in who may.
pub async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.admit(Asked::of(&request)).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Where a request comes from.
pub fn address(request: &Request) -> IpAddr {
    request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn page(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(cookie::Cookie::split_parse)
        .flatten()
        .find(|cookie| cookie.name() == COOKIE)
        .map(|cookie| cookie.value().to_owned())
}

fn rules(document: &Value) -> Result<HashMap<(Method, String), Rule>, Unclear> {
    let mut rules = HashMap::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            let says = |what: &str| Unclear(format!("{method} {path} {what}"));
            let rule = match operation.get("security").and_then(Value::as_array) {
                None if path.starts_with("/v1/") => {
                    return Err(says("does not say who may use it: security(…)"));
                }
                None => Rule::Everybody,
                // An empty requirement makes signing in optional (OpenAPI 3.1, 4.8.2).
                Some(ways)
                    if ways
                        .iter()
                        .any(|way| way.as_object().is_none_or(serde_json::Map::is_empty)) =>
                {
                    Rule::Everybody
                }
                Some(ways) => {
                    let names = ways
                        .iter()
                        .flat_map(|way| way.as_object().into_iter().flatten())
                        .flat_map(|(_, names)| names.as_array().into_iter().flatten())
                        .filter_map(Value::as_str);
                    let wanted = Permissions::named(names)
                        .map_err(|unknown| says(&format!("wants {unknown}")))?;
                    Rule::Permissions(wanted)
                }
            };
            rules.insert((method, path.clone()), rule);
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_says_who_may_use_it() {
        let document = |security: Value| json!({"paths": {"/v1/x": {"get": security}}});
        let read = |security| rules(&document(security));
        let wanted = Permissions::named(["telemetry.read"]).unwrap();
        let key = (Method::GET, "/v1/x".to_owned());
        let found = read(json!({"security": [{"bearer": ["telemetry.read"]}]})).unwrap();
        assert_eq!(found[&key], Rule::Permissions(wanted));
        assert_eq!(
            read(json!({"security": [{}]})).unwrap()[&key],
            Rule::Everybody
        );
        let unclear = read(json!({})).unwrap_err().to_string();
        assert!(unclear.contains("GET /v1/x does not say"), "{unclear}");
        let unknown = read(json!({"security": [{"bearer": ["telemetry.reed"]}]})).unwrap_err();
        assert!(unknown.to_string().contains("telemetry.reed"), "{unknown}");
        // Somebody has to be known, whoever it is.
        let anybody = read(json!({"security": [{"bearer": []}]})).unwrap();
        assert_eq!(anybody[&key], Rule::Permissions(Permissions::default()));
    }

    #[test]
    fn credentials() {
        let headers = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                value.parse().unwrap(),
            )])
        };
        assert_eq!(bearer(&headers("authorization", "bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("authorization", "Basic abc")), None);
        let cookies = headers("cookie", "a=1; patio_session=xyz; b");
        assert_eq!(page(&cookies).as_deref(), Some("xyz"));
    }
}
