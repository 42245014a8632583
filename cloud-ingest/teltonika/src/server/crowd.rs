//! Who is connected: one connection for each tracker, the latest.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A connection's place among the others.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    device: i32,
    number: u64,
    /// Another connection of the same tracker has come.
    pub(super) replaced: CancellationToken,
    /// Commands wait.
    pub(super) bell: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct Crowd {
    seats: Mutex<HashMap<i32, Seat>>,
    next: AtomicU64,
}

impl Crowd {
    fn seats(&self) -> MutexGuard<'_, HashMap<i32, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of a tracker; whoever had it is told to go.
    pub(super) fn enter(&self, device: i32) -> Seat {
        let seat = Seat {
            device,
            number: self.next.fetch_add(1, Ordering::Relaxed),
            replaced: CancellationToken::new(),
            bell: Arc::default(),
        };
        if let Some(old) = self.seats().insert(device, seat.clone()) {
            old.replaced.cancel();
        }
        seat
    }

    /// Gives a place back, unless somebody else has it.
    pub(super) fn leave(&self, seat: &Seat) {
        let mut seats = self.seats();
        if seats
            .get(&seat.device)
            .is_some_and(|held| held.number == seat.number)
        {
            seats.remove(&seat.device);
        }
    }

    /// Rings at a tracker's connection.
    pub(super) fn call(&self, device: i32) {
        if let Some(seat) = self.seats().get(&device) {
            seat.bell.notify_one();
        }
    }
}
