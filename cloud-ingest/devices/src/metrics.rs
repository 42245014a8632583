//! What this room counts: every metric with its cause and what to do about it.

use telemetry::metrics::{Kind as Sort, Metric};

use crate::{Kind, Record, Stored, Why};

const RECORDS: &str = "devices_records_total";
const UNREAD: &str = "devices_unread_values_total";
const UNREADABLE: &str = "devices_unreadable_messages_total";

/// All metrics of this room.
pub const TABLE: [Metric; 3] = [
    Metric {
        name: RECORDS,
        labels: &["kind", "verdict"],
        kind: Sort::Counter,
        cause: "A record of a device was dealt with; verdict: stored, again (it was stored before), refused (it cannot be true, or comes too late).",
        action: "again grows like stored: acknowledgements do not reach devices. refused: devices.refused has the record and the reason; mostly a clock that is wrong.",
    },
    Metric {
        name: UNREAD,
        labels: &["reason"],
        kind: Sort::Counter,
        cause: "A value of a stored record was not stored; reason: unmapped (no list says what it means), impossible.",
        action: "devices.unread says which: put what is worth having into avl.toml, geotab.toml or json.toml; what is impossible is mostly a device's word for `not available`.",
    },
    Metric {
        name: UNREADABLE,
        labels: &["kind"],
        kind: Sort::Counter,
        cause: "A message of a registered device could not be read; nothing of it is stored.",
        action: "devices.refused has it (reason unreadable, the first thousand of each device) with what is wrong: the device's program has to be put right.",
    },
];

/// Tells the installed recorder what the metrics mean.
pub fn describe() {
    for metric in TABLE {
        metrics::describe_counter!(metric.name, metric.cause);
    }
}

pub(crate) fn stored(records: &[Record], stored: Stored) {
    let Some(first) = records.first() else {
        return;
    };
    let kind = first.device.kind.word();
    for (verdict, count) in [
        ("stored", stored.new),
        ("again", stored.again),
        ("refused", stored.refused),
    ] {
        metrics::counter!(RECORDS, "kind" => kind, "verdict" => verdict).increment(count);
    }
}

pub(crate) fn unread(why: Why) {
    metrics::counter!(UNREAD, "reason" => why.word()).increment(1);
}

pub(crate) fn unreadable(kind: Kind) {
    metrics::counter!(UNREADABLE, "kind" => kind.word()).increment(1);
}
