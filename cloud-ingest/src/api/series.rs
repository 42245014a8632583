//! Values of one signal of one asset over time.

use axum::{
    Json,
    extract::{Path, State},
};
use jiff::SignedDuration;
use shared_protocol::Source;
use telemetry::{
    layout,
    read::{self, Cursor, MOST_ROWS, Page, SeriesQuery},
};

use web::{Caller, Params, Problem, Problems};

use super::{assets, rollups::span};
use crate::http::App;

/// What is shown when nobody says from when.
const USUAL: SignedDuration = SignedDuration::from_hours(24);

/// Values of one signal of an asset, oldest first. Where several sources read the signal, each value says which did.
/// A signal of which the asset has no values gives none.
#[utoipa::path(
    get, path = "/v1/assets/{id}/series", tag = "assets",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    params(
        ("id" = i32, Path, description = "The asset's number."),
        ("signal" = String, Query, description = "The signal's name: one of `/v1/signals`, or one that the asset alone has.",
            example = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"),
        ("from" = Option<String>, Query, description = "From this time on (RFC 3339); a day before `to` when absent."),
        ("to" = Option<String>, Query, description = "Before this time (RFC 3339); now when absent."),
        ("source" = Option<String>, Query, description = "Only what was read this way: `can`, `obd`, `modbus`, `ocpp`, …"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "Most values of a page; 1000 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; give the same other parameters with it."),
    ),
    responses(
        (status = 200, body = Page, description = "A page of them."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`asset_not_found`"),
    )
)]
pub async fn series(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<Page>, Problem> {
    params.only(&["signal", "from", "to", "source", "limit", "cursor"])?;
    let signal = params
        .required("signal", "the name of a signal")?
        .to_owned();
    let (from, to) = span(&params, USUAL)?;
    let source = params.text("source").map(number_of).transpose()?;
    let limit = params.integer("limit", 1, MOST_ROWS, 1000)?;
    let cursor = params.cursor::<Cursor>()?;
    let (asset, client) = assets::own_samples(&app, &caller, &id).await?;
    let query = SeriesQuery {
        asset,
        signal,
        source,
        from,
        to,
        limit,
        cursor,
    };
    Ok(Json(read::series(&client, &query).await?))
}

/// The number of the source with this name.
pub(super) fn number_of(name: &str) -> Result<i16, Problem> {
    let sources: Vec<Source> = (0..=i16::from(u8::MAX))
        .filter_map(layout::source)
        .collect();
    let found = sources.iter().find(|source| source.name() == name);
    found.map(|source| source.number()).ok_or_else(|| {
        let names: Vec<_> = sources.iter().map(|source| source.name()).collect();
        Problem::parameter("source", format!("one of {}", names.join(", ")), name)
    })
}
