//! What is wrong with a depot beyond single keys: ids, references, units, fall-backs.

use std::collections::HashMap;

use config_file::{Fault, Loader, Spans, nearest};
use modbus::map::{DeviceMap, Kind};

use super::{Connector, Depot, Named, billing, circuits::Tree};
use crate::{devices::DEVICES, tariff::HOLIDAYS};

/// No place is farther than this from the meridian of its standard time, in hours (western China: 3.2).
const FARTHEST_ZONE: f64 = 3.5;
/// More ids than this are not searched for one that may have been meant.
const MOST_SEARCHED: usize = 1000;

/// Everything that is wrong, and what the file names.
pub(super) fn check(depot: &Depot, spans: &Spans) -> (Vec<Fault>, Named) {
    let mut check = Check {
        depot,
        spans,
        faults: Vec::new(),
    };
    check.ids();
    check.place();
    let circuits = index(depot.circuits.iter().map(|circuit| circuit.id.as_str()));
    let stations = index(depot.stations.iter().map(|station| station.id.as_str()));
    check.stations_known(&stations);
    check.gateways();
    let tree = Tree::new(&mut check, &circuits);
    tree.check(&mut check);
    let mut loader = Loader::new(&DEVICES);
    let controlled = check.units(&mut loader);
    check.stations();
    check.switching();
    check.fallbacks(&controlled);
    check.all_stop();
    check.work();
    let mut named = billing::check(&mut check);
    if let Some(name) = &depot.site.holiday_calendar {
        let key = "depot.holiday_calendar";
        named.holidays = Loader::new(&HOLIDAYS).load(name, key, spans, &mut check.faults);
    }
    (check.faults, named)
}

pub(super) struct Check<'a> {
    pub(super) depot: &'a Depot,
    pub(super) spans: &'a Spans,
    pub(super) faults: Vec<Fault>,
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
        let depot = self.depot;
        for (index, parking) in depot.parkings.iter().enumerate() {
            let Some(id) = &parking.station else { continue };
            let key = format!("parking[{index}].station");
            let place = self.reference("station", &key, id.as_str(), stations);
            let connectors = place.map_or(usize::MAX, |p| depot.stations[p].connectors.len());
            if usize::from(parking.connector) > connectors {
                self.fault(
                    &format!("parking[{index}].connector"),
                    format!("a connector of station `{id}`, which has {connectors}"),
                    parking.connector.to_string(),
                );
            }
        }
        let plugs = depot
            .parkings
            .iter()
            .enumerate()
            .filter_map(|(index, parking)| {
                let station = parking.station.as_ref()?;
                Some((
                    format!("parking[{index}].station"),
                    (station, parking.connector),
                ))
            });
        let repeated = self.spans.repeated("a connector of its own", plugs);
        self.faults.extend(repeated);
    }

    /// Where there are several gateways, every station and meter says whose it is.
    fn gateways(&mut self) {
        let depot = self.depot;
        let known = index(depot.gateways.iter().map(|gateway| gateway.id.as_str()));
        let stations = depot.stations.iter().enumerate();
        let stations = stations.map(|(i, s)| (format!("station[{i}].gateway"), &s.gateway));
        let meters = depot.meters.iter().enumerate();
        let meters = meters.map(|(i, m)| (format!("meter[{i}].gateway"), &m.gateway));
        for (key, gateway) in stations.chain(meters) {
            match gateway {
                Some(id) => {
                    self.reference("gateway", &key, id.as_str(), &known);
                }
                None if known.len() > 1 => {
                    let expected = "the id of a gateway, because there are several";
                    self.fault(&key, expected, "none");
                }
                None => {}
            }
        }
        let identities = depot
            .stations
            .iter()
            .enumerate()
            .filter_map(|(index, station)| {
                let ocpp = station.ocpp.as_ref()?;
                // The n-th connector of a station has its name with `.n` after it, and its identity.
                let (first, _) = station
                    .id
                    .as_str()
                    .rsplit_once('.')
                    .filter(|(_, number)| number.parse().is_ok_and(|number: u8| number > 1))
                    .unwrap_or_default();
                let mut stations = depot.stations.iter();
                let first = stations.find(|one| one.id.as_str() == first);
                let same = first.is_some_and(|first| first.ocpp.as_ref() == Some(ocpp));
                (!same).then(|| (format!("station[{index}].ocpp.id"), &ocpp.id))
            });
        let repeated = self.spans.repeated("an identity of its own", identities);
        self.faults.extend(repeated);
    }

    /// The place on Earth fits its time zone: a sign or two numbers in the wrong order are the usual mistakes.
    fn place(&mut self) {
        let site = &self.depot.site;
        let name = site.time_zone.iana_name().unwrap_or("UTC");
        if !name.contains('/') || name.starts_with("Etc/") {
            return;
        }
        // Without summer time: the lesser of the offsets in January and July.
        let offset = [1, 7].map(|month| {
            let date = jiff::civil::date(2026, month, 1).at(12, 0, 0, 0);
            let instant = site.time_zone.to_timestamp(date);
            instant.map_or(0, |instant| site.time_zone.to_offset(instant).seconds())
        });
        let hours = f64::from(offset[0].min(offset[1])) / 3600.0;
        let difference = (site.longitude / 15.0 - hours).rem_euclid(24.0);
        if difference.min(24.0 - difference) > FARTHEST_ZONE {
            self.fault(
                "depot.longitude",
                format!("a longitude near {}°, where {name} is", hours * 15.0),
                format!("{}°", site.longitude),
            );
        }
    }

    /// What a station's connectors can carry.
    fn stations(&mut self) {
        let depot = self.depot;
        for (index, station) in depot.stations.iter().enumerate() {
            let phases = station.phases.as_slice().len();
            for (place, connector) in station.connectors.iter().enumerate() {
                let key = format!("station[{index}].connectors[{place}]");
                let name = connector.text();
                if *connector == Connector::Type1 && phases > 2 {
                    let found = format!("\"{name}\", which is single-phase, on {}", station.phases);
                    self.fault(&key, "a connector for three phases", found);
                }
                let limit = connector.ac_limit(phases > 2).unwrap_or(f64::INFINITY);
                if station.max_current > limit {
                    let current = amperes(station.max_current);
                    self.fault(
                        &key,
                        format!("a connector that carries the station's {current} A"),
                        format!(
                            "\"{name}\", which carries at most {limit} A on {}",
                            station.phases
                        ),
                    );
                }
            }
            if station.min_current > station.max_current {
                self.fault(
                    &format!("station[{index}].min_current"),
                    format!(
                        "at most its max_current of {} A",
                        amperes(station.max_current)
                    ),
                    format!("{} A", amperes(station.min_current)),
                );
            }
        }
    }

    /// A station that is to use one of its three phases can be told so, and its connectors carry on that phase what the
    /// station draws from each.
    fn switching(&mut self) {
        let depot = self.depot;
        for (index, station) in depot.stations.iter().enumerate() {
            if !station.switches_phases {
                continue;
            }
            let key = format!("station[{index}].switches_phases");
            if station.phases.as_slice().len() < 3 {
                let found = format!("one on {}", station.phases);
                self.fault(&key, "a station on three phases", found);
            }
            if station.ocpp.is_none() {
                let found = match &station.modbus {
                    Some(unit) => format!("one by the device map `{}`", unit.map),
                    None => "none".to_owned(),
                };
                let expected =
                    "a station by OCPP, for no device map has a setting for the number of phases";
                self.fault(&key, expected, found);
            }
            for connector in &station.connectors {
                let name = connector.text();
                match connector.ac_limit(false) {
                    _ if *connector == Connector::Nacs => {}
                    None => {
                        let found = format!("one for \"{name}\", which carries DC");
                        self.fault(&key, "a station for AC", found);
                    }
                    Some(limit) if station.max_current > limit => {
                        let expected = format!(
                            "a max_current of at most {limit} A, which \"{name}\" carries on one phase"
                        );
                        let found = format!("{} A", amperes(station.max_current));
                        self.fault(&key, expected, found);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// A depot in which nothing charges without its gateway is stated, never an accident.
    fn all_stop(&mut self) {
        let depot = self.depot;
        let stopped = !depot.stations.is_empty()
            && depot
                .stations
                .iter()
                .all(|station| station.fallback_current == 0.0);
        let hint = "write stops_without_gateway = true in [depot] if that is meant";
        if stopped && !depot.site.stops_without_gateway {
            let fault = self.spans.fault(
                "station[0].fallback_current",
                "a station that still charges when no gateway tells it a limit",
                "0 A at all of them",
            );
            self.faults.push(fault.hint(hint));
        } else if !stopped && depot.site.stops_without_gateway {
            self.fault(
                "depot.stops_without_gateway",
                "a fallback_current of 0 A at every station",
                "one that still charges",
            );
        }
    }

    fn work(&mut self) {
        let depot = self.depot;
        let names = depot.shifts.iter().enumerate();
        let names = names.map(|(index, shift)| (format!("shift[{index}].name"), &shift.name));
        let repeated = self.spans.repeated("a name of its own", names);
        self.faults.extend(repeated);
        let dates = depot.holidays.iter().enumerate();
        let dates = dates.map(|(index, day)| (format!("holiday[{index}].date"), day.date));
        let repeated = self.spans.repeated("each day once", dates);
        self.faults.extend(repeated);
        for (index, shift) in depot.shifts.iter().enumerate() {
            let days = shift.days.iter().enumerate();
            let days = days.map(|(day, name)| (format!("shift[{index}].days[{day}]"), name));
            let repeated = self.spans.repeated("each day once", days);
            self.faults.extend(repeated);
            if shift.leaves == shift.returns {
                self.fault(
                    &format!("shift[{index}].returns"),
                    "another time than that at which its vehicles leave",
                    "the same",
                );
            }
            let places = depot.parkings.len();
            if places > 0 && shift.vehicles as usize > places {
                self.fault(
                    &format!("shift[{index}].vehicles"),
                    format!("at most the {places} parking places of the depot"),
                    shift.vehicles.to_string(),
                );
            }
        }
    }

    /// Checks every unit and its map; tells for each station whether a limit can be written to it.
    fn units(&mut self, maps: &mut Loader<DeviceMap>) -> Vec<bool> {
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
        let mut controlled = Vec::new();
        for (key, unit, kind) in units {
            let Some(unit) = unit else {
                let ocpp = depot.stations.get(controlled.len());
                controlled.push(ocpp.is_some_and(|station| station.ocpp.is_some()));
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
            let ocpp = depot.stations.get(controlled.len());
            let ocpp = ocpp.is_some_and(|station| station.ocpp.is_some());
            controlled.push(ocpp || !fits || map.is_none_or(|map| map.control.is_some()));
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
            } else if fallback > 0.0 && fallback < station.min_current {
                let expected = format!("0 A, or at least {} A", amperes(station.min_current));
                self.fault(&key, expected, found);
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
