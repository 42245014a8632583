//! Signing in at an organisation's own provider: there and back.

use std::net::SocketAddr;

use access::oidc::{Back, Oidc};
use axum::{
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use web::{Code, Params, Problem, Problems};

use super::sign_in::{secret, set_cookie};
use crate::http::App;

/// The cookie by which a browser is known when it comes back.
const BROWSER: &str = "patio_oidc";
/// Where it is sent.
const PLACE: &str = "/v1/sign-in/oidc";

fn of(app: &App) -> Result<&Oidc, Problem> {
    app.oidc.as_ref().ok_or_else(|| {
        Problem::new(
            Code::ProviderNotFound,
            "signing in at providers is not set up: keys.vault and http.public_url name what it needs",
        )
    })
}

/// Go to a provider to sign in there. To be opened by a browser.
#[utoipa::path(
    get, path = "/v1/sign-in/oidc/{provider}", tag = "sign-in", security(()),
    params(
        ("provider" = String, Path, description = "The provider's name."),
        ("return_to" = Option<String>, Query, description = "The page of this service to go to afterwards; `/docs` when absent."),
    ),
    responses(
        (status = 303, description = "There."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`provider_not_found`"),
        (status = 502, body = web::problem::Details, content_type = "application/problem+json", description = "`provider_unavailable`"),
    )
)]
pub async fn depart(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(provider): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    // Each makes a row, and has a provider asked.
    app.limits.stranger(from.ip()).map_err(Problem::too_often)?;
    params.only(&["return_to"])?;
    let return_to = params.text("return_to").unwrap_or("/docs");
    let depart = of(&app)?.begin(&provider, return_to).await?;
    let mut response = secret(StatusCode::SEE_OTHER);
    // What the URL library writes is ASCII.
    if let Ok(url) = HeaderValue::from_str(depart.url.as_str()) {
        response.headers_mut().insert(header::LOCATION, url);
    }
    remember(&mut response, &depart.browser, 600);
    Ok(response)
}

/// Come back from a provider. The provider sends browsers here; the session is a cookie.
#[utoipa::path(
    get, path = "/v1/sign-in/oidc/{provider}/callback", tag = "sign-in", security(()),
    params(
        ("provider" = String, Path, description = "The provider's name."),
        ("code" = Option<String>, Query, description = "What becomes a token."),
        ("state" = Option<String>, Query, description = "What was sent along."),
        ("iss" = Option<String>, Query, description = "Who answers (RFC 9207)."),
        ("error" = Option<String>, Query, description = "Why there is no code."),
    ),
    responses(
        (status = 200, body = String, content_type = "text/html", description = "A page that goes on to the page that was asked for."),
        Problems,
        (status = 401, body = web::problem::Details, content_type = "application/problem+json", description = "`sign_in_failed`"),
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`provider_not_found`"),
        (status = 502, body = web::problem::Details, content_type = "application/problem+json", description = "`provider_unavailable`"),
    )
)]
pub async fn back(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    app.limits.stranger(from.ip()).map_err(Problem::too_often)?;
    // What else a provider sends is ignored (RFC 6749, 4.1.2).
    let text = |name| params.text(name).map(str::to_owned);
    let back = Back {
        browser: browser(&headers),
        state: text("state"),
        code: text("code"),
        issuer: text("iss"),
        error: text("error"),
    };
    let home = of(&app)?.finish(&provider, &back).await?;
    // A redirect would still be the provider's doing, and the browser would hold the strict cookie back: a page of ours
    // goes on. The path is visible ASCII; what HTML gives a meaning is written out.
    let path = home
        .return_to
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('\'', "&#39;");
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Patio</title><meta http-equiv=\"refresh\" content=\"0;url={path}\">\
         <p><a href=\"{path}\">Go on</a>"
    );
    let mut response = secret(Html(page).into_response());
    let fixed = response.headers_mut();
    fixed.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    fixed.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    remember(&mut response, "", 0);
    set_cookie(&mut response, &home.page.cookie, None);
    Ok(response)
}

fn browser(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE);
    let texts = all.iter().filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == BROWSER)
        .map(|(_, value)| value.to_owned())
}

/// A cookie that comes along when another site sends the browser here, and to nothing else of ours.
fn remember(response: &mut Response, value: &str, seconds: u32) {
    let text = format!(
        "{BROWSER}={value}; Path={PLACE}; HttpOnly; Secure; SameSite=Lax; Max-Age={seconds}"
    );
    // The value is hexadecimal.
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
