//! Starting a loop again.

use std::{future::Future, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{Beat, Spec, Supervisor};
use crate::{
    stopped,
    uplink::{Backoff, jitter},
};

/// The pause before a loop is started again. With a deadline of 20 s and the look each second it stands still for 30 s at
/// most, the first times.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
/// A loop that ran for so long has got over what ailed it.
const WELL: Duration = Duration::from_secs(60);

/// A loop that is kept running: to be polled until it has come to its end or the gateway stops.
pub trait Keeping: Future<Output = ()> + Send + 'static {}
impl<F: Future<Output = ()> + Send + 'static> Keeping for F {}

impl Supervisor {
    /// Keeps a loop running until it comes to its end by itself, or `stop` turns true. `make` makes it, each time anew; it
    /// has to say by its [`Beat`] that it moves.
    pub fn keep<M, F>(
        &self,
        spec: Spec,
        mut stop: watch::Receiver<bool>,
        mut make: M,
    ) -> impl Keeping + use<M, F>
    where
        M: FnMut(Beat) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let farewell = spec.farewell;
        let one = self.take_on(spec);
        async move {
            let mut pauses = Backoff::new(PAUSE.0, PAUSE.1);
            loop {
                let began = Instant::now();
                let mut task = AbortOnDropHandle::new(tokio::spawn(make(Beat::of(one.clone()))));
                one.begins(task.abort_handle());
                let ended = tokio::select! {
                    ended = &mut task => ended,
                    () = stopped(&mut stop) => {
                        // Whoever waits for us may rely on it: when we are gone, it is gone.
                        if tokio::time::timeout(farewell, &mut task).await.is_err() {
                            task.abort();
                            let _ = task.await;
                        }
                        Ok(())
                    }
                };
                match ended {
                    Ok(()) => break,
                    Err(error) if error.is_panic() => {
                        one.panicked();
                        tracing::error!(name = one.spec.name, %error, "a loop has panicked; it is started again");
                    }
                    // Somebody who ends tasks without us ends the runtime.
                    Err(_) if !one.was_stuck() => break,
                    Err(_) => {}
                }
                one.rests();
                if began.elapsed() > WELL {
                    pauses.reset();
                }
                tokio::select! {
                    () = tokio::time::sleep(pauses.wait(jitter())) => {}
                    () = stopped(&mut stop) => break,
                }
            }
            one.is_done();
        }
    }
}
