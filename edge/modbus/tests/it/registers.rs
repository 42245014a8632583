//! Registers that a test bench of others stored, read under its configurations: every type in both orders must come out as
//! that bench recorded it. Each configuration becomes a device map, and is read over a simulated line.
//!
//! The bench keeps its values least significant byte first throughout, so that a configuration with both orders `LITTLE` reads
//! them as they were stored, and one with `BIG` reads the same registers the other way round.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use modbus::{Bus, Device, DeviceMap, Framing, Timing, map::Table};
use serde_json::{Value, json as object};
use tokio::io::duplex;

use crate::support::{Registers, data, files, json, opened_once, serve_rtu};

/// One line of a configuration.
#[derive(Clone, Debug)]
struct Tag {
    name: String,
    kind: String,
    function: u64,
    address: u64,
    count: u64,
}

impl Tag {
    fn table(&self) -> (&'static str, Table) {
        match self.function {
            1 => ("coil", Table::Coil),
            2 => ("discrete", Table::Discrete),
            3 => ("holding", Table::Holding),
            _ => ("input", Table::Input),
        }
    }

    /// The register type of a number, by the bench's words such as `32uint`.
    fn register_type(&self) -> Option<&'static str> {
        Some(match self.kind.as_str() {
            "16int" => "i16",
            "16uint" => "u16",
            "32int" => "i32",
            "32uint" => "u32",
            "64int" => "i64",
            "64uint" => "u64",
            "16float" => "f16",
            "32float" => "f32",
            "64float" => "f64",
            _ => return None,
        })
    }

    fn is_bits(&self) -> bool {
        matches!(self.kind.as_str(), "bits" | "bit")
    }
}

/// One configuration: what it reads, in which order.
struct Bench {
    little: bool,
    tags: Vec<Tag>,
}

fn benches(config: &Value) -> Vec<Bench> {
    let slaves = config["Modbus"]["configurationJson"]["master"]["slaves"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let tags = |slave: &Value, key: &str| slave[key].as_array().cloned().unwrap_or_default();
    let bench = |slave: &Value| {
        let text = |tag: &Value, key: &str| tag[key].as_str().unwrap_or_default().to_owned();
        let number = |tag: &Value, key: &str| tag[key].as_u64().unwrap_or(1);
        let tag = |tag: &Value| Tag {
            name: text(tag, "tag"),
            kind: text(tag, "type"),
            function: number(tag, "functionCode"),
            address: number(tag, "address"),
            count: number(tag, "objectsCount"),
        };
        let all = tags(slave, "timeseries")
            .iter()
            .chain(&tags(slave, "attributes"))
            .map(tag)
            .collect();
        assert_eq!(
            slave["byteOrder"], slave["wordOrder"],
            "the bench stores both orders alike"
        );
        Bench {
            little: slave["byteOrder"] == "LITTLE",
            tags: all,
        }
    };
    slaves.iter().map(bench).collect()
}

/// A value of the bench's files: numbers and lists are written as such or as texts.
fn parsed(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    }
}

fn bools(value: &Value) -> Vec<bool> {
    match parsed(value) {
        Value::Array(list) => list.iter().map(|bit| bit.as_bool().unwrap()).collect(),
        Value::Bool(bit) => vec![bit],
        other => panic!("{other} is not a list of bits"),
    }
}

/// The bytes of a number as the bench stores them, least significant first.
fn stored_bytes(kind: &str, value: &Value) -> Vec<u8> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let float = || text.parse::<f64>().unwrap();
    let integer = || text.parse::<i128>().unwrap();
    match kind {
        "16float" => {
            // Only values that binary16 holds exactly: their 10 fraction bits are the top ones of binary32.
            let bits = (float() as f32).to_bits();
            let exponent = (bits >> 23 & 0xff) as i32 - 127 + 15;
            assert!(
                bits.trailing_zeros() >= 13 && (1..31).contains(&exponent),
                "{text} is not a normal binary16"
            );
            let half = (bits >> 16 & 0x8000) as u16
                | (exponent as u16) << 10
                | (bits >> 13 & 0x3ff) as u16;
            half.to_le_bytes().to_vec()
        }
        "32float" => (float() as f32).to_le_bytes().to_vec(),
        "64float" => float().to_le_bytes().to_vec(),
        "16int" | "16uint" => (integer() as u16).to_le_bytes().to_vec(),
        "32int" | "32uint" => (integer() as u32).to_le_bytes().to_vec(),
        "64int" | "64uint" => (integer() as u64).to_le_bytes().to_vec(),
        other => panic!("type {other}"),
    }
}

/// The bench's memory: registers from its stored values, coils from the bits that it shows, which it shows reversed by bytes.
fn memory(
    tags: &[Tag],
    stored: &BTreeMap<String, Value>,
    shown: &BTreeMap<String, Value>,
) -> Registers {
    let mut registers = Registers::default();
    for tag in tags {
        let (_, table) = tag.table();
        let address = tag.address as u16;
        let (Some(value), Some(shown)) = (
            stored.get(&tag.name).or(shown.get(&tag.name)),
            shown.get(&tag.name),
        ) else {
            continue;
        };
        if table.is_bits() {
            if tag.kind == "bits" {
                let coils: Vec<u16> = bools(shown)
                    .chunks(8)
                    .flat_map(|byte| {
                        byte.iter()
                            .rev()
                            .map(|bit| u16::from(*bit))
                            .collect::<Vec<_>>()
                    })
                    .collect();
                registers.put(table, address, &coils);
            }
            continue;
        }
        let bytes = match tag.kind.as_str() {
            "string" => value.as_str().unwrap().bytes().collect(),
            // Bits are stored eight to a byte, the first in the lowest.
            "bits" => bools(value)
                .chunks(8)
                .map(|byte| {
                    byte.iter()
                        .rev()
                        .fold(0, |all, bit| all << 1 | u8::from(*bit))
                })
                .collect(),
            kind => stored_bytes(kind, value),
        };
        let words: Vec<u16> = bytes
            .chunks(2)
            .map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))
            .collect();
        registers.put(table, address, &words);
    }
    registers
}

fn device(bench: &Bench) -> Device {
    let order = if bench.little { "little" } else { "big" };
    let mut points = Vec::new();
    let mut identity = Value::Null;
    for tag in &bench.tags {
        let (function, table) = tag.table();
        let point = |name: String, address: u64, kind: &str| object!({ "signal": name, "unit": "1", "function": function, "address": address, "type": kind });
        if table.is_bits() {
            points.extend(
                (0..tag.count)
                    .map(|bit| point(format!("{}.{bit}", tag.name), tag.address + bit, "bool")),
            );
        } else if tag.is_bits() {
            for bit in 0..tag.count {
                let mut one = point(format!("{}.{bit}", tag.name), tag.address + bit / 16, "u16");
                one["byte_order"] = object!("little");
                one["bits"] = object!({ "first": bit % 16, "count": 1 });
                points.push(one);
            }
        } else if let Some(kind) = tag.register_type() {
            points.push(point(tag.name.clone(), tag.address, kind));
        } else if tag.kind == "string" {
            identity = object!({ "function": function, "address": tag.address, "type": "string", "registers": tag.count, "byte_order": "big" });
        }
    }
    let mut map = object!({
        "manufacturer": "Test", "model": "Bench", "kind": "meter", "source": "the bench", "points": points,
        "defaults": { "word_order": order, "byte_order": order },
    });
    if !identity.is_null() {
        map["identity"] = identity;
    }
    let map: DeviceMap = serde_json::from_value(map).unwrap();
    Device::new(map).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Reads a bench once: values by the name of their point, and the text.
async fn read(device: Device, registers: Registers) -> BTreeMap<String, f64> {
    let (near, far) = duplex(4096);
    let server = tokio::spawn(serve_rtu(far, registers));
    let device = Arc::new(device);
    let mut bus = Bus::new(Framing::Rtu, Timing::serial(115_200), opened_once(near));
    bus.add(2, Arc::clone(&device), None).unwrap();
    let cycle = bus.next().await;
    server.abort();
    let mut values = BTreeMap::new();
    for reading in &cycle.readings {
        let value = device
            .signal_def(reading.point)
            .unwrap()
            .encoding
            .value(reading.raw);
        values.insert(device.map().points[reading.point].signal.clone(), value);
    }
    if let Some(text) = cycle.identity {
        values.insert(format!("text {text}"), 0.0);
    }
    values
}

/// The bench rounds floats to six digits after the point, and long numbers to what a binary64 holds.
fn equal(found: f64, expected: &Value) -> bool {
    let text = match expected {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let Ok(expected) = text.parse::<f64>() else {
        return false;
    };
    (found - expected).abs() <= 0.5e-6 || ((found - expected) / expected).abs() < 1e-12
}

fn agreements(
    tags: &[Tag],
    found: &BTreeMap<String, f64>,
    expected: &BTreeMap<String, Value>,
) -> (usize, usize) {
    let (mut agree, mut all) = (0, 0);
    for tag in tags {
        let Some(expected) = expected.get(&tag.name) else {
            continue;
        };
        let same = if tag.kind == "string" {
            found.contains_key(&format!("text {}", expected.as_str().unwrap()))
        } else if tag.is_bits() {
            let mut bits = bools(expected);
            if tag.table().1.is_bits() && tag.kind == "bits" {
                bits = bits
                    .chunks(8)
                    .flat_map(|byte| byte.iter().rev().copied().collect::<Vec<_>>())
                    .collect();
            }
            bits.iter().enumerate().all(|(at, bit)| {
                found.get(&format!("{}.{at}", tag.name)) == Some(&f64::from(u8::from(*bit)))
            })
        } else {
            found
                .get(&tag.name)
                .is_some_and(|found| equal(*found, expected))
        };
        all += 1;
        agree += usize::from(same);
        if !same {
            eprintln!("{tag:?}: {expected} expected, {found:?} found");
        }
    }
    (agree, all)
}

fn values(path: &Path) -> BTreeMap<String, Value> {
    json(path)
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .collect()
}

/// Whether a file of values belongs to a configuration: same folder of tests, same table, same order, and read, not written.
fn belongs(config: &Path, bench: &Bench, values: &Path) -> bool {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (config, name) = (text(config), text(values.file_name().unwrap().as_ref()));
    let folder = text(values.parent().unwrap().file_name().unwrap().as_ref());
    let tables = ["coil", "discrete", "holding", "input"];
    let table = bench.tags.first().map_or("", |tag| tag.table().0);
    let table_agrees = name.contains(table) && !table.is_empty() && tables.contains(&table);
    let order = name.ends_with(if bench.little {
        "little.json"
    } else {
        "big.json"
    });
    config.contains(&format!("{folder}_configs/"))
        && table_agrees
        && order
        && !name.contains("writing")
        && config.contains("reading")
}

#[tokio::test(start_paused = true)]
async fn real_data_modbus_registers() {
    let Some(folder) = data("modbus/thingsboard") else {
        return;
    };
    let all_files = files(&folder, ".json");
    let stored = all_files
        .iter()
        .find(|path| path.ends_with("default_slave_values.json"))
        .map(|path| values(path))
        .unwrap_or_default();
    let (mut agree, mut all, mut pairs) = (0, 0, 0);
    for config in all_files
        .iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "configs"))
    {
        for bench in benches(&json(config)) {
            for file in all_files
                .iter()
                .filter(|path| belongs(config, &bench, path))
            {
                let expected = values(file);
                let registers = memory(&bench.tags, &stored, &expected);
                let mut tags = bench.tags.clone();
                tags.retain(|tag| expected.contains_key(&tag.name));
                let found = read(
                    device(&Bench {
                        little: bench.little,
                        tags: tags.clone(),
                    }),
                    registers,
                )
                .await;
                let (same, some) = agreements(&tags, &found, &expected);
                agree += same;
                all += some;
                pairs += 1;
            }
        }
    }
    println!("{agree} of {all} agree ({pairs} configurations read)");
    assert!(all > 0 && agree == all);
}
