//! The loop that makes samples of the metrics.

use std::{collections::HashMap, sync::Arc, time::Duration};

use shared_protocol::{AssetKey, Column, Decimal, Encoding, SignalDef, SignalRef, Source};
use tokio::time::MissedTickBehavior;

use super::{Measured, table};
use crate::{
    buffer::{Buffer, Sample, Stopped},
    clock::Clock,
    supervise::Beat,
};

/// The key of the asset that the metrics are of: the gateway itself.
pub const ASSET: &str = "gateway";
/// How often the metrics become samples, unless somebody wants it otherwise.
pub const EVERY: Duration = Duration::from_secs(60);

/// Tells all metrics so often, from the start on, until the buffer has stopped.
pub async fn keep(
    every: Duration,
    tell: Arc<dyn Fn() -> Vec<Measured> + Send + Sync>,
    clock: Arc<Clock>,
    buffer: Buffer,
    beat: Beat,
) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut columns = Columns::default();
    loop {
        beat.during(tick.tick()).await;
        let (time_us, told) = (clock.tick_us(), tell());
        let samples = columns.samples(&buffer, time_us, told);
        if let Err(Stopped) = beat.during(buffer.push(samples)).await {
            return;
        }
    }
}

/// The columns of metrics, by name and labels.
#[derive(Default)]
struct Columns(HashMap<(&'static str, Vec<String>), u32>);

impl Columns {
    fn samples(&mut self, buffer: &Buffer, time_us: i64, told: Vec<Measured>) -> Vec<Sample> {
        let sample = |one: Measured| {
            let key = (one.name, one.labels);
            let column = match self.0.get(&key) {
                Some(&column) => column,
                None => {
                    let column = buffer.columns().number(&column(key.0, &key.1)?);
                    self.0.insert(key, column);
                    column
                }
            };
            Some(Sample {
                column,
                time_us,
                raw: one.steps,
            })
        };
        told.into_iter().filter_map(sample).collect()
    }
}

/// The column of a metric; `None` when the table does not have it.
fn column(name: &str, labels: &[String]) -> Option<Column> {
    let metric = table().iter().find(|metric| metric.name == name)?;
    let asset: AssetKey = ASSET.parse().ok()?;
    let mut signal = name.to_owned();
    for label in labels {
        signal.push('.');
        signal.push_str(label);
    }
    Some(Column {
        asset,
        source: Source::Gateway,
        def: SignalDef {
            signal: SignalRef::Named {
                name: signal,
                unit: metric.unit.clone(),
            },
            encoding: Encoding::Scaled {
                scale: metric.resolution,
                offset: Decimal::ZERO,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_becomes_a_signal_of_the_gateway() {
        let labels = ["live".to_owned(), "buffered".to_owned()];
        let column = column("edge_buffer_samples", &labels).unwrap();
        assert_eq!(column.asset.as_str(), "gateway");
        assert_eq!(
            column.def.signal.name(),
            "edge_buffer_samples.live.buffered"
        );
        assert!(super::column("edge_unknown", &[]).is_none());
    }
}
