//! The metrics of this crate: each with its cause and what to do about it. `telemetry` has its own.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::ingest::queue::Lane;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, in seconds.
    Histogram,
}

/// A metric, as the documentation shows it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What makes it change.
    pub cause: &'static str,
    /// What to do about it.
    pub action: &'static str,
}

const RECEIVED: &str = "patio_mqtt_messages_total";
const RECEIVED_BYTES: &str = "patio_mqtt_bytes_total";
const PUT_OFF: &str = "patio_mqtt_put_off_total";
const CONNECTED: &str = "patio_mqtt_connected";
const LET_GO: &str = "patio_ingest_let_go_total";
const BATCH_SECONDS: &str = "patio_ingest_batch_seconds";
const BATCH_BLOCKS: &str = "patio_ingest_batch_blocks_total";
const QUEUE: &str = "patio_ingest_queue_bytes";
const ANSWERS: &str = "patio_ingest_answers_total";
const RESTARTS: &str = "patio_broker_restarts_total";
const SLOWED: &str = "patio_broker_slowed_total";
const REPLICA: &str = "patio_replica_answers_total";

/// Every metric of this crate.
pub const TABLE: &[Metric] = &[
    Metric {
        name: RECEIVED,
        kind: Kind::Counter,
        cause: "A message came from the broker, by lane (hello, critical, live, bulk).",
        action: "A lane that stands still while gateways are online: see patio_mqtt_connected.",
    },
    Metric {
        name: RECEIVED_BYTES,
        kind: Kind::Counter,
        cause: "Bytes of those messages.",
        action: "Nothing; it tells what the links carry.",
    },
    Metric {
        name: PUT_OFF,
        kind: Kind::Counter,
        cause: "A gateway had ingest.queue_per_gateway waiting already; it sends the message again later.",
        action: "Steady growth: one gateway floods, or the database is too slow for its backlog.",
    },
    Metric {
        name: CONNECTED,
        kind: Kind::Gauge,
        cause: "1 while this connection to the broker stands, 0 while it does not.",
        action: "0 for a minute: /health/ready says why.",
    },
    Metric {
        name: LET_GO,
        kind: Kind::Counter,
        cause: "A block was not stored although the database answered; its gateway sends it again.",
        action: "The log says why; a stream with too many gaps is the usual reason.",
    },
    Metric {
        name: BATCH_SECONDS,
        kind: Kind::Histogram,
        cause: "Time that a batch of blocks took from the queue to COMMIT.",
        action: "Above a second: look at the database's disk and locks.",
    },
    Metric {
        name: BATCH_BLOCKS,
        kind: Kind::Counter,
        cause: "Blocks in those batches, repeated attempts included.",
        action: "Nothing; divided by the number of batches it is their size.",
    },
    Metric {
        name: QUEUE,
        kind: Kind::Gauge,
        cause: "Bytes of blocks that wait in memory or are being written.",
        action: "Near ingest.queue: the database does not keep up, or is away.",
    },
    Metric {
        name: ANSWERS,
        kind: Kind::Counter,
        cause: "An acknowledgement was published, or could not be (sent = \"false\").",
        action: "Unsent ones cost a resend each; many of them: the broker takes nothing.",
    },
    Metric {
        name: RESTARTS,
        kind: Kind::Counter,
        cause: "The embedded broker had died, or did not answer, and was started again.",
        action: "More than a few: use an external broker; the log says what happened.",
    },
    Metric {
        name: SLOWED,
        kind: Kind::Counter,
        cause: "A client of the embedded broker was kept waiting for more than a second of ten, for it publishes faster than mqtt.client_bytes \
            or mqtt.client_messages.",
        action: "Alarm when it grows for an hour: the log names the client. A gateway that was away for long does this for minutes; \
            one that goes on is broken or hostile: take it off the network.",
    },
    Metric {
        name: REPLICA,
        kind: Kind::Counter,
        cause: "A question was answered by the replica.",
        action: "It stands still while there are questions: the log says why the replica is not asked.",
    },
];

/// Installs the recorder and says what each metric is. Once per process.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let steps = [
        0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
    ];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &steps)?
        .install_recorder()?;
    for metric in TABLE {
        let about = format!("{} {}", metric.cause, metric.action);
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, about),
            Kind::Gauge => describe_gauge!(metric.name, about),
            Kind::Histogram => describe_histogram!(metric.name, about),
        }
    }
    Ok(handle)
}

const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Hello => "hello",
        Lane::Critical => "critical",
        Lane::Live => "live",
        Lane::Bulk => "bulk",
    }
}

pub(crate) fn received(lane: Lane, bytes: usize) {
    counter!(RECEIVED, "lane" => lane_name(lane)).increment(1);
    counter!(RECEIVED_BYTES, "lane" => lane_name(lane)).increment(bytes as u64);
}

pub(crate) fn put_off(lane: Lane) {
    counter!(PUT_OFF, "lane" => lane_name(lane)).increment(1);
}

pub(crate) fn link(name: &'static str, up: bool) {
    gauge!(CONNECTED, "connection" => name).set(f64::from(u8::from(up)));
}

pub(crate) fn let_go(blocks: usize) {
    counter!(LET_GO).increment(blocks as u64);
}

pub(crate) fn batch(blocks: usize, took: Duration) {
    histogram!(BATCH_SECONDS).record(took.as_secs_f64());
    counter!(BATCH_BLOCKS).increment(blocks as u64);
}

pub(crate) fn queue(bytes: usize) {
    gauge!(QUEUE).set(bytes as f64);
}

pub(crate) fn answered(sent: bool) {
    counter!(ANSWERS, "sent" => if sent { "true" } else { "false" }).increment(1);
}

pub(crate) fn broker_restarted() {
    counter!(RESTARTS).increment(1);
}

pub(crate) fn slowed() {
    counter!(SLOWED).increment(1);
}

pub(crate) fn replica_answered() {
    counter!(REPLICA).increment(1);
}
