//! The right to acknowledge a message to the broker, which is used after COMMIT.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::{AsyncClient, ManualAck, PubAckReason, Publish};
use tokio_util::sync::CancellationToken;

use super::window::Window;

/// What one connection has received and not acknowledged.
#[derive(Debug)]
pub(crate) struct Inbox {
    window: Mutex<Window<ManualAck>>,
    pub(crate) client: AsyncClient,
    /// Cancelled when an acknowledgement could not be sent: the connection is no good any more.
    pub(crate) broken: CancellationToken,
}

impl Inbox {
    pub(crate) fn new(client: AsyncClient) -> Arc<Self> {
        Arc::new(Self {
            window: Mutex::default(),
            client,
            broken: CancellationToken::new(),
        })
    }

    /// A message came.
    pub(crate) fn ticket(self: &Arc<Self>, publish: &Publish) -> Ticket {
        let ack = self.client.prepare_ack(publish);
        Ticket(ack.map(|ack| (Arc::clone(self), self.window().open(ack))))
    }

    fn window(&self) -> MutexGuard<'_, Window<ManualAck>> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to acknowledge one message to the broker; a message of QoS 0 has none.
#[derive(Debug)]
pub(crate) struct Ticket(Option<(Arc<Inbox>, u64)>);

impl Ticket {
    /// Of a message of QoS 0.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// The message has been dealt with.
    pub(crate) fn settle(&self, reason: PubAckReason) {
        let Some((inbox, place)) = &self.0 else {
            return;
        };
        let change = |ack: &mut ManualAck| {
            if let ManualAck::PubAck(ack) = ack {
                ack.reason = reason;
            }
        };
        // Sent under the lock: two workers must not overtake each other.
        inbox.window().settle(*place, change, |ack| {
            // A connection that is gone needs none; one whose requests do not flow is no good.
            if inbox.client.try_manual_ack(ack).is_err() {
                inbox.broken.cancel();
            }
        });
    }
}
