//! What is old is forgotten: events, deliveries and attempts after 30 days.

use jiff::SignedDuration;
use jobs::{About, Effect, Fault, Job, New, Schedule, Tx};
use serde::{Deserialize, Serialize};

/// How long the log goes back.
pub const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Forgets what is older than [`KEPT`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Prune {}

impl Job for Prune {
    const KIND: &'static str = "events.prune";
}

impl Prune {
    /// Every night.
    pub fn schedule() -> Schedule {
        Schedule::new("events.prune", "17 3 * * *", "UTC", New::of(&Self {}))
    }
}

/// Does it.
#[derive(Clone, Copy, Debug)]
pub struct Pruner;

impl Effect for Pruner {
    type Job = Prune;

    async fn run(&self, _: Prune, about: &About, tx: &Tx) -> Result<(), Fault> {
        let Ok(before) = about.now.checked_sub(KEPT) else {
            return Ok(());
        };
        let gone = tx
            .execute(include_str!("../queries/prune.sql"), &[&before])
            .await?;
        tracing::info!(events = gone, "old events are forgotten");
        Ok(())
    }
}
