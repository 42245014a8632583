//! The uplink: publishes blocks over MQTT 5 and takes the cloud's acknowledgements and commands (4, 5 and 7 of the way of
//! a sample). It keeps nothing that matters: every new connection begins again from the ledger.
//!
//! - [`run`]: connects again and again, with back-off
//! - [`session`]: one connection
//! - [`outbox`]: which block goes next, and again · [`pace`]: how much is on its way · [`limit`]: how long a packet may be
//! - [`end`]: why a connection ended · [`backoff`]: when the next one is made
//! - [`pipe`]: TCP, TLS, the guard against brokers that break the protocol, and the MQTT client

mod backoff;
mod end;
mod limit;
mod outbox;
mod pace;
mod pipe;
mod session;

use std::{sync::Arc, time::Duration};

use shared_protocol::{Command, GatewayId, SigningKey, VerifyingKey};
use tokio::sync::{mpsc, watch};

pub use backoff::{Backoff, jitter};

use end::End;
use limit::Limit;

use crate::{buffer::Buffer, clock::Clock, stopped, supervise::Beat};

/// Where the broker is.
#[derive(Clone, Debug)]
pub struct Link {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Certificates, when the connection is encrypted.
    pub tls: Option<Tls>,
}

/// What TLS needs, each in PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authorities that the broker's certificate is checked against.
    pub ca: Vec<u8>,
    /// Our certificate chain and its key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Who we are and whom we talk to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker.
    pub link: Link,
    /// Our name.
    pub gateway: GatewayId,
    /// The key that signs our hello.
    pub key: SigningKey,
    /// The key whose word frees blocks, and whose commands are carried out.
    pub cloud: VerifyingKey,
    /// Where verified commands go.
    pub commands: mpsc::Sender<Command>,
    /// Judges certificates, and hears the time from the cloud.
    pub clock: Arc<Clock>,
}

/// What the uplink has seen since the start.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Whether the broker has taken us.
    pub connected: bool,
    /// Connections that the broker took.
    pub connections: u64,
    /// Blocks handed to the client, repetitions included.
    pub published: u64,
    /// Blocks sent again for want of an answer.
    pub resent: u64,
    /// Blocks that are longer than the broker takes, counted once for each connection.
    pub oversize: u64,
    /// Messages that the broker answered with an error, for want of a right or of room.
    pub refused_publishes: u64,
    /// Messages ignored because the cloud has not signed them for us.
    pub refused_messages: u64,
    /// Commands that the cloud has signed for us.
    pub commands: u64,
    /// Blocks that wait for an answer.
    pub in_flight: usize,
    /// Why the latest connection ended.
    pub last_error: Option<String>,
}

/// Runs until `stop` turns true or the buffer has stopped.
pub async fn run(
    options: Options,
    buffer: Buffer,
    mut stop: watch::Receiver<bool>,
    reports: watch::Sender<Report>,
    beat: Beat,
) {
    let mut broken = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
    let mut refused = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
    let mut limit = Limit::default();
    loop {
        let (end, good) =
            session::run(&options, &buffer, &mut limit, &mut stop, &reports, &beat).await;
        reports.send_modify(|report| {
            report.connected = false;
            report.in_flight = 0;
            report.last_error = Some(end.to_string());
        });
        if good {
            broken.reset();
            refused.reset();
        }
        let wait = match &end {
            End::Stop => return,
            End::Refused(_) => refused.wait(jitter()),
            End::Closed { .. } | End::Gone(_) | End::Broken(_) => broken.wait(jitter()),
        };
        tracing::warn!(reason = %end, retry_s = wait.as_secs_f32(), "no connection to the broker");
        tokio::select! {
            () = beat.during(tokio::time::sleep(wait)) => {}
            () = stopped(&mut stop) => return,
        }
    }
}
