//! The depot's electrical limits, held by the gateway itself: what meters and stations say goes to the manager, and what it
//! decides goes to the stations, with or without a cloud.
//!
//! | file | what it is |
//! |---|---|
//! | `board` | what devices have said, and what stations are to be told |
//! | `hear` | which signals of a device matter here |
//! | `steer` | a charger on a Modbus line is told |
//! | `leash` | a station that speaks OCPP is told |
//! | `check` | and asked what it would allow |
//! | `commission` | stations are tested: whether they end by themselves what they were told |
//! | `plan` | what the cloud plans: an order of cars, and power over time |
//! | `stay` | since when a car stands there, and what it has had since |
//! | `wish`, `local`, `remote` | what somebody at the depot wants: start, stop, this car first |
//! | `memory` | what is remembered over a restart |
//! | `show` | what people are shown of it |
//!
//! 1. A source posts what it reads of a meter or a station ([`Post::hear`]).
//! 2. [`run`] decides once a second, and at once when a meter has spoken ([`load_manager::Manager::step`]).
//! 3. An order waits at its station's place until the source that speaks with it carries it out ([`Steer`]), and says so. One
//!    that could not be carried out within [`PATIENCE`] is thrown away: the manager gives another.
//! 4. Orders are leases. A charger's own watchdog is set shorter than the lease, by which what the manager believes of a
//!    station that nobody hears is true: it has fallen back.

mod board;
mod check;
pub mod commission;
mod hear;
mod leash;
mod local;
mod memory;
mod plan;
mod remote;
#[cfg(test)]
mod sample;
mod show;
mod stay;
mod steer;
#[cfg(test)]
mod tests;
mod wish;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use depot_config::depot::{Depot, Phase};
use load_manager::{Kept, Manager, Millis, Rules, Site, SiteError, StationOptions};
use modbus::Device;
use shared_protocol::{AssetKey, Assumed, Plan};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{clock::Clock, supervise::Beat};
use board::Board;
pub use board::{Order, Post};
use commission::{Trials, Verdicts};
pub use leash::Leash;
pub use local::{Act, Refused};
pub use memory::Remembered;
use memory::{Keeper, Window};
use plan::Held;
pub use plan::NoPlan;
pub(crate) use remote::request;
use show::Beside;
pub use show::{CircuitShown, Reason, Shown, StationShown};
use stay::Stay;
pub use steer::Steer;
pub use wish::Want;
use wish::Wishes;

/// An order that is older is not carried out any more.
const PATIENCE: Millis = 5_000;
/// A charger's watchdog runs out so much before the lease: an order may be carried out [`PATIENCE`] after it was given, and its
/// exchange takes its time.
const EARLIER: Millis = 10_000;
/// How often it is decided, if no meter speaks.
const EVERY: Duration = Duration::from_secs(1);
/// It is not decided more often.
const AT_MOST: Duration = Duration::from_millis(200);
/// The sums of the utility's window are written down so often: what a restart does not know of counts as the most that was
/// seen, and cards wear out.
const WRITTEN: Millis = 30_000;
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
    /// What an earlier run remembered.
    pub remembered: Remembered,
}

/// The places of one station on the board: one, or one for each connector.
#[derive(Debug)]
pub struct Connectors {
    posts: Vec<Post>,
    /// Most that all of them draw together per phase, in A.
    ceiling: f64,
    phases: usize,
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
    plan: Mutex<Option<Held>>,
    /// By station.
    stays: Mutex<Vec<Stay>>,
    wishes: Mutex<Wishes>,
    /// What an earlier run has seen of the utility's window, until the time of day is known.
    window: Mutex<Option<Window>>,
    /// What is to be written down of it.
    latest: Mutex<Option<Window>>,
    /// Wishes have ended.
    ended: AtomicBool,
    /// Who writes down, one thing at a time.
    keeper: Mutex<Keeper>,
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
        let usual = StationOptions::default();
        let options = depot.stations.iter().map(|station| {
            let control = devices.get(&station.id).and_then(|device| device.control());
            StationOptions {
                limit_outlives_car: control.is_some(),
                // Nothing ends what it was told.
                ignores_duration: control.is_some_and(|control| !steer::falls_back(control)),
                writes_per_day: station.writes_per_day.unwrap_or(usual.writes_per_day),
                switches_phases: station.switches_phases,
                ..usual.clone()
            }
        });
        let site = Site::new(&depot, &options.collect::<Vec<_>>())?;
        let rules = Rules {
            unbalance: depot.site.unbalance,
            ..Rules::default()
        };
        let remembered = vouched.remembered;
        Ok(Self {
            board: Arc::new(Board::new(&depot, remembered.told)),
            plan: Mutex::new(remembered.plan),
            stays: Mutex::new(vec![Stay::default(); depot.stations.len()]),
            wishes: Mutex::new(remembered.wishes),
            window: Mutex::new(remembered.window),
            latest: Mutex::default(),
            ended: AtomicBool::new(false),
            keeper: Mutex::new(Keeper(remembered.folder)),
            manager: Mutex::new(Manager::new(site, rules, now)),
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

    /// The places of the station whose first connector is this asset; its n-th is the asset with `.n` after it, where the depot
    /// has that. `None`: the depot does not have it.
    pub fn connectors(&self, asset: &AssetKey) -> Option<Connectors> {
        let mut keys = vec![asset.clone()];
        let mut posts = vec![self.post(asset)?];
        while let Some((key, post)) = format!("{asset}.{}", posts.len() + 1)
            .parse::<AssetKey>()
            .ok()
            .and_then(|key| self.post(&key).map(|post| (key, post)))
        {
            keys.push(key);
            posts.push(post);
        }
        let phases = posts.iter().map(Post::phases).max().unwrap_or(1);
        let mut ceiling: f64 = posts.iter().map(Post::max).sum();
        // The circuit that feeds these and nothing else is the station's own supply.
        let stations = || self.depot.stations.iter();
        let own = stations()
            .find(|one| one.id == *asset)
            .map(|one| &one.circuit);
        let own = self.depot.circuits.iter().find(|one| Some(&one.id) == own);
        if let Some(circuit) = own.filter(|_| posts.len() > 1) {
            let mut fed = stations().filter(|one| one.circuit == circuit.id);
            let mut circuits = self.depot.circuits.iter();
            if fed.all(|one| keys.contains(&one.id))
                && !circuits.any(|one| one.parent.as_ref() == Some(&circuit.id))
            {
                let phases = Phase::ALL.into_iter();
                let phases = phases.filter(|phase| circuit.phases.contains(*phase));
                let most = phases.map(|phase| circuit.continuous(phase));
                ceiling = most.fold(ceiling, f64::min);
            }
        }
        Some(Connectors {
            posts,
            ceiling,
            phases,
        })
    }

    /// Keeps a plan instead of the one before, with what is assumed of cars of which it says nothing; returns when it is on the
    /// disk. It waits for the disk.
    ///
    /// # Errors
    /// Why it is not kept; the one before holds then.
    pub fn keep_plan(
        &self,
        plan: Plan,
        assumed: Option<Assumed>,
        issued_us: i64,
    ) -> Result<(), NoPlan> {
        let known = |id: &AssetKey| self.depot.stations.iter().any(|one| one.id == *id);
        if let Some(other) = plan.stations.iter().find(|one| !known(&one.station)) {
            return Err(NoPlan::Station(other.station.clone()));
        }
        let keeper = lock(&self.keeper);
        let before = lock(&self.plan).as_ref().map(|held| held.issued_us);
        if before.is_some_and(|before| before > issued_us) {
            return Err(NoPlan::Older);
        }
        let held = Held {
            issued_us,
            plan,
            assumed,
        };
        keeper
            .plan(&held)
            .map_err(|error| NoPlan::Disk(error.to_string()))?;
        *lock(&self.plan) = Some(held);
        self.board.news.notify_one();
        Ok(())
    }

    /// The depot's name.
    pub fn name(&self) -> &str {
        &self.depot.site.name
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
        let assumed = self.wanted(&mut inputs, now, wall_us);
        let mut trials = lock(&self.trials);
        trials.judge(&mut inputs, now, |place| {
            let station = &self.depot.stations[place];
            (station.id.clone(), self.board.serial(place))
        });
        let decision = {
            let mut manager = lock(&self.manager);
            self.go_on(&mut manager, now, wall_us);
            let decision = manager.step(&inputs, now);
            self.note(manager.window(), wall_us);
            decision
        };
        for write in &decision.writes {
            let order = Order {
                number: write.number,
                amperes: write.limit,
                phases: write.phases,
                at: now,
                lease: write.lease,
            };
            if trials.tells(write.station, &order) {
                self.board.tell(write.station, order);
            }
        }
        drop(trials);
        let wishes = lock(&self.wishes).clone();
        let beside = |place: usize| Beside {
            transaction: self.board.transaction(place).map(|open| open.id),
            want: wishes.want(&self.depot.stations[place].id),
            assumed: assumed[place],
        };
        let mut shown = show::shown(&self.depot, self.signed, &inputs, &decision, beside);
        let plan = lock(&self.plan);
        let held = plan.as_ref().zip(wall_us);
        let held = held.filter(|(held, wall_us)| held.plan.holds(*wall_us));
        shown.plan_until_us = held.map(|(held, _)| held.plan.until_us);
        drop(plan);
        let before = std::mem::replace(&mut *lock(&self.shown), shown.clone());
        show::say(&before, &shown);
    }

    /// What the plan and somebody at the depot want of the cars that are there. Tells by station whether the plan only assumes
    /// something of its car.
    fn wanted(
        &self,
        inputs: &mut load_manager::Inputs,
        now: Millis,
        wall_us: Option<i64>,
    ) -> Vec<bool> {
        let place = |id: &AssetKey| self.depot.stations.iter().position(|one| one.id == *id);
        let times = (now, wall_us);
        // Also without a plan: one that comes later is to know how long a car has been there.
        let mut stays = lock(&self.stays);
        let stays = stays.iter_mut().zip(&inputs.stations).enumerate();
        let stayed = stays.map(|(place, (stay, report))| {
            let (open, register) = (self.board.transaction(place), self.board.register(place));
            stay.look(report, (open.as_ref(), register), times)
        });
        let stayed: Vec<_> = stayed.collect();
        let held = lock(&self.plan);
        let assumed = plan::apply(held.as_ref(), inputs, times, &stayed, |id| {
            let place = place(id)?;
            let open = self.board.transaction(place);
            Some((place, open.and_then(|open| open.token)))
        });
        drop(held);
        let ended = lock(&self.wishes).apply(inputs, times, |id| {
            let place = place(id)?;
            Some((place, self.board.transaction(place).map(|open| open.id)))
        });
        if ended {
            self.ended.store(true, Ordering::Release);
        }
        assumed
    }

    /// Once the time of day is known, the window of an earlier run goes on, if it is the same one.
    fn go_on(&self, manager: &mut Manager, now: Millis, wall_us: Option<i64>) {
        let Some(wall) = wall_us.map(|wall| wall / 1000) else {
            return;
        };
        let Some(window) = lock(&self.window).take() else {
            return;
        };
        if window.quarter == wall.div_euclid(QUARTER) {
            let kept = Kept {
                into: window.into,
                energy: window.energy,
                unseen: window.unseen,
                greatest: window.greatest,
            };
            manager.resume(&kept, wall.rem_euclid(QUARTER), now);
        }
    }

    fn note(&self, kept: Option<Kept>, wall_us: Option<i64>) {
        let window = kept.zip(wall_us).map(|(kept, wall_us)| Window {
            quarter: (wall_us / 1000).div_euclid(QUARTER),
            into: kept.into,
            energy: kept.energy,
            unseen: kept.unseen,
            greatest: kept.greatest,
        });
        *lock(&self.latest) = window;
    }

    /// Writes down what is to be remembered over a restart; `written` is when that was done last for the window. It waits for
    /// the disk.
    fn write_down(&self, now: Millis, written: &mut Option<Millis>) -> std::io::Result<()> {
        let keeper = lock(&self.keeper);
        if self.ended.swap(false, Ordering::AcqRel) {
            let wishes = lock(&self.wishes).clone();
            if let Err(error) = keeper.wishes(&wishes) {
                self.ended.store(true, Ordering::Release);
                return Err(error);
            }
        }
        if let Some(told) = self.board.newly_told()
            && let Err(error) = keeper.told(&told)
        {
            self.board.told_again();
            return Err(error);
        }
        if written.is_none_or(|at| now - at >= WRITTEN)
            && let Some(window) = *lock(&self.latest)
        {
            keeper.window(&window)?;
            *written = Some(now);
        }
        Ok(())
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
