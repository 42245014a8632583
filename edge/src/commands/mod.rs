//! The cloud's commands: signed, expiring, carried out at most once, answered.
//!
//! 1. The uplink verifies a command and puts it on the [`Desk`].
//! 2. One whose id is known is not carried out again. If an earlier run began it and was cut off, it is answered as
//!    interrupted, for nobody knows how far it got.
//! 3. While the time is unknown, or the clock is behind the instant at which the command was issued, it waits: nobody can
//!    tell whether it has expired.
//! 4. Its id is written to the disk until it expires; then, not before, it is carried out.
//!    What a charging station is told goes to the central system, which waits for the station's answer; meanwhile others go on.
//! 5. The answer is a record of kind `command.answer` in the critical stream: `{"command": id, "result": …}` with `done`,
//!    `expired`, `interrupted` or `refused`, the latter with its reason in `detail`; what a station has answered is there, too. When that is durable, the id is marked as answered.

mod book;

use std::{
    collections::{HashSet, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shared_protocol::{Command, CommandBody, Record, StationOrder};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::{
    buffer::{Buffer, Settlement, Stopped},
    clock::Clock,
    sources::ocpp::Central,
    supervise::Beat,
};
use book::{Book, Known};

/// Commands that may wait to be looked at, and those that wait for the time.
const WAITING: usize = 64;
/// Expired commands that are remembered, so that each is answered once.
const EXPIRED: usize = 256;
/// A command that was issued so far ahead of our clock shows that it is behind.
const AHEAD_US: i64 = 60_000_000;
/// How often those that wait are looked at again.
const AGAIN: Duration = Duration::from_secs(1);

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    CarryOut,
    Wait,
    Expired,
}

/// By the time of day, if it is known. Pure.
fn judge(command: &Command, wall_us: Option<i64>) -> Judgement {
    match wall_us {
        None => Judgement::Wait,
        Some(now) if now < command.issued_us - AHEAD_US => Judgement::Wait,
        Some(now) if now > command.expires_us => Judgement::Expired,
        Some(_) => Judgement::CarryOut,
    }
}

/// What has become of commands since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Carried out.
    pub done: AtomicU64,
    /// Not carried out, for they came too late, were begun before, or could not be remembered.
    pub refused: AtomicU64,
    /// Waiting for the time of day.
    pub waiting: AtomicU64,
}

#[derive(Debug)]
struct Papers {
    inbox: mpsc::Receiver<Command>,
    waiting: VecDeque<Command>,
    expired: VecDeque<[u8; 16]>,
    book: Option<Book>,
    /// Stations that are being asked, and by which commands: one that comes again meanwhile waits for the same answer.
    asking: HashSet<[u8; 16]>,
    asked: JoinSet<(Command, Result<String, String>)>,
}

/// Where verified commands are put, and carried out.
#[derive(Debug)]
pub struct Desk {
    folder: PathBuf,
    clock: Arc<Clock>,
    buffer: Buffer,
    stations: Option<Arc<Central>>,
    /// What has become of them.
    pub counts: Counts,
    papers: Mutex<Papers>,
}

impl Desk {
    /// A desk that remembers in this folder, and where to put commands. `stations`: the central system that this gateway is.
    pub fn new(
        folder: PathBuf,
        clock: Arc<Clock>,
        buffer: Buffer,
        stations: Option<Arc<Central>>,
    ) -> (Self, mpsc::Sender<Command>) {
        let (put, inbox) = mpsc::channel(WAITING);
        let desk = Self {
            folder,
            clock,
            buffer,
            stations,
            counts: Counts::default(),
            papers: Mutex::new(Papers {
                inbox,
                waiting: VecDeque::new(),
                expired: VecDeque::new(),
                book: None,
                asking: HashSet::new(),
                asked: JoinSet::new(),
            }),
        };
        (desk, put)
    }

    /// Carries out what is put on the desk, until the buffer has stopped.
    pub async fn work(&self, beat: &Beat) {
        let mut papers = self.papers.lock().await;
        loop {
            let next = tokio::time::timeout(AGAIN, papers.inbox.recv());
            if let Ok(command) = beat.during(next).await {
                let Some(command) = command else { return };
                let known = papers.waiting.iter().any(|one| one.id == command.id);
                if !known && papers.waiting.len() < WAITING {
                    papers.waiting.push_back(command);
                }
            }
            for _ in 0..papers.waiting.len() {
                let Some(command) = papers.waiting.pop_front() else {
                    break;
                };
                match judge(&command, self.clock.wall_us()) {
                    Judgement::Wait => papers.waiting.push_back(command),
                    judgement => {
                        let late = judgement == Judgement::Expired;
                        if self.settle(&mut papers, &command, late).await.is_err() {
                            return;
                        }
                    }
                }
            }
            while let Some(asked) = papers.asked.try_join_next() {
                let Ok((command, result)) = asked else {
                    continue;
                };
                if self.ended(&mut papers, &command, result).await.is_err() {
                    return;
                }
            }
            let waiting = papers.waiting.len() as u64;
            self.counts.waiting.store(waiting, Ordering::Relaxed);
        }
    }

    async fn settle(
        &self,
        papers: &mut Papers,
        command: &Command,
        late: bool,
    ) -> Result<(), Stopped> {
        if papers.book.is_none() {
            match Book::open(&self.folder, self.clock.wall_us().unwrap_or(0)) {
                Ok(book) => papers.book = Some(book),
                Err(error) => return self.refuse(command, &error).await,
            }
        }
        let Some(book) = &mut papers.book else {
            return Ok(());
        };
        match book.knows(&command.id) {
            Some(Known::Answered) => return Ok(()),
            Some(Known::Begun) if papers.asking.contains(&command.id) => return Ok(()),
            Some(Known::Begun) => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                self.answer(command, "interrupted", None).await?;
                note_answered(book, command);
                return Ok(());
            }
            None => {}
        }
        if late {
            if papers.expired.contains(&command.id) {
                return Ok(());
            }
            papers.expired.push_back(command.id);
            if papers.expired.len() > EXPIRED {
                papers.expired.pop_front();
            }
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return self.answer(command, "expired", None).await;
        }
        if let Err(error) = book.write(&command.id, command.expires_us, Known::Begun) {
            return self.refuse(command, &error).await;
        }
        if let CommandBody::Station(order) = &command.body {
            let (central, order) = (self.stations.clone(), order.clone());
            let command = command.clone();
            papers.asking.insert(command.id);
            papers.asked.spawn(async move {
                let number = i32::from_be_bytes([
                    command.id[0] & 0x7F,
                    command.id[1],
                    command.id[2],
                    command.id[3],
                ]);
                let result = tell(central, &order, number).await;
                (command, result)
            });
            return Ok(());
        }
        self.carry_out(&command.body).await?;
        self.counts.done.fetch_add(1, Ordering::Relaxed);
        self.answer(command, "done", None).await?;
        note_answered(book, command);
        Ok(())
    }

    /// A station has answered, or cannot be asked.
    async fn ended(
        &self,
        papers: &mut Papers,
        command: &Command,
        result: Result<String, String>,
    ) -> Result<(), Stopped> {
        let (counted, word, detail) = match result {
            Ok(said) => (&self.counts.done, "done", said),
            Err(reason) => (&self.counts.refused, "refused", reason),
        };
        counted.fetch_add(1, Ordering::Relaxed);
        self.answer(command, word, Some(detail)).await?;
        papers.asking.remove(&command.id);
        if let Some(book) = &mut papers.book {
            note_answered(book, command);
        }
        Ok(())
    }

    async fn carry_out(&self, body: &CommandBody) -> Result<(), Stopped> {
        match body {
            // What a station is told, the central system carries out.
            CommandBody::Ping | CommandBody::Station(_) => Ok(()),
            CommandBody::SendColumns(epoch) => {
                self.buffer.settle(vec![Settlement::Columns(*epoch)]).await
            }
        }
    }

    async fn refuse(&self, command: &Command, error: &std::io::Error) -> Result<(), Stopped> {
        tracing::error!(%error, "a command is not carried out, for it cannot be remembered");
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.answer(command, "refused", Some(error.to_string()))
            .await
    }

    /// Returns when the answer is durable.
    async fn answer(
        &self,
        command: &Command,
        result: &str,
        detail: Option<String>,
    ) -> Result<(), Stopped> {
        let id = hex::encode(command.id);
        tracing::info!(command = id, body = ?command.body, result, "command");
        let mut payload = serde_json::json!({ "command": id, "result": result });
        if let Some(detail) = detail {
            payload["detail"] = detail.into();
        }
        let record = Record {
            time_us: self.clock.now_us(),
            asset: None,
            kind: "command.answer".into(),
            payload: payload.to_string(),
        };
        self.buffer.record(record).await?;
        self.buffer.flush().await
    }
}

/// Tells a station; what it has answered, or why it was not told.
async fn tell(central: Option<Arc<Central>>, order: &str, number: i32) -> Result<String, String> {
    let order = StationOrder::parse(order).map_err(|error| error.to_string())?;
    let central = central.ok_or("this gateway is no central system: no stations connect to it")?;
    central.order(order, number).await
}

fn note_answered(book: &mut Book, command: &Command) {
    if let Err(error) = book.write(&command.id, command.expires_us, Known::Answered) {
        // It stays as begun: a second delivery is answered as interrupted, and not carried out.
        tracing::error!(%error, "the answer to a command cannot be noted");
    }
}

#[cfg(test)]
mod tests;
