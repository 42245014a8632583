//! The queue between the connections that read and the workers that write.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use shared_protocol::{GatewayId, topic};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Load,
    queue::{Batch, Full, Lane, Limits, Queue, Who},
    ticket::Ticket,
};
use crate::config;

/// A message as it came from the broker.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) ticket: Ticket,
}

impl Item {
    /// What it costs in memory; what is beside the payload matters when payloads are tiny.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.topic.len() + 256
    }
}

/// The queue, with waiting for something to do and for room.
#[derive(Debug)]
pub(crate) struct Intake {
    queue: Mutex<Queue<Item>>,
    /// The gateways that there are; `None`: nobody has said yet.
    known: Mutex<Option<HashSet<GatewayId>>>,
    /// Something can be taken.
    ready: Notify,
    /// Something was taken away.
    room: Notify,
    size: Mutex<Size>,
    wait: Duration,
    batch_bytes: usize,
}

/// Bytes in a transaction: enough for its cost to be shared, little enough for it to be short.
const BATCH_BYTES: usize = 8 << 20;

/// Bytes of one gateway in it. Two hundred blocks of a second are less; whoever has more would have others wait for it.
const SHARE: usize = 1 << 20;

/// How long a transaction should take at most: whatever comes meanwhile of the same gateways waits for it, live blocks too.
const LONG: Duration = Duration::from_millis(300);

/// How many items a transaction has, so that it is over soon: as many as are configured where that is so, down to a quarter of
/// them. With fewer the price of a COMMIT would be all there is.
#[derive(Debug)]
struct Size {
    most: usize,
    now: usize,
}

impl Size {
    const fn new(most: usize) -> Self {
        Self { most, now: most }
    }

    /// A transaction of so many items took so long.
    fn took(&mut self, items: usize, time: Duration) {
        if time > LONG {
            self.now = (self.now / 2).max(self.most / 4).max(1);
        } else if time < LONG / 2 && items >= self.now {
            self.now = (self.now + self.now / 8 + 1).min(self.most);
        }
    }
}

/// A batch whose gateways go on when it is dropped, whatever happened to it.
pub(crate) struct Work<'a> {
    intake: &'a Intake,
    pub(crate) items: Vec<(Lane, Item)>,
    held: Option<std::collections::HashMap<Who, usize>>,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.intake.queue().done(held);
            self.intake.room.notify_waiters();
            self.intake.ready.notify_one();
        }
    }
}

impl Intake {
    pub(crate) fn new(config: &config::Ingest) -> Self {
        let limits = Limits {
            total: usize::try_from(config.queue).unwrap_or(usize::MAX),
            per_gateway: usize::try_from(config.queue_per_gateway).unwrap_or(usize::MAX),
            share: SHARE,
        };
        Self {
            queue: Mutex::new(Queue::new(limits)),
            known: Mutex::default(),
            ready: Notify::new(),
            room: Notify::new(),
            size: Mutex::new(Size::new(config.batch)),
            wait: config.batch_wait,
            batch_bytes: BATCH_BYTES,
        }
    }

    /// Says which gateways there are.
    pub(crate) fn know(&self, gateways: HashSet<GatewayId>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(gateways);
    }

    /// Whose turn a message takes. All invented names share one, so that there are no more turns than gateways.
    pub(crate) fn who(&self, topic: &str) -> Who {
        let name = topic::gateway(topic)?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .as_ref()
            .is_none_or(|known| known.contains(&name))
            .then_some(name)
    }

    /// Takes an item in, or says why not.
    pub(crate) fn push(&self, lane: Lane, who: Who, item: Item) -> Result<(), (Full, Item)> {
        self.queue().push(lane, who, item.bytes(), item)?;
        self.ready.notify_one();
        Ok(())
    }

    /// Waits until so many bytes find room.
    pub(crate) async fn room_for(&self, bytes: usize) {
        loop {
            let freed = self.room.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.queue().has_room(bytes) {
                return;
            }
            freed.await;
        }
    }

    /// Waits for something to do, and then a little for more of it; `None` when it is time to stop.
    pub(crate) async fn next(&self, stop: &CancellationToken) -> Option<Work<'_>> {
        loop {
            self.ready_for(1, None, stop).await?;
            let size = self.size().now;
            self.ready_for(size, Some(Instant::now() + self.wait), stop)
                .await?;
            let batch: Batch<Item> = {
                let mut queue = self.queue();
                let batch = queue.take(size, self.batch_bytes);
                if queue.ready() > 0 {
                    self.ready.notify_one();
                }
                batch
            };
            let (items, held) = batch.split();
            if !items.is_empty() {
                return Some(Work {
                    intake: self,
                    items,
                    held: Some(held),
                });
            }
        }
    }

    /// Waits until so many items can be taken, or the deadline; `None` when it is time to stop.
    async fn ready_for(
        &self,
        count: usize,
        deadline: Option<Instant>,
        stop: &CancellationToken,
    ) -> Option<()> {
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            if stop.is_cancelled() {
                return None;
            }
            if self.queue().ready() >= count {
                return Some(());
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                late = async {
                    match deadline {
                        Some(deadline) => timeout_at(deadline, ready).await.is_err(),
                        None => { ready.await; false }
                    }
                } => if late { return Some(()) },
            }
        }
    }

    /// Says how long a transaction of so many items took.
    pub(crate) fn took(&self, items: usize, time: Duration) {
        self.size().took(items, time);
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Item>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load for Intake {
    fn bytes(&self) -> usize {
        self.queue().bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_transactions_become_shorter_and_short_ones_grow_again() {
        let (long, short) = (LONG * 2, LONG / 10);
        let mut size = Size::new(256);
        size.took(256, LONG);
        assert_eq!(size.now, 256);
        for expected in [128, 64, 64] {
            size.took(256, long);
            assert_eq!(size.now, expected);
        }
        size.took(10, short);
        assert_eq!(
            size.now, 64,
            "that it was short says nothing of larger ones"
        );
        for _ in 0..20 {
            size.took(256, short);
        }
        assert_eq!(size.now, 256);
        let mut least = Size::new(1);
        least.took(1, long);
        assert_eq!(least.now, 1);
    }

    #[tokio::test]
    async fn invented_names_share_a_turn() {
        let config = config::Ingest {
            batch: 16,
            batch_wait: Duration::ZERO,
            workers: 1,
            queue: 64 << 20,
            queue_per_gateway: 16 << 20,
        };
        let intake = Intake::new(&config);
        let known: GatewayId = "depot-1".parse().unwrap();
        intake.know(HashSet::from([known.clone()]));
        let push = |name: &str| {
            let topic = format!("patio/1/{name}/up/live");
            let who = intake.who(&topic);
            let item = Item {
                topic,
                payload: Bytes::new(),
                ticket: Ticket::none(),
            };
            intake.push(Lane::Live, who, item).unwrap();
        };
        for number in 0..10_000 {
            push(&format!("invented-{number}"));
        }
        push("depot-1");
        let stop = CancellationToken::new();
        let work = intake.next(&stop).await.unwrap();
        let place = work
            .items
            .iter()
            .position(|(_, item)| item.topic == "patio/1/depot-1/up/live");
        assert!(place.is_some_and(|place| place < 2), "{place:?}");
    }
}
