//! Dongles that come and go on the depot's Wi-Fi: adapters in cars, at addresses that nobody wrote down. A network is looked
//! through for them; which car one is in, the car says by its VIN.
//!
//! A car that sleeps is left alone: its dongle is asked for the voltage at the socket and nothing else, again at each round,
//! until that shows that the car is in use. A dongle whose car nobody looks for is asked again after a while: it may be in
//! another car then.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use config_file::HostPort;
use firmware_config::gateway::{Interface, Network, Port};
use isotp::uds::Vin;
use tokio::{net::TcpStream, sync::Notify, task::JoinSet};
use vehicles::{diagnostic::Table, profile::VehicleState};

use super::{
    can::{Bus, Heard},
    duty::News,
    obd::{Output, Poller},
    state::Watch,
    vehicle::{ADAPTER, micros},
};
use crate::{clock::Clock, supervise::Beat};

/// A dongle that is there answers as fast.
const CONNECT: Duration = Duration::from_millis(1000);
/// Addresses that are tried at a time.
const AT_A_TIME: usize = 16;
/// Longest time to find out which car it is in.
const IDENTIFY: Duration = Duration::from_secs(30);
/// Between two rounds.
const ROUND: Duration = Duration::from_secs(5);
/// A dongle whose car nobody looks for is asked again after so long.
const UNWANTED: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
struct State {
    /// Who is looked for, and where it was found.
    wanted: HashMap<Vin, Option<Ipv4Addr>>,
    /// What a reader is connected to.
    held: HashMap<Ipv4Addr, Vin>,
}

/// The dongles of one network.
#[derive(Debug)]
pub struct Dongles {
    network: Network,
    port: u16,
    bitrate: u32,
    state: Mutex<State>,
    changed: Notify,
}

/// A dongle that is somebody's as long as this lives.
#[derive(Debug)]
pub struct Lease {
    dongles: Arc<Dongles>,
    address: Ipv4Addr,
}

impl Lease {
    /// Where it is.
    pub fn interface(&self) -> Interface {
        self.dongles.interface(self.address)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.dongles.state().held.remove(&self.address);
    }
}

/// Takes back what was looked for when nobody waits any more.
struct Wanted<'a>(&'a Dongles, Vin);

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.state().wanted.remove(&self.1);
    }
}

impl Dongles {
    /// Of nobody's dongles anything is known yet.
    pub fn new(network: Network, port: u16, bitrate: u32) -> Self {
        Self {
            network,
            port,
            bitrate,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Whether it is the same network, looked through in the same way.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.network, self.port, self.bitrate) == (other.network, other.port, other.bitrate)
    }

    /// The network, for a name.
    pub fn network(&self) -> Network {
        self.network
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interface(&self, address: Ipv4Addr) -> Interface {
        Interface::Elm327 {
            port: Port::Tcp(HostPort {
                host: address.to_string(),
                port: self.port,
            }),
            bitrate: self.bitrate,
        }
    }

    /// Waits until the dongle in the car with this VIN has been found.
    pub async fn find(self: Arc<Self>, vin: Vin) -> Lease {
        self.state().wanted.insert(vin, None);
        let wanted = Wanted(&self, vin);
        self.changed.notify_waiters();
        let address = loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that nothing is missed in between.
            changed.as_mut().enable();
            if let Some(address) = self.state().wanted.get(&vin).copied().flatten() {
                break address;
            }
            changed.await;
        };
        drop(wanted);
        Lease {
            dongles: self.clone(),
            address,
        }
    }

    fn is_wanted(&self) -> bool {
        self.state().wanted.values().any(Option::is_none)
    }

    /// Looks through the network as long as somebody is looked for; never ends.
    pub async fn search(&self, clock: Arc<Clock>, beat: &Beat) {
        let mut known: BTreeMap<Ipv4Addr, (Vin, Instant)> = BTreeMap::new();
        loop {
            let changed = self.changed.notified();
            if !self.is_wanted() {
                beat.during(changed).await;
                continue;
            }
            // Where one has been before it is likely to be again.
            let seen: Vec<_> = known.keys().copied().collect();
            let others: Vec<_> = self
                .network
                .hosts()
                .filter(|host| !seen.contains(host))
                .collect();
            for addresses in [seen, others].concat().chunks(AT_A_TIME) {
                for address in beat.during(self.reachable(addresses)).await {
                    let unwanted = |(vin, since): &(Vin, Instant)| {
                        !self.state().wanted.contains_key(vin) && since.elapsed() < UNWANTED
                    };
                    if self.state().held.contains_key(&address)
                        || known.get(&address).is_some_and(unwanted)
                    {
                        continue;
                    }
                    let asked = self.identify(address, &clock, beat);
                    let vin = tokio::time::timeout(IDENTIFY, asked).await.ok().flatten();
                    if let Some(vin) = vin {
                        known.insert(address, (vin, Instant::now()));
                        self.offer(vin, address);
                    }
                }
                if !self.is_wanted() {
                    break;
                }
            }
            beat.during(tokio::time::sleep(ROUND)).await;
        }
    }

    /// Which of these take a connection.
    async fn reachable(&self, addresses: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
        let mut tries = JoinSet::new();
        for &address in addresses {
            if self.state().held.contains_key(&address) {
                continue;
            }
            let to = SocketAddr::from((address, self.port));
            tries.spawn(async move {
                let connected = tokio::time::timeout(CONNECT, TcpStream::connect(to)).await;
                matches!(connected, Ok(Ok(_))).then_some(address)
            });
        }
        let mut found: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
        found.sort_unstable();
        found
    }

    /// Which car it is in, if that is in use.
    async fn identify(&self, address: Ipv4Addr, clock: &Arc<Clock>, beat: &Beat) -> Option<Vin> {
        let interface = self.interface(address);
        let opening = Bus::open(&interface, clock.clone());
        let mut bus = beat.during(opening).await.ok()?;
        let (mut poller, _) = Poller::new(Table::new(Vec::new()).ok()?, ADAPTER);
        poller.identify_first();
        let mut watch = Watch::default();
        loop {
            let now = micros(clock.now_us());
            while let Some(output) = poller.poll(now, watch.state(now)) {
                match output {
                    Output::Transmit(frame) => bus.send(&frame).await.ok()?,
                    Output::News(News::Vin(vin)) => return Some(vin),
                    _ => {}
                }
            }
            let soon = now + Duration::from_secs(1);
            let deadline = poller.next_deadline(now, watch.state(now));
            let wake = clock.instant(deadline.unwrap_or(soon).min(soon).as_micros() as i64);
            let heard = tokio::select! {
                heard = beat.during(bus.hear()) => heard.ok()?,
                () = tokio::time::sleep_until(wake.into()) => continue,
            };
            match heard {
                Heard::Frame(received) => {
                    poller.on_frame(micros(received.time_us), &received.frame);
                }
                Heard::Voltage {
                    time_us,
                    millivolts,
                } => {
                    let now = micros(time_us);
                    watch.voltage(now, millivolts);
                    if watch.state(now) == VehicleState::Asleep {
                        return None;
                    }
                }
            }
        }
    }

    fn offer(&self, vin: Vin, address: Ipv4Addr) {
        let mut state = self.state();
        match state.wanted.get_mut(&vin) {
            Some(place) => {
                *place = Some(address);
                state.held.insert(address, vin);
                tracing::info!(%vin, %address, "the dongle of a vehicle is there");
            }
            None => {
                tracing::info!(%vin, %address, "a dongle is in a vehicle that nobody looks for");
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }
}
