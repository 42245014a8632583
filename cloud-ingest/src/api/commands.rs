//! What gateways are told to do, and what became of it.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use serde::Deserialize;
use shared_protocol::GatewayId;
use telemetry::command::{self, Before, CommandError, CommandId, Sent};
use utoipa::ToSchema;
use web::{Body, Caller, Code, List, PageSize, Params, Problem, Problems, Turn, once};

use crate::{http::App, plans};

/// How long a command is valid when nobody says: an hour.
const USUAL_S: u32 = 3600;

/// A command to be given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandToSend {
    /// The gateway's name.
    #[schema(min_length = 1, example = "depot-1")]
    gateway: String,
    /// What to do: `ping`, `send-columns`, `plan`, `clear-trouble-codes`, `station`.
    #[schema(min_length = 1, example = "ping")]
    kind: String,
    /// With what; for `send-columns` the epoch; for `clear-trouble-codes` the vehicle; for `plan` JSON: `{"from": instant,
    /// "until": instant, "stations": [{"station": key, "token"?, "critical"?, "departure"?: instant, "energy_wh"?, "power"?:
    /// [{"from": instant, "watts"}]}], "assumed"?: {"energy_wh", "leaves_after_s"}}`. A plan orders cars and takes power from
    /// them; it raises nothing that breakers, contract and meters allow. The newest one that a gateway has taken holds until
    /// its end; then cars share what there is. `assumed` is what a car counts with of which the plan says nothing: when absent,
    /// what `/v1/charging/assumed` says; null: nothing.
    /// For `station` what a charging station is to do, as JSON:
    /// `{"station": "CP-1", "command": "remote-start", "with": {"token": "04A2B3", "connector": 1}}`. A command or
    /// parameter that there is not is answered with those that there are.
    #[serde(default)]
    argument: String,
    /// For how many seconds it may be carried out; an hour when absent.
    #[schema(minimum = 1, maximum = 2_592_000)]
    valid_s: Option<u32>,
}

/// Give a command. It is signed, sent until it is answered or expires, and carried out at most once. With an
/// `Idempotency-Key` the request may be sent again: there is one command, and the same answer.
#[utoipa::path(
    post, path = "/v1/commands", tag = "commands",
    security(("bearer" = ["commands.send"]), ("page" = ["commands.send"])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]+$", description = "The caller's own key for this request.")),
    request_body = CommandToSend,
    responses(
        (status = 201, body = Sent, description = "The command."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`not_found`: the gateway"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
        (status = 422, body = web::problem::Details, content_type = "application/problem+json", description = "`idempotency_key_reused`"),
    )
)]
pub async fn send(
    State(app): State<App>,
    caller: Caller,
    body: Body<CommandToSend>,
) -> Result<Response, Problem> {
    let wanted = &body.value;
    let gateway: GatewayId = wanted.gateway.parse().map_err(|error| {
        let rule = format!("the name of a gateway: {error}");
        Problem::body("gateway", rule, &wanted.gateway)
    })?;
    let valid = Duration::from_secs(wanted.valid_s.unwrap_or(USUAL_S).into());
    let tenant = match once::begin(&app.db, &caller, &body.asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tenant) => *tenant,
    };
    let what = (wanted.kind.as_str(), wanted.argument.as_str());
    let argument = plans::argument(&tenant, &gateway, what).await?;
    let what = (what.0, &*argument);
    let queued = command::queue(&tenant, &gateway, what, Timestamp::now(), valid).await;
    let id = queued.map_err(|error| {
        let says = error.to_string();
        match error {
            CommandError::Db(error) => error.into(),
            CommandError::Gateway(_) => Problem::new(Code::NotFound, says),
            CommandError::Valid(valid) => {
                Problem::body("valid_s", says, &valid.as_secs().to_string())
            }
            CommandError::Plan(_) => Problem::body("argument", says, "this plan"),
            CommandError::Station(_) => Problem::body("argument", says, &wanted.argument),
            CommandError::Unknown { .. } | CommandError::Id(_) => {
                Problem::body("kind", says, &wanted.kind)
            }
        }
    })?;
    let made = command::show(&tenant, id).await?;
    once::finish(tenant, &body.asked, StatusCode::CREATED, &made).await
}

/// Commands, newest first, and what became of each.
#[utoipa::path(
    get, path = "/v1/commands", tag = "commands",
    security(("bearer" = ["gateways.read"]), ("page" = ["gateways.read"])),
    params(
        ("gateway" = Option<String>, Query, description = "Only to this gateway."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most commands of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same other parameters with it."),
    ),
    responses((status = 200, body = List<Sent>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Sent>>, Problem> {
    params.only(&["gateway", "limit", "cursor"])?;
    let gateway = params.text("gateway").map(|text| {
        text.parse::<GatewayId>()
            .map_err(|_| Problem::parameter("gateway", "the name of a gateway", text))
    });
    let gateway = gateway.transpose()?;
    let limit = params.limit(PageSize::LONG)?;
    let before = params.cursor::<Before>()?;
    let tenant = app.db.tenant(&caller.scope).await?;
    let commands = command::page(&tenant, gateway.as_ref(), before, limit + 1).await?;
    tenant.commit().await?;
    Ok(Json(List::cut(commands, limit, Sent::cursor)))
}

/// One command and what became of it.
#[utoipa::path(
    get, path = "/v1/commands/{id}", tag = "commands",
    security(("bearer" = ["gateways.read"]), ("page" = ["gateways.read"])),
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$", description = "The command's name.")),
    responses(
        (status = 200, body = Sent, description = "The command."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`not_found`"),
    )
)]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<Sent>, Problem> {
    params.only(&[])?;
    let rule = "the name of a command, 32 hexadecimal digits";
    let name: CommandId = id
        .parse()
        .map_err(|_| Problem::parameter("id", rule, &id))?;
    let tenant = app.db.tenant(&caller.scope).await?;
    let found = command::show(&tenant, name).await?;
    tenant.commit().await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::new(Code::NotFound, format!("no command is called {name}")))
}
