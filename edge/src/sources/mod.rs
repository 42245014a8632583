//! The ways into the depot (1 of the way of a sample). A source reads, keeps raw integers with their instant, and hands them to the buffer; when
//! its device or bus goes away it waits, with back-off, and tries again for ever.

pub mod can;
pub mod dongles;
mod duty;
mod freeze;
mod merge;
pub mod modbus;
mod obd;
mod observe;
pub mod ocpp;
pub(crate) mod orders;
pub mod scan;
mod state;
pub mod vehicle;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use ::ocpp::Now;
use jiff::Timestamp;
use shared_protocol::{AssetKey, Column, Encoding, SignalDef, Source};
use tokio::sync::watch;

pub use orders::Letterbox;

use crate::{
    buffer::{Buffer, Sample, Stopped},
    clock::Clock,
    control::Control,
    health::{Counters, SourceCounts},
    supervise::Beat,
    transactions::Bookkeeper,
};

/// What every source works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where samples go.
    pub buffer: Buffer,
    /// Whose instants they carry.
    pub clock: Arc<Clock>,
    /// Turns true when the gateway stops.
    pub stop: watch::Receiver<bool>,
    /// Where they count.
    pub counters: Arc<Counters>,
    /// Whoever holds the depot's limits, if that is this gateway.
    pub control: Option<Arc<Control>>,
    /// Whoever has the book of charging transactions, if there are any.
    pub keeper: Option<Arc<Bookkeeper>>,
}

impl Context {
    /// The instant for what takes time as an argument; its own time began at `began`.
    fn now(&self, began: Instant) -> Now {
        let wall = |us: i64| Timestamp::from_microsecond(us).ok();
        let least = i64::try_from(self.clock.for_tls().as_micros()).unwrap_or(i64::MAX);
        Now {
            mono: began.elapsed(),
            wall: self.clock.wall_us().and_then(wall),
            least: wall(least).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Hands samples to the buffer, and waits while it is behind.
    async fn push(
        &self,
        samples: Vec<Sample>,
        counts: &SourceCounts,
        beat: &Beat,
    ) -> Result<(), Stopped> {
        if samples.is_empty() {
            return Ok(());
        }
        let count = samples.len() as u64;
        beat.during(self.buffer.push(samples)).await?;
        counts.samples.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}

/// Turns a decoder's readings, numbered by signal, into samples, numbered by column.
#[derive(Debug)]
struct Emitter {
    buffer: Buffer,
    asset: AssetKey,
    source: Source,
    numbers: Vec<Option<u32>>,
    counters: Arc<Counters>,
}

impl Emitter {
    fn new(context: &Context, asset: AssetKey, source: Source) -> Self {
        Self {
            buffer: context.buffer.clone(),
            asset,
            source,
            numbers: Vec::new(),
            counters: context.counters.clone(),
        }
    }

    /// Step 1: a reading becomes a sample. One that is no number (an IEEE 754 infinity or NaN, by which devices say that they
    /// have no value) is counted and left out: it would make its whole block impossible.
    fn sample(&mut self, signal: usize, def: &SignalDef, time_us: i64, raw: i64) -> Option<Sample> {
        if def.encoding == Encoding::Float && !def.encoding.value(raw).is_finite() {
            self.counters.not_finite.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if self.numbers.len() <= signal {
            self.numbers.resize(signal + 1, None);
        }
        let column = *self.numbers[signal].get_or_insert_with(|| {
            let column = Column {
                asset: self.asset.clone(),
                source: self.source,
                def: def.clone(),
            };
            self.buffer.columns().number(&column)
        });
        Some(Sample {
            column,
            time_us,
            raw,
        })
    }
}

#[cfg(test)]
mod tests {
    use shared_protocol::{SignalRef, SigningKey};

    use super::*;
    use crate::buffer::Options;

    #[tokio::test]
    async fn what_is_no_number_is_counted_and_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Clock::start().unwrap());
        let options = Options {
            folder: folder.path().to_owned(),
            quota: 1 << 20,
            gateway: "depot-1".parse().unwrap(),
            key: SigningKey::from_seed([5; 32]),
        };
        let context = Context {
            buffer: Buffer::open(options, clock.clone()).unwrap(),
            clock,
            stop: watch::channel(false).1,
            counters: Arc::default(),
            control: None,
            keeper: None,
        };
        let mut emitter = Emitter::new(&context, "car-1".parse().unwrap(), Source::Can);
        let def = |encoding| SignalDef {
            signal: SignalRef::Named {
                name: "Torque".into(),
                unit: "Nm".into(),
            },
            encoding,
        };
        let mut kept = |encoding, raw| emitter.sample(0, &def(encoding), 0, raw).is_some();
        let bits = |value: f64| value.to_bits().cast_signed();
        for value in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!kept(Encoding::Float, bits(value)), "{value}");
        }
        for value in [0.0, -0.0, f64::MAX, f64::MIN_POSITIVE / 2.0] {
            assert!(kept(Encoding::Float, bits(value)), "{value}");
        }
        // The same bits are an ordinary number elsewhere.
        assert!(kept(Encoding::PLAIN, bits(f64::NAN)));
        assert_eq!(context.counters.not_finite.load(Ordering::Relaxed), 4);
    }
}
