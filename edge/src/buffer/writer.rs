//! The one thread that writes: it gathers samples and commits them in ticks, so that a few fsyncs a second carry
//! everything; and it finds the way out when the disk fails.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use shared_protocol::Record;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Buffer, Columns, Held, Options, Sample, Settlement, State, StoredBlock, StreamTotals,
    error::{StoreError, Trouble},
    rhythm::{MOST_OPEN, Waiting},
    store::{Committed, Maker, Store, Tick},
};
use crate::clock::Clock;

/// Batches of samples that may wait before sources have to.
const QUEUE: usize = 256;
const RETRY: Duration = Duration::from_secs(1);
/// So many ways out are tried before the disk is given up for a while.
const TRIES: u32 = 3;
/// A disk that was given up is tried again this often.
const DISK_AGAIN: Duration = Duration::from_secs(10);
/// What a ledger in memory may take in place of one on the disk.
const IN_MEMORY: u64 = 16 * 1024 * 1024;

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

struct Writer {
    store: Store,
    /// Where the ledger belongs; `None` when memory is where it belongs.
    folder: Option<PathBuf>,
    quota: u64,
    maker: Maker,
    clock: Arc<Clock>,
    columns: Arc<Columns>,
    waiting: Waiting,
    retry_at: Option<Instant>,
    /// When the disk is tried again, while the ledger is in memory for want of one.
    disk_at: Option<Instant>,
    failures: u32,
    state: watch::Sender<State>,
}

pub(super) fn start(
    options: Options,
    clock: Arc<Clock>,
    on_disk: bool,
) -> Result<Buffer, StoreError> {
    let maker = Maker {
        gateway: options.gateway,
        key: options.key,
        boot: clock.boot,
    };
    let columns = Arc::new(Columns::default());
    let folder = on_disk.then_some(options.folder);
    let mut failing = None;
    let store = match &folder {
        None => Store::in_memory(options.quota, maker.clone(), &columns, 0)?,
        Some(folder) => match open(folder, options.quota, &maker, &columns, false) {
            Ok(store) => store,
            Err(error)
                if matches!(
                    error.trouble(),
                    Trouble::ReadOnly | Trouble::Io | Trouble::Full
                ) =>
            {
                failing = Some(in_memory_because(&error));
                Store::in_memory(IN_MEMORY.min(options.quota), maker.clone(), &columns, 0)?
            }
            Err(error) => return Err(error),
        },
    };
    if let Some(failing) = &failing {
        tracing::error!("{failing}");
    }
    let (samples, samples_in) = mpsc::channel(QUEUE);
    let (requests, requests_in) = mpsc::channel(QUEUE);
    let (state, state_out) = watch::channel(State {
        totals: store.totals()?,
        epoch: Some(store.epoch()),
        volatile: !store.is_durable(),
        failing: failing.clone(),
        ..State::default()
    });
    let writer = Writer {
        store,
        quota: options.quota,
        maker,
        clock,
        columns: columns.clone(),
        waiting: Waiting::new(),
        retry_at: None,
        disk_at: failing.map(|_| Instant::now() + DISK_AGAIN),
        failures: 0,
        folder,
        state,
    };
    let thread = |source| StoreError::Folder {
        path: PathBuf::from("the writer's thread"),
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(thread)?;
    std::thread::Builder::new()
        .name("buffer".into())
        .spawn(move || runtime.block_on(writer.run(samples_in, requests_in)))
        .map_err(thread)?;
    Ok(Buffer {
        columns,
        samples,
        requests,
        state: state_out,
    })
}

fn open(
    folder: &std::path::Path,
    quota: u64,
    maker: &Maker,
    columns: &Columns,
    suspect: bool,
) -> Result<Store, StoreError> {
    let (store, saved) = Store::open(folder, quota, maker.clone(), columns, suspect)?;
    if let Some(saved) = saved {
        tracing::error!(
            blocks = saved.blocks, lost_samples = saved.lost, kept = %saved.aside.display(),
            "the buffer's database was damaged; what was readable is in a new one"
        );
    }
    Ok(store)
}

fn in_memory_because(error: &StoreError) -> String {
    format!(
        "{error}. Samples are kept in memory only, {} MB of them at most, and are lost with the process until the cloud has them; \
         the disk is tried again every {} s",
        IN_MEMORY / 1024 / 1024,
        DISK_AGAIN.as_secs()
    )
}

impl Writer {
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
                        self.tick(true);
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
                    None => {
                        self.take_waiting(&mut samples);
                        self.tick(true);
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
                .take(self.columns.stream(sample.column), *sample, now);
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
            let offset = self.clock.wall_offset_us();
            match self.store.commit(&tick, &self.columns, offset, now) {
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

    fn report(&mut self, done: Committed, sealed: bool, now: Instant) -> Result<(), StoreError> {
        self.retry_at = None;
        let totals = self.store.totals()?;
        let pending = self.waiting.pending();
        let degraded = self.disk_at.is_some();
        self.state.send_modify(|state| {
            state.totals = totals;
            state.pending = pending;
            state.sealed += u64::from(sealed || done.again);
            state.again += u64::from(done.again);
            if !degraded {
                state.failing = None;
            }
        });
        let syncs = self.store.checkpoint_if_due()?;
        if syncs > 0 {
            self.waiting.synced(done.syncs + syncs, now);
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
        self.state
            .send_modify(|state| state.failing = Some(error.to_string()));
        let at_once = match error.trouble() {
            Trouble::Full => match self.store.relieve() {
                Ok(()) => self.failures <= TRIES,
                Err(error) => {
                    tracing::error!(%error, "no room can be made");
                    self.failures > TRIES && self.give_up_disk(&error, now)
                }
            },
            Trouble::Io if self.failures < TRIES => self.open_anew(false, tick, now),
            Trouble::Damaged if self.failures < TRIES => self.open_anew(true, tick, now),
            Trouble::Io | Trouble::Damaged | Trouble::ReadOnly => self.give_up_disk(error, now),
            Trouble::Other => false,
        };
        if !at_once {
            self.retry_at = Some(now + RETRY);
        }
        at_once
    }

    /// Opens the database again, in a new epoch; one that is damaged is saved into a new one.
    fn open_anew(&mut self, damaged: bool, tick: &Tick, now: Instant) -> bool {
        let Some(folder) = self.folder.clone().filter(|_| self.store.is_durable()) else {
            return false;
        };
        let counter = self.store.epoch().counter;
        let produced = |totals: &[StreamTotals]| totals.iter().map(|t| t.produced).sum::<u64>();
        let before = produced(&self.state.borrow().totals);
        // The old one has to go before the new one can have its folder.
        match Store::in_memory(
            IN_MEMORY.min(self.quota),
            self.maker.clone(),
            &self.columns,
            counter,
        ) {
            Ok(store) => self.take_over(store),
            Err(error) => {
                tracing::error!(%error, "there is no ledger in memory either");
                return false;
            }
        }
        match open(&folder, self.quota, &self.maker, &self.columns, damaged) {
            Ok(store) => {
                // A commit that reported an error may have reached the disk all the same.
                let after = store.totals().map_or(before, |totals| produced(&totals));
                if !damaged && after > before {
                    self.waiting.committed(tick, 1, now);
                }
                self.take_over(store);
            }
            Err(error) => self.without_disk(&error, now),
        }
        true
    }

    /// Goes on in memory for a while.
    fn give_up_disk(&mut self, error: &StoreError, now: Instant) -> bool {
        if !self.store.is_durable() {
            return false;
        }
        let counter = self.store.epoch().counter;
        let quota = IN_MEMORY.min(self.quota);
        match Store::in_memory(quota, self.maker.clone(), &self.columns, counter) {
            Ok(store) => {
                self.take_over(store);
                self.without_disk(error, now);
                true
            }
            Err(error) => {
                tracing::error!(%error, "there is no ledger in memory either");
                false
            }
        }
    }

    fn without_disk(&mut self, error: &StoreError, now: Instant) {
        let why = in_memory_because(error);
        tracing::error!("{why}");
        self.disk_at = Some(now + DISK_AGAIN);
        self.state.send_modify(|state| state.failing = Some(why));
    }

    /// The disk may be there again: what was kept in memory meanwhile goes to it.
    fn try_disk(&mut self, now: Instant) {
        self.disk_at = Some(now + DISK_AGAIN);
        let Some(folder) = self.folder.clone() else {
            return;
        };
        let opened = open(&folder, self.quota, &self.maker, &self.columns, false);
        match opened.and_then(|store| self.moved(store, now)) {
            Ok(store) => {
                tracing::info!("the buffer is on the disk again");
                self.disk_at = None;
                self.failures = 0;
                self.take_over(store);
                self.state.send_modify(|state| state.failing = None);
            }
            Err(error) => tracing::warn!(%error, "the disk cannot be used yet"),
        }
    }

    /// Seals what is open here, and gives all of it to another ledger.
    fn moved(&mut self, mut store: Store, now: Instant) -> Result<Store, StoreError> {
        let tick = self.waiting.tick(now, true);
        let offset = self.clock.wall_offset_us();
        let done = self.store.commit(&tick, &self.columns, offset, now)?;
        self.waiting.committed(&tick, done.syncs, now);
        store.absorb(&self.store)?;
        Ok(store)
    }

    /// Another ledger takes the place of this one, which keeps what it has journalled. Columns keep their numbers.
    fn take_over(&mut self, store: Store) {
        self.waiting.forget_journalled();
        self.store = store;
        let totals = self.store.totals().unwrap_or_default();
        self.state.send_modify(|state| {
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
