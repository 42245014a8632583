//! Vehicles of transactions over HTTP: what is not known, what somebody says, and what is assumed meanwhile.

use std::collections::HashMap;

use audit::Entry;
use axum::{
    Json,
    extract::{FromRef, Path, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use platform::{DbError, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Body, Caller, Code, List, PageSize, Params, Problem, Problems, Turn, once};

use crate::{Charging, matching::Evidence};

/// The vehicle of a transaction.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Known {
    /// Its number; null: somebody has said that it is none of the fleet's.
    asset: Option<i32>,
    /// How likely it is that one, of 1.
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    /// Whether it may be relied upon.
    certain: bool,
    /// What speaks for it, strongest first.
    by: Vec<Evidence>,
    /// Who has said so; null: it was matched.
    assigned_by: Option<String>,
    /// When that was decided.
    decided_at: Timestamp,
}

/// What is assumed of a car while nobody knows which one it is. Its station charges it: a plan that says nothing else takes this
/// to the gateway, and the car stands where one stands that leaves then and needs that; never among the critical ones. When it is
/// over, it has its fair share like any car of which nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assumed {
    /// Energy that it needs, in Wh.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub energy_wh: i32,
    /// How long after its transaction began it leaves, in s.
    #[schema(minimum = 0, maximum = 604_800)]
    pub leaves_after_s: i32,
}

/// What is assumed where nobody has said anything: 20 kWh within 8 hours, a day's work and a night.
const ASSUMED: Assumed = Assumed {
    energy_wh: 20_000,
    leaves_after_s: 8 * 3600,
};

/// A transaction that goes on, and nobody knows with which vehicle.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unmatched {
    /// Its number.
    id: i64,
    /// The station.
    asset: Option<i32>,
    /// As the station calls itself.
    station: String,
    /// Its EVSE (2.0.1) or connector (1.6).
    evse: Option<i32>,
    /// Whose token began it.
    token: Option<String>,
    /// When it began, by the station's clock.
    started_at: Option<Timestamp>,
    /// Energy since its beginning, in Wh.
    energy_wh: f64,
    /// What is assumed of the car.
    assumed: Assumed,
}

/// Which vehicle it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VehicleToAssign {
    /// Its number as an asset; null: none of the fleet's.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    asset: Option<i32>,
}

/// By what a vehicle is known at stations.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// What it is.
    kind: SignKind,
    /// The token, or the number of the station and its EVSE: `17.1`. Letters count without case.
    #[schema(min_length = 1, max_length = 255, example = "04a2b3c4")]
    value: String,
    /// The vehicle's number as an asset; null removes the sign.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    asset: Option<i32>,
}

/// What a sign is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignKind {
    /// A card that belongs to the vehicle.
    Card,
    /// What the car itself says to a station: EVCC id, contract.
    OwnId,
    /// The connector of the place where it usually stands.
    Place,
}

impl SignKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::OwnId => "own_id",
            Self::Place => "place",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "card" => Self::Card,
            "own_id" => Self::OwnId,
            _ => Self::Place,
        }
    }
}

/// The routes of this room.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Charging: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(unmatched))
        .routes(routes!(assign))
        .routes(routes!(signs, set_sign))
        .routes(routes!(assumed, assume))
}

/// The vehicles of these transactions, as far as they are known, in a transaction of the organisation whose stations they
/// were at.
pub async fn vehicles(
    tenant: &Tenant,
    transactions: &[i64],
) -> Result<HashMap<i64, Known>, DbError> {
    let rows = tenant
        .query(include_str!("../queries/vehicles.sql"), &[&transactions])
        .await?;
    let known = |row: &Row| {
        let words: Vec<String> = row.get("evidence");
        let by = words.iter().map(|word| json!(word));
        let assigned_by: Option<String> = row.get("assigned_by");
        let asset: Option<i32> = row.get("asset_id");
        // That nobody knows it is no vehicle.
        (asset.is_some() || assigned_by.is_some()).then(|| {
            let known = Known {
                asset,
                confidence: row.get("confidence"),
                certain: row.get("certain"),
                by: by
                    .filter_map(|word| serde_json::from_value(word).ok())
                    .collect(),
                assigned_by,
                decided_at: row.get("decided_at"),
            };
            (row.get("transaction_id"), known)
        })
    };
    Ok(rows.iter().filter_map(known).collect())
}

async fn assumption(tenant: &Tenant) -> Result<Assumed, DbError> {
    let row = tenant
        .query_opt(include_str!("../queries/assumption.sql"), &[])
        .await?;
    Ok(written(row.as_ref()))
}

/// What is assumed at the stations of this gateway, on a connection or in a transaction of the organisation that owns it.
pub async fn assumed_at(client: &Client, gateway: &str) -> Result<Assumed, DbError> {
    let sql = include_str!("../queries/assumption_at.sql");
    let row = client.query_opt(sql, &[&gateway]).await?;
    Ok(written(row.as_ref()))
}

fn written(row: Option<&Row>) -> Assumed {
    row.map_or(ASSUMED, |row| Assumed {
        energy_wh: row.get(0),
        leaves_after_s: row.get(1),
    })
}

/// Transactions that go on with a vehicle that nobody knows, newest first, and what is assumed of it.
#[utoipa::path(
    get, path = "/v1/transactions/unmatched", tag = "charging",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most transactions of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<Unmatched>, description = "A page of them."), Problems)
)]
pub async fn unmatched(
    State(charging): State<Charging>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Unmatched>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::LONG)?;
    let before = params.cursor::<i64>()?;
    let tenant = charging.db.tenant(&caller.scope).await?;
    let sql = include_str!("../queries/unmatched.sql");
    let rows = tenant.query(sql, &[&before, &i64::from(limit + 1)]).await?;
    let assumed = assumption(&tenant).await?;
    tenant.commit().await?;
    let items = rows.iter().map(|row| Unmatched {
        id: row.get("id"),
        asset: row.get("asset_id"),
        station: row.get("station"),
        evse: row.get("evse"),
        token: row.get("token"),
        started_at: row.get("started_at"),
        energy_wh: row.get::<_, i64>("energy_mwh") as f64 / 1000.0,
        assumed,
    });
    Ok(Json(List::cut(items.collect(), limit, |one| {
        one.id.to_string()
    })))
}

/// Say which vehicle a transaction is of. What somebody has said is not matched again.
#[utoipa::path(
    put, path = "/v1/transactions/{id}/vehicle", tag = "charging",
    security(("bearer" = ["transactions.assign"]), ("page" = ["transactions.assign"])),
    params(
        ("id" = i64, Path, minimum = 1, description = "The transaction's number."),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]+$", description = "The caller's own key for this request."),
    ),
    request_body = VehicleToAssign,
    responses(
        (status = 200, body = Known, description = "What is known now."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`not_found`, `asset_not_found`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
        (status = 422, body = web::problem::Details, content_type = "application/problem+json", description = "`idempotency_key_reused`"),
    )
)]
pub async fn assign(
    State(charging): State<Charging>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<VehicleToAssign>,
) -> Result<Response, Problem> {
    let id: i64 = id
        .parse()
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| Problem::parameter("id", "the number of a transaction", &id))?;
    let asset = body.value.asset;
    let now = charging.clock.now();
    let tx = match once::begin(&charging.db, &caller, &body.asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tx) => *tx,
    };
    let own = include_str!("../queries/own_transaction.sql");
    if tx.query_opt(own, &[&id]).await?.is_none() {
        return Err(Problem::new(
            Code::NotFound,
            format!("there is no transaction {id}"),
        ));
    }
    let before = vehicles(&tx, &[id]).await?.remove(&id);
    let who = caller.scope.actor.to_string();
    let sql = include_str!("../queries/assign.sql");
    if tx.execute(sql, &[&id, &asset, &who, &now]).await? == 0 {
        let asset = asset.unwrap_or_default();
        return Err(Problem::new(
            Code::AssetNotFound,
            format!("there is no asset {asset}"),
        ));
    }
    let known = Known {
        asset,
        confidence: 1.0,
        certain: true,
        by: Vec::new(),
        assigned_by: Some(who),
        decided_at: now,
    };
    let vehicle = |known: &Known| json!({ "vehicle": known.asset, "certain": known.certain });
    let (before, after) = (before.as_ref().map(vehicle), vehicle(&known));
    let entry = Entry {
        action: "charging.assign_vehicle",
        subject: &format!("transaction:{id}"),
        before: before.as_ref(),
        after: Some(&after),
    };
    audit::record(&tx, &caller.scope, &entry, now).await?;
    once::finish(tx, &body.asked, StatusCode::OK, &known).await
}

/// By what vehicles are known at stations: cards, what cars say themselves, parking places.
#[utoipa::path(
    get, path = "/v1/vehicle-signs", tag = "charging",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most signs of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<Sign>, description = "A page of them."), Problems)
)]
pub async fn signs(
    State(charging): State<Charging>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Sign>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::LONG)?;
    let after = params.text("cursor").map(ToOwned::to_owned);
    let tenant = charging.db.tenant(&caller.scope).await?;
    let sql = include_str!("../queries/list_signs.sql");
    let rows = tenant.query(sql, &[&after, &i64::from(limit + 1)]).await?;
    tenant.commit().await?;
    let items = rows.iter().map(|row| Sign {
        kind: SignKind::of(row.get(0)),
        value: row.get(1),
        asset: row.get(2),
    });
    Ok(Json(List::cut(items.collect(), limit, |one| {
        format!("{} {}", one.kind.word(), one.value)
    })))
}

/// Say by what a vehicle is known at stations. A sign that was another vehicle's is this one's from now on.
#[utoipa::path(
    put, path = "/v1/vehicle-signs", tag = "charging",
    security(("bearer" = ["transactions.assign"]), ("page" = ["transactions.assign"])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]+$", description = "The caller's own key for this request.")),
    request_body = Sign,
    responses(
        (status = 200, body = Sign, description = "It is kept, or removed."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`asset_not_found`"),
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
        (status = 422, body = web::problem::Details, content_type = "application/problem+json", description = "`idempotency_key_reused`"),
    )
)]
pub async fn set_sign(
    State(charging): State<Charging>,
    caller: Caller,
    body: Body<Sign>,
) -> Result<Response, Problem> {
    let Sign { kind, asset, .. } = body.value;
    let value = body.value.value.trim().to_lowercase();
    let right = (1..=255).contains(&value.chars().count()) && !value.chars().any(char::is_control);
    if !right {
        let rule = "1 to 255 characters, none of them a control character";
        return Err(Problem::body("value", rule, &body.value.value));
    }
    if kind == SignKind::Place && !is_place(&value) {
        let rule = "the number of a station, a point, and the number of its EVSE: 17.1";
        return Err(Problem::body("value", rule, &body.value.value));
    }
    let now = charging.clock.now();
    let tx = match once::begin(&charging.db, &caller, &body.asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tx) => *tx,
    };
    let word = kind.word();
    match asset {
        None => {
            let sql = include_str!("../queries/remove_sign.sql");
            tx.execute(sql, &[&word, &value]).await?;
        }
        Some(asset) => {
            let sql = include_str!("../queries/set_sign.sql");
            if tx.execute(sql, &[&word, &value, &asset]).await? == 0 {
                return Err(Problem::new(
                    Code::AssetNotFound,
                    format!("there is no asset {asset}"),
                ));
            }
        }
    }
    // The trail is kept for ever, and a card may be somebody's: what it says is the kind.
    let entry = Entry {
        action: "charging.set_sign",
        subject: &format!("sign:{word}"),
        before: None,
        after: Some(&json!({ "vehicle": asset })),
    };
    audit::record(&tx, &caller.scope, &entry, now).await?;
    once::finish(
        tx,
        &body.asked,
        StatusCode::OK,
        &Sign { kind, value, asset },
    )
    .await
}

fn is_place(value: &str) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits && text.parse::<i32>().is_ok_and(|number| number > 0)
    };
    value
        .split_once('.')
        .is_some_and(|(station, evse)| number(station) && number(evse))
}

/// What is assumed of a car while nobody knows which one it is.
#[utoipa::path(
    get, path = "/v1/charging/assumed", tag = "charging",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    responses((status = 200, body = Assumed, description = "The fleet's safe default."), Problems)
)]
pub async fn assumed(
    State(charging): State<Charging>,
    caller: Caller,
    params: Params,
) -> Result<Json<Assumed>, Problem> {
    params.only(&[])?;
    let tenant = charging.db.tenant(&caller.scope).await?;
    let assumed = assumption(&tenant).await?;
    tenant.commit().await?;
    Ok(Json(assumed))
}

/// Say what is assumed of a car while nobody knows which one it is. Plans that are given from then on take it to the gateways.
#[utoipa::path(
    put, path = "/v1/charging/assumed", tag = "charging",
    security(("bearer" = ["transactions.assign"]), ("page" = ["transactions.assign"])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]+$", description = "The caller's own key for this request.")),
    request_body = Assumed,
    responses(
        (status = 200, body = Assumed, description = "The fleet's safe default."),
        Problems,
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
        (status = 422, body = web::problem::Details, content_type = "application/problem+json", description = "`idempotency_key_reused`"),
    )
)]
pub async fn assume(
    State(charging): State<Charging>,
    caller: Caller,
    body: Body<Assumed>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    for (field, value, most) in [
        ("energy_wh", wanted.energy_wh, 1_000_000),
        ("leaves_after_s", wanted.leaves_after_s, 604_800),
    ] {
        if !(0..=most).contains(&value) {
            return Err(Problem::body(
                field,
                format!("0 to {most}"),
                &value.to_string(),
            ));
        }
    }
    let now = charging.clock.now();
    let tx = match once::begin(&charging.db, &caller, &body.asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tx) => *tx,
    };
    let before = assumption(&tx).await?;
    let sql = include_str!("../queries/set_assumption.sql");
    tx.execute(sql, &[&wanted.energy_wh, &wanted.leaves_after_s])
        .await?;
    let entry = Entry {
        action: "charging.assume",
        subject: "charging:assumed",
        before: Some(&json!(before)),
        after: Some(&json!(wanted)),
    };
    audit::record(&tx, &caller.scope, &entry, now).await?;
    once::finish(tx, &body.asked, StatusCode::OK, &wanted).await
}
