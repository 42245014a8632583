//! The single-line diagram of a depot: for the terminal, and as SVG.

mod svg;
mod terminal;

use std::collections::HashMap;

use shared_protocol::AssetKey;

use crate::depot::{Circuit, Depot, Meter, Station, Transformer};

pub use svg::svg;
pub use terminal::terminal;

/// What hangs on each circuit, in the order of the file.
pub(crate) struct Tree<'d> {
    depot: &'d Depot,
    children: HashMap<&'d AssetKey, Vec<&'d Circuit>>,
    stations: HashMap<&'d AssetKey, Vec<&'d Station>>,
    meters: HashMap<&'d AssetKey, Vec<&'d Meter>>,
    parkings: HashMap<&'d AssetKey, Vec<&'d AssetKey>>,
}

impl<'d> Tree<'d> {
    pub(crate) fn new(depot: &'d Depot) -> Self {
        let mut tree = Self {
            depot,
            children: HashMap::new(),
            stations: HashMap::new(),
            meters: HashMap::new(),
            parkings: HashMap::new(),
        };
        for circuit in &depot.circuits {
            if let Some(parent) = &circuit.parent {
                tree.children.entry(parent).or_default().push(circuit);
            }
        }
        for station in &depot.stations {
            tree.stations
                .entry(&station.circuit)
                .or_default()
                .push(station);
        }
        for meter in &depot.meters {
            tree.meters.entry(&meter.circuit).or_default().push(meter);
        }
        for parking in &depot.parkings {
            if let Some(station) = &parking.station {
                tree.parkings.entry(station).or_default().push(&parking.id);
            }
        }
        tree
    }

    /// Circuits at the supply.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &'d Circuit> {
        let circuits = self.depot.circuits.iter();
        circuits.filter(|circuit| circuit.parent.is_none())
    }

    pub(crate) fn children(&self, circuit: &Circuit) -> &[&'d Circuit] {
        self.children.get(&circuit.id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn stations(&self, circuit: &Circuit) -> &[&'d Station] {
        self.stations.get(&circuit.id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn meters(&self, circuit: &Circuit) -> Vec<&'d str> {
        let meters = self.meters.get(&circuit.id).into_iter().flatten();
        meters.map(|meter| meter.id.as_str()).collect()
    }

    /// The parking places that a station's cables reach.
    pub(crate) fn parkings(&self, station: &Station) -> String {
        let parkings = self.parkings.get(&station.id).into_iter().flatten();
        parkings.map(|id| id.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// What the utility delivers, in a line.
pub(crate) fn supply(depot: &Depot) -> String {
    match &depot.contract {
        Some(contract) => {
            let wanted = contract
                .target
                .map_or(String::new(), |target| format!(", wanted {target} kW"));
            format!(
                "{} · {} · contract {} kW{wanted}",
                contract.tariff, contract.division, contract.demand
            )
        }
        None => "supply".to_owned(),
    }
}

pub(crate) fn transformer(transformer: &Transformer) -> String {
    format!(
        "{} kVA {:?} {} V",
        transformer.power,
        transformer.connection,
        transformer.voltage_system.text()
    )
}

/// Id, breaker and phases of a circuit.
pub(crate) fn circuit(circuit: &Circuit) -> String {
    let full = if circuit.rated_100_percent {
        " 100 %"
    } else {
        ""
    };
    format!(
        "{} {} A{full} {}",
        circuit.id, circuit.breaker, circuit.phases
    )
}

/// What limits a circuit besides its breaker; may be empty.
pub(crate) fn limits(circuit: &Circuit) -> String {
    let mut parts = Vec::new();
    if let Some(limits) = &circuit.phase_limits {
        let limits: Vec<_> = limits.iter().map(f64::to_string).collect();
        parts.push(format!("at most {} A", limits.join("/")));
    }
    if let Some(limit) = circuit.neutral_limit {
        parts.push(format!("neutral at most {limit} A"));
    }
    if circuit.reserved > 0.0 {
        parts.push(format!("{} A reserved", circuit.reserved));
    }
    parts.join(", ")
}

/// Id, connectors and currents of a station: its most, and what it falls back to.
pub(crate) fn station(station: &Station) -> String {
    let connectors: Vec<_> = station.connectors.iter().map(|c| c.text()).collect();
    format!(
        "{} {} {} A, alone {} A",
        station.id,
        connectors.join("+"),
        station.max_current,
        station.fallback_current
    )
}
