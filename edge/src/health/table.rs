//! The table of metrics, `edge/metrics.toml`.

use std::{fmt::Write as _, sync::LazyLock};

use shared_protocol::Decimal;

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only grows, from 0 at each start.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// Its name in Prometheus' text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// A metric.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The unit of its values; `1` for counts and states.
    pub unit: String,
    /// One step of its integer, in the unit.
    pub resolution: Decimal,
    /// What it is told apart by.
    pub labels: Vec<String>,
    /// What makes it move.
    pub cause: String,
    /// What to do about it.
    pub action: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    metric: Vec<Metric>,
}

/// All metrics of the gateway.
pub fn table() -> &'static [Metric] {
    static TABLE: LazyLock<Vec<Metric>> = LazyLock::new(|| {
        let file: File = toml::from_str(include_str!("../../metrics.toml"))
            .expect("the shipped table is checked by a test");
        file.metric
    });
    &TABLE
}

/// The page for people: `edge/METRICS.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# What a gateway tells about itself\n\nMade from `edge/metrics.toml` by `edge metrics`.\n",
    );
    for metric in table() {
        let labels = match &metric.labels[..] {
            [] => String::new(),
            labels => format!(", by {}", labels.join(" and ")),
        };
        let unit = match metric.unit.as_str() {
            "1" => String::new(),
            unit => format!(", in {unit}"),
        };
        let _ = write!(
            page,
            "\n## {}\n\n{}{unit}{labels}.\n\n- **Cause:** {}\n- **What to do:** {}\n",
            metric.name,
            match metric.kind {
                Kind::Counter => "Counter",
                Kind::Gauge => "Gauge",
            },
            metric.cause,
            metric.action,
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own_a_cause_and_an_action() {
        let mut names = std::collections::HashSet::new();
        for metric in table() {
            assert!(names.insert(&metric.name), "{} twice", metric.name);
            assert!(metric.name.starts_with("edge_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{}",
                metric.name
            );
            for text in [&metric.cause, &metric.action, &metric.unit] {
                assert!(!text.trim().is_empty(), "{}", metric.name);
            }
            assert!(metric.resolution.mantissa() > 0, "{}", metric.name);
        }
    }

    #[test]
    fn the_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
        let there = std::fs::read_to_string(path).unwrap();
        assert!(
            there == markdown(),
            "edge/METRICS.md is not what edge/metrics.toml says: cargo run -p edge -- metrics > edge/METRICS.md"
        );
    }
}
