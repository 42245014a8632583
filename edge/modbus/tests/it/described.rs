//! A device as its map says it could be: values that can be true, described by address, type and order for a peer that encodes them,
//! and what has to be read from them.
//!
//! Nothing here decodes or encodes registers: that is what is compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use modbus::{
    DeviceMap,
    map::{Order, Pattern, RegisterType, Setting, Table, Write},
    plan::BREAK_EVEN,
};
use serde_json::{Value, json};

use crate::{
    numbers::{Pick, Wanted, kind, numbers, serial},
    support::{Random, files, root},
};

/// One device: what the peer is told, and what has to be read.
pub(crate) struct Described {
    pub(crate) unit: Value,
    /// By the number of the point.
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) identity: Option<String>,
}

/// All maps that ship, by name.
pub(crate) fn shipped() -> Vec<(String, DeviceMap)> {
    let paths: Vec<PathBuf> = files(&root().join("depot-config/devices"), ".toml");
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        (name, toml::from_str(&text).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// The name of a type or an order in a map.
pub(crate) fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

/// What stands in the tables of a device.
#[derive(Default)]
struct Memory {
    values: Vec<Value>,
    /// Registers that hold something.
    taken: BTreeSet<(Table, u32)>,
}

impl Memory {
    /// Adds a value; two may not share a register.
    fn put(
        &mut self,
        (table, address): (Table, u32),
        (kind, registers): (&str, u16),
        text: &str,
        (words, bytes): (Order, Order),
    ) {
        for at in address..address + u32::from(registers) {
            assert!(self.taken.insert((table, at)), "{table:?} {at} twice");
        }
        self.values.push(json!([
            word(table),
            address,
            kind,
            text,
            word(words),
            word(bytes)
        ]));
    }

    fn is_taken(&self, table: Table, address: u32) -> bool {
        self.taken.contains(&(table, address))
    }

    /// Something in the registers between two values that may be read along with them, and nowhere else.
    fn fill(&mut self, map: &DeviceMap, random: &mut Random) {
        let bridge = u32::from(map.defaults.max_gap.min(BREAK_EVEN));
        let first = map.defaults.first_address;
        let forbidden = |table: Table, at: u32| {
            map.unreadable.iter().any(|hole| {
                hole.function.unwrap_or(map.defaults.function) == table
                    && (hole.from..=hole.to).contains(&(at + first))
            })
        };
        let places: Vec<_> = self.taken.iter().copied().collect();
        for pair in places.windows(2) {
            let [(table, from), (other, to)] = *pair else {
                continue;
            };
            if table == other && !table.is_bits() && to - from - 1 <= bridge {
                for at in (from + 1..to).filter(|at| !forbidden(table, *at)) {
                    let noise = random.below(0x1_0000).to_string();
                    self.put((table, at), ("u16", 1), &noise, (Order::Big, Order::Big));
                }
            }
        }
    }
}

/// A device by its map, as unit `unit`; `turn` goes through the states of points that have some.
pub(crate) fn described(
    map: &DeviceMap,
    unit: usize,
    pick: Pick,
    turn: usize,
    random: &mut Random,
) -> Described {
    let defaults = &map.defaults;
    let orders = |words: Option<Order>, bytes: Option<Order>| {
        (
            words.unwrap_or(defaults.word_order),
            bytes.unwrap_or(defaults.byte_order),
        )
    };
    let place = |table: Option<Table>, address: u32| {
        (
            table.unwrap_or(defaults.function),
            address - defaults.first_address,
        )
    };
    let mut memory = Memory::default();
    let mut factors: BTreeMap<u32, i32> = BTreeMap::new();
    let mut wanted = Vec::new();
    for point in &map.points {
        let factor = point.scale_factor.map_or(0, |address| {
            *factors
                .entry(address)
                .or_insert_with(|| random.below(6) as i32 - 3)
        });
        let mut number = numbers(point, factor).pick(pick, turn, random);
        // Where bits mean that there is no value, the next number towards the middle has one.
        let none = point.invalid.as_ref();
        let none = none.or_else(|| defaults.invalid.get(&point.register_type));
        while none.is_some_and(|none| none.contains(&Pattern(number.bits(point.register_type)))) {
            number = number.inwards();
        }
        wanted.push(number.wanted(point, factor));
        memory.put(
            place(point.function, point.address),
            (&kind(point), point.register_type.registers().unwrap_or(1)),
            &number.text(point, random),
            orders(point.word_order, point.byte_order),
        );
    }
    for (address, factor) in factors {
        // The factor is in the table of its points.
        let of = map.points.iter().find(|p| p.scale_factor == Some(address));
        let of = of.expect("a point asked for it");
        memory.put(
            place(of.function, address),
            ("i16", 1),
            &factor.to_string(),
            orders(of.word_order, of.byte_order),
        );
    }
    for guard in &map.guards {
        let value = guard.values[random.below(guard.values.len() as u64) as usize];
        memory.put(
            place(guard.function, guard.address),
            (
                &word(guard.register_type),
                guard.register_type.registers().unwrap(),
            ),
            &value.to_string(),
            orders(None, None),
        );
    }
    let identity = map.identity.as_ref().map(|identity| {
        let text = serial(identity.register_type, identity.registers, random);
        let registers = identity.register_type.registers().or(identity.registers);
        // Text has no order of registers.
        let words = match identity.register_type {
            RegisterType::String => Some(Order::Big),
            _ => identity.word_order,
        };
        let at = place(identity.function, identity.address);
        let used = match identity.register_type {
            RegisterType::String => text.len().div_ceil(2) as u16,
            _ => registers.unwrap(),
        };
        memory.put(
            at,
            (&word(identity.register_type), used),
            &text,
            orders(words, identity.byte_order),
        );
        for rest in used..registers.unwrap() {
            let at = (at.0, at.1 + u32::from(rest));
            memory.put(at, ("u16", 1), "0", (Order::Big, Order::Big));
        }
        text
    });
    memory.fill(map, random);
    let settings: Vec<Value> = settings(map)
        .into_iter()
        .map(|(_, setting)| setting_of(map, setting, &mut memory))
        .collect();
    Described {
        unit: json!({ "unit": unit, "values": memory.values, "settings": settings }),
        wanted,
        identity,
    }
}

/// The settings that a map has, by name.
pub(crate) fn settings(map: &DeviceMap) -> Vec<(modbus::SettingName, &Setting)> {
    use modbus::SettingName::{CurrentLimit, FailSafeCurrent, Watchdog};
    let Some(control) = &map.control else {
        return Vec::new();
    };
    let others = [
        (FailSafeCurrent, control.fail_safe_current.as_ref()),
        (Watchdog, control.watchdog.as_ref()),
    ];
    let others = others
        .into_iter()
        .filter_map(|(name, setting)| Some((name, setting?)));
    [(CurrentLimit, &control.current_limit)]
        .into_iter()
        .chain(others)
        .collect()
}

/// A setting for the peer, and registers for it where there are none yet.
fn setting_of(map: &DeviceMap, setting: &Setting, memory: &mut Memory) -> Value {
    let first = map.defaults.first_address;
    let words = setting.word_order.unwrap_or(map.defaults.word_order);
    let orders = (words, map.defaults.byte_order);
    let mut place = |address: u32, register_type: RegisterType| {
        let at = address - first;
        if !memory.is_taken(Table::Holding, at) {
            let registers = register_type.registers().unwrap();
            memory.put(
                (Table::Holding, at),
                (&word(register_type), registers),
                "0",
                orders,
            );
        }
        at
    };
    let at = place(setting.address, setting.register_type);
    let shown = setting.read_back.as_ref().map(|back| {
        let at = place(back.address, back.register_type);
        json!([at, word(back.register_type)])
    });
    json!([
        at,
        word(setting.register_type),
        word(orders.0),
        word(orders.1),
        shown
    ])
}

/// The function that writes a setting.
pub(crate) fn function_of(setting: &Setting) -> u8 {
    match setting.write {
        Write::Single => 6,
        Write::Multiple => 16,
    }
}
