//! Commands that somebody at the depot gives, with or without a cloud. Each is a record of kind `command.local` before it is
//! carried out and another one after it, with who, what, and what became of it; the cloud has them when it is there.

use std::sync::atomic::Ordering;

use shared_protocol::{AssetKey, Record};
use tokio::sync::{mpsc, oneshot};

use super::{Desk, Papers, answered, book::Book, book::Known};
use crate::{
    buffer::Stopped,
    control::{Act, Refused},
    supervise::Beat,
};

/// Who gives them.
const WHO: &str = "local supervisor";
/// How long one is remembered: nobody sends it twice.
const REMEMBERED_US: i64 = 86_400_000_000;

/// A command of somebody at the depot.
#[derive(Debug)]
pub struct Local {
    /// What a station is to do.
    pub act: Act,
    /// Which one.
    pub station: AssetKey,
    /// With which token it starts.
    pub token: Option<String>,
    /// What became of it.
    pub answer: oneshot::Sender<Result<(), Refused>>,
}

impl Desk {
    /// Where such commands are put.
    pub fn counter(&self) -> mpsc::Sender<Local> {
        self.local.clone()
    }

    pub(super) async fn local(
        &self,
        papers: &mut Papers,
        local: Local,
        beat: &Beat,
    ) -> Result<(), Stopped> {
        let (id, expires_us) = match self.begin(papers) {
            Ok(begun) => begun,
            Err(why) => {
                tracing::error!(why, "a local command is not carried out");
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                let _ = local.answer.send(Err(Refused::Disk(why)));
                return Ok(());
            }
        };
        let name = hex::encode(id);
        self.note(&name, &local, "begun", None).await?;
        let token = local.token.as_deref();
        let done = match &self.control {
            Some(control) => {
                let done = control.act(local.act, &local.station, token, &self.clock);
                beat.during(done).await
            }
            None => Err(Refused::NoStation),
        };
        let (count, result) = match &done {
            Ok(()) => (&self.counts.done, "done"),
            Err(_) => (&self.counts.refused, "refused"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let detail = done.as_ref().err().map(ToString::to_string);
        self.note(&name, &local, result, detail).await?;
        if let Some(book) = &mut papers.book {
            answered(book, &id, expires_us);
        }
        // Whoever asked may be gone.
        let _ = local.answer.send(done);
        Ok(())
    }

    /// A new command in the book: its name, and until when it is remembered.
    fn begin(&self, papers: &mut Papers) -> Result<([u8; 16], i64), String> {
        let now = self.clock.wall_us().unwrap_or(0);
        let book = match &mut papers.book {
            Some(book) => book,
            none => {
                let book = Book::open(&self.folder, now).map_err(|error| error.to_string())?;
                none.insert(book)
            }
        };
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| error.to_string())?;
        let expires_us = now + REMEMBERED_US;
        book.write(&id, expires_us, Known::Begun)
            .map_err(|error| error.to_string())?;
        Ok((id, expires_us))
    }

    /// Returns when it is durable.
    async fn note(
        &self,
        id: &str,
        local: &Local,
        result: &str,
        detail: Option<String>,
    ) -> Result<(), Stopped> {
        let (what, station) = (local.act.name(), &local.station);
        tracing::info!(command = id, what, %station, result, detail, "local command");
        let mut payload = serde_json::json!({
            "command": id, "who": WHO, "what": what, "station": station.as_str(), "result": result,
        });
        if let Some(detail) = detail {
            payload["detail"] = detail.into();
        }
        let record = Record {
            time_us: self.clock.now_us(),
            asset: Some(station.clone()),
            kind: "command.local".into(),
            payload: payload.to_string(),
        };
        self.buffer.record(record).await?;
        self.buffer.flush().await
    }
}
