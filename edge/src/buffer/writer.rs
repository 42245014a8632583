//! The one thread that writes: it gathers samples and commits them in ticks, so that a few fsyncs a second carry
//! everything; and it finds the way out when the disk fails.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use shared_protocol::Record;
use tokio::sync::{mpsc, oneshot};

use super::{
    Columns, Held, Sample, Settlement, State, StoredBlock,
    doubt::{Doubt, Known},
    error::{StoreError, Trouble},
    rhythm::{MOST_OPEN, Parked, Waiting},
    starter::{Common, Line},
    store::{Committed, Maker, Store, Tick},
};

/// Batches of samples that may wait before sources have to.
const QUEUE: usize = 256;
const RETRY: Duration = Duration::from_secs(1);
/// So many ways out are tried before the disk is given up for a while.
const TRIES: u32 = 3;
/// A disk that was given up is tried again this often.
pub(super) const DISK_AGAIN: Duration = Duration::from_secs(10);
/// How long a writer that ends waits for the folder.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// What a ledger in memory may take in place of one on the disk.
pub(super) const IN_MEMORY: u64 = 16 * 1024 * 1024;

/// What handles ask of the writer.
#[derive(Debug)]
pub(super) enum Request {
    ToSend {
        priority: u8,
        after: i64,
        newest: bool,
        limit: u32,
        answer: oneshot::Sender<Vec<StoredBlock>>,
    },
    Held {
        skip: u32,
        answer: oneshot::Sender<Held>,
    },
    Settle(Vec<Settlement>),
    Record(Record),
    Flush(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

pub(super) struct Writer {
    store: Store,
    common: Arc<Common>,
    /// Its number.
    number: u64,
    /// The writer whose place it took, which may have the folder until it ends.
    pub(super) predecessor: Option<thread::JoinHandle<()>>,
    waiting: Waiting,
    /// A commit in doubt, and what it was to make durable: it stays aside until the disk says whether it has it, for it must
    /// not be sealed a second time.
    doubt: Option<(Doubt, Parked)>,
    retry_at: Option<Instant>,
    /// When the disk is tried again, while the ledger is in memory for want of one.
    disk_at: Option<Instant>,
    failures: u32,
    /// Fsyncs since it started.
    syncs: u64,
}

pub(super) fn open(
    folder: &std::path::Path,
    quota: u64,
    maker: &Maker,
    columns: &Columns,
    known: Known<'_>,
) -> Result<Store, StoreError> {
    let (store, saved) = Store::open(folder, quota, maker.clone(), columns, known)?;
    if let Some(saved) = saved {
        tracing::error!(
            blocks = saved.blocks, lost_samples = saved.lost, kept = %saved.aside.display(),
            "the buffer's database was damaged; what was readable is in a new one"
        );
    }
    Ok(store)
}

pub(super) fn in_memory_because(error: &StoreError) -> String {
    format!(
        "{error}. Samples are kept in memory only, {} MB of them at most, and are lost with the process until the cloud has them; \
         the disk is tried again every {} s",
        IN_MEMORY / 1024 / 1024,
        DISK_AGAIN.as_secs()
    )
}

impl Writer {
    pub(super) fn new(
        common: Arc<Common>,
        store: Store,
        number: u64,
        disk_at: Option<Instant>,
    ) -> Self {
        Self {
            store,
            common,
            number,
            predecessor: None,
            waiting: Waiting::new(),
            doubt: None,
            retry_at: None,
            disk_at,
            failures: 0,
            syncs: 0,
        }
    }

    /// Starts its thread.
    pub(super) fn start(self) -> Result<(Line, thread::JoinHandle<()>), StoreError> {
        let failed = |source| StoreError::Folder {
            path: PathBuf::from("the writer's thread"),
            source,
        };
        let (samples, samples_in) = mpsc::channel(QUEUE);
        let (requests, requests_in) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        let thread = thread::Builder::new()
            .name("buffer".into())
            .spawn(move || runtime.block_on(self.run(samples_in, requests_in)))
            .map_err(failed)?;
        Ok((Line { samples, requests }, thread))
    }

    /// Says something about the state, unless another writer has taken this one's place.
    fn tell(&self, change: impl FnOnce(&mut State)) {
        if self.common.present.load(Ordering::Acquire) == self.number {
            self.common.state.send_modify(change);
        }
    }

    /// Says that this writer goes on for one that stands still.
    pub(super) fn take_the_place(&self) {
        let totals = self.store.totals().unwrap_or_default();
        let why = format!(
            "the disk holds up whoever writes to it. Samples are kept in memory only, {} MB of them at most, and are lost with \
             the process until the cloud has them; the disk is used again when it lets go",
            IN_MEMORY / 1024 / 1024
        );
        tracing::error!("{why}");
        self.tell(|state| {
            state.totals = totals;
            state.pending = 0;
            state.epoch = Some(self.store.epoch());
            state.volatile = true;
            state.failing = Some(why);
            state.sealed += 1;
            state.again += 1;
        });
    }

    async fn run(
        mut self,
        mut samples: mpsc::Receiver<Vec<Sample>>,
        mut requests: mpsc::Receiver<Request>,
    ) {
        loop {
            let due = tokio::time::Instant::from_std(self.due());
            let room = self.waiting.open() < MOST_OPEN;
            tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(Request::Stop(done)) => {
                        self.take_waiting(&mut samples);
                        self.last_tick();
                        // The next one may open the folder when the answer is there.
                        drop(self);
                        let _ = done.send(());
                        return;
                    }
                    Some(Request::Flush(done)) => {
                        self.take_waiting(&mut samples);
                        self.tick(true);
                        let _ = done.send(());
                    }
                    Some(request) => self.answer(request),
                    // Every handle is gone, or another writer has taken this one's place.
                    None => {
                        self.take_waiting(&mut samples);
                        self.last_tick();
                        return;
                    }
                },
                () = tokio::time::sleep_until(due) => self.tick(false),
                batch = samples.recv(), if room => if let Some(batch) = batch { self.take(&batch) },
            }
        }
    }

    fn take_waiting(&mut self, samples: &mut mpsc::Receiver<Vec<Sample>>) {
        while let Ok(batch) = samples.try_recv() {
            self.take(&batch);
        }
    }

    /// Step 2.
    fn take(&mut self, batch: &[Sample]) {
        let now = Instant::now();
        for sample in batch {
            self.waiting
                .take(self.common.columns.stream(sample.column), *sample, now);
        }
    }

    /// When the next tick has something to do.
    fn due(&self) -> Instant {
        let due = self
            .waiting
            .due()
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        let due = self.retry_at.map_or(due, |retry| due.max(retry));
        self.disk_at.map_or(due, |disk| due.min(disk))
    }

    /// Step 3: commits what is due, or everything. On failure all stays in memory and is tried again.
    fn tick(&mut self, everything: bool) {
        let now = Instant::now();
        if self.disk_at.is_some_and(|at| at <= now) {
            self.try_disk(now);
        }
        for _ in 0..=TRIES {
            let tick = self.waiting.tick(now, everything);
            if tick.is_empty() {
                return;
            }
            let offset = self.common.clock.wall_offset_us();
            match self.store.commit(&tick, &self.common.columns, offset, now) {
                Ok(done) => {
                    // From here on it is durable, whatever fails afterwards.
                    self.waiting.committed(&tick, done.syncs, now);
                    let sealed = !(tick.seal.is_empty() && tick.records.is_empty());
                    if let Err(error) = self.report(done, sealed, now) {
                        self.way_out(&error, &Tick::default(), now);
                    }
                    return;
                }
                Err(error) => {
                    if !self.way_out(&error, &tick, now) {
                        return;
                    }
                }
            }
        }
    }

    /// Commits everything; the last occasion for what is in memory to get to the disk.
    fn last_tick(&mut self) {
        let patience = Instant::now() + LAST_WAIT;
        while self.is_held_up() && Instant::now() < patience {
            thread::park_timeout(Duration::from_millis(10));
        }
        self.disk_at = self.disk_at.map(|_| Instant::now());
        self.tick(true);
        let lost = self.pending();
        if lost > 0 {
            tracing::error!(
                samples = lost,
                "what no commit has made durable ends with the writer"
            );
        }
    }

    /// Samples that no commit has made durable, those of a commit in doubt included.
    fn pending(&self) -> u64 {
        let parked = self.doubt.as_ref().map_or(0, |(_, parked)| parked.len());
        self.waiting.pending() + parked
    }

    fn report(&mut self, done: Committed, sealed: bool, now: Instant) -> Result<(), StoreError> {
        self.retry_at = None;
        self.syncs += u64::from(done.syncs);
        let totals = self.store.totals()?;
        let (pending, syncs) = (self.pending(), self.syncs);
        let degraded = self.disk_at.is_some();
        self.tell(|state| {
            state.totals = totals;
            state.pending = pending;
            state.syncs = syncs;
            state.sealed += u64::from(sealed || done.again);
            state.again += u64::from(done.again);
            if !degraded {
                state.failing = None;
            }
        });
        let syncs = self.store.checkpoint_if_due()?;
        if syncs > 0 {
            self.waiting.synced(done.syncs + syncs, now);
            self.syncs += u64::from(syncs);
        }
        if std::mem::take(&mut self.failures) > 0 {
            self.store.keep_reserve();
        }
        Ok(())
    }

    /// Finds the way out of a failure of this tick; says whether to try again at once. All that is open is still in memory.
    fn way_out(&mut self, error: &StoreError, tick: &Tick, now: Instant) -> bool {
        tracing::error!(%error, "the buffer cannot be written; samples stay in memory");
        self.failures += 1;
        self.tell(|state| state.failing = Some(error.to_string()));
        // A disk that refuses to write, for want of room or of the right, has not written the end of the commit.
        let may_have_happened = matches!(error.trouble(), Trouble::Io | Trouble::Damaged);
        let doubt = self.store.take_doubt().filter(|_| may_have_happened);
        let at_once = match error.trouble() {
            Trouble::Full => match self.store.relieve() {
                Ok(()) => self.failures <= TRIES,
                Err(error) => {
                    tracing::error!(%error, "no room can be made");
                    self.failures > TRIES && self.give_up_disk(&error, doubt, tick, now)
                }
            },
            Trouble::Io if self.failures < TRIES => self.open_anew(false, doubt, tick, now),
            Trouble::Damaged if self.failures < TRIES => self.open_anew(true, doubt, tick, now),
            Trouble::Io | Trouble::Damaged | Trouble::ReadOnly => {
                self.give_up_disk(error, doubt, tick, now)
            }
            Trouble::Other => false,
        };
        if !at_once {
            self.retry_at = Some(now + RETRY);
        }
        at_once
    }

    /// Opens the database again, in a new epoch; one that is damaged is saved into a new one.
    fn open_anew(
        &mut self,
        suspect: bool,
        mut doubt: Option<Doubt>,
        tick: &Tick,
        now: Instant,
    ) -> bool {
        let Some(folder) = self.folder_of_disk() else {
            return false;
        };
        // The old one has to go before the new one can have its folder.
        let Some(counter) = self.go_to_memory() else {
            return false;
        };
        let known = Known {
            suspect,
            counter,
            doubt: doubt.as_mut(),
        };
        let common = &self.common;
        match open(&folder, common.quota, &common.maker, &common.columns, known) {
            Ok(store) => {
                if doubt.is_some_and(|doubt| doubt.reached() == Some(true)) {
                    self.waiting.committed(tick, 1, now);
                }
                self.take_over(store);
            }
            Err(error) => self.without_disk(&error, doubt, tick, now),
        }
        true
    }

    /// Goes on in memory for a while.
    fn give_up_disk(
        &mut self,
        error: &StoreError,
        doubt: Option<Doubt>,
        tick: &Tick,
        now: Instant,
    ) -> bool {
        if !self.store.is_durable() || self.go_to_memory().is_none() {
            return false;
        }
        self.without_disk(error, doubt, tick, now);
        true
    }

    /// The folder of the ledger, when it is in there now.
    fn folder_of_disk(&self) -> Option<PathBuf> {
        self.common
            .folder
            .clone()
            .filter(|_| self.store.is_durable())
    }

    /// A ledger in memory takes the place of the one on the disk; returns the counter of its epoch.
    fn go_to_memory(&mut self) -> Option<u32> {
        let counter = self.store.epoch().counter;
        let common = &self.common;
        let quota = IN_MEMORY.min(common.quota);
        match Store::in_memory(quota, common.maker.clone(), &common.columns, counter) {
            Ok(store) => {
                self.take_over(store);
                Some(self.store.epoch().counter)
            }
            Err(error) => {
                tracing::error!(%error, "there is no ledger in memory either");
                None
            }
        }
    }

    fn without_disk(
        &mut self,
        error: &StoreError,
        doubt: Option<Doubt>,
        tick: &Tick,
        now: Instant,
    ) {
        let why = in_memory_because(error);
        tracing::error!("{why}");
        self.disk_at = Some(now + DISK_AGAIN);
        // What is known not to be on the disk is sealed here; what may be there waits until it can be asked.
        if let Some(doubt) = doubt.filter(|doubt| doubt.reached() != Some(false)) {
            self.doubt = Some((doubt, self.waiting.park(tick)));
        }
        self.tell(|state| state.failing = Some(why));
    }

    /// Whether the writer whose place it took still has the folder.
    fn is_held_up(&self) -> bool {
        let thread = self.predecessor.as_ref();
        thread.is_some_and(|thread| !thread.is_finished())
    }

    /// The disk may be there again: what was kept in memory meanwhile goes to it.
    fn try_disk(&mut self, now: Instant) {
        self.disk_at = Some(now + DISK_AGAIN);
        let Some(folder) = self.common.folder.clone() else {
            return;
        };
        if self.is_held_up() {
            return;
        }
        self.predecessor = None;
        self.common.held_up.store(false, Ordering::Release);
        let common = &self.common;
        let known = Known {
            suspect: false,
            counter: self.store.epoch().counter,
            doubt: self.doubt.as_mut().map(|(doubt, _)| doubt),
        };
        let opened = open(&folder, common.quota, &common.maker, &common.columns, known);
        match opened.and_then(|store| self.moved(store, now)) {
            Ok(store) => {
                tracing::info!("the buffer is on the disk again");
                self.disk_at = None;
                self.failures = 0;
                self.take_over(store);
                if let Some((doubt, parked)) = self.doubt.take()
                    && doubt.reached() != Some(true)
                {
                    self.waiting.unpark(parked, now);
                }
                self.tell(|state| state.failing = None);
            }
            Err(error) => tracing::warn!(%error, "the disk cannot be used yet"),
        }
    }

    /// Seals what is open here, and gives all of it to another ledger.
    fn moved(&mut self, mut store: Store, now: Instant) -> Result<Store, StoreError> {
        let tick = self.waiting.tick(now, true);
        let offset = self.common.clock.wall_offset_us();
        let done = self
            .store
            .commit(&tick, &self.common.columns, offset, now)?;
        self.waiting.committed(&tick, done.syncs, now);
        store.absorb(&self.store)?;
        Ok(store)
    }

    /// Another ledger takes the place of this one, which keeps what it has journalled. Columns keep their numbers.
    fn take_over(&mut self, store: Store) {
        self.waiting.forget_journalled();
        self.store = store;
        let totals = self.store.totals().unwrap_or_default();
        self.tell(|state| {
            state.totals = totals;
            state.epoch = Some(self.store.epoch());
            state.volatile = !self.store.is_durable();
            state.sealed += 1;
            state.again += 1;
        });
    }

    fn answer(&mut self, request: Request) {
        let now = Instant::now();
        match request {
            Request::ToSend {
                priority,
                after,
                newest,
                limit,
                answer,
            } => {
                let blocks = match self.store.next_to_send(priority, after, newest, limit, now) {
                    Ok((blocks, syncs)) => {
                        if syncs > 0 {
                            self.waiting.synced(syncs, now);
                            self.syncs += u64::from(syncs);
                        }
                        blocks
                    }
                    Err(error) => {
                        self.way_out(&error, &Tick::default(), now);
                        Vec::new()
                    }
                };
                let _ = answer.send(blocks);
            }
            Request::Held { skip, answer } => {
                let held = self.store.held(skip).unwrap_or_else(|error| {
                    self.way_out(&error, &Tick::default(), now);
                    Held::default()
                });
                let _ = answer.send(held);
            }
            Request::Settle(settlements) => self.waiting.settle(settlements, now),
            Request::Record(record) => self.waiting.record(record, now),
            Request::Flush(_) | Request::Stop(_) => {}
        }
    }
}
