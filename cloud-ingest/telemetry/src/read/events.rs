//! What began and ended with one asset, a page at a time.

use jiff::Timestamp;
use platform::DbError;
use serde::Serialize;
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

use super::{Cursor, limit, series::next, source_name};

/// Which events.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// The asset; one of the organisation that the transaction acts for.
    pub asset: i32,
    /// Only of this kind: `plugged`, `charging`, `charger status`, `alarm`.
    pub event: Option<String>,
    /// Events that began or ended at this time or later …
    pub from: Timestamp,
    /// … and before this one.
    pub to: Timestamp,
    /// Most events of one page, at most [`super::MOST_ROWS`].
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// A state that changed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// The way it was read.
    pub source: String,
    /// What: `plugged`, `charging`, `charger status`, `alarm`.
    #[schema(example = "charging")]
    pub event: String,
    /// Whether it began; else it ended.
    pub active: bool,
    /// The state's number.
    pub state: i64,
    /// When it changed again; null: it has not.
    pub until: Option<Timestamp>,
}

/// Events, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Cursor of the next page; null: this is the last one.
    pub next: Option<String>,
}

/// State changes of an asset, oldest first, a page at a time, in a transaction of the organisation that owns it.
pub async fn events(client: &Client, query: &EventQuery) -> Result<EventPage, DbError> {
    let (from, skip) = query
        .cursor
        .map_or((query.from, 0), |cursor| cursor.place(query.from));
    let most = limit(query.limit);
    let sql = include_str!("../../queries/events.sql");
    let rows = client
        .query(
            sql,
            &[
                &query.asset,
                &from,
                &query.to,
                &query.event,
                &i64::from(skip),
                &(most + 1),
            ],
        )
        .await?;
    let event = |row: &Row| Event {
        time: row.get("time"),
        source: source_name(row.get("source")),
        event: row.get("event"),
        active: row.get("active"),
        state: row.get("steps"),
        until: row.get("until"),
    };
    let mut events: Vec<Event> = rows.iter().map(event).collect();
    let more = events.len() as i64 > most;
    events.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let times: Vec<Timestamp> = events.iter().map(|event| event.time).collect();
    Ok(EventPage {
        next: more.then(|| next(&times, from, skip)).flatten(),
        events,
    })
}
