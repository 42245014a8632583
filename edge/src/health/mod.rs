//! What the gateway tells about itself. Every metric stands in `edge/metrics.toml` with its cause and what to do about it;
//! tests compare that table with what is told, both ways. Metrics are samples like any other, of the asset `gateway`: they
//! outlive an outage in the buffer and arrive in their order.
//!
//! | file | what it is |
//! |---|---|
//! | `table` | the table, and the page for people made of it |
//! | `tell` | the values of all metrics, now |
//! | `keep` | the loop that makes samples of them |
//! | `page` | the same over HTTP on this machine, in Prometheus' text format |

mod keep;
mod page;
mod process;
mod table;
mod tell;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

pub use keep::{ASSET, EVERY, keep};
pub use page::serve;
pub use process::Process;
pub use table::{Kind, Metric, markdown, table};
pub use tell::{Measured, Sight};

/// What is counted about one source.
#[derive(Debug, Default)]
pub struct SourceCounts {
    /// Samples read.
    pub samples: AtomicU64,
    /// Failures of its bus or device.
    pub failures: AtomicU64,
    /// Signals that frames or answers were too short for.
    pub missing: AtomicU64,
    /// The last thing heard of it was a failure.
    pub failing: AtomicBool,
}

impl SourceCounts {
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn missing(&self, signals: u64) {
        self.missing.fetch_add(signals, Ordering::Relaxed);
    }

    pub(crate) fn works(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }
}

/// What sources count.
#[derive(Debug, Default)]
pub struct Counters {
    /// Readings that are no number.
    pub not_finite: AtomicU64,
    sources: Mutex<BTreeMap<String, Arc<SourceCounts>>>,
}

impl Counters {
    /// The counts of a source, the same ones at each start of its loop.
    pub fn source(&self, asset: &str) -> Arc<SourceCounts> {
        self.lock().entry(asset.to_owned()).or_default().clone()
    }

    /// All sources by their asset.
    pub fn sources(&self) -> BTreeMap<String, Arc<SourceCounts>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<SourceCounts>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
