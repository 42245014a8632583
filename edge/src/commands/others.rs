//! Commands that wait for somebody else, beside the desk: what a charging station is told, until it has answered; what a
//! vehicle is to do, until it has stood still for a minute. Meanwhile the desk goes on.

use std::sync::atomic::Ordering;

use shared_protocol::{Command, CommandBody, StationOrder};
use tokio::task::JoinSet;

use super::{Desk, Papers, note_answered};
use crate::buffer::Stopped;

/// What was said, if anything; or why it is not done.
type Done = Result<Option<String>, String>;

/// Those that are under way.
pub(super) type Others = JoinSet<(Command, Done)>;

impl Desk {
    /// Begins a command that waits for somebody else; `false`: it is none, and carried out at the desk.
    pub(super) fn begin_beside(&self, others: &mut Others, command: &Command) -> bool {
        match &command.body {
            CommandBody::Station(order) => {
                let (central, order) = (self.stations.clone(), order.clone());
                let [a, b, c, d, ..] = command.id;
                let number = i32::from_be_bytes([a & 0x7F, b, c, d]);
                let done = async move {
                    let order = StationOrder::parse(&order).map_err(|error| error.to_string())?;
                    let central = central
                        .ok_or("this gateway is no central system: no stations connect to it")?;
                    central.order(order, number).await.map(Some)
                };
                spawn(others, command, done);
            }
            CommandBody::ClearTroubleCodes(asset) => {
                let (buses, asset) = (self.vehicles.get(asset).cloned(), asset.clone());
                let done = async move {
                    let none = || format!("no vehicle of this gateway is called {asset}");
                    for bus in buses.ok_or_else(none)? {
                        bus.clear_codes().await?;
                    }
                    Ok(None)
                };
                spawn(others, command, done);
            }
            CommandBody::Ping
            | CommandBody::SendColumns(_)
            | CommandBody::Plan(_)
            | CommandBody::PlanAssuming(..) => return false,
        }
        true
    }

    /// Answers those that have ended.
    pub(super) async fn answer_ended(&self, papers: &mut Papers) -> Result<(), Stopped> {
        while let Some(ended) = papers.others.try_join_next() {
            let Ok((command, done)) = ended else {
                continue;
            };
            let (count, result, detail) = match done {
                Ok(said) => (&self.counts.done, "done", said),
                Err(why) => (&self.counts.refused, "refused", Some(why)),
            };
            count.fetch_add(1, Ordering::Relaxed);
            self.answer(&command, result, detail).await?;
            papers.beside.remove(&command.id);
            if let Some(book) = &mut papers.book {
                note_answered(book, &command);
            }
        }
        Ok(())
    }
}

fn spawn(
    others: &mut Others,
    command: &Command,
    done: impl Future<Output = Done> + Send + 'static,
) {
    let command = command.clone();
    others.spawn(async move { (command, done.await) });
}
