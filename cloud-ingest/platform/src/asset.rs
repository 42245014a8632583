//! What is measured: vehicles, chargers, meters, gateways.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::tenant::Tenant;

/// What an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssetKind {
    /// A vehicle.
    Vehicle,
    /// A charging station.
    Charger,
    /// A meter.
    Meter,
    /// A gateway itself.
    Gateway,
}

impl AssetKind {
    /// Its word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Vehicle => "vehicle",
            Self::Charger => "charger",
            Self::Meter => "meter",
            Self::Gateway => "gateway",
        }
    }
}

/// An asset that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewAsset {
    /// Its number.
    pub id: i32,
    /// What it is.
    pub kind: Option<AssetKind>,
    /// Its name, for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Makes an asset of the tenant's organisation. The name has 1 to 200 characters.
pub async fn add(
    tenant: &Tenant,
    kind: Option<AssetKind>,
    name: &str,
) -> Result<NewAsset, tokio_postgres::Error> {
    let statement = tenant
        .prepare_cached(include_str!("../queries/add_asset.sql"))
        .await?;
    let row = tenant
        .query_one(
            &statement,
            &[
                &tenant.scope().organization,
                &kind.map(AssetKind::word),
                &name,
            ],
        )
        .await?;
    Ok(NewAsset {
        id: row.get("id"),
        kind,
        name: name.to_owned(),
        created_at: row.get("created_at"),
    })
}
