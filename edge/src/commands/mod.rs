//! The cloud's commands: signed, expiring, carried out at most once, answered.
//!
//! 1. The uplink verifies a command and puts it on the [`Desk`].
//! 2. One whose id is known is not carried out again. If an earlier run began it and was cut off, it is answered as
//!    interrupted, for nobody knows how far it got.
//! 3. While the time is unknown, or the clock is behind the instant at which the command was issued, it waits: nobody can
//!    tell whether it has expired.
//! 4. Its id is written to the disk until it expires; then, not before, it is carried out. What waits for somebody else goes on
//!    beside the desk (`others`): what a charging station is told, until it has answered; what a vehicle is to do, until the
//!    vehicle has stood still for a minute.
//! 5. The answer is a record of kind `command.answer` in the critical stream: `{"command": id, "result": …}` with `done`,
//!    `expired`, `interrupted` or `refused`, and in `detail` why it was refused, or what a station has said. When that is
//!    durable, the id is marked as answered.
//!
//! Commands that somebody at the depot gives (`local`) go over the same desk and into the same book.

mod book;
mod local;
mod others;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shared_protocol::{AssetKey, Assumed, Command, CommandBody, Plan, Record};
use tokio::sync::{Mutex, mpsc};

use crate::{
    buffer::{Buffer, Settlement, Stopped},
    clock::Clock,
    control::{Control, NoPlan},
    sources::{Letterbox, ocpp::Central},
    supervise::Beat,
};
use book::{Book, Known};
pub use local::Local;
use others::Others;

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
    local: mpsc::Receiver<Local>,
    waiting: VecDeque<Command>,
    expired: VecDeque<[u8; 16]>,
    book: Option<Book>,
    /// What goes on beside the desk, and its ids: a command that comes again meanwhile waits for the same answer.
    beside: HashSet<[u8; 16]>,
    others: Others,
}

/// Where verified commands are put, and carried out.
#[derive(Debug)]
pub struct Desk {
    folder: PathBuf,
    clock: Arc<Clock>,
    buffer: Buffer,
    vehicles: BTreeMap<AssetKey, Vec<Letterbox>>,
    stations: Option<Arc<Central>>,
    /// What has become of them.
    pub counts: Counts,
    papers: Mutex<Papers>,
    local: mpsc::Sender<Local>,
    control: Option<Arc<Control>>,
}

/// What was put on the desk.
enum Next {
    Cloud(Command),
    Local(Local),
    Nothing,
    Over,
}

impl Desk {
    /// A desk that remembers in this folder, and where to put commands. `stations`: the central system that this gateway is.
    pub fn new(
        folder: PathBuf,
        clock: Arc<Clock>,
        buffer: Buffer,
    ) -> (Self, mpsc::Sender<Command>) {
        let (put, inbox) = mpsc::channel(WAITING);
        let (local, asked) = mpsc::channel(WAITING);
        let desk = Self {
            folder,
            clock,
            buffer,
            vehicles: BTreeMap::new(),
            stations: None,
            counts: Counts::default(),
            papers: Mutex::new(Papers {
                inbox,
                local: asked,
                waiting: VecDeque::new(),
                expired: VecDeque::new(),
                book: None,
                beside: HashSet::new(),
                others: Others::new(),
            }),
            local,
            control: None,
        };
        (desk, put)
    }

    /// The same for a gateway that holds a depot's limits.
    #[must_use]
    pub fn of(mut self, control: Option<Arc<Control>>) -> Self {
        self.control = control;
        self
    }

    /// With the vehicles that may be ordered something; one has as many letterboxes as buses.
    #[must_use]
    pub fn over(mut self, vehicles: BTreeMap<AssetKey, Vec<Letterbox>>) -> Self {
        self.vehicles = vehicles;
        self
    }

    /// Before the stations of the central system that this gateway is.
    #[must_use]
    pub fn before(mut self, stations: Option<Arc<Central>>) -> Self {
        self.stations = stations;
        self
    }

    /// Carries out what is put on the desk, until the buffer has stopped.
    pub async fn work(&self, beat: &Beat) {
        let mut papers = self.papers.lock().await;
        loop {
            match beat.during(next(&mut papers)).await {
                Next::Cloud(command) => {
                    let known = papers.waiting.iter().any(|one| one.id == command.id);
                    if !known && papers.waiting.len() < WAITING {
                        papers.waiting.push_back(command);
                    }
                }
                Next::Local(local) => {
                    if self.local(&mut papers, local, beat).await.is_err() {
                        return;
                    }
                }
                Next::Nothing => {}
                Next::Over => return,
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
            if self.answer_ended(&mut papers).await.is_err() {
                return;
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
            Some(Known::Begun) if papers.beside.contains(&command.id) => return Ok(()),
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
        if self.begin_beside(&mut papers.others, command) {
            papers.beside.insert(command.id);
            return Ok(());
        }
        match self.carry_out(command).await? {
            Ok(()) => {
                self.counts.done.fetch_add(1, Ordering::Relaxed);
                self.answer(command, "done", None).await?;
            }
            Err(why) => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                self.answer(command, "refused", Some(why)).await?;
            }
        }
        note_answered(book, command);
        Ok(())
    }

    /// The inner error is why it is refused.
    async fn carry_out(&self, command: &Command) -> Result<Result<(), String>, Stopped> {
        match &command.body {
            // What waits for somebody else has been begun beside the desk.
            CommandBody::Ping | CommandBody::Station(_) | CommandBody::ClearTroubleCodes(_) => {
                Ok(Ok(()))
            }
            CommandBody::SendColumns(epoch) => {
                let columns = vec![Settlement::Columns(*epoch)];
                self.buffer.settle(columns).await.map(Ok)
            }
            CommandBody::Plan(plan) => Ok(self.keep_plan(plan, None, command.issued_us).await),
            CommandBody::PlanAssuming(plan, assumed) => Ok(self
                .keep_plan(plan, Some(*assumed), command.issued_us)
                .await),
        }
    }

    async fn keep_plan(
        &self,
        plan: &Plan,
        assumed: Option<Assumed>,
        issued_us: i64,
    ) -> Result<(), String> {
        let Some(control) = self.control.clone() else {
            return Err(NoPlan::NoDepot.to_string());
        };
        let plan = plan.clone();
        let kept = move || control.keep_plan(plan, assumed, issued_us);
        let kept = tokio::task::spawn_blocking(kept).await;
        let kept = kept.map_err(|error| NoPlan::Disk(error.to_string()));
        kept.flatten().map_err(|error| error.to_string())
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
        let kind = command.body.kind();
        tracing::info!(command = id, kind, result, "command");
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

/// The next thing on the desk, or a look at what waits.
async fn next(papers: &mut Papers) -> Next {
    tokio::select! {
        command = papers.inbox.recv() => command.map_or(Next::Over, Next::Cloud),
        Some(local) = papers.local.recv() => Next::Local(local),
        () = tokio::time::sleep(AGAIN) => Next::Nothing,
    }
}

fn note_answered(book: &mut Book, command: &Command) {
    answered(book, &command.id, command.expires_us);
}

fn answered(book: &mut Book, id: &[u8; 16], expires_us: i64) {
    if let Err(error) = book.write(id, expires_us, Known::Answered) {
        // It stays as begun: a second delivery is answered as interrupted, and not carried out.
        tracing::error!(%error, "the answer to a command cannot be noted");
    }
}

#[cfg(test)]
mod tests;
