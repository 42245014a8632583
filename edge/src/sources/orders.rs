//! What a vehicle is ordered to do: the cloud's signed command comes through here, and nothing else changes anything in a
//! vehicle. Whoever orders waits for the answer; an order that nobody waits for any more is not carried out.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

/// So long an order waits for the vehicle to have stood still for a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// What became of an order, or why nothing did.
pub(crate) type Answer = Result<(), String>;

/// To have the vehicle's computers forget their trouble codes.
#[derive(Debug)]
pub(super) struct Order {
    answer: oneshot::Sender<Answer>,
}

impl Order {
    /// Whether somebody waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    pub(super) fn answer(self, answer: Answer) {
        // Whoever has stopped waiting has answered by themselves.
        let _ = self.answer.send(answer);
    }
}

/// Where orders for one vehicle are put.
#[derive(Clone, Debug, Default)]
pub struct Letterbox(Arc<Mutex<Option<Order>>>);

impl Letterbox {
    fn slot(&self) -> MutexGuard<'_, Option<Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has trouble codes cleared.
    pub(crate) async fn clear_codes(&self) -> Answer {
        let (answer, answered) = oneshot::channel();
        *self.slot() = Some(Order { answer });
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            // Another one took its place, or the vehicle's loop was started again.
            Ok(Err(_)) => Err(
                "it was interrupted: see whether the codes are gone, and order it again".to_owned(),
            ),
            Err(_) => {
                let taken = self.slot().take().is_none();
                Err(if taken {
                    "the vehicle has not stood still for a minute, or does not say its speed"
                        .to_owned()
                } else {
                    "the vehicle is not there".to_owned()
                })
            }
        }
    }

    /// The order that waits, if somebody waits for it.
    pub(super) fn take(&self) -> Option<Order> {
        self.slot().take().filter(Order::is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of an order of which the vehicle does this.
    async fn ordered(does: impl FnOnce(Order) + Send + 'static) -> Answer {
        let letterbox = Letterbox::default();
        let vehicle = letterbox.clone();
        tokio::spawn(async move {
            loop {
                if let Some(order) = vehicle.take() {
                    return does(order);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        letterbox.clear_codes().await
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_is_answered_or_refused() {
        assert_eq!(ordered(|order| order.answer(Ok(()))).await, Ok(()));
        let moved = ordered(|order| order.answer(Err("it moves".to_owned())));
        assert_eq!(moved.await, Err("it moves".to_owned()));
        let why = ordered(drop).await.unwrap_err();
        assert!(why.starts_with("it was interrupted"), "{why}");
        // Held for longer than anybody waits.
        let (keep, kept) = std::sync::mpsc::sync_channel(1);
        let why = ordered(move |order| keep.send(order).unwrap()).await;
        assert!(why.unwrap_err().contains("has not stood still"));
        assert!(!kept.recv().unwrap().is_wanted());
        let nobody = Letterbox::default();
        let why = nobody.clear_codes().await.unwrap_err();
        assert_eq!(why, "the vehicle is not there");
        assert!(nobody.take().is_none());
    }
}
