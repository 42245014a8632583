//! Devices that are no gateways, and what of theirs is not stored.

use axum::{Json, extract::State};
use devices::read::{self, Listed};
use web::{Caller, List, PageSize, Params, Problem, Problems};

use crate::http::App;

/// Trackers, vehicles of telematics services and devices that speak JSON, by number: what they measure, how many of their
/// records are stored, and which of their values are not.
#[utoipa::path(
    get, path = "/v1/devices", tag = "devices",
    security(("bearer" = ["devices.read"]), ("page" = ["devices.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most devices of a page; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<Listed>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Listed>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::LONG)?;
    let after = params.cursor::<i32>()?;
    let tenant = app.db.tenant(&caller.scope).await?;
    let devices = read::list(&tenant, after.unwrap_or(0), i64::from(limit) + 1).await?;
    tenant.commit().await?;
    Ok(Json(List::cut(devices, limit, |device| {
        device.id.to_string()
    })))
}
