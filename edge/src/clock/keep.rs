//! The loop that follows the time of day.

use std::{sync::Arc, time::Duration};

use shared_protocol::Record;
use tokio::time::Instant;

use super::Clock;
use crate::{buffer::Buffer, supervise::Beat};

const EVERY: Duration = Duration::from_secs(1);
/// The time is written to the card this often, and when the gateway stops.
const SAVE_EVERY: Duration = Duration::from_secs(3600);
/// An offset that moves by less is not worth a record.
const WORTH_US: i64 = 1_000_000;

/// Says in a record when the time of day is learnt or moves, and saves it now and then.
pub async fn keep(clock: Arc<Clock>, buffer: Buffer, beat: Beat) {
    let mut told: Option<i64> = None;
    let mut saved = Instant::now();
    loop {
        beat.pass().await;
        if let Some(offset) = clock.wall_offset_us()
            && told.is_none_or(|told| (offset - told).abs() >= WORTH_US)
        {
            let source = clock.standing().source;
            tracing::info!(?source, offset_us = offset, "the time of day is known");
            let payload =
                serde_json::json!({ "source": source, "offset_us": offset, "before_us": told });
            let record = Record {
                time_us: clock.now_us(),
                asset: None,
                kind: "clock.set".into(),
                payload: payload.to_string(),
            };
            if beat.during(buffer.record(record)).await.is_err() {
                return;
            }
            told = Some(offset);
        }
        if saved.elapsed() >= SAVE_EVERY {
            saved = Instant::now();
            if let Err(error) = clock.save() {
                tracing::warn!(%error, "the time cannot be saved");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
