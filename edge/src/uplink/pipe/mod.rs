//! The way to the broker: TCP, TLS, the guard, and the MQTT client behind it.
//!
//! The client is a pipe: it is made new for each connection and nothing depends on what it remembers (a reconnect
//! inside it loses accepted publishes without a word). It sees only what the guard lets through.
//!
//! - [`guard`]: the stream between socket and client
//! - [`incoming`] over [`property`] over [`fields`]: the check of the broker's packets
//! - [`outgoing`]: what the client has written
//! - [`tls`] makes certificates and keys usable

mod fields;
mod guard;
mod incoming;
mod outgoing;
mod property;
mod tls;

use std::{io, sync::Arc, time::Duration};

use rumqttc::{
    AsyncClient, Broker, EventLoop, IncomingPacketSizeLimit, MqttOptions,
    tokio_rustls::{TlsConnector, rustls::pki_types::ServerName},
};
use shared_protocol::envelope::MAX_ENVELOPE;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{Link, Options};
use guard::Guard;
use incoming::Incoming;
pub(super) use tls::{Unusable, is_refusal};

/// The broker is asked for a sign of life this often.
const KEEP_ALIVE_S: u16 = 5;
/// Topic, properties and framing around an envelope.
const PACKET_SLACK: usize = 1024;
/// For each address.
const DIAL_WITHIN: Duration = Duration::from_secs(4);
/// A server that speaks within this time, before it has heard us, is something else than a broker (§3.1): it does not get
/// our name.
const LISTEN_FIRST: Duration = Duration::from_millis(100);
/// Messages the broker may send before we acknowledge the first of them.
const RECEIVE_MAXIMUM: u16 = 32;

/// A new client for one connection, which it begins when it is polled. `publishes` is how many it may have to keep until
/// the broker acknowledges them.
pub(super) fn client(
    options: &Options,
    publishes: u16,
    connect_within: Duration,
) -> Result<(AsyncClient, EventLoop), Unusable> {
    let Link { host, port, tls } = options.link.clone();
    let tls = tls
        .as_ref()
        .map(|tls| tls::config(tls, options.clock.clone()));
    let tls = tls.transpose()?.map(Arc::new);
    let broker = Broker::tcp(host.clone(), port);
    let mut mqtt = MqttOptions::new(format!("patio-gateway-{}", options.gateway), broker);
    mqtt.set_keep_alive(KEEP_ALIVE_S)
        .set_clean_start(true)
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_outgoing_inflight_upper_limit(publishes)
        .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(
            (MAX_ENVELOPE + PACKET_SLACK) as u32,
        ))
        .set_connect_timeout(connect_within)
        .set_socket_connector(move |_, _| connect(host.clone(), port, tls.clone()));
    // Room for what is not on its way yet, the subscription and the hello.
    let capacity = usize::from(publishes) + 8;
    Ok(AsyncClient::builder(mqtt).capacity(capacity).build())
}

/// Plain or encrypted.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

async fn connect(
    host: String,
    port: u16,
    tls: Option<Arc<rumqttc::tokio_rustls::rustls::ClientConfig>>,
) -> io::Result<Guard<Box<dyn Stream>>> {
    let socket = dial(&host, port).await?;
    // A small critical block must not wait for the acknowledgement of what went before it.
    socket.set_nodelay(true)?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(socket),
        Some(config) => {
            let name = ServerName::try_from(host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            Box::new(TlsConnector::from(config).connect(name, socket).await?)
        }
    };
    if let Ok(heard) = timeout(LISTEN_FIRST, stream.read(&mut [0])).await {
        let what = match heard? {
            0 => "the connection was closed before anything was said",
            _ => "what speaks first is no MQTT broker: look at the address and the port",
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let incoming = Incoming::new(MAX_ENVELOPE + PACKET_SLACK, KEEP_ALIVE_S);
    Ok(Guard::new(stream, incoming))
}

/// Tries each of the host's addresses in turn. One that swallows everything must not keep us from the next: where IPv6 is
/// half set up, that is the first one, every time.
async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((host, port)).await? {
        match timeout(DIAL_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// How long a PUBLISH without properties is on the wire (§3.3).
pub(super) fn publish_length(topic: &str, payload: usize) -> usize {
    // Topic and its length, packet identifier, length of the properties.
    packet_length(2 + topic.len() + 2 + 1 + payload)
}

/// How long a SUBSCRIBE to one filter is on the wire (§3.8).
pub(super) fn subscribe_length(filter: &str) -> usize {
    packet_length(2 + 1 + 2 + filter.len() + 1)
}

const fn packet_length(remaining: usize) -> usize {
    let width = match remaining {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    1 + width + remaining
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use rumqttc::{
        QoS,
        mqttbytes::v5::{Packet, Publish, Subscribe, SubscribeFilter},
    };

    #[test]
    fn lengths_are_those_that_the_client_writes() {
        let topic = "patio/1/depot-1/up/live";
        for payload in [0, 90, 100, 16_300, 16_400, 2_097_200] {
            let mut publish = Publish::new(topic, QoS::AtLeastOnce, vec![0; payload], None);
            publish.pkid = 1;
            let mut written = BytesMut::new();
            Packet::Publish(publish).write(&mut written, None).unwrap();
            assert_eq!(written.len(), publish_length(topic, payload));
        }
        let filter = SubscribeFilter::new(topic.to_owned(), QoS::AtLeastOnce);
        let mut subscribe = Subscribe::new(filter, None);
        subscribe.pkid = 1;
        let mut written = BytesMut::new();
        Packet::Subscribe(subscribe)
            .write(&mut written, None)
            .unwrap();
        assert_eq!(written.len(), subscribe_length(topic));
    }
}
