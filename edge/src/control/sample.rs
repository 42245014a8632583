//! A small depot for the tests of this room.

use std::{path::Path, sync::Arc};

use depot_config::depot::Depot;

/// Stations of 32 A with a fall-back of 6 A on one circuit: their ids, and where each is found, as a depot file says it.
pub(super) fn depot(stations: &[(&str, &str)]) -> Arc<Depot> {
    let stations: Vec<String> = stations.iter().map(|(id, at)| station(id, at)).collect();
    let text = format!(
        r#"
        depot = {{ id = "d", name = "D", time_zone = "UTC", latitude = 0.5, longitude = 0.5, voltage_system = "220Y/127" }}
        circuit = [{{ id = "main", breaker = 100 }}]
        {}"#,
        stations.concat()
    );
    let depot = Depot::parse(Path::new("depot.toml"), &text);
    Arc::new(depot.unwrap_or_else(|faults| panic!("{faults}")))
}

fn station(id: &str, found: &str) -> String {
    format!(
        r#"
        [[station]]
        id = "{id}"
        circuit = "main"
        phases = "L1-L2"
        connectors = ["Type 1"]
        max_current = 32
        fallback_current = 6
        {found}
        "#
    )
}
