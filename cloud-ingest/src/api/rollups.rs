//! Roll-ups of one signal of one asset: minutes, quarters of an hour, days.

use axum::{
    Json,
    extract::{Path, State},
};
use jiff::{SignedDuration, Timestamp};
use telemetry::{
    Resolution,
    read::{self, Cursor, MOST_ROWS, RollupPage, RollupQuery},
};
use web::{Caller, Params, Problem, Problems};

use super::{assets, series::number_of};
use crate::http::App;

/// What is shown when nobody says from when.
const USUAL: SignedDuration = SignedDuration::from_hours(24);

/// What was measured of one signal within each minute, quarter of an hour or day (UTC), oldest first. A bucket appears
/// a moment after it is over, and is read again when late samples come. Buckets without samples are left out; signals
/// that the asset alone has give none.
#[utoipa::path(
    get, path = "/v1/assets/{id}/rollups", tag = "assets",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    params(
        ("id" = i32, Path, description = "The asset's number."),
        ("signal" = String, Query, description = "The signal's name: one of `/v1/signals`.",
            example = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"),
        ("step" = Resolution, Query, description = "How much is taken together."),
        ("from" = Option<String>, Query, description = "Buckets that begin at this time or later (RFC 3339); a day before `to` when absent."),
        ("to" = Option<String>, Query, description = "Buckets that begin before this time (RFC 3339); now when absent."),
        ("source" = Option<String>, Query, description = "Only what was read this way: `can`, `obd`, `modbus`, `ocpp`, …"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "Most buckets of a page; 1000 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same other parameters with it."),
    ),
    responses(
        (status = 200, body = RollupPage, description = "A page of them."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`asset_not_found`"),
    )
)]
pub async fn rollups(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<RollupPage>, Problem> {
    params.only(&["signal", "step", "from", "to", "source", "limit", "cursor"])?;
    let signal = params
        .required("signal", "the name of a signal")?
        .to_owned();
    let rule = "one of minute, quarter, day";
    let step = params.required("step", rule)?;
    let resolution =
        Resolution::from_name(step).ok_or_else(|| Problem::parameter("step", rule, step))?;
    let (from, to) = span(&params, USUAL)?;
    let source = params.text("source").map(number_of).transpose()?;
    let limit = params.integer("limit", 1, MOST_ROWS, 1000)?;
    let cursor = params.cursor::<Cursor>()?;
    let (asset, client) = assets::own_samples(&app, &caller, &id).await?;
    let query = RollupQuery {
        asset,
        signal,
        source,
        resolution,
        from,
        to,
        limit,
        cursor,
    };
    Ok(Json(read::rollups(&client, &query).await?))
}

/// From when and until when.
pub(super) fn span(
    params: &Params,
    usual: SignedDuration,
) -> Result<(Timestamp, Timestamp), Problem> {
    let to = params.time("to")?.unwrap_or_else(Timestamp::now);
    let from = match params.time("from")? {
        Some(from) => from,
        None => to.saturating_sub(usual).unwrap_or(Timestamp::MIN),
    };
    if from >= to {
        let value = params.text("from").unwrap_or_default();
        return Err(Problem::parameter("from", "before `to`", value));
    }
    Ok((from, to))
}
