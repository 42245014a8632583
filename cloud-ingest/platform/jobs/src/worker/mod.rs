//! A worker: takes due jobs, does so many at a time, and shows that it is alive.
//!
//! One task decides what is taken (`run`), one says every third of the lease that the worker lives and takes back what
//! dead ones left (`life`), and each chunk of jobs has its own (`chunk`). A worker that could not say that it lives for
//! longer than the lease drops what it is doing: others may be doing it by now.

mod chunk;
mod claim;
mod life;
mod open;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use platform::{Backoff, Clock, Db, DbError, OrganizationId};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    chunk::{Chunk, Ended},
    claim::Taken,
    open::Open,
};
use crate::{
    bell::Bell,
    enqueue::JobId,
    handler::{Effect, Handler, Task},
    job::Job,
    metrics,
    schedule::{self, Schedule, ScheduleError},
};

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many transactions or tasks at a time.
    pub concurrency: usize,
    /// How many of them may be one organisation's. Fewer than `concurrency` leaves room for the others at once.
    pub per_organization: usize,
    /// How many jobs it takes ahead, so that there is always a next one; at most three quarters of them are one
    /// organisation's.
    pub prefetch: usize,
    /// Without a sign of life for so long a worker counts as dead. The clocks of machines may differ by a third of it.
    pub lease: Duration,
    /// How often it looks although the bell has not rung.
    pub look: Duration,
    /// How long jobs in hand may take when it is time to stop; the rest is given back.
    pub finish: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 4,
            per_organization: 3,
            prefetch: 32,
            lease: Duration::from_secs(30),
            look: Duration::from_secs(1),
            finish: Duration::from_secs(10),
        }
    }
}

/// Does jobs of the kinds it has handlers for.
pub struct Worker {
    db: Db,
    clock: Clock,
    bell: Bell,
    settings: Settings,
    handlers: BTreeMap<&'static str, Arc<Handler>>,
    schedules: Vec<Schedule>,
}

impl Worker {
    /// A worker without handlers. `bell` listens to the channel `jobs`, or is silent.
    pub fn new(db: Db, clock: Clock, bell: Bell, settings: Settings) -> Self {
        Self {
            db,
            clock,
            bell,
            settings,
            handlers: BTreeMap::new(),
            schedules: Vec::new(),
        }
    }

    /// Does jobs of a kind whose whole effect is in the database.
    #[must_use]
    pub fn effect<E: Effect>(mut self, effect: E) -> Self {
        let handler = Arc::new(Handler::effect(effect));
        self.handlers.insert(E::Job::KIND, handler);
        self
    }

    /// Does jobs of a kind that reaches outside the database.
    #[must_use]
    pub fn task<T: Task>(mut self, task: T) -> Self {
        let handler = Arc::new(Handler::task(task));
        self.handlers.insert(T::Job::KIND, handler);
        self
    }

    /// Keeps a schedule of the house itself.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Works until it is stopped. Then it takes nothing more, ends what it has in hand, and gives back the rest. While
    /// the database is away it waits. Fails only when one of its schedules is none.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ScheduleError> {
        let kinds: Arc<[&'static str]> = self.handlers.keys().copied().collect();
        let mut backoff = patience();
        while !stop.is_cancelled() {
            let error = match self.keep_schedules().await {
                Ok(()) => match self.live(&kinds, &stop).await {
                    Ok(()) => {
                        backoff = patience();
                        continue;
                    }
                    Err(error) => error,
                },
                Err(ScheduleFault::Wrong(error)) => return Err(error),
                Err(ScheduleFault::Db(error)) => error,
            };
            tracing::warn!(%error, "no jobs are done; trying again");
            let wait = backoff.wait().unwrap_or(LONGEST_WAIT);
            let _ = tokio::time::timeout(wait, stop.cancelled()).await;
        }
        Ok(())
    }

    async fn keep_schedules(&self) -> Result<(), ScheduleFault> {
        let tx = Open::begin(&self.db, None).await?;
        for schedule in &self.schedules {
            if let Err(error) = schedule.set(&tx, None, self.clock.now()).await {
                tx.rollback().await;
                return Err(match error {
                    ScheduleError::Enqueue(crate::EnqueueError::Database(error)) => {
                        ScheduleFault::Db(error.into())
                    }
                    error => ScheduleFault::Wrong(error),
                });
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// One life: under one name, until it is stopped, or its name counts as dead, or the database is away.
    async fn live(
        &self,
        kinds: &Arc<[&'static str]>,
        stop: &CancellationToken,
    ) -> Result<(), DbError> {
        let id = Uuid::new_v4();
        life::sign_on(&self.db, id, self.clock.now(), self.settings.lease).await?;
        let lost = CancellationToken::new();
        let alive = life::keep_alive(
            self.db.clone(),
            self.clock.clone(),
            id,
            self.settings.lease,
            lost.clone(),
        );
        let mut hands = Hands {
            worker: self,
            id,
            kinds: Arc::clone(kinds),
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            held: HashMap::new(),
            ticked: None,
        };
        let result = hands.work(stop, &lost).await;
        drop(alive);
        result
    }
}

/// What a worker has in hand during one life.
struct Hands<'a> {
    worker: &'a Worker,
    id: Uuid,
    kinds: Arc<[&'static str]>,
    /// Taken and not begun.
    waiting: VecDeque<Taken>,
    running: JoinSet<Ended>,
    /// The jobs of each running chunk, and whose they are.
    held: HashMap<Id, (Option<OrganizationId>, Vec<JobId>)>,
    /// When the schedules were last looked at.
    ticked: Option<Instant>,
}

impl Hands<'_> {
    async fn work(
        &mut self,
        stop: &CancellationToken,
        lost: &CancellationToken,
    ) -> Result<(), DbError> {
        let settings = self.worker.settings;
        let result = loop {
            let found = match self.take().await {
                Ok(found) => found,
                Err(error) => break Err(error),
            };
            self.begin();
            let idle = !found;
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                () = lost.cancelled() => {
                    tracing::warn!(worker = %self.id, "no sign of life could be given for too long: starting anew");
                    self.running.shutdown().await;
                    return Ok(());
                }
                Some(ended) = self.running.join_next_with_id() => {
                    if !self.settled(ended) {
                        break Ok(());
                    }
                }
                () = self.worker.bell.wait(settings.look), if idle => {}
            }
        };
        self.finish().await;
        result
    }

    /// Takes jobs when there is room; says whether there may be more than were taken.
    async fn take(&mut self) -> Result<bool, DbError> {
        let settings = &self.worker.settings;
        let now = self.worker.clock.now();
        if self
            .ticked
            .is_none_or(|last| last.elapsed() >= settings.look)
        {
            self.tick(now).await?;
            self.ticked = Some(Instant::now());
        }
        // Those of an organisation that has as many running as it may do not keep the others' from being taken.
        let busy = self.running.len() >= settings.concurrency && !self.waiting.is_empty();
        if busy || self.ready() >= settings.concurrency.max(settings.prefetch / 2) {
            return Ok(true);
        }
        let room = settings.prefetch.saturating_sub(self.waiting.len()).max(1);
        let most = settings.prefetch - settings.prefetch / 4;
        let client = self.worker.db.system().await?;
        let taken = claim::claim(&client, self.id, &self.kinds, now, room, most).await?;
        metrics::taken(taken.len());
        let found = taken.len() >= room;
        self.waiting.extend(taken);
        Ok(found && !self.running.is_empty())
    }

    /// Asks for the jobs of the schedules that are due.
    async fn tick(&self, now: Timestamp) -> Result<(), DbError> {
        let tx = Open::begin(&self.worker.db, None).await?;
        match schedule::tick(&tx, now).await {
            Ok(0) => tx.rollback().await,
            Ok(_) => tx.commit().await?,
            Err(error) => {
                tx.rollback().await;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// How many chunks of each organisation run.
    fn shares(&self) -> HashMap<Option<OrganizationId>, usize> {
        let mut running = HashMap::new();
        for (organization, _) in self.held.values() {
            *running.entry(*organization).or_default() += 1;
        }
        running
    }

    /// How many of those that wait may begin.
    fn ready(&self) -> usize {
        let (running, most) = (self.shares(), self.worker.settings.per_organization.max(1));
        let may = |job: &&Taken| {
            running
                .get(&job.organization())
                .is_none_or(|now| *now < most)
        };
        self.waiting.iter().filter(may).count()
    }

    /// The next job to begin: of the organisation with the fewest running, if it may have one more.
    fn next(&self) -> Option<usize> {
        let (running, most) = (self.shares(), self.worker.settings.per_organization.max(1));
        let of = |at: &usize| {
            let organization = self.waiting[*at].organization();
            running.get(&organization).copied().unwrap_or_default()
        };
        (0..self.waiting.len())
            .filter(|at| of(at) < most)
            .min_by_key(of)
    }

    fn begin(&mut self) {
        while self.running.len() < self.worker.settings.concurrency {
            let Some(first) = self.next().and_then(|at| self.waiting.remove(at)) else {
                return;
            };
            let Some(handler) = self.worker.handlers.get(first.kind.as_str()) else {
                // Only kinds with a handler are asked for.
                continue;
            };
            let together = handler.policy().together;
            let organization = first.organization();
            let mut jobs = vec![first];
            let mut at = 0;
            while jobs.len() < together && at < self.waiting.len() {
                let next = &self.waiting[at];
                if next.kind == jobs[0].kind && next.organization() == organization {
                    jobs.extend(self.waiting.remove(at));
                } else {
                    at += 1;
                }
            }
            let ids = jobs.iter().map(|job| job.id).collect();
            let chunk = Chunk {
                db: self.worker.db.clone(),
                clock: self.worker.clock.clone(),
                worker: self.id,
                handler: Arc::clone(handler),
            };
            let task = self.running.spawn(async move { chunk.run(jobs).await });
            self.held.insert(task.id(), (organization, ids));
        }
    }

    /// Takes note of a chunk that has ended. Says no when it is not known what became of its jobs: this life ends then,
    /// and with it they are given back.
    fn settled(&mut self, ended: Result<(Id, Ended), JoinError>) -> bool {
        match ended {
            Ok((id, Ended::Settled)) => {
                self.held.remove(&id);
                true
            }
            Ok((_, Ended::Unknown)) => false,
            Err(error) => {
                tracing::error!(%error, "doing a job broke off");
                false
            }
        }
    }

    /// Ends what can be ended in time, gives back the rest, and signs off.
    async fn finish(&mut self) {
        let longest = self.worker.settings.finish;
        let ended = async {
            while let Some(ended) = self.running.join_next_with_id().await {
                self.settled(ended);
            }
        };
        let _ = tokio::time::timeout(longest, ended).await;
        self.running.shutdown().await;
        let held = self.held.drain();
        let mut back: Vec<JobId> = held.flat_map(|(_, (_, ids))| ids).collect();
        back.extend(self.waiting.drain(..).map(|job| job.id));
        if let Err(error) = life::sign_off(&self.worker.db, self.id, &back).await {
            tracing::warn!(%error, jobs = back.len(), "jobs could not be given back: they run when the lease has ended");
        }
    }
}

enum ScheduleFault {
    Wrong(ScheduleError),
    Db(DbError),
}

impl From<DbError> for ScheduleFault {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<tokio_postgres::Error> for ScheduleFault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

const LONGEST_WAIT: Duration = Duration::from_secs(10);

fn patience() -> Backoff {
    Backoff::new(Duration::from_millis(100), LONGEST_WAIT, u32::MAX)
}
