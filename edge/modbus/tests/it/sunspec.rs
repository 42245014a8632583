//! Devices described by others as SunSpec models and points: laid out in registers, read by a map made from the models, every
//! point as given, and everything that is not implemented without a value.

use std::{collections::BTreeMap, path::Path};

use modbus::{Device, DeviceMap, PointError, decode, decode::Image, map::Table};
use serde_json::{Value, json as object};

use crate::support::{data, files, json, root};

/// One point laid out: where it is, what it must be.
struct Laid {
    name: String,
    kind: String,
    address: u32,
    words: Vec<u16>,
    /// Address and value of its scale factor, when it has one that the device implements.
    factor: Option<(u32, Option<i64>)>,
    expected: Option<i64>,
    text: Option<String>,
}

/// The type in maps, and what SunSpec writes when there is no value (Device Information Model Specification, §5.4).
fn register_type(kind: &str) -> Option<(&'static str, u64)> {
    Some(match kind {
        "int16" | "sunssf" | "pad" => ("i16", 0x8000),
        "uint16" | "enum16" | "bitfield16" | "count" => ("u16", 0xffff),
        "acc16" => ("u16", 0),
        "int32" => ("i32", 0x8000_0000),
        "uint32" | "enum32" | "bitfield32" => ("u32", 0xffff_ffff),
        "acc32" | "ipaddr" => ("u32", 0),
        "int64" => ("i64", 1 << 63),
        "uint64" => ("u64", u64::MAX),
        "acc64" => ("u64", 0),
        "float32" => ("f32", 0x7fc0_0000),
        _ => return None,
    })
}

fn words(bits: u64, count: usize) -> Vec<u16> {
    (0..count)
        .rev()
        .map(|at| (bits >> (16 * at)) as u16)
        .collect()
}

/// Lays a group of a model out, point by point and group by group; gives the address after it.
fn lay(group: &Value, values: &Value, prefix: &str, mut address: u32, laid: &mut Vec<Laid>) -> u32 {
    let mut own: BTreeMap<String, (u32, Option<i64>)> = BTreeMap::new();
    let first = laid.len();
    for point in group["points"].as_array().into_iter().flatten() {
        let (name, kind) = (
            point["name"].as_str().unwrap(),
            point["type"].as_str().unwrap(),
        );
        let size = point["size"].as_u64().unwrap() as usize;
        let value = match &values[name] {
            Value::Null if name == "ID" || name == "L" => &point["value"],
            value => value,
        };
        let text = value
            .as_str()
            .filter(|_| kind == "string")
            .map(str::to_owned);
        let integer = value.as_i64();
        let bits = match (register_type(kind), value) {
            (Some(("f32", none)), value) => value
                .as_f64()
                .map_or(none, |value| u64::from((value as f32).to_bits())),
            (Some((_, none)), _) => integer.map_or(none, i64::cast_unsigned),
            (None, _) => 0,
        };
        let mut content = words(bits, size.min(4));
        if kind == "string" {
            let mut bytes: Vec<u8> = text.clone().unwrap_or_default().into_bytes();
            bytes.resize(size * 2, 0);
            content = bytes
                .chunks(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
        }
        content.resize(size, 0);
        if kind == "sunssf" {
            own.insert(name.to_owned(), (address, integer));
        }
        let none = register_type(kind).map(|(_, none)| none);
        let mask = if size < 4 {
            (1 << (16 * size)) - 1
        } else {
            u64::MAX
        };
        let expected = integer.filter(|value| none != Some(value.cast_unsigned() & mask));
        laid.push(Laid {
            name: format!("{prefix}{name}"),
            kind: kind.to_owned(),
            address,
            words: content,
            factor: None,
            expected,
            text,
        });
        address += size as u32;
    }
    // A scale factor may stand behind its points, hence a second pass.
    let points = group["points"].as_array().into_iter().flatten();
    for (point, laid) in points.zip(&mut laid[first..]) {
        laid.factor = point["sf"].as_str().and_then(|name| own.get(name).copied());
    }
    for inner in group["groups"].as_array().into_iter().flatten() {
        let name = inner["name"].as_str().unwrap();
        let instances = match &values[name] {
            Value::Array(list) => list.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        for (index, instance) in instances.iter().enumerate() {
            address = lay(
                inner,
                instance,
                &format!("{prefix}{name}[{index}]."),
                address,
                laid,
            );
        }
    }
    address
}

/// The map of what was laid out, its points named by their path, in steps of `resolution` where a factor applies.
fn map_of(laid: &[Laid]) -> DeviceMap {
    let points: Vec<Value> = laid
        .iter()
        .filter_map(|point| {
            let (kind, none) = register_type(&point.kind)?;
            let mut line = object!({
                "signal": format!("{} at {}", point.name, point.address), "unit": "1", "address": point.address, "type": kind,
                "invalid": [format!("{none:#x}")],
            });
            if let Some((address, _)) = point.factor {
                line["scale_factor"] = object!(address);
                line["resolution"] = object!("1e-10");
            }
            Some(line)
        })
        .collect();
    serde_json::from_value(object!({
        "manufacturer": "Test", "model": "SunSpec", "kind": "meter", "source": "the models", "points": points,
    }))
    .unwrap()
}

/// What a point must be read as: `None` without a value, otherwise the value in steps of its encoding.
fn expected(point: &Laid) -> Option<i128> {
    let value = i128::from(point.expected?);
    match point.factor {
        None => Some(value),
        Some((_, None)) => None,
        Some((_, Some(factor))) => Some(value * 10i128.pow(u32::try_from(factor + 10).unwrap())),
    }
}

fn compare(laid: &[Laid], path: &Path) -> (usize, usize) {
    let device = Device::new(map_of(laid))
        .unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
    let mut image = Image::default();
    let first = laid.first().map_or(0, |point| point.address);
    let all: Vec<u16> = laid.iter().flat_map(|point| point.words.clone()).collect();
    image.insert(Table::Holding, first as u16, all);
    let numbers: Vec<&Laid> = laid
        .iter()
        .filter(|point| register_type(&point.kind).is_some())
        .collect();
    let indices: Vec<usize> = (0..numbers.len()).collect();
    let (readings, errors) = decode(&device, &indices, &image);
    let mut agree = 0;
    for (index, point) in numbers.iter().enumerate() {
        let found = readings
            .iter()
            .find(|reading| reading.point == index)
            .map(|reading| i128::from(reading.raw));
        let error = errors
            .iter()
            .find(|(at, _)| *at == index)
            .map(|(_, error)| error);
        let same = match expected(point) {
            // In 64 bits a step of 1e-10 leaves nine digits before the point: beyond them an error is right.
            Some(expected) => {
                found == Some(expected)
                    || (i64::try_from(expected).is_err()
                        && matches!(error, Some(PointError::OutOfRange { .. })))
            }
            None => error == Some(&PointError::NotAvailable),
        };
        agree += usize::from(same);
        if !same {
            eprintln!(
                "{}: {} at {}: {:?} expected, {found:?} {error:?} found",
                path.display(),
                point.name,
                point.address,
                expected(point)
            );
        }
    }
    (agree, numbers.len())
}

fn models(folder: &Path) -> BTreeMap<u64, Value> {
    let is_model = |path: &&std::path::PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("model_"))
    };
    files(folder, ".json")
        .iter()
        .filter(is_model)
        .map(|path| json(path))
        .filter_map(|model| Some((model["id"].as_u64()?, model["group"].clone())))
        .collect()
}

#[test]
fn real_data_modbus_sunspec() {
    let Some(folder) = data("modbus/sunspec") else {
        return;
    };
    let models = models(&folder);
    let (mut agree, mut all, mut unknown) = (0, 0, 0);
    for path in files(&folder, ".json") {
        let device = json(&path);
        let mut address = 40002;
        for values in device["models"].as_array().into_iter().flatten() {
            let Some(model) = values["ID"].as_u64().and_then(|id| models.get(&id)) else {
                unknown += 1;
                continue;
            };
            let mut laid = Vec::new();
            address = lay(model, values, "", address, &mut laid);
            let (same, some) = compare(&laid, &path);
            agree += same;
            all += some;
        }
    }
    // Every model once more, filled: no point alike, and every third without a value.
    for (id, model) in &models {
        let mut laid = Vec::new();
        lay(model, &filled(model, *id), "", 40070, &mut laid);
        let (same, some) = compare(&laid, Path::new(&format!("model {id}")));
        agree += same;
        all += some;
    }
    println!(
        "{agree} of {all} agree ({} models; {unknown} of devices' models have no definition here)",
        models.len()
    );
    assert!(all > 0 && agree == all);
}

/// Values for every point of a model: scale factors from −3 to 2, other integers all different.
fn filled(group: &Value, id: u64) -> Value {
    let mut values = object!({ "ID": id });
    for (index, point) in group["points"].as_array().into_iter().flatten().enumerate() {
        let name = point["name"].as_str().unwrap();
        let value = match point["type"].as_str().unwrap() {
            _ if name == "ID" || name == "L" => continue,
            "sunssf" => object!((index % 6) as i64 - 3),
            "string" => object!(format!("text {index}")),
            // binary32 is compared elsewhere: here its bits would need a resolution of their own.
            "float32" => Value::Null,
            kind if index % 3 == 0 => {
                if kind.starts_with("acc") {
                    object!(0)
                } else {
                    Value::Null
                }
            }
            kind if kind.starts_with("int") => object!(-7 - index as i64),
            _ => object!(100 + index),
        };
        values[name] = value;
    }
    for inner in group["groups"].as_array().into_iter().flatten() {
        values[inner["name"].as_str().unwrap()] = object!([filled(inner, id), filled(inner, id)]);
    }
    values
}

/// The map that ships for model 203 has every point where the model says it is.
#[test]
fn real_data_modbus_sunspec_shipped_map() {
    let Some(folder) = data("modbus/sunspec") else {
        return;
    };
    let models = models(&folder);
    let text =
        std::fs::read_to_string(root().join("depot-config/devices/sunspec-203.toml")).unwrap();
    let map: DeviceMap = toml::from_str(&text).unwrap();
    let (Some(common), Some(meter)) = (models.get(&1), models.get(&203)) else {
        eprintln!("skipped: no models 1 and 203 in {}", folder.display());
        return;
    };
    let mut laid = Vec::new();
    let next = lay(common, &Value::Null, "", 40002, &mut laid);
    lay(meter, &Value::Null, "", next, &mut laid);
    let place = |name: &str| laid.iter().rfind(|point| point.name == name);
    let mut agree = 0;
    for point in &map.points {
        // The catalogue names phase-to-phase voltages by their VSS-like name, the model by `PhV`.
        let name = point.signal.replace("PPVph", "PhVph");
        let at = place(&name).map(|laid| (laid.address, laid.factor.map(|(address, _)| address)));
        let same = at == Some((point.address, point.scale_factor));
        agree += usize::from(same);
        if !same {
            eprintln!(
                "{}: at {}, by the model {at:?}",
                point.signal, point.address
            );
        }
    }
    assert_eq!(
        map.identity.as_ref().map(|identity| identity.address),
        place("SN").map(|laid| laid.address)
    );
    println!("{agree} of {} agree", map.points.len());
    assert_eq!(agree, map.points.len());
}

#[test]
fn text_of_a_point_is_no_value() {
    let mut laid = Vec::new();
    let group = object!({ "points": [{ "name": "Mn", "type": "string", "size": 2 }, { "name": "W", "type": "int16", "size": 1 }] });
    lay(
        &group,
        &object!({ "Mn": "abc", "W": -5 }),
        "",
        10,
        &mut laid,
    );
    assert_eq!(
        (laid[0].text.as_deref(), laid[0].words.clone()),
        (Some("abc"), vec![0x6162, 0x6300])
    );
    assert_eq!(compare(&laid, Path::new("here")), (1, 1));
}
