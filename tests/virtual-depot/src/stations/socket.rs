//! The socket of a station: what is seen at it, the story of it, and the drivers who do not stay.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use super::story::{Seen, Story, Tell};
use crate::{
    chance::Chance,
    depot::Shared,
    truth::sessions::{Session, SessionLog},
    yard::{Charger, name},
};

/// A socket whose transactions go into the truth.
#[derive(Debug)]
pub(super) struct Socket {
    shared: Arc<Shared>,
    log: Arc<SessionLog>,
    /// Number of its station in the world.
    index: usize,
    pub(super) story: Story,
    /// Drivers leave after about so many seconds of wall time, and not in less than so many.
    restless: (Option<f64>, f64),
    chance: Chance,
    /// When its driver pulls the plug.
    pub(super) leaves: Option<Instant>,
}

impl Socket {
    pub(super) fn new(
        shared: &Arc<Shared>,
        log: &Arc<SessionLog>,
        index: usize,
        story: Story,
        (restless, chance): ((Option<f64>, f64), Chance),
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            log: Arc::clone(log),
            index,
            story,
            restless,
            chance,
            leaves: None,
        }
    }

    /// Something of its station.
    pub(super) fn of<T>(&self, what: impl FnOnce(&mut Charger) -> T) -> T {
        what(&mut self.shared.world().chargers[self.index])
    }

    /// What is seen at it.
    pub(super) fn seen(&self) -> Seen {
        let world = self.shared.world();
        let charger = &world.chargers[self.index];
        let car = charger.car.map(|car| name("car", car, world.cars.len()));
        Seen {
            car,
            status: charger.status,
            register: charger.energy.floor() as i64,
            power: charger.power.round() as i64,
            state_of_charge: charger.state_of_charge.round() as i64,
        }
    }

    /// Looks at it: what there is to tell, and whether another transaction goes on than before.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        seen: &Seen,
        interval: i64,
        offline: bool,
    ) -> (Vec<Tell>, bool) {
        let before = self.story.session();
        let (told, ended) = self.story.look(now, seen, interval, offline);
        self.write(ended);
        let is_new = self.story.session() != before;
        if is_new {
            self.leaves = None;
            if self.story.session().is_some() {
                let (mean, least) = self.restless;
                let stays = mean.map(|mean| mean * self.chance.between(0.3, 1.7));
                self.leaves = stays
                    .map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.max(least)));
            }
        }
        (told, is_new)
    }

    /// A driver whose time has come pulls the plug.
    pub(super) fn part(&mut self) {
        if self.leaves.is_some_and(|leaves| leaves <= Instant::now()) {
            self.leaves = None;
            self.pull();
        }
    }

    /// The plug is pulled.
    pub(super) fn pull(&self) {
        self.shared.world().pull_plug(self.index);
    }

    /// The transaction ends for a reason of the station's own.
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        seen: &Seen,
        reason: &'static str,
        offline: bool,
    ) -> Vec<Tell> {
        let mut told = Vec::new();
        let ended = self.story.end(now, seen, reason, offline, &mut told);
        self.write(ended);
        told
    }

    /// The depot stops: a transaction that goes on is written as it is.
    pub(super) fn stop(&self) {
        self.write(self.story.unended(self.seen().register));
    }

    fn write(&self, session: Option<Session>) {
        if let Some(session) = session {
            self.log.write(&session);
        }
    }
}
