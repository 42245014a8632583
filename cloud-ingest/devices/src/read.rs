//! The register and what is not stored, for the API and the command line.

use std::collections::HashMap;

use jiff::Timestamp;
use platform::DbError;
use serde::Serialize;
use tokio_postgres::Client;
use utoipa::ToSchema;

/// A device, as people see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Listed {
    /// Its number.
    pub id: i32,
    /// Who owns it.
    pub organization: String,
    /// What it measures.
    pub asset: i32,
    /// The name of that.
    pub asset_name: String,
    /// What it is: teltonika, geotab, json.
    pub kind: String,
    /// How it names itself: IMEI, database/id, or the last level of its topic.
    pub key: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Since when nothing of it is taken any more.
    pub removed_at: Option<Timestamp>,
    /// How many of its records are stored.
    pub records: i64,
    /// The time of the latest of them.
    pub last_at: Option<Timestamp>,
    /// When a record of it was last stored.
    pub seen_at: Option<Timestamp>,
    /// Its values that are not stored.
    pub unread: Vec<UnreadCount>,
}

/// Values of a signal of a device that are not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnreadCount {
    /// The device's own name of the signal.
    pub code: String,
    /// unmapped: no list says what it means; impossible: it cannot be true.
    pub reason: String,
    /// How many there were.
    pub occurrences: i64,
    /// The last of them, for people.
    pub detail: String,
    /// The time of the latest.
    pub last_at: Timestamp,
}

/// The devices after a number that a client may see, by number.
pub async fn list(client: &Client, after: i32, limit: i64) -> Result<Vec<Listed>, DbError> {
    let rows = client
        .query(include_str!("../queries/list.sql"), &[&after, &limit])
        .await?;
    let mut devices: Vec<Listed> = rows
        .iter()
        .map(|row| Listed {
            id: row.get("id"),
            organization: row.get("organization"),
            asset: row.get("asset_id"),
            asset_name: row.get("asset"),
            kind: row.get("kind"),
            key: row.get("key"),
            created_at: row.get("created_at"),
            removed_at: row.get("removed_at"),
            records: row.get("records"),
            last_at: row.get("last_at"),
            seen_at: row.get("seen_at"),
            unread: Vec::new(),
        })
        .collect();
    let ids: Vec<i32> = devices.iter().map(|device| device.id).collect();
    let mut unread: HashMap<i32, Vec<UnreadCount>> = HashMap::new();
    for row in client
        .query(include_str!("../queries/unread.sql"), &[&ids])
        .await?
    {
        unread
            .entry(row.get("device_id"))
            .or_default()
            .push(UnreadCount {
                code: row.get("code"),
                reason: row.get("reason"),
                occurrences: row.get("occurrences"),
                detail: row.get("detail"),
                last_at: row.get("last_at"),
            });
    }
    for device in &mut devices {
        device.unread = unread.remove(&device.id).unwrap_or_default();
    }
    Ok(devices)
}
