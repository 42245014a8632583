//! What the workers count: every metric with its cause and what to do about it.

use std::time::Duration;

use metrics::Unit;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What makes it move.
    pub cause: &'static str,
    /// What to do about it.
    pub action: &'static str,
}

const TAKEN: &str = "jobs_taken_total";
const DONE: &str = "jobs_done_total";
const FAILED: &str = "jobs_failed_total";
const BURIED: &str = "jobs_dead_total";
const ORPHANED: &str = "jobs_orphaned_total";
const SECONDS: &str = "jobs_seconds";
const DEPTH: &str = "jobs_depth";

/// All metrics of this room.
pub const TABLE: [Metric; 7] = [
    Metric {
        name: TAKEN,
        labels: &[],
        cause: "A worker took a job.",
        action: "It stands still while jobs_depth{state=\"waiting\"} grows: is a worker running, and does it know the kinds?",
    },
    Metric {
        name: DONE,
        labels: &["kind"],
        cause: "A job was done and its effect committed.",
        action: "None; it is the rate.",
    },
    Metric {
        name: FAILED,
        labels: &["kind"],
        cause: "An attempt failed and the job waits for the next.",
        action: "last_error in jobs.job says why.",
    },
    Metric {
        name: BURIED,
        labels: &["kind"],
        cause: "A job was given up after its last attempt, or for good.",
        action: "Read reason in jobs.dead, mend the cause, replay.",
    },
    Metric {
        name: ORPHANED,
        labels: &["kind"],
        cause: "A worker died, or gave no sign of life for the time of its lease, while it had the job.",
        action: "Was it killed? Out of memory? Always the same kind: that job kills it.",
    },
    Metric {
        name: SECONDS,
        labels: &["kind"],
        cause: "Time that a transaction or task with its jobs took.",
        action: "Near the kind's timeout: raise it, or split the job.",
    },
    Metric {
        name: DEPTH,
        labels: &["state"],
        cause: "Jobs that are due and wait, that run, that are dead letters. Waiting ones are counted to 100,000.",
        action: "waiting grows: more workers. dead above 0: see jobs_dead_total.",
    },
];

/// Tells the installed recorder what the metrics mean. Call it once after installing one.
pub fn describe() {
    for metric in TABLE {
        match metric.name {
            SECONDS => metrics::describe_histogram!(metric.name, Unit::Seconds, metric.cause),
            DEPTH => metrics::describe_gauge!(metric.name, metric.cause),
            _ => metrics::describe_counter!(metric.name, metric.cause),
        }
    }
}

pub(crate) fn taken(jobs: usize) {
    metrics::counter!(TAKEN).increment(jobs as u64);
}

pub(crate) fn done(kind: &str, jobs: u64) {
    metrics::counter!(DONE, "kind" => kind.to_owned()).increment(jobs);
}

pub(crate) fn failed(kind: &str) {
    metrics::counter!(FAILED, "kind" => kind.to_owned()).increment(1);
}

pub(crate) fn buried(kind: &str) {
    metrics::counter!(BURIED, "kind" => kind.to_owned()).increment(1);
}

pub(crate) fn orphaned(kind: &str) {
    metrics::counter!(ORPHANED, "kind" => kind.to_owned()).increment(1);
}

pub(crate) fn took(kind: &str, time: Duration) {
    metrics::histogram!(SECONDS, "kind" => kind.to_owned()).record(time.as_secs_f64());
}

pub(crate) fn depth(waiting: i64, running: i64, dead: i64) {
    for (state, jobs) in [("waiting", waiting), ("running", running), ("dead", dead)] {
        metrics::gauge!(DEPTH, "state" => state).set(jobs as f64);
    }
}
