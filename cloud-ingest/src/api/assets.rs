//! Assets, and the latest value of each of their signals.

use axum::{
    Json,
    extract::{Path, State},
};
use platform::Client;
use serde::Serialize;
use telemetry::read::{self, Asset, Latest};
use utoipa::ToSchema;

use super::List;
use crate::http::{
    App,
    params::Params,
    problem::{Code, Problem, Problems},
};

/// An asset with the latest value of each of its signals.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetLatest {
    /// The asset.
    asset: Asset,
    /// The latest values, by signal and source.
    values: Vec<Latest>,
}

/// Vehicles, chargers and meters, by number. One that a gateway named and nobody assigned yet has no `kind`.
#[utoipa::path(
    get, path = "/v1/assets", tag = "assets",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most assets of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<Asset>, description = "A page of them."), Problems)
)]
pub async fn list(State(app): State<App>, params: Params) -> Result<Json<List<Asset>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.integer("limit", 1, 1000, 100)?;
    let after = params.cursor::<i32>()?;
    let client = app.db.get().await?;
    // One more than is shown tells whether there is another page.
    let mut items = read::assets(&client, after, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items
        .last()
        .filter(|_| more)
        .map(|last| last.id.to_string());
    Ok(Json(List { items, next }))
}

/// The latest value of each signal of an asset, as each source gave it.
#[utoipa::path(
    get, path = "/v1/assets/{id}/latest", tag = "assets",
    params(("id" = i32, Path, description = "The asset's number.")),
    responses(
        (status = 200, body = AssetLatest, description = "The values."),
        (status = 404, body = crate::http::problem::Details, content_type = "application/problem+json", description = "`asset_not_found`"),
        Problems
    )
)]
pub async fn latest(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<AssetLatest>, Problem> {
    params.only(&[])?;
    let client = app.db.get().await?;
    let asset = asset(&client, &id).await?;
    let values = read::latest(&client, asset.id).await?;
    Ok(Json(AssetLatest { asset, values }))
}

/// The asset that a path names.
pub(super) async fn asset(client: &Client, id: &str) -> Result<Asset, Problem> {
    let number = id
        .parse::<i32>()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Problem::parameter("id", "the number of an asset", id))?;
    let found = read::assets(client, Some(number - 1), 1).await?;
    found
        .into_iter()
        .find(|asset| asset.id == number)
        .ok_or_else(|| {
            Problem::new(
                Code::AssetNotFound,
                format!("no asset has the number {number}"),
            )
        })
}
