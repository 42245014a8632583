//! What is done in the background for every room: jobs, events on their way to receivers.
//!
//! A room that has jobs adds its handlers here.

use std::time::Duration;

use events::{
    Relay,
    prune::{Prune, Pruner},
    webhooks::Deliverer,
};
use jobs::{Bell, Settings, Worker};
use outbound::{Client, Rules};
use platform::{Clock, Db};
use privacy::retain::{Carrier, Retain, Retainer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vault::Ring;

/// Without a bell everything is found at the next look.
const LOOK: Duration = Duration::from_secs(1);
/// Few, for the connections are the blocks', too.
const SETTINGS: Settings = Settings {
    concurrency: 3,
    per_organization: 2,
    prefetch: 32,
    lease: Duration::from_secs(30),
    look: LOOK,
    finish: Duration::from_secs(10),
};

/// Everything of it that runs.
#[derive(Debug)]
pub struct Works {
    tasks: JoinSet<Option<String>>,
    stop: CancellationToken,
}

impl Works {
    /// Starts it. Webhooks are delivered when there is a key ring that opens their secrets.
    pub fn start(db: &Db, url: &str, clock: &Clock, ring: Option<Ring>) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut worker = Worker::new(
            db.clone(),
            clock.clone(),
            Bell::listen(url, "jobs"),
            SETTINGS,
        )
        .effect(Pruner)
        .schedule(Prune::schedule())
        .effect(Retainer)
        .schedule(Retain::schedule())
        .task(Carrier(db.clone()));
        match ring {
            Some(ring) => {
                let client = Client::new(Rules::STRANGERS);
                worker = worker.task(Deliverer::new(db.clone(), ring, client));
            }
            None => tracing::warn!("webhooks are not delivered: keys.vault names no key ring"),
        }
        let asked = stop.clone();
        tasks.spawn(async move {
            let ended = worker.run(asked).await;
            ended.err().map(|error| error.to_string())
        });
        let relay = Relay::new(db.clone(), clock.clone(), Bell::listen(url, "outbox"), LOOK);
        let asked = stop.clone();
        tasks.spawn(async move {
            relay.run(asked).await;
            None
        });
        Self { tasks, stop }
    }

    /// Returns when something of it has ended by itself, with the reason.
    pub async fn broken(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(reason)) => reason.unwrap_or_else(|| "it ended".to_owned()),
            Some(Err(error)) => error.to_string(),
            None => std::future::pending().await,
        }
    }

    /// Ends what is in hand and gives back the rest.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
