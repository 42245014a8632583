//! How the parts are doing, for `/health/ready` and the metrics.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use crate::{ingest::Load, metrics};

/// Blocks that wait longer than this while nothing is committed mean that something is stuck.
pub const STUCK: Duration = Duration::from_secs(30);

/// How the parts are doing.
#[derive(Debug)]
pub struct Status {
    state: Mutex<State>,
    load: OnceLock<Arc<dyn Load>>,
}

#[derive(Debug)]
struct State {
    /// Each connection to the broker; an error says why it is down.
    links: BTreeMap<&'static str, Result<(), String>>,
    /// Why the embedded broker does not run.
    broker: Result<(), String>,
    commit: Option<Instant>,
    /// Since when something has been waiting without a commit.
    waiting: Option<Instant>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                links: BTreeMap::new(),
                broker: Ok(()),
                commit: None,
                waiting: None,
            }),
            load: OnceLock::new(),
        }
    }
}

impl Status {
    /// A connection to the broker stands.
    pub fn link_up(&self, name: &'static str) {
        tracing::info!(connection = name, "connected to the broker");
        self.state().links.insert(name, Ok(()));
        metrics::link(name, true);
    }

    /// A connection to the broker is down.
    pub fn link_down(&self, name: &'static str, reason: &str) {
        self.state().links.insert(name, Err(reason.to_owned()));
        metrics::link(name, false);
    }

    /// The embedded broker runs, or why it does not.
    pub fn broker(&self, state: Result<(), String>) {
        self.state().broker = state;
    }

    /// Something was committed.
    pub fn committed(&self) {
        let mut state = self.state();
        state.commit = Some(Instant::now());
        state.waiting = None;
    }

    /// Tells where the load is to be read.
    pub(crate) fn watch(&self, load: Arc<dyn Load>) {
        // A process has one pipeline; a second one would be the first one's successor in a test.
        let _ = self.load.set(load);
    }

    /// Looks whether anything waits. Called every second.
    pub fn tick(&self) {
        let bytes = self.waiting_bytes();
        metrics::queue(bytes);
        let mut state = self.state();
        state.waiting = match (bytes, state.waiting) {
            (0, _) => None,
            (_, None) => Some(Instant::now()),
            (_, since) => since,
        };
    }

    /// Bytes of blocks that wait or are being written.
    pub fn waiting_bytes(&self) -> usize {
        self.load.get().map_or(0, |load| load.bytes())
    }

    /// How long ago something was last committed.
    pub fn commit_age(&self) -> Option<Duration> {
        self.state().commit.map(|at| at.elapsed())
    }

    /// Whether the broker is there and every connection to it stands.
    pub fn broker_fault(&self) -> Option<String> {
        let state = self.state();
        if let Err(reason) = &state.broker {
            return Some(reason.clone());
        }
        if state.links.is_empty() {
            return Some("not connected yet".to_owned());
        }
        let down: Vec<String> = state
            .links
            .iter()
            .filter_map(|(name, up)| up.as_ref().err().map(|reason| format!("{name}: {reason}")))
            .collect();
        (!down.is_empty()).then(|| down.join("; "))
    }

    /// Whether every one of so many connections stands.
    pub fn connected(&self, count: usize) -> bool {
        let state = self.state();
        state.links.values().filter(|up| up.is_ok()).count() >= count
    }

    /// Whether blocks have been waiting too long.
    pub fn ingest_fault(&self) -> Option<String> {
        let waiting = self.state().waiting?.elapsed();
        (waiting > STUCK).then(|| {
            format!(
                "blocks have been waiting for {} s and nothing was committed",
                waiting.as_secs()
            )
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_there_when_every_connection_stands() {
        let status = Status::default();
        assert_eq!(status.broker_fault().unwrap(), "not connected yet");
        status.link_up("live");
        assert_eq!(status.broker_fault(), None);
        status.link_down("bulk", "refused");
        assert_eq!(status.broker_fault().unwrap(), "bulk: refused");
        status.link_up("bulk");
        status.broker(Err("restarting".to_owned()));
        assert_eq!(status.broker_fault().unwrap(), "restarting");
        assert!(status.connected(2) && !status.connected(3));
        assert_eq!(status.commit_age(), None);
        status.committed();
        assert!(status.commit_age().unwrap() < Duration::from_secs(60));
        assert_eq!(status.ingest_fault(), None);
    }
}
