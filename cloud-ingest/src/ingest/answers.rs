//! What the cloud says to gateways: signed, published, and not remembered. An answer that does not arrive is asked
//! for again by the block it would have freed; a command is sent again until it is answered.

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
    store::Store,
};
use crate::{broker::Endpoint, metrics, status::Status};

/// The connection's name in metrics, logs and client id.
pub(crate) const NAME: &str = "answers";
const PATIENCE: Duration = Duration::from_secs(1);
/// How often is looked for commands.
const EVERY: Duration = Duration::from_secs(1);

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

    /// Step 7 of a sample's life: publishes acknowledgements; what they say is committed. A broker that takes nothing is waited for once, not once
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
        self.publish(topic::ack(&ack.gateway), sealed, deadline)
            .await
    }

    /// Sends commands that are due, each second, until it is time to stop.
    pub(crate) async fn command<S: Store>(self: Arc<Self>, store: S, stop: Stop) {
        loop {
            tokio::select! {
                () = stop.reading.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            // Who takes commands while nobody hears them only puts them off.
            if self.client.borrow().is_none() {
                continue;
            }
            for command in store.commands().await {
                let Some(sealed) = command.seal(&self.key) else {
                    tracing::error!(?command, "a command is too long to be sent");
                    continue;
                };
                let topic = topic::command(&command.gateway);
                let deadline = Instant::now() + PATIENCE;
                if let Err(reason) = self.publish(topic, sealed, deadline).await {
                    tracing::debug!(gateway = %command.gateway, reason, "a command was not sent");
                }
            }
        }
    }

    async fn publish(
        &self,
        topic: String,
        sealed: Vec<u8>,
        deadline: Instant,
    ) -> Result<(), String> {
        let client = self.client.borrow().clone().ok_or("not connected")?;
        let published = client.publish(topic, sealed, PublishOptions::at_least_once());
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
        let connected = link::connect(link::options(endpoint, NAME, instance, link::ANSWERS));
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
