//! What is asked and answered.

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Page,
    guard::{Out, SESSION},
    view, words,
};
use crate::{
    commands::Local,
    control::{Act, Refused},
};

const COOKIE: &str = "patio_session";
/// A form is a few short fields.
const LONGEST: usize = 4096;
/// What a station is told may have to wait for others.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Said with every answer: nothing from elsewhere, nothing kept, nothing framed.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

pub(super) fn router(page: Arc<Page>) -> Router {
    Router::new()
        .route("/", get(show))
        .route("/live", get(live))
        .route("/enter", post(enter))
        .route("/leave", post(leave))
        .route("/act", post(act))
        .route("/page.css", get(css))
        .route("/page.js", get(js))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(DefaultBodyLimit::max(LONGEST))
        .layer(middleware::from_fn(own))
        .with_state(page)
}

/// What changes something is asked by this page alone, not by another site in the same browser.
async fn own(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let origin = text(header::ORIGIN);
    let from = origin.and_then(|origin| origin.split_once("://").map(|(_, host)| host));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let foreign = origin.is_some() && from != Some(host)
        || site.is_some_and(|site| !["same-origin", "none"].contains(&site));
    let mut response = if request.method().is_safe() || !foreign {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    };
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// The token of the session that a browser shows.
fn token(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE && value.len() == 64).then(|| value.to_owned())
    })
}

impl Page {
    fn now(&self) -> i64 {
        self.clock.now_us() / 1000
    }

    /// Who is in: the token and the key of the session.
    fn who(&self, headers: &HeaderMap) -> Option<(String, String)> {
        let token = token(headers)?;
        let key = self.guard.key(&token, self.now())?;
        Some((token, key))
    }

    fn cookie(&self, value: &str, seconds: i64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    fn depot(&self, key: &str) -> String {
        view::depot(&self.control.shown(), key, self.clock.wall_us())
    }
}

async fn show(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    match page.who(&headers) {
        Some((token, key)) => {
            let said = page.guard.said(&token);
            let body = view::page(&page.depot, &page.depot(&key), &key, said);
            Html(body).into_response()
        }
        None => Html(view::door(&page.depot, None)).into_response(),
    }
}

async fn live(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    match page.who(&headers) {
        Some((_, key)) => Html(page.depot(&key)).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

#[derive(Deserialize)]
struct Pin {
    pin: String,
}

async fn enter(State(page): State<Arc<Page>>, Form(Pin { pin }): Form<Pin>) -> Response {
    match page.guard.enter(&pin, page.now()).await {
        Ok(token) => {
            tracing::info!("somebody has come in with the PIN");
            let cookie = page.cookie(&token, SESSION / 1000);
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Err(out) => {
            tracing::warn!(?out, "somebody does not come in");
            let status = match out {
                Out::Wrong => StatusCode::FORBIDDEN,
                Out::Locked(_) => StatusCode::TOO_MANY_REQUESTS,
                Out::Failed => StatusCode::SERVICE_UNAVAILABLE,
            };
            let body = view::door(&page.depot, Some(&words::out(out)));
            let mut response = (status, Html(body)).into_response();
            if let Out::Locked(seconds) = out {
                let wait = HeaderValue::from(seconds);
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            response
        }
    }
}

#[derive(Deserialize)]
struct Leave {
    key: String,
}

async fn leave(
    State(page): State<Arc<Page>>,
    headers: HeaderMap,
    Form(form): Form<Leave>,
) -> Response {
    match page.who(&headers) {
        Some((token, key)) if key == form.key => page.guard.leave(&token),
        _ => return StatusCode::FORBIDDEN.into_response(),
    }
    let cookie = page.cookie("", 0);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

#[derive(Deserialize)]
struct Wanted {
    key: String,
    act: String,
    station: String,
}

/// Tells a station something, and goes back to the page, which says what became of it.
async fn act(
    State(page): State<Arc<Page>>,
    headers: HeaderMap,
    Form(form): Form<Wanted>,
) -> Response {
    let Some((token, key)) = page.who(&headers) else {
        return Redirect::to("/").into_response();
    };
    let act = Act::ALL.into_iter().find(|act| act.name() == form.act);
    let (Some(act), Ok(station), true) = (act, form.station.parse(), key == form.key) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let (answer, answered) = oneshot::channel();
    let local = Local {
        act,
        station,
        token: page.token.clone(),
        answer,
    };
    let done = match page.desk.try_send(local) {
        Ok(()) => match timeout(WITHIN, answered).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) | Err(_) => Err(Refused::Silent),
        },
        Err(_) => Err(Refused::Asked("too much is asked at once".to_owned())),
    };
    let said = words::done(act, &form.station, &done);
    page.guard.say(&token, done.is_ok(), said);
    Redirect::to("/").into_response()
}

async fn css() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("page.css")).into_response()
}

async fn js() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("page.js")).into_response()
}
