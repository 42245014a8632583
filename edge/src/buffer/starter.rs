//! Who starts the writer, and another one in the place of one that stands still: a thread that the disk holds up cannot be
//! ended, but it need not be waited for.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use tokio::sync::{mpsc, watch};

use super::{
    Buffer, Columns, Options, Sample, State,
    doubt::Known,
    error::{StoreError, Trouble},
    store::{Maker, Store},
    writer::{DISK_AGAIN, IN_MEMORY, Request, Writer, in_memory_because, open},
};
use crate::clock::Clock;

/// The way to a writer. When another one takes its place, these ends are dropped, and it commits what it has and ends.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) samples: mpsc::Sender<Vec<Sample>>,
    pub(super) requests: mpsc::Sender<Request>,
}

/// What writers have in common, the one of the present and the one whose place it took.
#[derive(Debug)]
pub(super) struct Common {
    /// Where the ledger belongs; `None` when memory is where it belongs.
    pub(super) folder: Option<PathBuf>,
    pub(super) quota: u64,
    pub(super) maker: Maker,
    pub(super) clock: Arc<Clock>,
    pub(super) columns: Arc<Columns>,
    pub(super) state: watch::Sender<State>,
    /// The number of the writer of the present: another one says nothing about the state any more.
    pub(super) present: AtomicU64,
    /// The thread whose place it took has not come to its end yet.
    pub(super) held_up: AtomicBool,
}

/// Starts writers. There is one at a time; a second one takes the place of one that stands still, and waits for its end
/// before it touches the disk.
#[derive(Debug)]
pub(super) struct Starter {
    common: Arc<Common>,
    line: watch::Sender<Line>,
    /// The thread of the writer of the present.
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// The writer that stands still writes to no disk, or has itself taken the place of one that still stands: it is not the disk
/// that holds it up, and nothing helps but to start the process again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another writer of the buffer does not help: the process has to be started again")]
pub struct Stuck;

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
        Some(folder) => match open(folder, options.quota, &maker, &columns, Known::default()) {
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
    let state = watch::Sender::new(State {
        totals: store.totals()?,
        epoch: Some(store.epoch()),
        volatile: !store.is_durable(),
        failing: failing.clone(),
        ..State::default()
    });
    let state_out = state.subscribe();
    let common = Arc::new(Common {
        folder,
        quota: options.quota,
        maker,
        clock,
        columns: columns.clone(),
        state,
        present: AtomicU64::new(0),
        held_up: AtomicBool::new(false),
    });
    let disk_at = failing.map(|_| Instant::now() + DISK_AGAIN);
    let (line, thread) = Writer::new(common.clone(), store, 0, disk_at).start()?;
    let (line, line_out) = watch::channel(line);
    let starter = Starter {
        common,
        line,
        thread: Mutex::new(Some(thread)),
    };
    Ok(Buffer {
        columns,
        line: line_out,
        starter: Arc::new(starter),
        state: state_out,
    })
}

impl Starter {
    /// Another writer takes the place of the one of the present, which stands still: it goes on in memory, and on the disk
    /// when the other one has come to its end. That one commits what it has when it moves again, so that nothing which it
    /// took is lost unless the process ends.
    pub(super) fn replace(&self) -> Result<(), Stuck> {
        let common = &self.common;
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let number = common.present.load(Ordering::Acquire) + 1;
        // A second thread that stands still means that it is not the disk, and so does one that writes to none.
        if common.folder.is_none() || common.held_up.load(Ordering::Acquire) {
            return Err(Stuck);
        }
        let counter = common.state.borrow().epoch.map_or(0, |epoch| epoch.counter);
        let quota = IN_MEMORY.min(common.quota);
        let store = Store::in_memory(quota, common.maker.clone(), &common.columns, counter);
        let store = store.map_err(|_| Stuck)?;
        let disk_at = Some(Instant::now() + DISK_AGAIN);
        let mut writer = Writer::new(common.clone(), store, number, disk_at);
        writer.predecessor = thread.take();
        common.held_up.store(true, Ordering::Release);
        common.present.store(number, Ordering::Release);
        writer.take_the_place();
        let (line, started) = writer.start().map_err(|_| Stuck)?;
        *thread = Some(started);
        self.line.send_replace(line);
        Ok(())
    }
}
