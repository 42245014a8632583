//! The log as a stream, which can be resumed: server-sent events (HTML standard, 9.2).
//!
//! `id` is the position in the log of the organisation. A browser that comes back sends it as `Last-Event-ID` and misses
//! nothing that the log still has; what it has forgotten is said by an event `gap` with the first position that follows.
//! No connection to the database is held while nothing happens.
//!
//! A reader that does not read is closed, and so is everyone after a while: whoever comes back shows again who they are.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _, stream};
use jobs::Bell;
use platform::{Db, DbError, Scope};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::webhooks::told;

const BATCH: i64 = 100;
/// How many events are read ahead of a reader.
const AHEAD: usize = 32;
/// How long a browser waits before it comes back.
const COME_BACK: Duration = Duration::from_secs(3);

/// What is read of the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An event.
    Event {
        /// Its position.
        position: i64,
        /// What happened.
        name: String,
        /// As it is told outside.
        told: Value,
    },
    /// Events that the caller has not seen are forgotten.
    Gap {
        /// The position before the first that is left.
        position: i64,
    },
}

/// How fast streams go, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often the log is looked at although the bell has not rung.
    pub look: Duration,
    /// After how long without an event a comment is sent, so that both ends know that the other is there.
    pub heartbeat: Duration,
    /// How long a reader may leave what it is sent unread before it is closed.
    pub patience: Duration,
    /// How long a stream goes on: then the caller comes back and shows who it is.
    pub longest: Duration,
}

impl Pace {
    /// 5 s, 15 s, 30 s, 15 min.
    pub const DEFAULT: Self = Self {
        look: Duration::from_secs(5),
        heartbeat: Duration::from_secs(15),
        patience: Duration::from_secs(30),
        longest: Duration::from_mins(15),
    };
}

/// Reads logs.
#[derive(Clone, Debug)]
pub struct Live {
    db: Db,
    bell: Bell,
    pace: Pace,
    stop: CancellationToken,
}

impl Live {
    /// Reads when the bell (channel `events`) rings, until it is stopped.
    pub const fn new(db: Db, bell: Bell, pace: Pace, stop: CancellationToken) -> Self {
        Self {
            db,
            bell,
            pace,
            stop,
        }
    }

    /// What came after a position (`None`: what is to come), of these names, as it comes. Ends when the database is away:
    /// the caller comes back with the last position.
    pub fn follow(
        &self,
        scope: Scope,
        after: Option<i64>,
        names: impl Into<Arc<[String]>>,
    ) -> impl Stream<Item = Item> + Send + 'static {
        let reader = Reader {
            live: self.clone(),
            scope,
            at: after,
            names: names.into(),
            checked: false,
        };
        let batches = stream::unfold(reader, |mut reader| async move {
            match reader.next().await {
                Ok(items) => Some((stream::iter(items), reader)),
                Err(error) => {
                    tracing::warn!(%error, "a live stream ends");
                    None
                }
            }
        });
        batches.flatten()
    }

    /// The same as an answer over HTTP, for a handler that knows who asks. `last` is the header `Last-Event-ID`; what is
    /// no position in it is as if it were not there.
    pub fn sse(
        &self,
        scope: Scope,
        last: Option<&str>,
        names: impl Into<Arc<[String]>>,
    ) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send + 'static> {
        let after = last
            .and_then(|text| text.trim().parse().ok())
            .filter(|at| *at >= 0);
        let items = self.follow(scope, after, names);
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(feed(items, sender, self.pace, self.stop.clone()));
        let said = stream::unfold(receiver, |mut receiver| async move {
            let event = receiver.recv().await?;
            Some((Ok(event), receiver))
        });
        let first = stream::iter([Ok(Event::default().retry(COME_BACK))]);
        Sse::new(first.chain(said)).keep_alive(KeepAlive::new().interval(self.pace.heartbeat))
    }
}

/// Sends what is read, as long as it is taken.
async fn feed(
    items: impl Stream<Item = Item>,
    sender: mpsc::Sender<Event>,
    pace: Pace,
    stop: CancellationToken,
) {
    let end = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pace.longest) => {}
            () = sender.closed() => {}
        }
    };
    let mut items = pin!(items.take_until(end));
    while let Some(item) = items.next().await {
        if let Err(mpsc::error::SendTimeoutError::Timeout(_)) =
            sender.send_timeout(say(item), pace.patience).await
        {
            tracing::info!("a live stream is closed: its reader does not keep up");
            return;
        }
    }
}

fn say(item: Item) -> Event {
    match item {
        Item::Event {
            position,
            name,
            told,
        } => Event::default()
            .id(position.to_string())
            .event(name)
            .data(told.to_string()),
        Item::Gap { position } => Event::default()
            .id(position.to_string())
            .event("gap")
            .data(json!({"after": position}).to_string()),
    }
}

struct Reader {
    live: Live,
    scope: Scope,
    at: Option<i64>,
    names: Arc<[String]>,
    checked: bool,
}

impl Reader {
    /// The next items, when there are some.
    async fn next(&mut self) -> Result<Vec<Item>, DbError> {
        loop {
            let (items, more) = self.read().await?;
            if !items.is_empty() {
                return Ok(items);
            }
            if !more {
                self.live.bell.wait(self.live.pace.look).await;
            }
        }
    }

    /// What is there now, and whether there is more.
    async fn read(&mut self) -> Result<(Vec<Item>, bool), DbError> {
        let tx = self.live.db.tenant(&self.scope).await?;
        let mut items = Vec::new();
        let organization = self.scope.organization;
        if !self.checked {
            let statement = tx
                .prepare_cached(include_str!("../queries/bounds.sql"))
                .await?;
            let row = tx.query_one(&statement, &[&organization]).await?;
            let newest = row.get::<_, Option<i64>>("newest").unwrap_or(0);
            // Nothing is left: then the log begins after its end.
            let oldest = row.get::<_, Option<i64>>("oldest").unwrap_or(newest + 1);
            match self.at {
                None => self.at = Some(newest),
                // Not of this log: a database that was restored from a backup, or a guess.
                Some(at) if at + 1 < oldest || at > newest => {
                    let position = if at > newest { newest } else { oldest - 1 };
                    self.at = Some(position);
                    items.push(Item::Gap { position });
                }
                Some(_) => {}
            }
            self.checked = true;
        }
        let at = self.at.unwrap_or(0);
        let statement = tx
            .prepare_cached(include_str!("../queries/follow.sql"))
            .await?;
        let rows = tx.query(&statement, &[&organization, &at, &BATCH]).await?;
        tx.commit().await?;
        for row in &rows {
            let (position, name): (i64, String) = (row.get("position"), row.get("name"));
            self.at = Some(position);
            if self.names.contains(&name) {
                items.push(Item::Event {
                    position,
                    name,
                    told: told(row),
                });
            }
        }
        Ok((items, rows.len() as i64 == BATCH))
    }
}
