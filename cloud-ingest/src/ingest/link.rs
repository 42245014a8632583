//! One connection to the broker.
//!
//! 1. A fresh client connects, with a clean session: what a broker remembers is nobody's ledger. It subscribes.
//! 2. Each message goes into the [`Intake`] with a ticket (`ticket.rs`). Nothing is acknowledged yet; the broker sends at
//!    most [`RECEIVE_MAXIMUM`] messages ahead. That is many: acknowledgements go out in the order of arrival, so whatever of a
//!    flood is put off still waits there for a transaction before it, and everybody's next block waits behind it in the broker.
//! 3. After COMMIT the worker settles the ticket, and the PUBACK goes out as soon as all before it have (`window.rs`).
//!    What was not stored gets a PUBACK with an error code: the broker is done with it, and the gateway, which got no
//!    answer, sends it again.
//! 4. A gateway with too much waiting already has its message put off in the same way. When there is no room for anybody,
//!    reading stops; when that lasts, the connection is closed until there is room.
//! 5. Whatever ends the connection, all of the above starts again after a back-off with jitter. The old tickets find
//!    nobody any more; their rows are committed, and the ledger knows when their blocks come again.

use std::{sync::Arc, time::Duration};

use rumqttc::{
    AckMode, AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet,
    PubAckReason, Publish, QoS, RetainForwardRule, SubscribeFilter, SubscribeReasonCode,
    TlsConfiguration, Transport,
};
use shared_protocol::{Class, topic};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    Stop,
    intake::{Intake, Item},
    queue::{Full, Lane},
    ticket::Inbox,
};
use crate::{broker::Endpoint, limits, metrics, status::Status};

/// Messages that a broker may send before the first of them is acknowledged (rumqttd sends 100 whatever we say).
pub(crate) const RECEIVE_MAXIMUM: u16 = 4096;
/// Requests that may wait in a client: acknowledgements, of which there are never more than messages.
const CAPACITY: usize = 2 * RECEIVE_MAXIMUM as usize;
/// Answers that the broker has not acknowledged yet, at most.
pub(crate) const ANSWERS: u16 = 1024;
const KEEP_ALIVE_S: u16 = 15;
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may stop reading before it is closed; shorter than the keep-alive.
const STALL: Duration = Duration::from_secs(5);
/// Room that has to be there before a connection is made, in bytes.
const USUAL: usize = 64 * 1024;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A connection that held so long was a good one: the next back-off starts from the beginning.
const STABLE: Duration = Duration::from_secs(30);

/// What a connection is for.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    /// Its name in metrics, logs and client id.
    pub(crate) name: &'static str,
    /// What it subscribes to.
    pub(crate) filters: Vec<String>,
}

impl Role {
    /// The connections that read: one for each class, so that none waits behind another. What a gateway has left of live blocks
    /// comes as `bulk`: a broker has one line for each connection, and the backlogs of many would stand there before everybody's next
    /// block.
    pub(crate) fn readers(shared_group: Option<&str>) -> Vec<Self> {
        let filter = |filter: String| match shared_group {
            Some(group) => format!("$share/{group}/{filter}"),
            None => filter,
        };
        Class::ALL
            .into_iter()
            .map(|class| Self {
                name: class.name(),
                filters: match class {
                    Class::Critical => {
                        vec![filter(topic::all_hellos()), filter(topic::all_up(class))]
                    }
                    Class::Live | Class::Bulk => vec![filter(topic::all_up(class))],
                },
            })
            .collect()
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    #[error("the broker did not answer within {CONNECT:?}")]
    Late,
    #[error(
        "the broker refuses the subscription to {filter} ({code:?}): give this client the right to read it"
    )]
    Subscription {
        filter: String,
        code: SubscribeReasonCode,
    },
    #[error("{0}")]
    Request(String),
    #[error("there has been no room in memory for {STALL:?}")]
    Full,
    #[error("an acknowledgement could not be sent")]
    Unacknowledged,
}

/// A connection, made again and again.
pub(crate) struct Link {
    pub(crate) role: Role,
    pub(crate) endpoint: Endpoint,
    /// Distinguishes this process's clients from those of other ingestors.
    pub(crate) instance: String,
    pub(crate) intake: Arc<Intake>,
    pub(crate) status: Arc<Status>,
    pub(crate) stop: Stop,
}

impl Link {
    /// Reads until it is time to stop.
    pub(crate) async fn read(self) {
        repeat(&self.status, self.role.name, &self.stop, || self.session()).await;
    }

    async fn session(&self) -> Result<(), Ended> {
        let opened = async {
            self.intake.room_for(USUAL).await;
            let options = options(&self.endpoint, self.role.name, &self.instance, 1);
            let (client, mut events) = connect(options).await?;
            let early = subscribe(&client, &mut events, &self.role.filters).await?;
            Ok::<_, Ended>((client, events, early))
        };
        let Some(opened) = self.stop.reading.run_until_cancelled(opened).await else {
            return Ok(());
        };
        let (client, mut events, early) = opened?;
        self.status.link_up(self.role.name);
        let inbox = Inbox::new(client);
        for publish in early {
            self.receive(publish, &inbox).await?;
        }
        loop {
            tokio::select! {
                () = self.stop.links.cancelled() => {
                    close(&inbox.client, events).await;
                    return Ok(());
                }
                () = inbox.broken.cancelled() => return Err(Ended::Unacknowledged),
                event = events.poll() => if let Event::Incoming(Packet::Publish(publish)) = event? {
                    self.receive(publish, &inbox).await?;
                },
            }
        }
    }

    async fn receive(&self, publish: Publish, inbox: &Arc<Inbox>) -> Result<(), Ended> {
        // Who stops takes nothing more; unacknowledged, it is for the next one.
        if self.stop.reading.is_cancelled() {
            return Ok(());
        }
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let (lane, who) = (lane(&topic, self.role.name), self.intake.who(&topic));
        metrics::received(lane, publish.payload.len());
        let mut item = Item {
            topic,
            ticket: inbox.ticket(&publish),
            payload: publish.payload,
        };
        let deadline = Instant::now() + STALL;
        loop {
            item = match self.intake.push(lane, who.clone(), item) {
                Ok(()) => return Ok(()),
                Err((Full::Gateway, item)) => {
                    metrics::put_off(lane);
                    item.ticket.settle(PubAckReason::QuotaExceeded);
                    return Ok(());
                }
                Err((Full::Total, item)) => item,
            };
            tokio::select! {
                () = self.stop.reading.cancelled() => return Ok(()),
                room = timeout_at(deadline, self.intake.room_for(item.bytes())) => {
                    if room.is_err() {
                        return Err(Ended::Full);
                    }
                }
            }
        }
    }
}

/// Lives one session after another, with back-off, until one ends because it is time to stop.
pub(crate) async fn repeat<F: Future<Output = Result<(), Ended>>>(
    status: &Status,
    name: &'static str,
    stop: &Stop,
    session: impl Fn() -> F,
) {
    let mut wait = FIRST_WAIT;
    while !stop.reading.is_cancelled() {
        let begun = Instant::now();
        let ended = Box::pin(session()).await;
        let reason = ended
            .as_ref()
            .map_or_else(ToString::to_string, |()| "stopped".to_owned());
        status.link_down(name, &reason);
        if ended.is_ok() {
            return;
        }
        tracing::warn!(connection = name, reason, "not connected to the broker");
        if begun.elapsed() > STABLE {
            wait = FIRST_WAIT;
        }
        tokio::select! {
            () = stop.reading.cancelled() => return,
            () = sleep(wait.mul_f64(rand::random_range(0.5..=1.0))) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// What a client of ours asks of a broker. It publishes so many messages at a time, at most: the client looks through a list of
/// that length each time it writes, 65,535 when nothing is said.
pub(crate) fn options(
    endpoint: &Endpoint,
    name: &str,
    instance: &str,
    publishes: u16,
) -> MqttOptions {
    let address = &endpoint.address;
    let id = format!("patio-ingest-{name}-{instance}");
    let mut options = MqttOptions::new(id, (address.host.clone(), address.port));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options
        .set_keep_alive(KEEP_ALIVE_S)
        .set_clean_start(true)
        .set_connect_timeout(CONNECT)
        .set_ack_mode(AckMode::Manual)
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_outgoing_inflight_upper_limit(publishes)
        .set_max_packet_size(Some(limits::MAX_PACKET as u32))
        .set_network_options(network);
    if let Some(tls) = &endpoint.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
            ca: tls.ca.clone(),
            alpn: None,
            client_auth: tls.identity.clone(),
        }));
    }
    options
}

/// Makes a connection and waits until the broker has accepted it.
pub(crate) async fn connect(options: MqttOptions) -> Result<(AsyncClient, EventLoop), Ended> {
    let (client, mut events) = AsyncClient::builder(options)
        .capacity(CAPACITY)
        .try_build()
        .map_err(|e| Ended::Request(e.to_string()))?;
    let accepted = async {
        loop {
            if let Event::Incoming(Packet::ConnAck(_)) = events.poll().await? {
                return Ok::<(), ConnectionError>(());
            }
        }
    };
    timeout(CONNECT, accepted)
        .await
        .map_err(|_| Ended::Late)??;
    Ok((client, events))
}

/// Subscribes, and returns the messages that came before the broker said that we are (MQTT 5, 3.8.4).
pub(crate) async fn subscribe(
    client: &AsyncClient,
    events: &mut EventLoop,
    filters: &[String],
) -> Result<Vec<Publish>, Ended> {
    let wanted = filters.iter().map(|filter| SubscribeFilter {
        retain_forward_rule: RetainForwardRule::Never,
        ..SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce)
    });
    client
        .try_subscribe_many(wanted)
        .map_err(|e| Ended::Request(e.to_string()))?;
    let mut early = Vec::new();
    let granted = async {
        loop {
            match events.poll().await? {
                Event::Incoming(Packet::SubAck(ack)) => {
                    return Ok::<_, ConnectionError>(ack.return_codes);
                }
                Event::Incoming(Packet::Publish(publish)) => early.push(publish),
                _ => {}
            }
        }
    };
    let codes = timeout(CONNECT, granted).await.map_err(|_| Ended::Late)??;
    for (filter, code) in filters.iter().zip(codes) {
        if !matches!(code, SubscribeReasonCode::Success(_)) {
            return Err(Ended::Subscription {
                filter: filter.clone(),
                code,
            });
        }
    }
    Ok(early)
}

/// Says good-bye after what is still to be sent, for a moment at most.
pub(crate) async fn close(client: &AsyncClient, mut events: EventLoop) {
    if client.try_disconnect().is_err() {
        return;
    }
    let gone = async { while events.poll().await.is_ok() {} };
    // A broker that does not listen any more will notice by itself.
    let _ = timeout(Duration::from_secs(2), gone).await;
}

/// The lane of a message: its topic's last level, or that of the connection when somebody invents one.
fn lane(topic: &str, connection: &str) -> Lane {
    let of = |name: &str| match name {
        "hello" => Some(Lane::Hello),
        "critical" => Some(Lane::Critical),
        "live" => Some(Lane::Live),
        "bulk" => Some(Lane::Bulk),
        _ => None,
    };
    let last = topic.rsplit('/').next().unwrap_or_default();
    of(last).or_else(|| of(connection)).unwrap_or(Lane::Bulk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_for_each_class_and_hellos_with_the_dearest() {
        let filters = |group| -> Vec<_> {
            Role::readers(group)
                .into_iter()
                .map(|role| (role.name, role.filters.join(" ")))
                .collect()
        };
        assert_eq!(
            filters(None),
            [
                (
                    "critical",
                    "patio/1/+/up/hello patio/1/+/up/critical".to_owned()
                ),
                ("live", "patio/1/+/up/live".to_owned()),
                ("bulk", "patio/1/+/up/bulk".to_owned()),
            ]
        );
        assert_eq!(
            filters(Some("ingest"))[1].1,
            "$share/ingest/patio/1/+/up/live"
        );
    }

    #[test]
    fn lanes() {
        for (topic, connection, expected) in [
            ("patio/1/a/up/hello", "critical", Lane::Hello),
            ("patio/1/a/up/critical", "critical", Lane::Critical),
            ("patio/1/a/up/live", "live", Lane::Live),
            ("x", "live", Lane::Live),
            ("", "bulk", Lane::Bulk),
        ] {
            assert_eq!(lane(topic, connection), expected, "{topic}");
        }
    }
}
