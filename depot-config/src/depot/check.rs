//! What is wrong with a depot beyond single keys: ids, references, units, fall-backs.

use std::collections::HashMap;

use config_file::{Fault, Loader, Spans, nearest};
use modbus::map::Kind;

use super::{Depot, circuits::Tree};
use crate::devices::DEVICES;

/// Least current that a charging station may offer, in A (IEC 61851-1, annex A).
const LEAST_CURRENT: f64 = 6.0;
/// More ids than this are not searched for one that may have been meant.
const MOST_SEARCHED: usize = 1000;

/// Everything that is wrong.
pub(super) fn check(depot: &Depot, spans: &Spans) -> Vec<Fault> {
    let mut check = Check {
        depot,
        spans,
        faults: Vec::new(),
    };
    check.ids();
    let circuits = index(depot.circuits.iter().map(|circuit| circuit.id.as_str()));
    let stations = index(depot.stations.iter().map(|station| station.id.as_str()));
    check.stations_known(&stations);
    let tree = Tree::new(&mut check, &circuits);
    tree.check(&mut check);
    let controlled = check.units();
    check.fallbacks(&controlled);
    check.faults
}

pub(super) struct Check<'a> {
    pub(super) depot: &'a Depot,
    spans: &'a Spans,
    faults: Vec<Fault>,
}

/// The place of each id.
pub(super) type Index<'a> = HashMap<&'a str, usize>;

/// Ids of a table with their keys.
fn keyed<T>(table: &str, ids: impl Iterator<Item = T>) -> impl Iterator<Item = (String, T)> {
    ids.enumerate()
        .map(move |(index, id)| (format!("{table}[{index}].id"), id))
}

/// The first place of each id.
fn index<'a>(ids: impl Iterator<Item = &'a str>) -> Index<'a> {
    let mut index = Index::new();
    for (place, id) in ids.enumerate() {
        index.entry(id).or_insert(place);
    }
    index
}

impl Check<'_> {
    pub(super) fn fault(&mut self, key: &str, expected: impl AsRef<str>, found: impl AsRef<str>) {
        let fault = self.spans.fault(key, expected, found);
        self.faults.push(fault);
    }

    fn ids(&mut self) {
        let depot = self.depot;
        let circuits = depot.circuits.iter().map(|circuit| &circuit.id);
        let stations = depot.stations.iter().map(|station| &station.id);
        let meters = depot.meters.iter().map(|meter| &meter.id);
        let parkings = depot.parkings.iter().map(|parking| &parking.id);
        let ids = keyed("circuit", circuits)
            .chain(keyed("station", stations))
            .chain(keyed("meter", meters))
            .chain(keyed("parking", parkings));
        self.faults
            .extend(self.spans.repeated("an id of its own", ids));
        let gateways = keyed("gateway", depot.gateways.iter().map(|gateway| &gateway.id));
        self.faults
            .extend(self.spans.repeated("an id of its own", gateways));
    }

    /// The place of the circuit or station that a key names.
    pub(super) fn reference(
        &mut self,
        what: &str,
        key: &str,
        id: &str,
        known: &Index<'_>,
    ) -> Option<usize> {
        let place = known.get(id).copied();
        if place.is_none() {
            let mut names = Vec::new();
            if known.len() <= MOST_SEARCHED {
                names.extend(known.keys().copied());
                // Of two that are equally near, always the same one.
                names.sort_unstable();
            }
            let hint = match nearest(id, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("no {what} has this id"),
            };
            self.faults.push(
                self.spans
                    .fault(key, format!("the id of a {what}"), format!("`{id}`"))
                    .hint(hint),
            );
        }
        place
    }

    fn stations_known(&mut self, stations: &Index<'_>) {
        for (index, parking) in self.depot.parkings.iter().enumerate() {
            if let Some(station) = &parking.station {
                self.reference(
                    "station",
                    &format!("parking[{index}].station"),
                    station.as_str(),
                    stations,
                );
            }
        }
    }

    /// Checks every unit and its map; tells for each station whether a limit can be written to it.
    fn units(&mut self) -> Vec<bool> {
        let depot = self.depot;
        let stations = depot.stations.iter().enumerate();
        let stations = stations.map(|(index, station)| {
            (
                format!("station[{index}].modbus"),
                station.modbus.as_ref(),
                Kind::Charger,
            )
        });
        let meters = depot.meters.iter().enumerate();
        let meters = meters.map(|(index, meter)| {
            (
                format!("meter[{index}].modbus"),
                Some(&meter.modbus),
                Kind::Meter,
            )
        });
        let units: Vec<_> = stations.chain(meters).collect();
        let keyed = units
            .iter()
            .filter_map(|(key, unit, _)| Some((key.clone(), (*unit)?)));
        self.faults
            .extend(self.spans.repeated("a unit and map of its own", keyed));
        let mut maps = Loader::new(&DEVICES);
        let mut controlled = Vec::new();
        for (key, unit, kind) in units {
            let Some(unit) = unit else {
                controlled.push(false);
                continue;
            };
            if unit.address.is_rtu() && !(1..=247).contains(&unit.unit) {
                let key = format!("{key}.unit");
                self.fault(
                    &key,
                    "a unit from 1 to 247, as on every RTU line",
                    unit.unit.to_string(),
                );
            }
            let key = format!("{key}.map");
            let map = maps.load(&unit.map, &key, self.spans, &mut self.faults);
            let fits = map.as_ref().is_none_or(|map| map.kind == kind);
            if let Some(map) = map.as_ref().filter(|_| !fits) {
                self.fault(
                    &key,
                    format!("the map of a {}", kind_name(kind)),
                    format!("that of a {}", kind_name(map.kind)),
                );
            }
            // A map that is wrong has its own fault; it must not cause one about the fall-back.
            controlled.push(!fits || map.is_none_or(|map| map.control.is_some()));
        }
        controlled
    }

    fn fallbacks(&mut self, controlled: &[bool]) {
        for (index, (station, controlled)) in self.depot.stations.iter().zip(controlled).enumerate()
        {
            let key = format!("station[{index}].fallback_current");
            let fallback = station.fallback_current;
            let found = format!("{} A", amperes(fallback));
            if fallback > station.max_current {
                self.fault(
                    &key,
                    format!(
                        "at most its max_current of {} A",
                        amperes(station.max_current)
                    ),
                    found,
                );
            } else if fallback > 0.0 && fallback < LEAST_CURRENT {
                self.fault(&key, "0 A, or at least 6 A", found);
            } else if !controlled && fallback < station.max_current {
                let expected = format!(
                    "its max_current of {} A, because nothing can limit this station",
                    amperes(station.max_current)
                );
                self.fault(&key, expected, found);
            }
        }
    }
}

/// A current with at most three digits behind the point.
pub(super) fn amperes(current: f64) -> f64 {
    (current * 1000.0).round() / 1000.0
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Meter => "meter",
        Kind::Charger => "charger",
    }
}
