//! Gateways, and what their ledgers say: how complete what came from them is.

use std::collections::{BTreeMap, HashMap};

use axum::{Json, extract::State};
use platform::{Gateway, register};
use serde::Serialize;
use shared_protocol::GatewayId;
use telemetry::read::{self, LedgerRow};
use utoipa::ToSchema;
use web::{Caller, List, PageSize, Params, Problem, Problems};

use crate::http::App;

/// A gateway with the sums of its ledgers.
#[derive(Debug, Serialize, ToSchema)]
pub struct GatewayTotals {
    /// The gateway.
    #[serde(flatten)]
    gateway: Gateway,
    /// What came of each stream, over all its epochs.
    streams: Vec<StreamTotals>,
}

/// What came of a stream. `samples + thinned + dropped + quarantined` is what the gateway produced, as far as the cloud
/// knows.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamTotals {
    /// Its name.
    stream: String,
    /// In how many epochs.
    epochs: u32,
    /// Blocks whose numbers are closed.
    blocks: i64,
    /// Samples, records or definitions that are stored.
    samples: i64,
    /// Samples that the gateway left out of them.
    thinned: i64,
    /// Samples that the gateway dropped.
    dropped: i64,
    /// Samples of blocks that could not be used; they are in the quarantine.
    quarantined: i64,
    /// Samples that wait for the time of their boot.
    unplaced: i64,
}

/// Every gateway of the organisation, by name, with what came of each of its streams.
#[utoipa::path(
    get, path = "/v1/gateways", tag = "gateways",
    security(("bearer" = ["gateways.read"]), ("page" = ["gateways.read"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Most gateways of a page; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
    ),
    responses((status = 200, body = List<GatewayTotals>, description = "A page of them."), Problems)
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<GatewayTotals>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit(PageSize::SHORT)? as usize;
    let after = params.cursor::<GatewayId>()?;
    let tenant = app.db.tenant(&caller.scope).await?;
    let mut gateways = register::gateways(&tenant).await?;
    gateways.sort_by(|a, b| a.name.cmp(&b.name));
    let begin = after.map_or(0, |after| {
        gateways.partition_point(|gateway| gateway.name.as_str() <= after.as_str())
    });
    let mut page: Vec<Gateway> = gateways.drain(begin..).take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|last| last.name.clone());
    let names: Vec<&str> = page.iter().map(|gateway| gateway.name.as_str()).collect();
    let mut rows: HashMap<String, Vec<LedgerRow>> = HashMap::new();
    for row in read::ledger(&tenant, Some(&names)).await? {
        rows.entry(row.gateway.clone()).or_default().push(row);
    }
    tenant.commit().await?;
    let items = page
        .into_iter()
        .map(|gateway| GatewayTotals {
            streams: totals(rows.remove(&gateway.name).unwrap_or_default()),
            gateway,
        })
        .collect();
    Ok(Json(List { items, next }))
}

fn totals(rows: Vec<LedgerRow>) -> Vec<StreamTotals> {
    let mut by_stream: BTreeMap<String, StreamTotals> = BTreeMap::new();
    for row in rows {
        let sum = by_stream.entry(row.stream).or_default();
        sum.epochs += 1;
        sum.blocks += row.blocks;
        sum.samples += row.samples;
        sum.thinned += row.thinned;
        sum.dropped += row.dropped;
        sum.quarantined += row.quarantined;
        sum.unplaced += row.unplaced;
    }
    let named = |(stream, sum)| StreamTotals { stream, ..sum };
    by_stream.into_iter().map(named).collect()
}
