//! Checks a device map and gives every point its place. All problems are found, not only the first.

mod around;
mod points;

use std::fmt;

use super::{DeviceMap, Order, Pattern, RegisterType, Table};
use crate::device::{Device, Layout, Place};

/// Something wrong with a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: the path of keys, such as `points[3].scale`.
    pub path: String,
    /// What was expected and what was found.
    pub says: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.says)
    }
}

impl DeviceMap {
    /// All that is wrong with the map; empty when it can be used.
    pub fn check(&self) -> Vec<Problem> {
        resolve(self.clone()).err().unwrap_or_default()
    }
}

/// Checks and resolves a map.
pub(crate) fn resolve(map: DeviceMap) -> Result<Device, Vec<Problem>> {
    let mut check = Check {
        map: &map,
        problems: Vec::new(),
    };
    check.head();
    let holes = check.holes();
    let points: Vec<_> = (0..map.points.len())
        .filter_map(|index| check.point(index, &holes))
        .collect();
    check.signals_once();
    let identity = map
        .identity
        .as_ref()
        .and_then(|identity| check.identity(identity, &holes));
    let guards = check.guards(&holes);
    let control = map
        .control
        .as_ref()
        .and_then(|control| check.control(control));
    if check.problems.is_empty() {
        Ok(Device {
            map,
            points,
            identity,
            guards,
            holes,
            control,
        })
    } else {
        Err(check.problems)
    }
}

struct Check<'a> {
    map: &'a DeviceMap,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, path: impl Into<String>, says: impl Into<String>) {
        self.problems.push(Problem {
            path: path.into(),
            says: says.into(),
        });
    }

    fn require(&mut self, holds: bool, path: impl Into<String>, says: impl Into<String>) {
        if !holds {
            self.problem(path, says);
        }
    }

    fn head(&mut self) {
        let map = self.map;
        for (key, text) in [
            ("manufacturer", &map.manufacturer),
            ("model", &map.model),
            ("source", &map.source),
        ] {
            self.require(!text.trim().is_empty(), key, "must not be empty");
        }
        self.require(
            !map.points.is_empty(),
            "points",
            "a map without points reads nothing: add at least one",
        );
        let defaults = &map.defaults;
        let registers = defaults.max_registers;
        self.require(
            (1..=125).contains(&registers),
            "defaults.max_registers",
            format!("must be 1 to 125, not {registers}"),
        );
        let bits = defaults.max_bits;
        self.require(
            (1..=2000).contains(&bits),
            "defaults.max_bits",
            format!("must be 1 to 2000, not {bits}"),
        );
        self.require(
            defaults.connections != Some(0),
            "defaults.connections",
            "must be at least 1",
        );
        self.interval("defaults.interval_ms", defaults.interval_ms);
        for (register_type, patterns) in &defaults.invalid {
            let path = format!("defaults.invalid.{}", type_name(*register_type));
            self.patterns(&path, *register_type, patterns);
        }
        let work = &map.workarounds;
        let texts = [
            ("one_request_per_point", work.one_request_per_point.as_ref()),
            ("close_after_cycle", work.close_after_cycle.as_ref()),
            (
                "pause_after_connect.because",
                work.pause_after_connect.as_ref().map(|p| &p.because),
            ),
        ];
        for (key, text) in texts {
            let named = text.is_none_or(|text| !text.trim().is_empty());
            self.require(
                named,
                format!("workarounds.{key}"),
                "must name the device that forces it and what it does",
            );
        }
    }

    fn interval(&mut self, path: &str, ms: u32) {
        self.require(
            (50..=86_400_000).contains(&ms),
            path,
            format!("must be 50 ms to a day, not {ms} ms"),
        );
    }

    fn patterns(&mut self, path: &str, register_type: RegisterType, patterns: &[Pattern]) {
        let Some(registers) = register_type.registers() else {
            return self.problem(
                path,
                format!(
                    "{} has no bits that mean `no value`",
                    type_name(register_type)
                ),
            );
        };
        for (index, pattern) in patterns.iter().enumerate() {
            let fits = registers == 4 || pattern.0 >> (16 * registers) == 0;
            let says = format!("{:#x} does not fit into {registers} registers", pattern.0);
            self.require(fits, format!("{path}[{index}]"), says);
        }
    }

    /// Protocol address and count, when they exist.
    fn place(&mut self, path: &str, table: Table, address: u32, count: u16) -> Option<Place> {
        let first = self.map.defaults.first_address;
        let Some(protocol) = address.checked_sub(first) else {
            self.problem(
                path,
                format!("{address} lies before defaults.first_address = {first}"),
            );
            return None;
        };
        if protocol.saturating_add(u32::from(count)) > 0x1_0000 {
            self.problem(
                path,
                format!(
                    "{address} is beyond the last register: {count} of them must end at {} at most",
                    first.saturating_add(0xFFFF)
                ),
            );
            return None;
        }
        Some(Place {
            table,
            address: protocol as u16,
            count,
        })
    }

    fn readable(&mut self, path: &str, place: Option<Place>, holes: &[Place]) {
        let Some(place) = place else { return };
        let most = if place.table.is_bits() {
            self.map.defaults.max_bits
        } else {
            self.map.defaults.max_registers
        };
        self.require(
            place.count <= most,
            path,
            format!(
                "needs {} registers, but one request carries {most}",
                place.count
            ),
        );
        let hole = holes.iter().any(|hole| hole.overlaps(place));
        self.require(
            !hole,
            path,
            "lies in a range that `unreadable` forbids to read",
        );
    }

    fn layout(
        &self,
        register_type: RegisterType,
        words: Option<Order>,
        bytes: Option<Order>,
    ) -> Layout {
        let defaults = &self.map.defaults;
        Layout {
            register_type,
            word_order: words.unwrap_or(defaults.word_order),
            byte_order: bytes.unwrap_or(defaults.byte_order),
        }
    }

    fn holes(&mut self) -> Vec<Place> {
        let mut places = Vec::new();
        for (index, hole) in self.map.unreadable.iter().enumerate() {
            let table = hole.function.unwrap_or(self.map.defaults.function);
            let path = format!("unreadable[{index}]");
            match hole
                .to
                .checked_sub(hole.from)
                .and_then(|n| u16::try_from(n.checked_add(1)?).ok())
            {
                None => self.problem(
                    path,
                    format!(
                        "must go from less to more, not from {} to {}",
                        hole.from, hole.to
                    ),
                ),
                Some(count) => places.extend(self.place(&path, table, hole.from, count)),
            }
        }
        places
    }
}

/// The type as it is written in maps.
fn type_name(register_type: RegisterType) -> String {
    format!("{register_type:?}").to_lowercase()
}
