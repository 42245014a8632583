//! Packets that devices sent.
//!
//! Each line of a `.jsonl` file is a packet in `hex` with what is known of it: `framing` (`imei`, `tcp`, `udp`),
//! `length_ok` and `crc_ok`, and the `records` that an independent decoder read. A packet whose length or checksum is wrong
//! has to be refused; one that is right has to give those records, or, where none are given, the bytes that it was.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use teltonika::{Arrival, Datagram, Packet, Record, Stream, Value, login};

fn folder() -> PathBuf {
    std::env::var_os("PATIO_DATA")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            PathBuf::from,
        )
        .join("teltonika")
}

fn cases(folder: &Path) -> Vec<(String, Json)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl" || extension == "json")
        })
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let whole: Vec<Json> = match serde_json::from_str(&text) {
            Ok(Json::Array(cases)) => cases,
            _ => text
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        };
        for (at, case) in whole.into_iter().enumerate() {
            if case["hex"].is_string() {
                cases.push((format!("{name}:{}", at + 1), case));
            }
        }
    }
    cases
}

/// What a device that sent these bytes over TCP, after its login, would get accepted.
fn over_tcp(bytes: &[u8]) -> Result<Vec<Packet>, String> {
    let mut stream = Stream::default();
    stream.push(&login("356307042441013".parse().unwrap()));
    stream.next().map_err(|error| error.to_string())?;
    stream.push(bytes);
    let mut packets = Vec::new();
    while let Some(arrival) = stream.next().map_err(|error| error.to_string())? {
        if let Arrival::Packet(packet) = arrival {
            packets.push(packet);
        }
    }
    if stream.is_within() {
        return Err("it is not whole".to_owned());
    }
    Ok(packets)
}

fn same_record(record: &Record, expected: &Json) -> Result<(), String> {
    let degrees = |raw: i32| f64::from(raw) / 1e7;
    let mut wrong = Vec::new();
    let mut check = |key: &str, found: f64| {
        if let Some(value) = expected[key].as_f64()
            && (value - found).abs() > 1e-9
        {
            wrong.push(format!("{key}: {found}, not {value}"));
        }
    };
    check("ts_ms", record.time_ms as f64);
    check("priority", record.priority.into());
    check("lon", degrees(record.gnss.longitude));
    check("lat", degrees(record.gnss.latitude));
    check("alt", record.gnss.altitude.into());
    check("angle", record.gnss.angle.into());
    check("sats", record.gnss.satellites.into());
    check("speed", record.gnss.speed.into());
    check("event", record.event.into());
    check("n_io", record.elements.len() as f64);
    if let Some(generation) = record.generation {
        check("generation", generation.into());
    }
    let mut numbers = 0;
    let mut long = 0;
    for element in &record.elements {
        let id = element.id.to_string();
        match &element.value {
            Value::Number { raw, .. } => {
                numbers += 1;
                let value = &expected["io"][&id];
                // The same id may stand there twice; a table of them keeps one.
                let twice = record
                    .elements
                    .iter()
                    .filter(|other| other.id == element.id)
                    .count()
                    > 1;
                if value.as_u64() != Some(*raw) && !twice {
                    wrong.push(format!("element {id}: {raw}, not {value}"));
                }
            }
            Value::Bytes(bytes) => {
                long += 1;
                let value = &expected["io_x"][&id];
                if value.as_str() != Some(hex::encode(bytes).as_str()) {
                    wrong.push(format!("element {id}: {}, not {value}", hex::encode(bytes)));
                }
            }
        }
    }
    for (key, found) in [("io", numbers), ("io_x", long)] {
        if let Some(map) = expected[key].as_object()
            && map.len() > found
        {
            wrong.push(format!("{key}: {found} elements of {}", map.len()));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

fn same_records(packets: &[Packet], expected: &[Json]) -> Result<(), String> {
    let records: Vec<&Record> = packets
        .iter()
        .flat_map(|packet| match packet {
            Packet::Records(_, records) => records.iter().collect(),
            Packet::Message(_) => Vec::new(),
        })
        .collect();
    if records.len() != expected.len() {
        return Err(format!("{} records, not {}", records.len(), expected.len()));
    }
    records
        .iter()
        .zip(expected)
        .try_for_each(|(record, expected)| same_record(record, expected))
}

fn agrees(case: &Json) -> Result<&'static str, String> {
    let bytes = hex::decode(case["hex"].as_str().unwrap()).map_err(|error| error.to_string())?;
    let framing = case["framing"].as_str().unwrap_or("tcp");
    if framing == "imei" {
        let mut stream = Stream::default();
        stream.push(&bytes);
        return match stream.next() {
            Ok(Some(Arrival::Login(imei))) if login(imei) == bytes => Ok("login"),
            other => Err(format!("{other:?}")),
        };
    }
    let is_wrong = ["length_ok", "crc_ok"]
        .iter()
        .any(|key| case[*key] == Json::Bool(false));
    let found = if framing == "udp" {
        Datagram::read(&bytes)
            .map(|datagram| vec![datagram.content])
            .map_err(|error| error.to_string())
    } else {
        over_tcp(&bytes)
    };
    match (found, is_wrong) {
        (Err(_), true) => Ok("refused"),
        (Ok(_), true) => Err("it was accepted".to_owned()),
        (Err(error), false) => match case.get("records") {
            // Nobody read it, and its checksum is right: it is of a codec that is not known here.
            None if error.contains("is not known") => Ok("refused"),
            _ => Err(error),
        },
        (Ok(packets), false) => {
            if let Some(expected) = case["records"].as_array() {
                same_records(&packets, expected)?;
            }
            let whole: Vec<u8> = packets.iter().flat_map(Packet::frame).collect();
            // A datagram, pings, and a time that is counted in the size are not written again as they came.
            if framing == "tcp" && whole.len() == bytes.len() && whole != bytes {
                return Err("what was read is not what was sent".to_owned());
            }
            Ok("equal")
        }
    }
}

#[test]
fn real_data_teltonika_packets() {
    let folder = folder();
    if !folder.is_dir() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    let cases = cases(&folder);
    let mut counts = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        match agrees(case) {
            Ok(how) => *counts.entry(how).or_insert(0) += 1,
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    println!(
        "{} of {} agree {counts:?}",
        cases.len() - wrong.len(),
        cases.len()
    );
    assert!(!cases.is_empty(), "no packets in {}", folder.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
