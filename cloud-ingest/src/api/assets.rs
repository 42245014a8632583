//! Assets, and the latest value of each of their signals.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use platform::{
    Client, Tenant,
    asset::{self, AssetKind, NewAsset},
};
use serde::{Deserialize, Serialize};
use telemetry::read::{self, Asset, Latest};
use utoipa::ToSchema;
use web::{Body, Caller, Code, List, PageSize, Params, Problem, Problems, Turn, once};

use crate::http::App;

/// An asset to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetToAdd {
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200, example = "Van 12")]
    name: String,
    /// What it is, where that is known.
    kind: Option<AssetKind>,
}

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
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most assets of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<Asset>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Asset>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::LONG)?;
    let after = params.cursor::<i32>()?;
    let tenant = app.db.tenant(&caller.scope).await?;
    let assets = read::assets(&tenant, after, limit + 1).await?;
    tenant.commit().await?;
    Ok(Json(List::cut(assets, limit, |asset| asset.id.to_string())))
}

/// Make an asset before any gateway names it. With an `Idempotency-Key` the request may be sent again: there is one
/// asset, and the same answer.
#[utoipa::path(
    post, path = "/v1/assets", tag = "assets",
    security(("bearer" = ["assets.write"]), ("page" = ["assets.write"])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]+$", description = "The caller's own key for this request.")),
    request_body = AssetToAdd,
    responses(
        (status = 201, body = NewAsset, description = "The asset."),
        Problems,
        (status = 415, body = web::problem::Details, content_type = "application/problem+json", description = "`media_type_not_supported`"),
        (status = 422, body = web::problem::Details, content_type = "application/problem+json", description = "`idempotency_key_reused`"),
    )
)]
pub async fn add(
    State(app): State<App>,
    caller: Caller,
    body: Body<AssetToAdd>,
) -> Result<Response, Problem> {
    let wanted = &body.value;
    let fits = (1..=200).contains(&wanted.name.chars().count())
        && !wanted.name.chars().any(char::is_control);
    if !fits {
        let rule = "1 to 200 characters, none of them a control character";
        return Err(Problem::body("name", rule, &wanted.name));
    }
    let tenant = match once::begin(&app.db, &caller, &body.asked).await? {
        Turn::Done(answer) => return Ok(answer),
        Turn::Now(tenant) => *tenant,
    };
    let made = asset::add(&tenant, wanted.kind, &wanted.name).await?;
    once::finish(tenant, &body.asked, StatusCode::CREATED, &made).await
}

/// The latest value of each signal of an asset, as each source gave it.
#[utoipa::path(
    get, path = "/v1/assets/{id}/latest", tag = "assets",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    params(("id" = i32, Path, description = "The asset's number.")),
    responses(
        (status = 200, body = AssetLatest, description = "The values."),
        Problems,
        (status = 404, body = web::problem::Details, content_type = "application/problem+json", description = "`asset_not_found`"),
    )
)]
pub async fn latest(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<AssetLatest>, Problem> {
    params.only(&[])?;
    let tenant = app.db.tenant(&caller.scope).await?;
    let asset = own(&tenant, &id).await?;
    let values = read::latest(&tenant, asset.id).await?;
    tenant.commit().await?;
    Ok(Json(AssetLatest { asset, values }))
}

/// A connection that reads samples of an asset, and the asset's number. Samples and roll-ups carry no row-level security
/// and are read by the system: only of an asset that is the caller's own.
pub(super) async fn own_samples(
    app: &App,
    caller: &Caller,
    id: &str,
) -> Result<(i32, Client), Problem> {
    let tenant = app.db.tenant(&caller.scope).await?;
    let asset = own(&tenant, id).await?.id;
    tenant.commit().await?;
    if let Some(replica) = &app.replica
        && let Some(client) = replica.fresh().await
    {
        return Ok((asset, client));
    }
    Ok((asset, app.db.system().await?))
}

/// The asset that a path names, if it is the caller's own: to them there are no others.
pub(super) async fn own(tenant: &Tenant, id: &str) -> Result<Asset, Problem> {
    let number = id
        .parse::<i32>()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Problem::parameter("id", "the number of an asset", id))?;
    let found = read::assets(tenant, Some(number - 1), 1).await?;
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
