//! A room, as small as one can be that has everything: somebody declares a vehicle ready.
//!
//! | what | where |
//! |---|---|
//! | table, row-level security, comments | `migrations/`, statements in `queries/` |
//! | API with permission, problems, pages, idempotency key | [`declare`], [`list`]; [`routes`] |
//! | event, and with it the webhook | [`events::publish`] in [`declare`]; its definition is in `catalogue.toml` |
//! | job | [`Lapse`], done by [`Lapser`] |
//! | audit | [`audit::record`], last in each transaction |
//!
//! To add it: its crate in the workspace, [`room`] in `rooms::all`, [`routes`] in `http::routes`, [`Lapser`] at the worker.

use audit::Entry;
use axum::{Json, extract::State, http::StatusCode, response::Response};
use events::{Event, publish};
use jiff::{SignedDuration, Timestamp};
use jobs::{About, Effect, Fault, Job, New, Tx, enqueue};
use platform::{Clock, Db};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Body, Caller, Code, List, Params, Problem, Problems, Turn, once};

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `sample`. It refers to the tables of [`platform::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "sample",
        runner: embedded::migrations::runner,
    }
}

/// How long a vehicle stays ready.
pub const LASTS: SignedDuration = SignedDuration::from_hours(12);

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
}

/// A vehicle that is ready.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// Number of the vehicle.
    asset: i32,
    /// Its state of charge in percent.
    #[schema(minimum = 0, maximum = 100)]
    state_of_charge: f64,
}

/// It as it is kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Its number.
    id: i64,
    /// Number of the vehicle.
    asset: i32,
    /// Its state of charge in percent.
    state_of_charge: f64,
    /// When it was declared.
    declared_at: Timestamp,
    /// When it was no longer so.
    lapsed_at: Option<Timestamp>,
}

/// The routes of this room.
pub fn routes() -> OpenApiRouter<Sample> {
    OpenApiRouter::new().routes(routes!(list, declare))
}

/// Declare a vehicle ready. It lapses after twelve hours.
#[utoipa::path(
    post, path = "/v1/readiness", tag = "sample",
    security(("bearer" = ["assets.write"])),
    request_body = Ready,
    responses((status = 201, body = Readiness, description = "It is kept."), Problems)
)]
pub async fn declare(
    State(sample): State<Sample>,
    caller: Caller,
    body: Body<Ready>,
) -> Result<Response, Problem> {
    let ready = body.value;
    let (scope, now) = (&caller.scope, sample.clock.now());
    if !(0.0..=100.0).contains(&ready.state_of_charge) {
        let value = ready.state_of_charge.to_string();
        return Err(Problem::body(
            "state_of_charge",
            "between 0 and 100",
            &value,
        ));
    }
    let tx = match once::begin(&sample.db, &caller, &body.asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tx) => tx,
    };
    let sql = include_str!("../queries/declare.sql");
    let row = tx
        .query_opt(sql, &[&ready.asset, &ready.state_of_charge, &now])
        .await?
        .ok_or_else(|| {
            Problem::new(
                Code::AssetNotFound,
                format!("there is no asset {}", ready.asset),
            )
        })?;
    let kept = Readiness {
        id: row.get(0),
        asset: ready.asset,
        state_of_charge: ready.state_of_charge,
        declared_at: now,
        lapsed_at: None,
    };
    let lapse = New::of(&Lapse { id: kept.id }).at(now.saturating_add(LASTS).unwrap_or(now));
    enqueue(&tx, Some(scope), &lapse, now)
        .await
        .map_err(failed)?;
    let event = Event {
        name: "vehicle.ready",
        of: &ready.asset.to_string(),
        payload: json!({"asset": ready.asset, "state_of_charge": ready.state_of_charge}),
    };
    publish(&tx, scope, &[event], now).await.map_err(failed)?;
    let entry = Entry {
        action: "sample.declare_ready",
        subject: &format!("vehicle:{}", ready.asset),
        before: None,
        after: Some(&json!(&kept)),
    };
    audit::record(&tx, scope, &entry, now).await?;
    once::finish(*tx, &body.asked, StatusCode::CREATED, &kept).await
}

/// What was declared, by number.
#[utoipa::path(
    get, path = "/v1/readiness", tag = "sample",
    security(("bearer" = ["telemetry.read"])),
    params(("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = List<Readiness>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(sample): State<Sample>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Readiness>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.integer("limit", 1, 200, 50)?;
    let tx = sample.db.tenant(&caller.scope).await?;
    let after = params.cursor::<i64>()?;
    let rows = tx
        .query(
            include_str!("../queries/list.sql"),
            &[&after, &i64::from(limit + 1)],
        )
        .await?;
    tx.commit().await?;
    let items = rows.iter().map(|row| Readiness {
        id: row.get("id"),
        asset: row.get("asset_id"),
        state_of_charge: row.get("state_of_charge"),
        declared_at: row.get("declared_at"),
        lapsed_at: row.get("lapsed_at"),
    });
    Ok(Json(List::cut(items.collect(), limit, |one| {
        one.id.to_string()
    })))
}

/// What can only be a fault of this program.
fn failed(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "a vehicle could not be declared ready");
    Problem::new(Code::Internal, "the log says more")
}

/// Ends a readiness.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lapse {
    id: i64,
}

impl Job for Lapse {
    const KIND: &'static str = "sample.lapse";
}

/// Does it.
#[derive(Clone, Copy, Debug)]
pub struct Lapser;

impl Effect for Lapser {
    type Job = Lapse;

    async fn run(&self, job: Lapse, about: &About, tx: &Tx) -> Result<(), Fault> {
        tx.execute(include_str!("../queries/lapse.sql"), &[&job.id, &about.now])
            .await?;
        if let Some(scope) = &about.scope {
            let entry = Entry {
                action: "sample.lapse",
                subject: &format!("readiness:{}", job.id),
                before: None,
                after: None,
            };
            audit::record(tx, scope, &entry, about.now).await?;
        }
        Ok(())
    }
}
