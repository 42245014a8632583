//! Who sees the transactions at a station that tells none, because it is only read and written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::{Plugs, socket::Socket, story::Story, words};
use crate::{chance::Chance, depot::Shared, truth::sessions::SessionLog};

/// How often it looks at the socket.
const LOOK: Duration = Duration::from_millis(100);
/// Cars neither take each other's place nor leave again in less, in s of wall time, at whatever speed they live: nobody who reads a
/// station once a second could tell them apart.
const SWAP: f64 = 9.0;
/// An empty socket has been seen when it was read so often: answers get lost.
const READ: u64 = 8;

/// Looks at one socket.
pub(crate) struct Witness {
    shared: Arc<Shared>,
    socket: Socket,
    closing: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
    /// How often the station had been read when its socket was found empty for good.
    emptied: Option<u64>,
}

impl Witness {
    /// Of the station number `index` of the world, by its key.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        log: &Arc<SessionLog>,
        plugs: &mut Plugs,
        (key, index): (&str, usize),
        restless: Option<f64>,
        seed: u64,
    ) -> Self {
        shared.world().chargers[index].swap = SWAP;
        let chance = Chance::new(seed, &format!("{key}/witness"));
        let story = Story::new(key.to_owned(), false);
        let (closing, idle) = plugs.watch();
        Self {
            shared: Arc::clone(shared),
            socket: Socket::new(shared, log, index, story, ((restless, SWAP), chance)),
            closing,
            idle,
            emptied: None,
        }
    }

    /// Looks until the depot stops.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => break,
                _ = ticks.tick() => if shared.is_producing() {
                    self.look();
                },
            }
        }
        self.socket.stop();
    }

    fn look(&mut self) {
        let seen = self.socket.seen();
        self.socket
            .look(words::now(), &seen, i64::MAX / 1000, false);
        self.socket.part();
        if !self.closing.load(Ordering::Acquire) {
            return;
        }
        // Nobody can tell it to end its transactions: its drivers leave, and nobody comes.
        self.socket.of(|charger| charger.swap = f64::INFINITY);
        if seen.car.is_some() {
            self.socket.pull();
            return;
        }
        let read = self.socket.of(|charger| charger.read);
        let emptied = *self.emptied.get_or_insert(read);
        self.idle.store(read >= emptied + READ, Ordering::Release);
    }
}
