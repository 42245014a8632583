//! The store-and-forward ledger: where a sample becomes durable and stays until the cloud has it.
//!
//! The life of a sample (the numbers are those of ARCHITECTURE.md):
//!
//! 1. A source reads it and gives it to [`Buffer::push`], which waits while the writer is behind.
//! 2. The writer thread keeps it *open* in its stream: `critical`, `live` or `bulk`, by the catalogue (`rhythm.rs`).
//! 3. At the stream's tick it is sealed into a block (or, for bulk, journalled first) and **committed**:
//!    from here on it cannot be lost (`sealer.rs`, `store.rs`).
//! 4. [`Buffer::to_send`] hands the block to the uplink as often as it asks. From here on it is never sealed anew.
//! 5. (The broker's PUBACK changes nothing here.)
//! 6. (The cloud stores it.)
//! 7. [`Buffer::settle`] brings the cloud's signed word: the block is *acknowledged* and kept until its room is
//!    needed (`settle.rs`, `quota.rs`). If the cloud loses it (its database was restored from a backup), its next
//!    answer to a hello says so, and the block goes back to 4.
//!
//! Per stream, in samples: `produced = open + buffered + acknowledged + dropped`.
//!
//! What goes wrong with the disk has its own way out for each kind (`error.rs`, `writer.rs`): room is made on a full one;
//! after an I/O error the database is opened anew; what is readable of a damaged one is saved into a new one
//! (`health.rs`, `salvage.rs` over `pages.rs`, `tables.rs` and `part.rs`); where nothing can be written the ledger lives in memory, and
//! says so, until what it holds can go to the disk (`absorb.rs`). A commit that failed may have happened (`doubt.rs`), and a
//! disk may let nobody go who writes to it (`starter.rs`). How much is with others without a word is bounded (`shown.rs`).

mod absorb;
mod columns;
mod database;
mod doubt;
mod epochs;
mod error;
mod gaps;
mod handout;
mod health;
mod pages;
mod part;
mod quota;
mod rhythm;
mod salvage;
mod sealer;
mod settle;
mod shown;
mod starter;
mod store;
mod tables;
mod thin;
mod writer;

use std::{path::PathBuf, sync::Arc};

use shared_protocol::{Epoch, GatewayId, Record, SigningKey, Stream, StreamState};
use tokio::sync::{oneshot, watch};

pub use columns::Columns;
pub use error::StoreError;
pub use handout::StoredBlock;
pub use settle::Settlement;
pub use starter::Stuck;
use starter::{Line, Starter};
use writer::Request;

use crate::clock::Clock;

/// One value of one column at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Number of the column, from [`Columns::number`].
    pub column: u32,
    /// Instant in microseconds of [`Clock::now_us`].
    pub time_us: i64,
    /// The raw integer; the column's encoding says what it means.
    pub raw: i64,
}

impl Sample {
    fn of((column, time_us, raw): (u32, i64, i64)) -> Self {
        Self {
            column,
            time_us,
            raw,
        }
    }

    fn tuple(&self) -> (u32, i64, i64) {
        (self.column, self.time_us, self.raw)
    }
}

/// The counters of a stream over all epochs in the database, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StreamTotals {
    /// The stream.
    #[serde(serialize_with = "stream_name")]
    pub stream: Stream,
    /// Ever made durable.
    pub produced: u64,
    /// Journalled, not sealed yet.
    pub open: u64,
    /// Sealed, not acknowledged yet.
    pub buffered: u64,
    /// Acknowledged by the cloud.
    pub acknowledged: u64,
    /// Absent for good, for whatever reason: those of whole blocks dropped for want of room, and the three below.
    pub dropped: u64,
    /// Of these: thinned out of blocks that nobody had seen.
    pub thinned: u64,
    /// Of these: refused, because nothing was left that could make room.
    pub refused: u64,
    /// Of these: lost to the disk.
    pub damaged: u64,
}

fn stream_name<S: serde::Serializer>(stream: &Stream, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stream.name())
}

impl StreamTotals {
    /// Whether nothing is missing and nothing is counted twice.
    pub fn conserved(&self) -> bool {
        self.produced == self.open + self.buffered + self.acknowledged + self.dropped
    }
}

/// What the buffer looks like after its latest commit.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Counters of each stream.
    pub totals: Vec<StreamTotals>,
    /// Samples taken from sources since the start that no commit has made durable yet.
    pub pending: u64,
    /// Fsyncs since the writer started: of commits, of checkpoints, of marks on what is handed to the uplink.
    pub syncs: u64,
    /// Grows with every commit that sealed a block.
    pub sealed: u64,
    /// Grows whenever blocks that were acknowledged are to be sent again.
    pub again: u64,
    /// The epoch in which blocks are sealed now.
    pub epoch: Option<Epoch>,
    /// The disk cannot be used: what is held is in memory, and gone with the process.
    pub volatile: bool,
    /// What is wrong with the disk at present, and what follows from it.
    pub failing: Option<String>,
}

/// What is held of some streams, for a hello.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The streams.
    pub streams: Vec<StreamState>,
    /// Where the next streams begin, when there are more.
    pub next: Option<u32>,
    /// The number of this hello, for [`Settlement::Closed`].
    pub hello: u64,
}

/// Where and for whom the buffer is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds the database.
    pub folder: PathBuf,
    /// Most bytes of blocks to keep.
    pub quota: u64,
    /// Whose samples these are.
    pub gateway: GatewayId,
    /// The key that signs the blocks.
    pub key: SigningKey,
}

/// The priority in which a stream's blocks are sent: 0 is first.
pub(crate) const fn priority(stream: Stream) -> u8 {
    match stream {
        Stream::Columns => 0,
        Stream::Transactions => 1,
        Stream::Critical => 2,
        Stream::Live => 3,
        Stream::Bulk => 4,
    }
}

/// A handle on the buffer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Buffer {
    columns: Arc<Columns>,
    line: watch::Receiver<Line>,
    starter: Arc<Starter>,
    state: watch::Receiver<State>,
}

/// The buffer's writer has ended: nothing can be stored any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer has stopped")]
pub struct Stopped;

impl Buffer {
    /// Opens the ledger and starts its writer thread, which ends when every handle is gone or [`Buffer::stop`] is called.
    ///
    /// Where nothing can be written it starts in memory, and [`State::failing`] says so.
    pub fn open(options: Options, clock: Arc<Clock>) -> Result<Self, StoreError> {
        starter::start(options, clock, true)
    }

    /// A ledger in memory, gone with the process: for tests, and for gateways that are to leave no trace. The folder of the
    /// options is not touched.
    pub fn in_memory(options: Options, clock: Arc<Clock>) -> Result<Self, StoreError> {
        starter::start(options, clock, false)
    }

    /// Gives columns their numbers.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The epoch in which blocks are sealed now. Another one follows when the database has to be opened anew.
    pub fn epoch(&self) -> Epoch {
        self.state
            .borrow()
            .epoch
            .expect("the writer names its epoch before it starts")
    }

    /// Takes samples; waits while the writer is behind. They are durable at the next tick of their stream.
    pub async fn push(&self, samples: Vec<Sample>) -> Result<(), Stopped> {
        if samples.is_empty() {
            return Ok(());
        }
        let mut line = self.line.clone();
        loop {
            let way = line.borrow_and_update().samples.clone();
            tokio::select! {
                biased;
                place = way.reserve() => match place {
                    Ok(place) => {
                        place.send(samples);
                        return Ok(());
                    }
                    Err(_) if line.has_changed().unwrap_or(false) => {}
                    Err(_) => return Err(Stopped),
                },
                changed = line.changed() => changed.map_err(|_| Stopped)?,
            }
        }
    }

    /// Takes a record of the critical stream; durable at its next tick.
    pub async fn record(&self, record: Record) -> Result<(), Stopped> {
        self.send(|| Request::Record(record.clone())).await
    }

    /// Up to `limit` unacknowledged blocks of a priority whose place is after `after`, oldest or newest first.
    pub async fn to_send(
        &self,
        priority: u8,
        after: i64,
        newest: bool,
        limit: u32,
    ) -> Result<Vec<StoredBlock>, Stopped> {
        self.ask(|answer| Request::ToSend {
            priority,
            after,
            newest,
            limit,
            answer,
        })
        .await
    }

    /// What is held of the first streams, acknowledged or not, after `skip`: those with something to send first. As many as a
    /// hello may name; [`Held::next`] leads on.
    pub async fn held(&self, skip: u32) -> Result<Held, Stopped> {
        self.ask(|answer| Request::Held { skip, answer }).await
    }

    /// Brings the cloud's verified word; durable within a tick.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), Stopped> {
        self.send(|| Request::Settle(settlements.clone())).await
    }

    /// Starts another writer in the place of one that stands still, held up by the disk. It goes on in memory at once; the old
    /// one commits what it took as soon as the disk lets it go, ends, and all of it is on the disk again, once.
    pub fn replace_writer(&self) -> Result<(), Stuck> {
        self.starter.replace()
    }

    /// Seals and commits everything and ends the writer. Samples pushed before are in it.
    pub async fn stop(&self) -> Result<(), Stopped> {
        self.ask(Request::Stop).await
    }

    /// Seals and commits everything pushed before, and goes on.
    pub async fn flush(&self) -> Result<(), Stopped> {
        self.ask(Request::Flush).await
    }

    /// The state after the latest commit; changes can be awaited.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Sends a request to the writer of the present.
    async fn send(&self, request: impl Fn() -> Request) -> Result<(), Stopped> {
        let mut line = self.line.clone();
        loop {
            let way = line.borrow_and_update().requests.clone();
            tokio::select! {
                biased;
                sent = way.send(request()) => match sent {
                    Ok(()) => return Ok(()),
                    Err(_) if line.has_changed().unwrap_or(false) => {}
                    Err(_) => return Err(Stopped),
                },
                changed = line.changed() => changed.map_err(|_| Stopped)?,
            }
        }
    }

    /// Asks the writer of the present; when another one takes its place meanwhile, that one is asked.
    async fn ask<T>(&self, request: impl Fn(oneshot::Sender<T>) -> Request) -> Result<T, Stopped> {
        let mut line = self.line.clone();
        loop {
            let way = line.borrow_and_update().requests.clone();
            let (answer, answered) = oneshot::channel();
            let asked = async {
                way.send(request(answer)).await.map_err(|_| Stopped)?;
                answered.await.map_err(|_| Stopped)
            };
            tokio::select! {
                biased;
                answer = asked => match answer {
                    Ok(answer) => return Ok(answer),
                    Err(Stopped) if line.has_changed().unwrap_or(false) => {}
                    Err(Stopped) => return Err(Stopped),
                },
                changed = line.changed() => changed.map_err(|_| Stopped)?,
            }
        }
    }
}
