//! What this crate counts: every metric with its cause and what to do about it.

use telemetry::metrics::{Kind, Metric};

const PACKETS: &str = "teltonika_packets_total";
const TURNED_AWAY: &str = "teltonika_turned_away_total";
const CONNECTIONS: &str = "teltonika_connections";

/// The counters of this crate.
pub const TABLE: [Metric; 2] = [
    Metric {
        name: PACKETS,
        labels: &["verdict"],
        kind: Kind::Counter,
        cause: "A frame or datagram was dealt with; verdict: stored (and acknowledged), message (an answer to a command), refused (its bytes are wrong), not_stored (the database is in trouble).",
        action: "refused: the log names the tracker and what is wrong; one that keeps on sends something that is no codec 8, 8E, 16, 12, 13 or 14. not_stored: see telemetry_retries_total.",
    },
    Metric {
        name: TURNED_AWAY,
        labels: &["reason"],
        kind: Kind::Counter,
        cause: "Somebody was not served; reason: unknown (no device of this IMEI), full (too many at a time), slow (no whole login or frame in time, or silent for too long).",
        action: "unknown: `cloud-ingest device add` registers it, or somebody tries numbers. full: raise teltonika.connections. slow in great numbers: somebody holds connections open.",
    },
];

/// Tells the installed recorder what the metrics mean.
pub fn describe() {
    for metric in TABLE {
        metrics::describe_counter!(metric.name, metric.cause);
    }
    metrics::describe_gauge!(CONNECTIONS, "TCP connections of trackers that stand now.");
}

pub(crate) fn packet(verdict: &'static str) {
    metrics::counter!(PACKETS, "verdict" => verdict).increment(1);
}

pub(crate) fn turned_away(reason: &'static str) {
    metrics::counter!(TURNED_AWAY, "reason" => reason).increment(1);
}

pub(crate) fn connected(change: i8) {
    metrics::gauge!(CONNECTIONS).increment(f64::from(change));
}
