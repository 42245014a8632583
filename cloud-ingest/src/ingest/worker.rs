//! From the queue into the database, and the answer back.
//!
//! A worker holds one batch at a time. While the database is away it keeps that batch and tries again; the queue fills,
//! reading stops, and the gateways keep what they have. What is not stored although the database answers (too many
//! gaps in a stream, say) is let go without an answer after a second attempt: its gateway sends it again in its own
//! time.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use platform::Backoff;
use rumqttc::PubAckReason;

use super::{
    Stop,
    answers::Answers,
    intake::{Intake, Item},
    queue::Lane,
    store::{Delivery, Greeting, Store},
};
use crate::{metrics, status::Status};

/// Attempts at a block that a healthy database does not store.
const ATTEMPTS: u32 = 2;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

pub(crate) struct Worker<S> {
    pub(crate) store: S,
    pub(crate) intake: Arc<Intake>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) status: Arc<Status>,
    pub(crate) stop: Stop,
}

impl<S: Store> Worker<S> {
    /// Works until it is time to stop; a batch in hand is finished first, when the database lets it.
    pub(crate) async fn run(self) {
        while let Some(mut work) = self.intake.next(&self.stop.reading).await {
            let items = std::mem::take(&mut work.items);
            let (hellos, blocks): (Vec<_>, Vec<_>) = items
                .into_iter()
                .partition(|(lane, _)| *lane == Lane::Hello);
            // First words first: their answers tell gateways what not to send at all.
            self.greet(hellos.into_iter().map(|(_, item)| item).collect())
                .await;
            self.store(blocks.into_iter().map(|(_, item)| item).collect())
                .await;
        }
    }

    async fn store(&self, mut items: Vec<Item>) {
        let mut patience = Patience::new();
        while !items.is_empty() {
            let deliveries = items
                .iter()
                .map(|item| Delivery {
                    topic: item.topic.clone(),
                    payload: item.payload.clone(),
                })
                .collect();
            let begun = std::time::Instant::now();
            let done = self.store.ingest(deliveries).await;
            let took = begun.elapsed();
            metrics::batch(items.len(), took);
            self.intake.took(items.len(), took);
            if done.settled.iter().any(|settled| *settled) {
                self.status.committed();
            }
            self.answers.send(done.answers).await;
            let mut settled = done.settled.into_iter();
            items.retain(|item| {
                let settled = settled.next().unwrap_or(false);
                if settled {
                    item.ticket.settle(PubAckReason::Success);
                }
                !settled
            });
            if !items.is_empty() && !self.again(&mut patience, items.len()).await {
                return self.let_go(&items);
            }
        }
    }

    async fn greet(&self, mut items: Vec<Item>) {
        let mut patience = Patience::new();
        while !items.is_empty() {
            let greetings =
                join_all(items.iter().map(|item| self.store.hello(&item.payload))).await;
            let mut later = Vec::new();
            for (item, greeting) in items.into_iter().zip(greetings) {
                match greeting {
                    Greeting::Answer(ack) => {
                        self.answers.send(vec![ack]).await;
                        item.ticket.settle(PubAckReason::Success);
                    }
                    Greeting::Ignored(reason) => {
                        tracing::warn!(topic = item.topic, reason, "a hello is not believed");
                        item.ticket.settle(PubAckReason::Success);
                    }
                    Greeting::Later => later.push(item),
                }
            }
            items = later;
            if !items.is_empty() && !self.again(&mut patience, items.len()).await {
                return self.let_go(&items);
            }
        }
    }

    /// Waits before another attempt; `false` when there should be none.
    async fn again(&self, patience: &mut Patience, count: usize) -> bool {
        let alive = self.store.alive().await;
        let Some(wait) = patience.wait(alive) else {
            return false;
        };
        if !alive {
            tracing::warn!(
                blocks = count,
                "the database is away: they are kept, and tried again"
            );
        }
        tokio::select! {
            () = self.stop.reading.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    fn let_go(&self, items: &[Item]) {
        // Who stops acknowledges nothing: what the broker still has is for the next one.
        if self.stop.reading.is_cancelled() {
            return;
        }
        tracing::warn!(
            blocks = items.len(),
            "not stored although the database answers: their gateways will send them again"
        );
        metrics::let_go(items.len());
        for item in items {
            item.ticket
                .settle(PubAckReason::ImplementationSpecificError);
        }
    }
}

/// How often and how long to try.
struct Patience {
    failures: u32,
    backoff: Backoff,
}

impl Patience {
    fn new() -> Self {
        Self {
            failures: 0,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT, u32::MAX),
        }
    }

    /// How long to wait now. Attempts count only against a database that answers.
    fn wait(&mut self, alive: bool) -> Option<Duration> {
        if !alive {
            return self.backoff.wait();
        }
        self.failures += 1;
        (self.failures < ATTEMPTS).then_some(FIRST_WAIT)
    }
}
