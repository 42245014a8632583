//! What changed between two depots.

use std::path::Path;

use depot_config::{depot::Depot, diff::diff};

fn depot(text: &str) -> Depot {
    Depot::parse(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/depots/demo.toml")),
        text,
    )
    .unwrap()
}

#[test]
fn changes_are_told_by_key() {
    let text = include_str!("../../depots/demo.toml");
    let old = depot(text);
    let new = text
        .replace("target = 95\n", "")
        .replacen("breaker = 125", "breaker = 150", 1)
        .replacen(
            "max_current = 32\n",
            "max_current = 32\nmin_current = 8\n",
            1,
        )
        .replacen(
            "connectors = [\"Type 1\"]",
            "connectors = [\"Type 1\", \"NACS\"]",
            1,
        )
        .replacen(
            "name = \"matutino\"\nleaves",
            "name = \"temprano\"\nleaves",
            1,
        )
        .replace("[[parking]]\nid = \"p-20\"\nstation = \"station-20\"\n", "");
    let changes: Vec<_> = diff(&old, &depot(&new))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        changes,
        [
            "- contract.target: 95 kW",
            "~ circuit[panel-a].breaker: 125 A → 150 A",
            "~ station[station-01].connectors: [\"Type 1\"] → [\"Type 1\", \"NACS\"]",
            "~ station[station-01].min_current: 6 A → 8 A",
            "- parking[p-20]: { connector = 1, id = \"p-20\", station = \"station-20\" }",
            "- shift[matutino]: { days = [\"monday\", \"tuesday\", \"wednesday\", \"thursday\", \"friday\"], leaves = \"05:30\", name = \"matutino\", on_holidays = false, returns = \"14:00\", vehicles = 16 }",
            "+ shift[temprano]: { days = [\"monday\", \"tuesday\", \"wednesday\", \"thursday\", \"friday\"], leaves = \"05:30\", name = \"temprano\", on_holidays = false, returns = \"14:00\", vehicles = 16 }",
        ]
    );
}

#[test]
fn order_and_defaults_are_no_changes() {
    let old = depot(include_str!("../../depots/demo.toml"));
    let mut other = old.clone();
    other.stations.reverse();
    other.circuits.reverse();
    assert_eq!(diff(&old, &other), []);
    let written = include_str!("../../depots/demo.toml").replace(
        "max_current = 32\n",
        "max_current = 32.0\nmin_current = 6\n",
    );
    assert_eq!(diff(&old, &depot(&written)), []);
}
