//! Supervision: every loop of the gateway says that it moves, and one that does not is started again, alone.
//!
//! 1. A loop runs under [`Supervisor::keep`], which starts it anew, after a pause, when it panics or is ended.
//! 2. It calls [`Beat::pass`] in each of its rounds, and [`Beat::during`] where it waits for somebody else for as long as
//!    that takes. Anything else it does has a deadline.
//! 3. [`Supervisor::run`], on a thread of its own, looks at all of them every second. A loop that is behind its deadline is
//!    ended, and step 1 starts it again.
//! 4. What does not end when it is told to holds a thread that nobody can take from it: then the process ends, and systemd
//!    starts it again. All that was committed is there. (The database's writer is such a thread from the beginning; it
//!    gets a successor, `Buffer::replace_writer`, and the process ends only when that does not help.)
//! 5. systemd's watchdog and the hardware's ([`Feeder`]) are fed as long as all critical loops move: whatever else keeps
//!    the gateway from its work ends in a new start of the process, or of the machine.
//!
//! | file | what it is |
//! |---|---|
//! | `judge` | when a loop is stuck; pure, time is an argument |
//! | `beat` | what a loop says, and drills |
//! | `keep` | starting again |
//! | `feed` | systemd and the hardware watchdog |

mod beat;
mod feed;
mod judge;
mod keep;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior},
};

pub use beat::{Beat, Drill};
pub use feed::Feeder;
pub use keep::Keeping;

use beat::Loop;
use judge::Judgement;

/// All loops are looked at this often.
const EVERY: Duration = Duration::from_secs(1);
/// How long the watchdogs are fed while the gateway stops; a stop that takes longer has failed.
const STOPPING: Duration = Duration::from_secs(60);

/// What helps when a loop is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// To start it again.
    Restart,
    /// To end the process: the loop stands for a thread that cannot be ended.
    EndProcess,
}

/// A loop that is to be kept running.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name in logs and metrics: a word, and what it works on.
    pub name: String,
    /// It is stuck when nothing was heard of it for longer than this. With the look each second and the pause before it
    /// starts again, no loop stands still for more than 30 s when this is at most 20 s.
    pub deadline: Duration,
    /// Whether the watchdogs go hungry while it does not move.
    pub critical: bool,
    /// What helps.
    pub remedy: Remedy,
    /// How long it is given to end by itself when the gateway stops.
    pub farewell: Duration,
}

impl Spec {
    /// A loop that is started again when it is stuck, and is ended at once when the gateway stops.
    pub fn new(name: impl Into<String>, deadline: Duration) -> Self {
        Self {
            name: name.into(),
            deadline,
            critical: false,
            remedy: Remedy::Restart,
            farewell: Duration::ZERO,
        }
    }

    /// The watchdogs go hungry while it does not move.
    #[must_use]
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// The process ends when it is stuck.
    #[must_use]
    pub fn or_end_process(mut self) -> Self {
        self.remedy = Remedy::EndProcess;
        self
    }

    /// It may take this long to end by itself.
    #[must_use]
    pub fn ends_by_itself(mut self, within: Duration) -> Self {
        self.farewell = within;
        self
    }
}

/// What became of a loop since the start.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LoopReport {
    /// Its name.
    pub name: String,
    /// How long nothing has been heard of it, in milliseconds; `None` once it has come to its end.
    pub silent_ms: Option<u64>,
    /// How often it was ended because it was stuck.
    pub stuck: u64,
    /// How often it panicked.
    pub panics: u64,
}

/// A loop that nothing helps but the end of the process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} stands still and cannot be started again alone")]
pub struct Immovable {
    /// Its name.
    pub name: String,
}

#[derive(Debug)]
struct Inner {
    zero: Instant,
    loops: Mutex<Vec<Arc<Loop>>>,
    stopping: watch::Sender<Option<Instant>>,
    over: Notify,
}

/// Watches over loops; cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor(Arc<Inner>);

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// One that watches over nothing yet.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            zero: Instant::now(),
            loops: Mutex::default(),
            stopping: watch::Sender::new(None),
            over: Notify::new(),
        }))
    }

    /// What has become of each loop, in the order in which they were taken on.
    pub fn reports(&self) -> Vec<LoopReport> {
        let now = Instant::now();
        let loops = self.loops();
        loops.iter().map(|one| one.report(now)).collect()
    }

    /// Makes a loop of this name fail at its next pass, to see what becomes of it; tells whether there is one.
    pub fn drill(&self, name: &str, drill: Drill) -> bool {
        let loops = self.loops();
        let found = loops.iter().find(|one| one.spec.name == name);
        found.inspect(|one| one.drill(drill)).is_some()
    }

    /// Looks at every loop once and ends those that are stuck. Tells whether all critical ones move.
    pub fn look(&self, now: Instant) -> Result<bool, Immovable> {
        let mut moving = true;
        for one in self.loops() {
            let judgement = one.judge(now);
            if judgement != Judgement::Moving && one.spec.critical {
                moving = false;
            }
            match (judgement, one.spec.remedy) {
                (Judgement::Moving | Judgement::Still, _) => {}
                (Judgement::Stuck, Remedy::Restart) => {
                    tracing::error!(name = one.spec.name, "a loop is stuck; it is started again");
                    one.end(now);
                }
                (Judgement::Immovable, _) | (Judgement::Stuck, Remedy::EndProcess) => {
                    let name = one.spec.name.clone();
                    return Err(Immovable { name });
                }
            }
        }
        Ok(moving)
    }

    /// Looks at all loops every second and feeds the watchdogs, until [`Supervisor::over`], or until nothing helps but the
    /// end of the process.
    pub async fn run(&self, feeder: &mut Feeder) -> Result<(), Immovable> {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.0.over.notified() => return Ok(()),
            }
            let now = Instant::now();
            let stopping = *self.0.stopping.borrow();
            let feed = match stopping {
                Some(since) => now - since < STOPPING,
                None => self.look(now)?,
            };
            if feed {
                feeder.feed();
            }
        }
    }

    /// The gateway stops: loops are ended on purpose from now on.
    pub fn stopping(&self) {
        self.0.stopping.send_replace(Some(Instant::now()));
    }

    /// The gateway has stopped.
    pub fn over(&self) {
        self.0.over.notify_one();
    }

    fn loops(&self) -> Vec<Arc<Loop>> {
        let loops = self.0.loops.lock();
        loops.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_on(&self, spec: Spec) -> Arc<Loop> {
        let one = Arc::new(Loop::new(spec, self.0.zero));
        let loops = self.0.loops.lock();
        loops
            .unwrap_or_else(PoisonError::into_inner)
            .push(one.clone());
        one
    }
}

#[cfg(test)]
mod tests;
