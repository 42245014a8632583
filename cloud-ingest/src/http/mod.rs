//! HTTP: the service. What each route answers is in [`crate::api`], the frame around it is the room `web`'s: who asks,
//! how often, problems, request ids.
//!
//! - [`health`]: `/health/live`, `/health/ready`, `/metrics`
//!
//! Each request has an id that is in the answer and in the log, a deadline, and a limit on its body. Everything under
//! `/v1` wants an API key or a token, but for what signs in.

pub mod health;

use std::{sync::Arc, time::Duration};

use access::{Access, oidc::Oidc};
use axum::{
    Router,
    extract::FromRef,
    http::StatusCode,
    middleware::{from_fn, from_fn_with_state, map_response},
    serve::{ListenerExt as _, TapIo},
};
use charging::Charging;
use depots::Depots;
use events::{live::Live, webhooks::Endpoints};
use metrics_exporter_prometheus::PrometheusHandle;
use platform::{Clock, Db};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;
use vault::{Files, Links};
use web::{
    Code, DEADLINE, Guard, MAX_BODY, Problem,
    guard::{self, Unclear},
    limit::Limits,
    problem, request,
};

use crate::{api, replica::Replica, status::Status};

/// Longest time that a request with a file may take.
const DEADLINE_LARGE: Duration = Duration::from_mins(5);
/// How long the other side of a connection may take nothing of what it is sent.
const STUCK: Duration = Duration::from_secs(30);

/// What handlers share.
#[derive(Clone)]
pub struct App {
    /// The database, for questions.
    pub db: Db,
    /// A replica that answers what only reads samples, where there is one.
    pub replica: Option<Replica>,
    /// The database as blocks reach it: what health is about.
    pub store: Db,
    /// Who may do what.
    pub access: Access,
    /// Signing in at providers, where it is set up.
    pub oidc: Option<Oidc>,
    /// How often.
    pub limits: Arc<Limits>,
    /// How the parts are doing.
    pub status: Arc<Status>,
    /// The metrics.
    pub metrics: PrometheusHandle,
    /// The time.
    pub clock: Clock,
    /// Makes endpoints of webhooks; without a key ring there is none.
    pub endpoints: Option<Endpoints>,
    /// What happens, as it happens.
    pub live: Live,
    /// Keeps files, where a place for them is named.
    pub files: Option<Files>,
    /// Makes links to files.
    pub links: Links,
}

impl FromRef<App> for Depots {
    fn from_ref(app: &App) -> Self {
        Self {
            db: app.db.clone(),
            clock: app.clock.clone(),
        }
    }
}

impl FromRef<App> for Charging {
    fn from_ref(app: &App) -> Self {
        Self {
            db: app.db.clone(),
            clock: app.clock.clone(),
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Patio",
        description = "Vehicles, chargers and meters of an electric fleet: what they are, what they measured, and \
            how complete it is. Values are in the unit that is given with them, times are RFC 3339 in UTC. \
            Lists come in pages: follow `next` with `cursor` until there is none."
    ),
    components(schemas(problem::Details, Code, telemetry::Resolution)),
    modifiers(&Ways, &Reference),
    tags(
        (name = "sign-in", description = "Tokens and sessions."),
        (name = "keys", description = "API keys of programs."),
        (name = "charging", description = "What was charged where, by the stations' own word, and with which vehicle."),
        (name = "assets", description = "Vehicles, chargers, meters and what they measured."),
        (name = "catalogue", description = "The signals that are known by name."),
        (name = "gateways", description = "What came from which gateway, and what is missing."),
        (name = "commands", description = "What gateways are told to do, and what became of it."),
        (name = "quarantine", description = "Messages of gateways that could not be used."),
        (name = "depots", description = "What stands in depots, as their files say it."),
        (name = "devices", description = "Trackers, vehicles of telematics services, devices that speak JSON."),
        (name = "users", description = "People and their roles."),
        (name = "files", description = "Photos and documents."),
        (name = "events", description = "What can happen, and what happens."),
        (name = "webhooks", description = "Where events are sent to, and what came of it."),
        (name = "jobs", description = "Work that was given up."),
        (name = "audit", description = "Who did what."),
        (name = "privacy", description = "Personal data: what is kept, and what people ask about theirs (ARCO)."),
        (name = "health", description = "For load balancers and monitoring."),
    )
)]
struct Api;

/// The ways to say who one is.
struct Ways;

impl Modify for Ways {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, or an access token of `/v1/sign-in`."))
            .build();
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
            guard::COOKIE,
            "A session of pages; what changes something needs the header `x-csrf-token`, too.",
        ));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("page", SecurityScheme::ApiKey(cookie));
    }
}

/// The tables of problems and permissions, in the description.
struct Reference;

impl Modify for Reference {
    fn modify(&self, document: &mut Document) {
        let text = document.info.description.get_or_insert_default();
        text.push_str(
            "\n\nEvery error is a problem (RFC 9457) whose `code` does not change from version to version:\n\n",
        );
        text.push_str(&problem::reference());
        text.push_str("\nAPI keys have permissions, users have roles:\n\n| permission | permits to | roles |\n|---|---|---|\n");
        let catalogue = access::permission::catalogue();
        text.extend(catalogue.permissions.iter().map(|permission| {
            let with = catalogue
                .roles
                .iter()
                .filter(|role| role.permissions.contains(&permission.name));
            let roles: Vec<&str> = with.map(|role| role.name.as_str()).collect();
            format!(
                "| `{}` | {} | {} |\n",
                permission.name,
                permission.about,
                roles.join(", ")
            )
        }));
    }
}

/// All routes that answer soon and read little, with their description.
fn quick() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(api::sign_in::sign_in))
        .routes(routes!(api::sign_in::refresh))
        .routes(routes!(api::sign_in::sign_out))
        .routes(routes!(api::sign_in::me))
        .routes(routes!(api::sign_in::own_password))
        .routes(routes!(api::sign_in::own_organization))
        .routes(routes!(api::oidc::depart))
        .routes(routes!(api::oidc::back))
        .routes(routes!(api::keys::list, api::keys::add))
        .routes(routes!(api::keys::revoke))
        .routes(routes!(api::keys::rotate))
        .routes(routes!(api::assets::list, api::assets::add))
        .routes(routes!(api::assets::latest))
        .routes(routes!(api::series::series))
        .routes(routes!(api::signals::list))
        .routes(routes!(api::gateways::list))
        .routes(routes!(api::devices::list))
        .routes(routes!(api::rollups::rollups))
        .routes(routes!(api::states::events))
        .routes(routes!(api::transactions::list))
        .merge(charging::routes())
        .routes(routes!(api::commands::list, api::commands::send))
        .routes(routes!(api::commands::show))
        .routes(routes!(api::quarantine::list))
        .routes(routes!(api::quarantine::show))
        .routes(routes!(api::quarantine::readmit))
        .routes(routes!(api::users::list, api::users::add))
        .routes(routes!(api::users::roles))
        .routes(routes!(api::users::set_roles))
        .routes(routes!(api::users::set_password))
        .routes(routes!(api::users::require_codes))
        .routes(routes!(api::users::disable))
        .routes(routes!(api::events::catalogue))
        .routes(routes!(api::events::live))
        .routes(routes!(api::webhooks::list, api::webhooks::add))
        .routes(routes!(api::webhooks::get, api::webhooks::remove))
        .routes(routes!(api::webhooks::rotate))
        .routes(routes!(api::webhooks::enable))
        .routes(routes!(api::webhooks::deliveries))
        .routes(routes!(api::webhooks::delivery))
        .routes(routes!(api::webhooks::replay))
        .routes(routes!(api::dead::list))
        .routes(routes!(api::dead::get, api::dead::discard))
        .routes(routes!(api::dead::replay))
        .routes(routes!(api::audit::list))
        .routes(routes!(api::privacy::data))
        .routes(routes!(api::privacy::list, api::privacy::add))
        .routes(routes!(api::privacy::get))
        .routes(routes!(api::privacy::export))
        .routes(routes!(api::privacy::refuse))
        .routes(routes!(api::files::list))
        .routes(routes!(api::files::get, api::files::remove))
        .routes(routes!(api::files::link))
}

/// Those that carry files and depots; they say themselves how long a body may be.
fn large() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(api::files::add))
        .routes(routes!(api::files::follow))
        .merge(depots::routes())
}

/// The OpenAPI description.
pub fn document() -> Document {
    quick().merge(large()).into_openapi()
}

/// A listener whose connections end when the other side takes nothing for a while, as a stream's reader that is stuck.
pub fn patient(listener: TcpListener) -> TapIo<TcpListener, fn(&mut TcpStream)> {
    listener.tap_io(|connection| {
        if let Err(error) = SockRef::from(&*connection).set_tcp_user_timeout(Some(STUCK)) {
            tracing::debug!(%error, "a connection has no time limit");
        }
    })
}

/// The whole service. Fails when a route does not say who may use it.
pub fn service(app: App) -> Result<Router, Unclear> {
    let described = serde_json::to_value(document()).unwrap_or_default();
    let guard = Guard::new(&described, app.access.clone(), Arc::clone(&app.limits))?;
    let within = |longest| TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, longest);
    let (quick, _) = quick().split_for_parts();
    let quick = quick
        .layer(from_fn_with_state(guard.clone(), guard::guard))
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(within(DEADLINE));
    let (large, _) = large().split_for_parts();
    let large = large
        .layer(from_fn_with_state(guard, guard::guard))
        .layer(within(DEADLINE_LARGE));
    Ok(quick
        .merge(large)
        .with_state(app)
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document()))
        .fallback(|| async {
            Problem::new(
                Code::RouteNotFound,
                "there is no such route; /docs shows all",
            )
        })
        .layer(map_response(problem::from_bare))
        .layer(from_fn(request::identify)))
}
