//! The depot's electrical limits, held by the gateway itself: what meters and stations say goes to the manager, and what it
//! decides goes to the stations, with or without a cloud.
//!
//! | file | what it is |
//! |---|---|
//! | `board` | what devices have said, and what stations are to be told |
//! | `hear` | which signals of a device matter here |
//! | `steer` | a charger on a Modbus line is told |
//! | `leash` | a station that speaks OCPP is told |
//! | `commission` | stations are tested: whether they end by themselves what they were told |
//! | `show` | what people are shown of it |
//!
//! 1. A source posts what it reads of a meter or a station ([`Post::hear`]).
//! 2. [`run`] decides once a second, and at once when a meter has spoken ([`load_manager::Manager::step`]).
//! 3. An order waits at its station's place until the source that speaks with it carries it out ([`Steer`]), and says so. One
//!    that could not be carried out within [`PATIENCE`] is thrown away: the manager gives another.
//! 4. Orders are leases. A charger's own watchdog is set shorter than the lease, by which what the manager believes of a
//!    station that nobody hears is true: it has fallen back.

mod board;
pub mod commission;
mod hear;
mod leash;
#[cfg(test)]
mod sample;
mod show;
mod steer;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use depot_config::depot::Depot;
use load_manager::{Manager, Millis, Rules, Site, SiteError, StationOptions};
use modbus::Device;
use shared_protocol::AssetKey;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{clock::Clock, supervise::Beat};
use board::Board;
pub use board::{Order, Post};
use commission::{Trials, Verdicts};
pub use leash::Leash;
pub use show::{CircuitShown, Shown};
pub use steer::Steer;

/// An order that is older is not carried out any more.
const PATIENCE: Millis = 5_000;
/// A charger's watchdog runs out so much before the lease: an order may be carried out [`PATIENCE`] after it was given, and its
/// exchange takes its time.
const EARLIER: Millis = 10_000;
/// How often it is decided, if no meter speaks.
const EVERY: Duration = Duration::from_secs(1);
/// It is not decided more often.
const AT_MOST: Duration = Duration::from_millis(200);
/// The utility's window (CFE bills 15-minute averages).
const QUARTER: Millis = 900_000;

/// What became of orders.
#[derive(Debug, Default)]
pub struct Counts {
    /// Carried out.
    pub kept: AtomicU64,
    /// The station did not take it.
    pub failed: AtomicU64,
    /// Too old before it could be carried out.
    pub late: AtomicU64,
    /// A station was found to have forgotten what it was told.
    pub forgotten: AtomicU64,
}

/// What is known of a depot besides its file and its devices.
#[derive(Clone, Debug, Default)]
pub struct Vouched {
    /// An installer has signed its ratings.
    pub signed: bool,
    /// What was found of stations at their commissioning.
    pub verdicts: Verdicts,
}

/// A depot whose limits this gateway holds.
#[derive(Debug)]
pub struct Control {
    depot: Arc<Depot>,
    /// An installer has signed its ratings.
    signed: bool,
    trials: Mutex<Trials>,
    board: Arc<Board>,
    manager: Mutex<Manager>,
    shown: Mutex<Shown>,
}

impl Control {
    /// The depot, with what this gateway can tell its stations: the devices on its Modbus lines by their asset. A station that
    /// is not among them counts with what it does by itself.
    pub fn new(
        depot: Arc<Depot>,
        vouched: Vouched,
        devices: &HashMap<AssetKey, Arc<Device>>,
        now: Millis,
    ) -> Result<Self, SiteError> {
        let options = depot.stations.iter().map(|station| {
            let control = devices.get(&station.id).and_then(|device| device.control());
            StationOptions {
                limit_outlives_car: control.is_some(),
                // Nothing ends what it was told.
                ignores_duration: control.is_some_and(|control| !steer::falls_back(control)),
                ..StationOptions::default()
            }
        });
        let site = Site::new(&depot, &options.collect::<Vec<_>>())?;
        Ok(Self {
            board: Arc::new(Board::new(&depot)),
            manager: Mutex::new(Manager::new(site, Rules::default(), now)),
            shown: Mutex::default(),
            signed: vouched.signed,
            trials: Mutex::new(Trials::new(vouched.verdicts)),
            depot,
        })
    }

    /// The place of a meter or station on the board; `None`: the depot does not have it.
    pub fn post(&self, asset: &AssetKey) -> Option<Post> {
        Post::of(&self.board, asset)
    }

    /// What became of orders.
    pub fn counts(&self) -> &Counts {
        &self.board.counts
    }

    /// What people are shown.
    pub fn shown(&self) -> Shown {
        lock(&self.shown).clone()
    }

    /// Decides. `wall_us` is the time of day, in microseconds since 1970, if that is known: every zone that has a utility with
    /// quarters of an hour is a multiple of them away from UTC.
    pub fn step(&self, now: Millis, wall_us: Option<i64>) {
        let into = wall_us.map(|wall| (wall / 1000).rem_euclid(QUARTER));
        let mut inputs = self.board.inputs(now, into);
        let mut trials = lock(&self.trials);
        trials.judge(&mut inputs, now, |place| {
            let station = &self.depot.stations[place];
            (station.id.clone(), self.board.serial(place))
        });
        let decision = lock(&self.manager).step(&inputs, now);
        for write in &decision.writes {
            let order = Order {
                number: write.number,
                amperes: write.limit,
                at: now,
                lease: write.lease,
            };
            if trials.tells(write.station, &order) {
                self.board.tell(write.station, order);
            }
        }
        drop(trials);
        let shown = show::shown(&self.depot, self.signed, &inputs, &decision);
        let before = std::mem::replace(&mut *lock(&self.shown), shown.clone());
        show::say(&before, &shown);
    }
}

/// Decides until the gateway stops.
pub async fn run(control: Arc<Control>, clock: Arc<Clock>, beat: Beat) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.pass().await;
        tokio::select! {
            _ = tick.tick() => {}
            () = control.board.news.notified() => {}
        }
        control.step(clock.now_us() / 1000, clock.wall_us());
        sleep(AT_MOST).await;
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counted(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
