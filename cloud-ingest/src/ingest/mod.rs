//! The way of a block from the broker into the database, and of the answer back.
//!
//! - [`queue`]: what waits: bounded, fair, dear before cheap. Pure
//! - [`window`]: acknowledgements in the order of arrival. Pure
//! - `intake`: the queue between readers and workers
//! - `link`: one connection to the broker, and what its acknowledgements mean; `ticket`: the right to acknowledge
//! - `worker`: one transaction after another; what happens while the database is away
//! - `json`: devices that are no gateways and speak JSON: a connection and a worker of their own; `session`: what a broker keeps of it
//! - `answers`: signed acknowledgements and commands to gateways
//! - [`store`]: what all this wants of the room that stores blocks; [`telemetry`]: that room

mod answers;
mod intake;
pub mod json;
mod link;
pub mod queue;
mod session;
pub mod store;
pub mod telemetry;
mod ticket;
pub mod window;
mod worker;

use std::{sync::Arc, time::Duration};

use shared_protocol::SigningKey;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{answers::Answers, intake::Intake, link::Link, store::Store, worker::Worker};
use crate::{broker::Endpoint, config, status::Status};

/// What waits, for health and metrics.
pub(crate) trait Load: Send + Sync + std::fmt::Debug {
    /// Bytes of blocks that wait or are being written.
    fn bytes(&self) -> usize;
}

/// Stopping in two steps, so that what is in hand is finished and acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// Nothing more is read or begun.
    reading: CancellationToken,
    /// The workers are done: say good-bye to the broker.
    links: CancellationToken,
}

/// A running pipeline.
pub struct Pipeline {
    stop: Stop,
    workers: JoinSet<()>,
    links: JoinSet<()>,
}

/// How often is looked which gateways there are. A new one shares its turn with strangers until then.
const KNOW_EVERY: Duration = Duration::from_secs(5);

/// Keeps the queue told which gateways there are, until it is time to stop.
async fn know<S: Store>(store: S, intake: Arc<Intake>, stop: Stop) {
    while !stop.reading.is_cancelled() {
        if let Some(gateways) = store.gateways().await {
            intake.know(gateways);
        }
        tokio::select! {
            () = stop.reading.cancelled() => return,
            () = tokio::time::sleep(KNOW_EVERY) => {}
        }
    }
}

/// A pipeline's parts.
pub struct Parts<S> {
    /// Where blocks go.
    pub store: S,
    /// Where they come from.
    pub endpoint: Endpoint,
    /// Name of the shared subscription.
    pub shared_group: Option<String>,
    /// Signs acknowledgements.
    pub signing: SigningKey,
    /// How much at a time.
    pub config: config::Ingest,
    /// What health and metrics read.
    pub status: Arc<Status>,
}

impl Pipeline {
    /// Starts reading and writing.
    pub fn start<S: Store>(parts: Parts<S>) -> Self {
        let Parts {
            store,
            endpoint,
            shared_group,
            signing,
            config,
            status,
        } = parts;
        let stop = Stop::default();
        let intake = Arc::new(Intake::new(&config));
        let answers = Arc::new(Answers::new(signing));
        status.watch(Arc::clone(&intake) as Arc<dyn Load>);
        let instance = format!("{:08x}", rand::random::<u32>());
        let mut workers = JoinSet::new();
        for _ in 0..config.workers {
            let worker = Worker {
                store: store.clone(),
                intake: Arc::clone(&intake),
                answers: Arc::clone(&answers),
                status: Arc::clone(&status),
                stop: stop.clone(),
            };
            workers.spawn(worker.run());
        }
        let mut links = JoinSet::new();
        links.spawn(Arc::clone(&answers).run(
            endpoint.clone(),
            instance.clone(),
            Arc::clone(&status),
            stop.clone(),
        ));
        links.spawn(Arc::clone(&answers).command(store.clone(), stop.clone()));
        links.spawn(know(store.clone(), Arc::clone(&intake), stop.clone()));
        for role in link::Role::readers(shared_group.as_deref()) {
            let link = Link {
                role,
                endpoint: endpoint.clone(),
                instance: instance.clone(),
                intake: Arc::clone(&intake),
                status: Arc::clone(&status),
                stop: stop.clone(),
            };
            links.spawn(link.read());
        }
        Self {
            stop,
            workers,
            links,
        }
    }

    /// Waits for a part that ended although nobody stopped it, which only a fault of this program does.
    pub async fn broken(&mut self) -> String {
        let ended = tokio::select! {
            Some(ended) = self.workers.join_next() => ended,
            Some(ended) = self.links.join_next() => ended,
        };
        match ended {
            Ok(()) => "a part of the pipeline ended".to_owned(),
            Err(error) => format!("a part of the pipeline failed: {error}"),
        }
    }

    /// Stops reading, finishes and acknowledges what is in hand, says good-bye to the broker. What takes longer than
    /// `patience` is left: unacknowledged, it comes again.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.reading.cancel();
        let finished = async { while self.workers.join_next().await.is_some() {} };
        if timeout(patience, finished).await.is_err() {
            tracing::warn!("a transaction did not end in time; its blocks will come again");
        }
        self.stop.links.cancel();
        let parted = async { while self.links.join_next().await.is_some() {} };
        // Each says good-bye within two seconds.
        let _ = timeout(Duration::from_secs(3), parted).await;
    }
}
