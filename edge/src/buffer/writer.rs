//! The one thread that writes: it gathers samples and commits them in ticks, so that a few fsyncs a second carry
//! everything.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shared_protocol::{Record, Stream, StreamState};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Buffer, Columns, Options, Sample, Settlement, State, StoredBlock,
    store::{Maker, Store, StoreError, Tick},
};
use crate::clock::Clock;

/// Batches of samples that may wait before sources have to.
const QUEUE: usize = 256;
/// With so many samples open and commits failing, sources have to wait: memory is bounded.
const MOST_OPEN: usize = 200_000;
/// A stream with so many open samples is sealed before its time.
const SEAL_EARLY: usize = 20_000;
const RETRY: Duration = Duration::from_secs(1);
/// The cloud's word may wait this long for a commit that happens anyway.
const SETTLE_WITHIN: Duration = Duration::from_millis(500);

/// How long samples of a stream stay only in memory, and how long until they are sealed.
struct Rhythm {
    journal: Duration,
    seal: Duration,
}

/// Critical: 200 ms, live: 1 s; both are sealed at once, a journal would only write them twice. Bulk: journalled
/// every 5 s, sealed every minute.
const fn rhythm(stream: Stream) -> Rhythm {
    match stream {
        Stream::Critical | Stream::Columns | Stream::Transactions => Rhythm {
            journal: Duration::from_millis(200),
            seal: Duration::from_millis(200),
        },
        Stream::Live => Rhythm {
            journal: Duration::from_secs(1),
            seal: Duration::from_secs(1),
        },
        Stream::Bulk => Rhythm {
            journal: Duration::from_secs(5),
            seal: Duration::from_secs(60),
        },
    }
}

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
    Streams(oneshot::Sender<Vec<StreamState>>),
    Settle(Vec<Settlement>),
    Record(Record),
    Flush(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// Samples of one stream that are not sealed yet.
#[derive(Debug)]
struct Open {
    stream: Stream,
    samples: Vec<Sample>,
    /// How many of them, from the front, the journal holds.
    journalled: usize,
    /// When the first of them that is only in memory came, and when the first of all.
    unjournalled_since: Option<Instant>,
    open_since: Option<Instant>,
}

impl Open {
    fn due(&self) -> Option<Instant> {
        let rhythm = rhythm(self.stream);
        let journal = self.unjournalled_since.map(|since| since + rhythm.journal);
        let seal = self.open_since.map(|since| since + rhythm.seal);
        journal.into_iter().chain(seal).min()
    }

    fn to_seal(&self, now: Instant) -> bool {
        self.samples.len() >= SEAL_EARLY
            || self
                .open_since
                .is_some_and(|since| now >= since + rhythm(self.stream).seal)
    }

    fn to_journal(&self, now: Instant) -> bool {
        self.unjournalled_since
            .is_some_and(|since| now >= since + rhythm(self.stream).journal)
    }
}

struct Writer {
    store: Store,
    clock: Arc<Clock>,
    columns: Arc<Columns>,
    /// How many columns the ledger knows.
    defined: u32,
    open: Vec<Open>,
    /// Records that are only in memory, and since when.
    records: Vec<Record>,
    records_since: Option<Instant>,
    settle: Vec<Settlement>,
    settle_since: Option<Instant>,
    retry_at: Option<Instant>,
    state: watch::Sender<State>,
}

pub(super) fn start(options: Options, clock: Arc<Clock>) -> Result<Buffer, StoreError> {
    let maker = Maker {
        gateway: options.gateway,
        key: options.key,
        boot: clock.boot,
    };
    let (store, aside) = Store::open(&options.folder, options.quota, maker)?;
    if let Some(aside) = aside {
        tracing::error!(kept = %aside.display(), "the buffer's database was damaged beyond opening; a new one is begun");
    }
    let columns = Arc::new(Columns::default());
    for column in store.inherited() {
        columns.number(column);
    }
    let (samples, samples_in) = mpsc::channel(QUEUE);
    let (requests, requests_in) = mpsc::channel(QUEUE);
    let (state, state_out) = watch::channel(State {
        totals: store.totals()?,
        ..State::default()
    });
    let epoch = store.epoch();
    let open = [Stream::Critical, Stream::Live, Stream::Bulk].map(|stream| Open {
        stream,
        samples: Vec::new(),
        journalled: 0,
        unjournalled_since: None,
        open_since: None,
    });
    let writer = Writer {
        defined: store.inherited().len() as u32,
        store,
        clock,
        columns: columns.clone(),
        open: open.into(),
        records: Vec::new(),
        records_since: None,
        settle: Vec::new(),
        settle_since: None,
        retry_at: None,
        state,
    };
    let folder = options.folder;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.map_err(|source| StoreError::Folder {
        path: folder.clone(),
        source,
    })?;
    std::thread::Builder::new()
        .name("buffer".into())
        .spawn(move || runtime.block_on(writer.run(samples_in, requests_in)))
        .map_err(|source| StoreError::Folder {
            path: folder,
            source,
        })?;
    Ok(Buffer {
        columns,
        samples,
        requests,
        state: state_out,
        epoch,
    })
}

impl Writer {
    async fn run(
        mut self,
        mut samples: mpsc::Receiver<Vec<Sample>>,
        mut requests: mpsc::Receiver<Request>,
    ) {
        loop {
            let due = tokio::time::Instant::from_std(self.due());
            let room = self
                .open
                .iter()
                .map(|open| open.samples.len())
                .sum::<usize>()
                < MOST_OPEN;
            tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(Request::Stop(done)) => {
                        self.take_waiting(&mut samples);
                        self.tick(true);
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

    fn take(&mut self, batch: &[Sample]) {
        let now = Instant::now();
        for sample in batch {
            let stream = self.columns.stream(sample.column);
            let Some(open) = self.open.iter_mut().find(|open| open.stream == stream) else {
                continue;
            };
            open.samples.push(*sample);
            open.unjournalled_since.get_or_insert(now);
            open.open_since.get_or_insert(now);
        }
        if self
            .open
            .iter()
            .any(|open| open.samples.len() >= SEAL_EARLY)
            && self.retry_at.is_none()
        {
            self.tick(false);
        }
    }

    /// When the next tick has something to do.
    fn due(&self) -> Instant {
        let settle = self.settle_since.map(|since| since + SETTLE_WITHIN);
        let records = self
            .records_since
            .map(|since| since + rhythm(Stream::Critical).seal);
        let due = self.open.iter().filter_map(Open::due);
        let due = due.chain(settle).chain(records).min();
        let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        self.retry_at.map_or(due, |retry| due.max(retry))
    }

    /// Commits what is due, or everything. On failure all stays in memory and is tried again.
    fn tick(&mut self, everything: bool) {
        let now = Instant::now();
        let mut tick = Tick {
            columns: (self.defined, self.columns.from(self.defined)),
            ..Tick::default()
        };
        for open in self.open.iter().filter(|open| !open.samples.is_empty()) {
            if everything || open.to_seal(now) {
                tick.seal.push((open.stream, open.samples.clone()));
            } else if open.to_journal(now) {
                tick.journal
                    .push((open.stream, open.samples[open.journalled..].to_vec()));
            }
        }
        tick.records = self.records.clone();
        tick.settle = self.settle.clone();
        if tick.is_empty() {
            return;
        }
        match self
            .store
            .commit(&tick, self.clock.wall_offset_us())
            .and_then(|()| self.store.totals())
        {
            Ok(totals) => {
                self.committed(&tick);
                let pending = self
                    .open
                    .iter()
                    .map(|open| open.samples.len() - open.journalled)
                    .sum::<usize>() as u64;
                let sealed =
                    !(tick.seal.is_empty() && tick.columns.1.is_empty() && tick.records.is_empty());
                self.state.send_modify(|state| {
                    state.totals = totals;
                    state.pending = pending;
                    state.sealed += u64::from(sealed);
                    state.failing = None;
                });
            }
            Err(error) => {
                tracing::error!(%error, "the buffer cannot commit; samples stay in memory and it is tried again");
                self.retry_at = Some(now + RETRY);
                self.state
                    .send_modify(|state| state.failing = Some(error.to_string()));
            }
        }
    }

    fn committed(&mut self, tick: &Tick) {
        self.defined += tick.columns.1.len() as u32;
        self.records.clear();
        self.records_since = None;
        self.settle.clear();
        self.settle_since = None;
        self.retry_at = None;
        for open in &mut self.open {
            if tick.seal.iter().any(|(stream, _)| *stream == open.stream) {
                open.samples.clear();
                open.journalled = 0;
                open.unjournalled_since = None;
                open.open_since = None;
            } else if tick
                .journal
                .iter()
                .any(|(stream, _)| *stream == open.stream)
            {
                open.journalled = open.samples.len();
                open.unjournalled_since = None;
            }
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::ToSend {
                priority,
                after,
                newest,
                limit,
                answer,
            } => {
                let blocks = self.store.to_send(priority, after, newest, limit);
                let _ = answer.send(self.or_report(blocks));
            }
            Request::Streams(answer) => {
                let streams = self.store.streams();
                let _ = answer.send(self.or_report(streams));
            }
            Request::Settle(settlements) => {
                self.settle.extend(settlements);
                self.settle_since.get_or_insert_with(Instant::now);
            }
            Request::Record(record) => {
                self.records.push(record);
                self.records_since.get_or_insert_with(Instant::now);
            }
            Request::Flush(_) | Request::Stop(_) => {}
        }
    }

    fn or_report<T>(&self, result: Result<Vec<T>, StoreError>) -> Vec<T> {
        result.unwrap_or_else(|error| {
            tracing::error!(%error, "the buffer cannot be read");
            self.state
                .send_modify(|state| state.failing = Some(error.to_string()));
            Vec::new()
        })
    }
}
