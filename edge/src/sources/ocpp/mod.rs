//! The central system of the depot's charging stations: they connect by WebSocket to `ws://gateway:port/ocpp/<id>`, in OCPP
//! 1.6J or 2.0.1, and go on working while the cloud is away.
//!
//! The life of what a transaction tells:
//!
//! 1. A frame comes in; the engine (`::ocpp`) says what has to be stored before its answer (`session.rs`).
//! 2. The **book** ([`crate::transactions`]) commits it: what is remembered of the transaction, and what goes to the cloud, in one
//!    transaction of SQLite with `synchronous=FULL`. When that fails, the connection is closed: the station sends again.
//! 3. The answer is sent.
//! 4. The **courier** gives it to the buffer, oldest first, waits until the buffer has made it durable, and only then takes it
//!    out of the book. A power cut in between gives it to the buffer twice, with the same key.
//!
//! | file | what it is |
//! |---|---|
//! | `door` | who may come in: certificates, passwords, versions |
//! | `tls` | TLS with stations, and with back-offices |
//! | `session` | one connection of one station |
//! | `relay` | what a station tells, told to another back-office, too |
//! | `orders` | what the cloud has a station do |

mod door;
mod orders;
mod relay;
mod session;
mod tls;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use ::ocpp::Policy;
use shared_protocol::{AssetKey, Record};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

pub use door::{Door, DoorError};
pub use relay::{Relay, run as relay};
pub use tls::Keys;
pub(crate) use tls::server;

use super::Context;
use crate::{
    buffer::Stopped,
    stopped,
    supervise::Beat,
    transactions::{Book, BookError, Bookkeeper},
};
use orders::Order;

/// Connections that have not said yet who they are.
const STRANGERS: usize = 64;
/// How long one may take to say it.
const STRANGE: Duration = Duration::from_secs(20);

/// A station that may connect.
#[derive(Clone, Debug)]
pub struct Known {
    /// The asset whose samples it gives: its first EVSE or connector. Those of the n-th are of `<asset>.<n>`.
    pub asset: AssetKey,
    /// SHA-256 of its password (security profiles 1 and 2).
    pub password: Option<[u8; 32]>,
    /// SHA-256 of its certificate (security profile 3).
    pub certificate: Option<[u8; 32]>,
    /// The back-office that it is relayed to.
    pub relay: Option<Relay>,
}

/// What the central system is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The stations by their ids.
    pub stations: HashMap<String, Known>,
    /// What they are told.
    pub policy: Policy,
}

/// A central system: stations that are connected, and whoever has the book.
#[derive(Debug)]
pub struct Central {
    settings: Settings,
    door: Door,
    keeper: Arc<Bookkeeper>,
    /// The connection of each station, one at a time: a new one ends the old one and waits for it.
    seats: Mutex<HashMap<String, Seat>>,
    connections: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Seat {
    turn: Arc<tokio::sync::Mutex<()>>,
    leave: watch::Sender<u64>,
    /// Where the connection that has it takes orders.
    orders: Arc<Mutex<Option<mpsc::Sender<Order>>>>,
}

impl Central {
    /// Nobody is connected yet.
    pub fn new(settings: Settings, door: Door, keeper: Arc<Bookkeeper>) -> Self {
        Self {
            settings,
            door,
            keeper,
            seats: Mutex::default(),
            connections: AtomicU64::new(1),
        }
    }

    /// Stations that are relayed to another back-office, by their ids.
    pub fn relayed(&self) -> Vec<String> {
        let stations = self.settings.stations.iter();
        let mut relayed: Vec<String> = stations
            .filter(|(_, known)| known.relay.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        relayed.sort();
        relayed
    }

    fn seat(&self, id: &str) -> Seat {
        let mut seats = lock(&self.seats);
        seats.entry(id.to_owned()).or_default().clone()
    }

    /// Works on the book.
    async fn book<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        self.keeper.book(work).await
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves stations until the gateway stops.
pub async fn run(
    central: Arc<Central>,
    listener: Arc<TcpListener>,
    mut context: Context,
    beat: Beat,
) {
    if let Some(alarm) = central.door.alarm() {
        tracing::error!("{alarm}");
        let record = Record {
            time_us: context.clock.now_us(),
            asset: None,
            kind: "stations.insecure".into(),
            payload: serde_json::json!({ "what": alarm }).to_string(),
        };
        if let Err(Stopped) = context.buffer.record(record).await {
            return;
        }
    }
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = beat.during(accept(&listener, &strangers)) => accepted,
            Some(_) = sessions.join_next() => continue,
            () = stopped(&mut context.stop) => break,
        };
        let (stream, address, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                beat.during(tokio::time::sleep(Duration::from_secs(1)))
                    .await;
                continue;
            }
        };
        let (central, context) = (central.clone(), context.clone());
        sessions.spawn(async move {
            let greeted =
                tokio::time::timeout(STRANGE, central.door.greet(stream, &central.settings)).await;
            drop(permit);
            match greeted {
                Ok(Ok(guest)) => session::run(&central, guest, context).await,
                Ok(Err(error)) => tracing::warn!(%address, %error, "a station is turned away"),
                Err(_) => tracing::debug!(%address, "a connection that says nothing"),
            }
        });
    }
    // Sessions see the stop themselves: what they are storing is stored.
    while beat.during(sessions.join_next()).await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    strangers: &Arc<Semaphore>,
) -> io::Result<(
    tokio::net::TcpStream,
    SocketAddr,
    tokio::sync::OwnedSemaphorePermit,
)> {
    let permit = strangers.clone().acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address, permit))
}
