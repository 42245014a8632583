//! Charging transactions, as their stations told them.

use axum::{Json, extract::State};
use charging::Known;
use serde::Serialize;
use telemetry::charging::{ChargingTransaction, Wanted, transactions};
use utoipa::ToSchema;
use web::{Caller, List, PageSize, Params, Problem, Problems};

use crate::http::App;

/// A charging transaction and its vehicle.
#[derive(Debug, Serialize, ToSchema)]
pub struct Charged {
    #[serde(flatten)]
    transaction: ChargingTransaction,
    /// Its vehicle; null: nobody knows it.
    vehicle: Option<Known>,
}

/// Charging transactions of all stations, newest first: who began them, from when to when, their energy to the Wh, by the
/// stations' own registers, and which vehicle they are of.
#[utoipa::path(
    get, path = "/v1/transactions", tag = "charging",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    params(
        ("asset" = Option<u32>, Query, minimum = 1, maximum = 2_147_483_647, description = "Only of this station: its number as an asset."),
        ("open" = Option<bool>, Query, description = "`true`: only those that go on; `false`: only those that have ended."),
        ("from" = Option<String>, Query, description = "Only those that began at this time or later (RFC 3339); by their end when their beginning was never told."),
        ("to" = Option<String>, Query, description = "Only those that began before this time (RFC 3339)."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most transactions of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same other parameters with it."),
    ),
    responses((status = 200, body = List<Charged>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Charged>>, Problem> {
    params.only(&["asset", "open", "from", "to", "limit", "cursor"])?;
    let open = match params.text("open") {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => return Err(Problem::parameter("open", "`true` or `false`", other)),
    };
    let asset = match params.integer("asset", 1, i32::MAX.unsigned_abs(), 0)? {
        0 => None,
        number => Some(number.cast_signed()),
    };
    let wanted = Wanted {
        asset,
        open,
        from: params.time("from")?,
        to: params.time("to")?,
        before: params.cursor()?,
    };
    let limit = params.limit(PageSize::LONG)?;
    let tenant = app.db.tenant(&caller.scope).await?;
    let found = transactions(&tenant, &wanted, limit).await?;
    let ids: Vec<i64> = found.iter().map(|one| one.id).collect();
    let mut vehicles = charging::vehicles(&tenant, &ids).await?;
    tenant.commit().await?;
    let with_vehicle = |transaction: ChargingTransaction| Charged {
        vehicle: vehicles.remove(&transaction.id),
        transaction,
    };
    let found = found.into_iter().map(with_vehicle).collect();
    Ok(Json(List::cut(found, limit, |one| {
        one.transaction.id.to_string()
    })))
}
