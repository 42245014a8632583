//! A recorded log played as if it were a bus.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use isotp::Frame;
use vehicles::log::{LogFrame, LogReader};

use super::{BusError, Received};
use crate::clock::Clock;

/// A recording under way.
#[derive(Debug)]
pub struct Replay {
    frames: std::vec::IntoIter<LogFrame>,
    /// Played but not handed out yet: kept when the wait for its instant is dropped.
    next: Option<LogFrame>,
    first_us: Option<u64>,
    began: Instant,
    began_us: i64,
    speed: f64,
}

impl Replay {
    pub(super) async fn open(
        path: &Path,
        bus: Option<u8>,
        speed: f64,
        clock: Arc<Clock>,
    ) -> Result<Self, BusError> {
        let bytes = tokio::fs::read(path)
            .await
            .map_err(BusError::io(path.display().to_string()))?;
        let mut frames = Vec::new();
        let mut bad = 0u64;
        for line in LogReader::new(String::from_utf8_lossy(&bytes).lines()) {
            match line {
                Ok(frame) if bus.is_none_or(|bus| frame.bus == u16::from(bus)) => {
                    frames.push(frame);
                }
                Ok(_) => {}
                Err(error) => {
                    bad += 1;
                    if bad <= 10 {
                        tracing::warn!(file = %path.display(), %error, "a line of the recording is skipped");
                    }
                }
            }
        }
        tracing::info!(file = %path.display(), frames = frames.len(), bad_lines = bad, "recording");
        Ok(Self {
            frames: frames.into_iter(),
            next: None,
            first_us: None,
            began: Instant::now(),
            began_us: clock.tick_us(),
            speed,
        })
    }

    pub(super) async fn receive(&mut self) -> Result<Received, BusError> {
        loop {
            if self.next.is_none() {
                self.next = self.frames.next();
            }
            let Some(logged) = &self.next else {
                return Err(BusError::End);
            };
            // Recordings of several interfaces can step back a little; nothing is before the beginning.
            let since_first = logged
                .time_us
                .saturating_sub(*self.first_us.get_or_insert(logged.time_us));
            let wait = Duration::from_secs_f64(since_first as f64 / 1e6 / self.speed);
            tokio::time::sleep_until((self.began + wait).into()).await;
            let time_us = self.began_us + since_first.cast_signed();
            let Some(logged) = self.next.take() else {
                continue;
            };
            if let Some(frame) = data_frame(&logged) {
                return Ok(Received { time_us, frame });
            }
        }
    }
}

fn data_frame(logged: &LogFrame) -> Option<Frame> {
    if logged.remote || logged.error {
        return None;
    }
    if logged.fd {
        Frame::fd(logged.id, &logged.data)
    } else {
        Frame::classic(logged.id, &logged.data)
    }
    .ok()
}
