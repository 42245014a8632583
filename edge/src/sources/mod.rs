//! The ways into the depot. A source reads, keeps raw integers with their instant, and hands them to the buffer; when
//! its device or bus goes away it waits, with back-off, and tries again for ever.

pub mod can;
pub mod modbus;
mod obd;
mod state;
pub mod vehicle;

use std::sync::Arc;

use shared_protocol::{AssetKey, Column, SignalDef, Source};
use tokio::sync::watch;

use crate::{
    buffer::{Buffer, Sample},
    clock::Clock,
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
}

/// Turns a decoder's readings, numbered by signal, into samples, numbered by column.
#[derive(Debug)]
struct Emitter {
    buffer: Buffer,
    asset: AssetKey,
    source: Source,
    numbers: Vec<Option<u32>>,
}

impl Emitter {
    fn new(buffer: Buffer, asset: AssetKey, source: Source) -> Self {
        Self {
            buffer,
            asset,
            source,
            numbers: Vec::new(),
        }
    }

    fn sample(&mut self, signal: usize, def: &SignalDef, time_us: i64, raw: i64) -> Sample {
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
        Sample {
            column,
            time_us,
            raw,
        }
    }
}
