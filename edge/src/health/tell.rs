//! The values of all metrics, now.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counters, process::Process};
use crate::{
    buffer::State,
    clock::{Source, Standing},
    commands,
    control::{Counts, Shown},
    supervise::LoopReport,
    uplink::Report,
};

/// A metric, its labels in the table's order, and its value in steps of the table's resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Its name.
    pub name: &'static str,
    /// The values of its labels.
    pub labels: Vec<String>,
    /// Its value.
    pub steps: i64,
}

/// Everything that metrics are told from.
#[derive(Debug)]
pub struct Sight<'a> {
    /// How long the gateway runs.
    pub up_s: u64,
    /// The process.
    pub process: Process,
    /// The buffer after its latest commit.
    pub buffer: &'a State,
    /// The uplink.
    pub uplink: &'a Report,
    /// Commands.
    pub commands: &'a commands::Counts,
    /// The clock.
    pub clock: Standing,
    /// The loops.
    pub loops: Vec<LoopReport>,
    /// The sources.
    pub counters: &'a Counters,
    /// The depot's limits and what became of orders, if this gateway holds them.
    pub control: Option<(Shown, &'a Counts)>,
}

fn steps(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn loaded(count: &AtomicU64) -> i64 {
    steps(count.load(Ordering::Relaxed))
}

impl Sight<'_> {
    /// All of them.
    pub fn tell(&self) -> Vec<Measured> {
        let mut told = Vec::new();
        let mut put = |name, labels: &[&str], steps| {
            let labels = labels.iter().map(|&label| label.to_owned()).collect();
            told.push(Measured {
                name,
                labels,
                steps,
            });
        };
        put("edge_up_seconds", &[], steps(self.up_s));
        put(
            "edge_process_resident_bytes",
            &[],
            steps(self.process.resident_bytes),
        );
        put(
            "edge_process_cpu_seconds_total",
            &[],
            steps(self.process.cpu_ticks),
        );
        put(
            "edge_disk_free_bytes",
            &[],
            steps(self.process.disk_free_bytes),
        );

        for totals in &self.buffer.totals {
            let stream = totals.stream.name();
            for (state, count) in [
                ("produced", totals.produced),
                ("open", totals.open),
                ("buffered", totals.buffered),
                ("acknowledged", totals.acknowledged),
                ("dropped", totals.dropped),
                ("thinned", totals.thinned),
                ("refused", totals.refused),
                ("damaged", totals.damaged),
            ] {
                put("edge_buffer_samples", &[stream, state], steps(count));
            }
        }
        put(
            "edge_buffer_pending_samples",
            &[],
            steps(self.buffer.pending),
        );
        put("edge_buffer_fsyncs_total", &[], steps(self.buffer.syncs));
        put(
            "edge_buffer_failing",
            &[],
            i64::from(self.buffer.failing.is_some()),
        );

        let uplink = self.uplink;
        put("edge_uplink_connected", &[], i64::from(uplink.connected));
        for (name, count) in [
            ("edge_uplink_connections_total", uplink.connections),
            ("edge_uplink_published_blocks_total", uplink.published),
            ("edge_uplink_resent_blocks_total", uplink.resent),
            ("edge_uplink_in_flight_blocks", uplink.in_flight as u64),
            ("edge_uplink_oversize_blocks_total", uplink.oversize),
            (
                "edge_uplink_refused_publishes_total",
                uplink.refused_publishes,
            ),
            (
                "edge_uplink_refused_messages_total",
                uplink.refused_messages,
            ),
        ] {
            put(name, &[], steps(count));
        }

        put(
            "edge_commands_total",
            &["done"],
            loaded(&self.commands.done),
        );
        put(
            "edge_commands_total",
            &["refused"],
            loaded(&self.commands.refused),
        );
        put("edge_commands_waiting", &[], loaded(&self.commands.waiting));

        let source = match self.clock.source {
            Source::Nobody => 0,
            Source::System => 1,
            Source::Cloud => 2,
        };
        put("edge_clock_source", &[], source);
        put(
            "edge_clock_system_ahead_seconds",
            &[],
            self.clock.system_ahead_us / 1000,
        );

        for one in &self.loops {
            let name = one.name.as_str();
            if let Some(silent) = one.silent_ms {
                put("edge_loop_silent_seconds", &[name], steps(silent));
            }
            put("edge_loop_stuck_total", &[name], steps(one.stuck));
            put("edge_loop_panics_total", &[name], steps(one.panics));
        }

        for (asset, counts) in self.counters.sources() {
            let failing = i64::from(counts.failing.load(Ordering::Relaxed));
            put(
                "edge_source_samples_total",
                &[&asset],
                loaded(&counts.samples),
            );
            put(
                "edge_source_failures_total",
                &[&asset],
                loaded(&counts.failures),
            );
            put("edge_source_failing", &[&asset], failing);
            put(
                "edge_source_missing_signals_total",
                &[&asset],
                loaded(&counts.missing),
            );
        }
        put(
            "edge_samples_not_finite_total",
            &[],
            loaded(&self.counters.not_finite),
        );
        if let Some((shown, counts)) = &self.control {
            limits(shown, counts, &mut put);
        }
        told
    }
}

fn limits(shown: &Shown, counts: &Counts, put: &mut impl FnMut(&'static str, &[&str], i64)) {
    for (name, watts) in [
        ("edge_control_demand_watts", shown.demand),
        ("edge_control_average_watts", shown.average),
        ("edge_control_wanted_watts", shown.wanted),
    ] {
        if let Some(watts) = watts {
            put(name, &[], watts.round() as i64);
        }
    }
    for (state, count) in [
        ("charging", shown.charging),
        ("waiting", shown.waiting),
        ("unheard", shown.unheard),
    ] {
        put("edge_control_stations", &[state], steps(count as u64));
    }
    put("edge_control_signed", &[], i64::from(shown.signed));
    put("edge_control_alarms", &[], steps(shown.alarms.len() as u64));
    for (result, count) in [
        ("kept", &counts.kept),
        ("failed", &counts.failed),
        ("late", &counts.late),
        ("forgotten", &counts.forgotten),
    ] {
        put("edge_control_orders_total", &[result], loaded(count));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shared_protocol::Stream;

    use super::*;
    use crate::{buffer::StreamTotals, health::table};

    /// One of everything that a gateway can have.
    fn told() -> Vec<Measured> {
        let counters = Counters::default();
        counters.source("car-1").failed();
        let totals = Stream::ALL.map(|stream| StreamTotals {
            stream,
            produced: 10,
            open: 1,
            buffered: 2,
            acknowledged: 3,
            dropped: 4,
            thinned: 1,
            refused: 1,
            damaged: 1,
        });
        let buffer = State {
            totals: totals.into(),
            ..State::default()
        };
        let shown = Shown {
            demand: Some(1.0),
            average: Some(1.0),
            wanted: Some(1.0),
            ..Shown::default()
        };
        Sight {
            up_s: 1,
            process: Process::default(),
            buffer: &buffer,
            uplink: &Report::default(),
            commands: &commands::Counts::default(),
            clock: Standing {
                source: Source::System,
                system_ahead_us: 0,
            },
            loops: vec![LoopReport {
                name: "clock".into(),
                silent_ms: Some(1),
                stuck: 0,
                panics: 0,
            }],
            counters: &counters,
            control: Some((shown, &Counts::default())),
        }
        .tell()
    }

    #[test]
    fn what_is_told_is_in_the_table_and_what_is_in_the_table_is_told() {
        let told: BTreeMap<_, _> = told()
            .into_iter()
            .map(|one| (one.name.to_owned(), one.labels.len()))
            .collect();
        let table: BTreeMap<_, _> = table()
            .iter()
            .map(|metric| (metric.name.clone(), metric.labels.len()))
            .collect();
        assert_eq!(told, table);
    }

    /// What the page over HTTP and the samples show of the buffer adds up.
    #[test]
    fn the_counters_of_each_stream_add_up() {
        let told = told();
        for stream in Stream::ALL {
            let of = |state: &str| {
                let labels = [stream.name(), state];
                let found = told
                    .iter()
                    .find(|one| one.name == "edge_buffer_samples" && one.labels == labels);
                found.unwrap().steps
            };
            assert_eq!(
                of("produced"),
                of("open") + of("buffered") + of("acknowledged") + of("dropped")
            );
        }
    }
}
