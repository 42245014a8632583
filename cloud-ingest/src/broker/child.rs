//! The embedded broker, in its own process.
//!
//! MQTT 5 and 3.1.1 are on different listeners in rumqttd; gateways and ingestor speak MQTT 5. No TLS, no names, no
//! rights: it is for loopback, or for a network on which everybody is trusted. Clients come through the `door`; the ingestor
//! comes straight in, for what it reads is everybody's.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::ExitCode,
    time::Duration,
};

use rumqttd::{Config, ConnectionSettings, RouterConfig, SegmentConfig, ServerSettings};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Endpoint, Pace, door, probe::probe};
use crate::{cli::Failure, limits};

/// More than any fleet on one machine needs; a client refused for want of room poisons rumqttd's listener.
const MAX_CONNECTIONS: usize = 20_000;
/// So many are let in; the rest is the ingestor's.
const MAX_CLIENTS: usize = MAX_CONNECTIONS - 100;
const START: Duration = Duration::from_secs(10);

/// How to run it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the ingestor finds it; `None` takes a place that nobody is told.
    pub inner: Option<SocketAddr>,
    /// How fast a client may publish.
    pub pace: Pace,
    /// Ends when its standard input does, so that it never outlives who started it.
    pub until_stdin_closes: bool,
}

/// Makes sure that nobody listens there, and chooses the port when there is a choice.
pub fn free_address(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    TcpListener::bind(listen)
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::occupied("[mqtt] listen", listen, &error))
}

/// A free address for the ingestor alone. Of the 16 million addresses of this machine's own it takes any: outgoing connections
/// have 127.0.0.1, so none of them can take its port while the broker is started again.
pub fn inner_address() -> Result<SocketAddr, Failure> {
    let [_, a, b, c] = rand::random::<[u8; 4]>();
    let ip = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
    free_address(SocketAddr::from((ip, 0)))
}

/// Lets this process open as many files as it may: a client takes three.
fn open_many() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, ?limit, "no more files may be opened");
    }
}

/// Runs until it is told to stop; fails when the broker dies.
pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let listen = free_address(options.listen)?;
    let inner = match options.inner {
        Some(inner) => free_address(inner)?,
        None => inner_address()?,
    };
    open_many();
    die_with_the_router();
    let (dead, died) = oneshot::channel();
    let mut broker = rumqttd::Broker::new(config(inner));
    std::thread::spawn(move || {
        let ended = broker.start();
        // Nobody waits any more when the process is ending.
        let _ = dead.send(ended.map_err(|e| e.to_string()));
    });
    let parent_gone = parent_gone(options.until_stdin_closes);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::run(format!("no runtime: {e}")))?
        .block_on(async {
            let mut terminated = signal(SignalKind::terminate())
                .map_err(|e| Failure::run(format!("no signals: {e}")))?;
            let opened = door::listen(listen)
                .map_err(|error| Failure::occupied("[mqtt] listen", listen, &error))?;
            let tell = options.until_stdin_closes;
            tokio::spawn(door::keep(opened, inner, options.pace, MAX_CLIENTS, tell));
            let served = async {
                announce(listen).await?;
                match died.await {
                    Ok(Err(reason)) => Err(Failure::run(format!("the broker ended: {reason}"))),
                    _ => Err(Failure::run("the broker ended".to_owned())),
                }
            };
            tokio::select! {
                ended = served => ended,
                () = parent_gone => Ok(ExitCode::SUCCESS),
                _ = terminated.recv() => Ok(ExitCode::SUCCESS),
                _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
            }
        })
}

/// Ends when standard input does, if it is to be looked at. A thread of its own reads it: tokio's would keep the
/// process.
fn parent_gone(look: bool) -> impl Future<Output = ()> {
    let (closed, stdin_closed) = oneshot::channel();
    if look {
        std::thread::spawn(move || {
            // An error is an end, too.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = closed.send(());
        });
    }
    async move {
        if !look || stdin_closed.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Says that it listens, once it answers.
async fn announce(listen: SocketAddr) -> Result<(), Failure> {
    let endpoint = Endpoint::local(listen);
    let address = format!("{}", endpoint.address)
        .parse()
        .map_err(|e| Failure::run(format!("{}: {e}", endpoint.address)))?;
    let answers = async {
        while probe(address, Duration::from_secs(1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(START, answers)
        .await
        .map_err(|_| Failure::run(format!("the broker does not answer at {listen}")))?;
    // A reader that is gone is no reason to stop serving.
    let _ = writeln!(io::stdout(), "ready broker=mqtt://{listen}");
    Ok(())
}

/// A panic in rumqttd's router, or over a lock that an earlier panic poisoned, leaves a process that accepts
/// connections and does nothing with them. It is better gone: whoever started it starts it again.
fn die_with_the_router() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let router = std::thread::current()
            .name()
            .is_some_and(|name| name.starts_with("router"));
        if router || panic.to_string().contains("PoisonError") {
            std::process::abort();
        }
    }));
}

/// A log in memory of so many pieces.
const fn small(pieces: usize) -> SegmentConfig {
    SegmentConfig {
        max_segment_size: 64 << 10,
        max_segment_count: pieces,
    }
}

fn config(listen: SocketAddr) -> Config {
    let server = ServerSettings {
        name: "v5".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: limits::MAX_PACKET,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: false,
        },
    };
    Config {
        id: 0,
        router: RouterConfig {
            max_connections: MAX_CONNECTIONS,
            max_outgoing_packet_count: 200,
            // For each subscription a log in memory: 32 MiB for a class of blocks,
            max_segment_size: 4 << 20,
            max_segment_count: 8,
            // and 256 KiB for what one gateway is told.
            custom_segment: Some(HashMap::from([
                ("patio/1/+/down/#".to_owned(), small(4)),
                (::devices::json::answer_topic("+"), small(4)),
                // 4 MiB for all that devices with JSON say.
                (::devices::json::ALL.to_owned(), small(64)),
            ])),
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("v5".to_owned(), server)])),
        ..Config::default()
    }
}
