//! What a loop says of itself.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};

use super::{
    LoopReport, Spec,
    judge::{Judgement, Phase, judge},
};

/// How often a loop that waits for somebody else says that it is there.
const WAITING: Duration = Duration::from_secs(1);

/// A fault that is made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drill {
    /// It waits for something that never comes.
    Hang,
    /// It panics.
    Panic,
    /// It holds its thread and never lets it go.
    Block,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    task: Option<AbortHandle>,
}

/// A loop as the supervisor sees it.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) spec: Spec,
    zero: Instant,
    state: Mutex<State>,
    drill: AtomicU8,
    stuck: AtomicU64,
    panics: AtomicU64,
}

impl Loop {
    pub(super) fn new(spec: Spec, zero: Instant) -> Self {
        let state = State {
            phase: Phase::Resting,
            task: None,
        };
        Self {
            spec,
            zero,
            state: Mutex::new(state),
            drill: AtomicU8::new(0),
            stuck: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_zero(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.zero)
    }

    /// It begins: what the task does from now on is heard.
    pub(super) fn begins(&self, task: AbortHandle) {
        let now = self.since_zero(Instant::now());
        *self.state() = State {
            phase: Phase::Running(now),
            task: Some(task),
        };
    }

    fn heard(&self) {
        let now = self.since_zero(Instant::now());
        let mut state = self.state();
        // A loop that was told to end has had its time.
        if let Phase::Running(heard) = &mut state.phase {
            *heard = now;
        }
    }

    pub(super) fn judge(&self, now: Instant) -> Judgement {
        let now = self.since_zero(now);
        judge(self.state().phase, self.spec.deadline, now)
    }

    /// Tells it to end.
    pub(super) fn end(&self, now: Instant) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
        let now = self.since_zero(now);
        let mut state = self.state();
        state.phase = Phase::Ending(now);
        if let Some(task) = &state.task {
            task.abort();
        }
    }

    /// Whether it was told to end because it was stuck.
    pub(super) fn was_stuck(&self) -> bool {
        matches!(self.state().phase, Phase::Ending(_))
    }

    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn rests(&self) {
        self.state().phase = Phase::Resting;
    }

    pub(super) fn is_done(&self) {
        self.state().phase = Phase::Done;
    }

    pub(super) fn report(&self, now: Instant) -> LoopReport {
        let silent = match self.state().phase {
            Phase::Running(since) | Phase::Ending(since) => {
                Some(self.since_zero(now).saturating_sub(since))
            }
            Phase::Resting => Some(Duration::ZERO),
            Phase::Done => None,
        };
        LoopReport {
            name: self.spec.name.clone(),
            silent_ms: silent.map(|silent| silent.as_millis() as u64),
            stuck: self.stuck.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
        }
    }

    pub(super) fn drill(&self, drill: Drill) {
        let code = match drill {
            Drill::Hang => 1,
            Drill::Panic => 2,
            Drill::Block => 3,
        };
        self.drill.store(code, Ordering::Relaxed);
    }

    /// The drill that is wanted, once.
    fn drilled(&self) -> Option<Drill> {
        if self.drill.load(Ordering::Relaxed) == 0 {
            return None;
        }
        match self.drill.swap(0, Ordering::Relaxed) {
            1 => Some(Drill::Hang),
            2 => Some(Drill::Panic),
            3 => Some(Drill::Block),
            _ => None,
        }
    }
}

/// By this a loop says that it moves; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Beat(Option<Arc<Loop>>);

impl Beat {
    /// The beat of a loop that nobody watches over.
    pub fn free() -> Self {
        Self::default()
    }

    pub(super) fn of(one: Arc<Loop>) -> Self {
        Self(Some(one))
    }

    /// Something in a round has been done, and the next thing begins: to be called where no drill has a place.
    pub fn moves(&self) {
        if let Some(one) = &self.0 {
            one.heard();
        }
    }

    /// A round of the loop begins. Returns at once, but in a drill.
    pub async fn pass(&self) {
        let Some(one) = &self.0 else { return };
        one.heard();
        match one.drilled() {
            None => {}
            Some(Drill::Hang) => std::future::pending().await,
            Some(Drill::Panic) => panic!("a drill"),
            Some(Drill::Block) => loop {
                std::thread::park();
            },
        }
    }

    /// Waits for what may take any time through no fault of this loop: the next frame, room in the buffer, the pause
    /// before the next attempt.
    pub async fn during<F: Future>(&self, wait: F) -> F::Output {
        let mut wait = pin!(wait);
        loop {
            self.pass().await;
            tokio::select! {
                biased;
                output = &mut wait => return output,
                () = sleep(WAITING), if self.0.is_some() => {}
            }
        }
    }
}
