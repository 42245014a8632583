//! The server that trackers dial, over TCP and UDP.
//!
//! - `connection`: one tracker over TCP; `datagrams`: all of them over UDP; `crowd`: who is connected
//!
//! Records are acknowledged after COMMIT and never before; what is not stored gets no answer, and the tracker sends it
//! again. Nobody can take what belongs to others: connections are limited, each has one frame in memory and one transaction
//! at a time, transactions are taken in turn, a login and a frame have to be whole within their time, and a tracker that
//! dials again takes the place of its old connection, which may be half open for ever.
//!
//! The protocol knows no secrets: whoever knows an IMEI can speak as that tracker. Give trackers a private network of the
//! mobile operator, or a tunnel, that ends at the address that is listened on.

mod connection;
mod crowd;
mod datagrams;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use devices::{Kind, Register, Sink, command};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::crowd::Crowd;
use crate::{MessageCodec, Packet, avl::List, metrics};

const COMMANDS_EVERY: Duration = Duration::from_secs(1);
/// After a failure to accept, such as too many open files.
const BREATH: Duration = Duration::from_millis(200);

/// How the server treats its trackers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens, for TCP and UDP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Most TCP connections at a time.
    pub connections: usize,
    /// Transactions at a time.
    pub transactions: usize,
    /// How long a tracker may take to log in, and to send a frame that it has begun.
    pub patience: Duration,
    /// How long a tracker may be silent between frames.
    pub silence: Duration,
    /// The codec of commands: 12, or 14, which names the tracker.
    pub commands: MessageCodec,
}

impl Settings {
    /// What is right for most.
    pub const fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            connections: 10_000,
            transactions: 4,
            patience: Duration::from_secs(30),
            silence: Duration::from_mins(30),
            commands: MessageCodec::Twelve,
        }
    }
}

/// What all connections share.
struct Shared {
    settings: Settings,
    sink: Sink,
    register: Register,
    list: Arc<List>,
    crowd: Crowd,
    /// Turns at the database; they are given in the order in which they are asked for.
    turns: Semaphore,
}

/// A server that has its addresses and does nothing yet.
#[derive(Debug)]
pub struct Server {
    tcp: TcpListener,
    udp: UdpSocket,
    settings: Settings,
}

impl Server {
    /// Takes the addresses.
    pub async fn bind(settings: Settings) -> io::Result<Self> {
        let tcp = TcpListener::bind(settings.listen).await?;
        let udp = UdpSocket::bind(tcp.local_addr()?).await?;
        Ok(Self { tcp, udp, settings })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until it is time to stop. What is being stored then is stored and acknowledged.
    pub async fn run(self, sink: Sink, list: Arc<List>, stop: CancellationToken) {
        let shared = Arc::new(Shared {
            register: Register::new(sink.db().clone(), sink.clock().clone()),
            turns: Semaphore::new(self.settings.transactions),
            crowd: Crowd::default(),
            settings: self.settings,
            sink,
            list,
        });
        let tasks = TaskTracker::new();
        tasks.spawn(datagrams::serve(
            self.udp,
            Arc::clone(&shared),
            tasks.clone(),
            stop.clone(),
        ));
        tasks.spawn(call(Arc::clone(&shared), stop.clone()));
        let room = Arc::new(Semaphore::new(shared.settings.connections));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.tcp.accept() => accepted,
            };
            let Ok((stream, from)) = accepted else {
                sleep(BREATH).await;
                continue;
            };
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                metrics::turned_away("full");
                continue;
            };
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tasks.spawn(async move {
                metrics::connected(1);
                let ended = connection::serve(stream, &shared, &stop).await;
                metrics::connected(-1);
                tracing::debug!(%from, ended, "a tracker's connection ended");
                drop(place);
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// Tells connections that commands wait for their trackers.
async fn call(shared: Arc<Shared>, stop: CancellationToken) {
    let mut rounds = interval(COMMANDS_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = rounds.tick() => {}
        }
        let (db, now) = (shared.sink.db(), shared.sink.clock().now());
        let waiting = async {
            command::expire(db, now).await?;
            command::waiting(db, now).await
        };
        match waiting.await {
            Ok(devices) => devices
                .into_iter()
                .for_each(|device| shared.crowd.call(device)),
            Err(error) => tracing::warn!(%error, "commands for trackers cannot be looked for"),
        }
    }
}

impl Shared {
    async fn device(
        &self,
        imei: crate::Imei,
    ) -> Result<Option<Arc<devices::Device>>, platform::DbError> {
        self.register.find(Kind::Teltonika, imei.as_str()).await
    }

    /// Stores records in turn; true after COMMIT.
    async fn store(&self, device: &Arc<devices::Device>, records: &[crate::Record]) -> bool {
        let records: Vec<_> = records
            .iter()
            .map(|record| self.list.record(device, record))
            .collect();
        // The semaphore is never closed.
        let Ok(_turn) = self.turns.acquire().await else {
            return false;
        };
        match self.sink.store(&records, None).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(device = device.key, %error, "records are not stored; the tracker sends them again");
                metrics::packet("not_stored");
                false
            }
        }
    }

    /// Keeps what a tracker answered to a command.
    async fn answered(
        &self,
        device: &devices::Device,
        order: Option<i64>,
        message: &crate::Message,
    ) {
        let refused = message.kind == crate::Kind::Refusal;
        let (db, now) = (self.sink.db(), self.sink.clock().now());
        match command::answer(db, device.id, order, refused, &message.text(), now).await {
            Ok(Some(_)) => {}
            Ok(None) => tracing::info!(
                device = device.key,
                "it says something that nobody asked for"
            ),
            Err(error) => {
                tracing::warn!(device = device.key, %error, "its answer to a command is lost");
            }
        }
    }

    fn command(&self, device: &devices::Device, text: &str) -> Packet {
        let imei = device.key.parse();
        Packet::Message(match (self.settings.commands, imei) {
            (MessageCodec::Fourteen, Ok(imei)) => crate::Message::command_for(imei, text),
            _ => crate::Message::command(text),
        })
    }
}
