//! What the cloud says to gateways: signed, published, and not remembered. An answer that does not arrive is asked
//! for again by the block it would have freed.

use std::{sync::Arc, time::Duration};

use rumqttc::{AsyncClient, Event, Packet, PublishOptions};
use shared_protocol::{Ack, SigningKey, topic};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    Stop,
    link::{self, Ended},
};
use crate::{broker::Endpoint, metrics, status::Status};

/// The connection's name in metrics, logs and client id.
pub(crate) const NAME: &str = "answers";
const PATIENCE: Duration = Duration::from_secs(1);

/// Signs and publishes.
pub(crate) struct Answers {
    key: SigningKey,
    client: watch::Sender<Option<AsyncClient>>,
}

impl Answers {
    pub(crate) fn new(key: SigningKey) -> Self {
        Self {
            key,
            client: watch::Sender::new(None),
        }
    }

    /// Publishes acknowledgements; what they say is committed. A broker that takes nothing is waited for once, not once
    /// for each of them.
    pub(crate) async fn send(&self, acks: Vec<Ack>) {
        let deadline = Instant::now() + PATIENCE;
        for ack in acks {
            let sent = self.send_one(&ack, deadline).await;
            metrics::answered(sent.is_ok());
            if let Err(reason) = sent {
                tracing::debug!(gateway = %ack.gateway, reason, "an acknowledgement was not sent");
            }
        }
    }

    async fn send_one(&self, ack: &Ack, deadline: Instant) -> Result<(), String> {
        let sealed = ack.seal(&self.key).ok_or("it is too long")?;
        let client = self.client.borrow().clone().ok_or("not connected")?;
        let published = client.publish(
            topic::ack(&ack.gateway),
            sealed,
            PublishOptions::at_least_once(),
        );
        match timeout_at(deadline, published).await {
            Ok(sent) => sent.map_err(|e| e.to_string()),
            Err(_) => Err("the broker does not take it".to_owned()),
        }
    }

    /// Keeps a connection to publish on until it is time to stop.
    pub(crate) async fn run(
        self: Arc<Self>,
        endpoint: Endpoint,
        instance: String,
        status: Arc<Status>,
        stop: Stop,
    ) {
        link::repeat(&status, NAME, &stop, || async {
            let ended = Box::pin(self.session(&endpoint, &instance, &status, &stop)).await;
            self.client.send_replace(None);
            ended
        })
        .await;
    }

    async fn session(
        &self,
        endpoint: &Endpoint,
        instance: &str,
        status: &Status,
        stop: &Stop,
    ) -> Result<(), Ended> {
        let connected = link::connect(link::options(endpoint, NAME, instance));
        let Some(connected) = stop.reading.run_until_cancelled(connected).await else {
            return Ok(());
        };
        let (client, mut events) = connected?;
        self.client.send_replace(Some(client.clone()));
        status.link_up(NAME);
        loop {
            tokio::select! {
                () = stop.links.cancelled() => {
                    link::close(&client, events).await;
                    return Ok(());
                }
                event = events.poll() => if let Event::Incoming(Packet::Publish(stray)) = event? {
                    tracing::warn!(bytes = stray.payload.len(), "the broker sends what nobody subscribed to");
                },
            }
        }
    }
}
