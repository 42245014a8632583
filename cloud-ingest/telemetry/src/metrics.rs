//! What telemetry counts: every metric with its cause and what to do about it.

use std::time::Duration;

use metrics::Unit;

use crate::outcome::{Outcome, OutcomeKind, Reason};

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// A distribution.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its kind.
    pub kind: Kind,
    /// What makes it move.
    pub cause: &'static str,
    /// What to do about it.
    pub action: &'static str,
}

const BLOCKS: &str = "telemetry_blocks_total";
const SAMPLES: &str = "telemetry_samples_total";
const QUARANTINED: &str = "telemetry_quarantined_total";
const SKIPPED: &str = "telemetry_quarantine_skipped_total";
const BATCH: &str = "telemetry_batch_seconds";
const RETRIES: &str = "telemetry_retries_total";
const PLACED: &str = "telemetry_placed_blocks_total";

const ROLLED_UP: &str = "telemetry_rolled_up_buckets_total";

/// All metrics of this room.
pub const TABLE: [Metric; 8] = [
    Metric {
        name: BLOCKS,
        labels: &["verdict"],
        kind: Kind::Counter,
        cause: "A delivery was dealt with; verdict: stored, replayed, superseded, quarantined, rejected, refused, columns_needed, not_stored.",
        action: "not_stored grows: the database is in trouble, see telemetry_retries_total. columns_needed keeps growing: a gateway does not send its columns. refused: a revoked gateway is still running.",
    },
    Metric {
        name: SAMPLES,
        labels: &[],
        kind: Kind::Counter,
        cause: "Samples, records and column definitions of blocks that were stored for the first time.",
        action: "It stands still while blocks arrive: look at the verdicts. It is the rate that storage has to be planned for.",
    },
    Metric {
        name: QUARANTINED,
        labels: &["reason"],
        kind: Kind::Counter,
        cause: "A delivery could not be used, and its bytes went to telemetry.quarantine.",
        action: "Read `detail` there. impossible: a decoder or a device is wrong. number_reused: a gateway's disk was copied. wrong_signature, unknown_gateway: register it, or find out who sends. database_refused: a fault of this program; report it. What can be used after a fix is stored by `cloud-ingest quarantine readmit`.",
    },
    Metric {
        name: SKIPPED,
        labels: &["reason"],
        kind: Kind::Counter,
        cause: "So many unusable deliveries came from one gateway that this one was not kept.",
        action: "Take away the sender's right to publish; what was kept shows what it sends.",
    },
    Metric {
        name: BATCH,
        labels: &[],
        kind: Kind::Histogram,
        cause: "Time from receiving a batch of deliveries to the end of its transactions.",
        action: "It grows: more deliveries come at once, or the database is slow; look at its disk and at lock waits.",
    },
    Metric {
        name: RETRIES,
        labels: &["cause"],
        kind: Kind::Counter,
        cause: "A transaction was tried again; cause: conflict (another transaction was in the way), connection (the server went away or is overloaded).",
        action: "connection: is the server up, are there connections left, is its disk full? conflict in great numbers: report it.",
    },
    Metric {
        name: PLACED,
        labels: &[],
        kind: Kind::Counter,
        cause: "Blocks that had waited without wall time were expanded, because their boot learnt the time.",
        action: "None. telemetry.unplaced grows instead (`cloud-ingest gateway unplaced` lists it): gateways have no clock; give them NTP or an RTC.",
    },
    Metric {
        name: ROLLED_UP,
        labels: &[],
        kind: Kind::Counter,
        cause: "Buckets of roll-ups were read again, because samples of theirs had come.",
        action: "It stands still while telemetry.dirty grows: no worker rolls up; is a `cloud-ingest serve` running?",
    },
];

/// Tells the installed recorder what the metrics mean. Call it once after installing one.
pub fn describe() {
    for metric in TABLE {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.cause),
            Kind::Histogram => {
                metrics::describe_histogram!(metric.name, Unit::Seconds, metric.cause);
            }
        }
    }
}

pub(crate) fn outcome(outcome: &Outcome) {
    let verdict = match &outcome.result {
        OutcomeKind::Stored { new: true, samples } => {
            metrics::counter!(SAMPLES).increment(u64::from(*samples));
            "stored"
        }
        OutcomeKind::Stored { new: false, .. } => "replayed",
        OutcomeKind::Superseded { .. } => "superseded",
        OutcomeKind::Quarantined { .. } => "quarantined",
        OutcomeKind::Rejected { .. } => "rejected",
        OutcomeKind::Refused { .. } => "refused",
        OutcomeKind::ColumnsNeeded(_) => "columns_needed",
        OutcomeKind::NotStored { .. } => "not_stored",
    };
    metrics::counter!(BLOCKS, "verdict" => verdict).increment(1);
}

pub(crate) fn quarantined(reason: Reason) {
    metrics::counter!(QUARANTINED, "reason" => reason.name()).increment(1);
}

pub(crate) fn skipped(reason: Reason) {
    metrics::counter!(SKIPPED, "reason" => reason.name()).increment(1);
}

pub(crate) fn batch(took: Duration) {
    metrics::histogram!(BATCH).record(took.as_secs_f64());
}

pub(crate) fn retried(cause: &'static str) {
    metrics::counter!(RETRIES, "cause" => cause).increment(1);
}

pub(crate) fn placed(blocks: u64) {
    metrics::counter!(PLACED).increment(blocks);
}

pub(crate) fn rolled_up(buckets: u64) {
    metrics::counter!(ROLLED_UP).increment(buckets);
}
