//! DBC files, and frames with the values a reference decoder gives.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

use isotp::CanId;
use serde_json::Value;
use vehicles::dbc::{Dbc, Decoder, WarningKind};

use crate::data;

#[test]
fn real_data_dbc_files_load() {
    let Some(folder) = data::folder("dbc") else {
        return;
    };
    let (mut agree, mut failures) = (0, Vec::new());
    for path in data::files(&folder, "dbc") {
        let bytes = fs::read(&path).unwrap();
        let dbc = Dbc::parse(&bytes);
        // Some files only carry comments, or signals of no message.
        let text = String::from_utf8_lossy(&bytes);
        let any = text
            .lines()
            .any(|l| l.starts_with("BO_ ") && !l.contains("VECTOR__INDEPENDENT_SIG_MSG"));
        let signals: usize = dbc.messages.iter().map(|m| m.signals.len()).sum();
        println!(
            "{}: {} messages, {signals} signals, {} warnings",
            data::name(&path),
            dbc.messages.len(),
            dbc.warnings.len()
        );
        let unreadable = dbc
            .warnings
            .iter()
            .any(|w| matches!(w.kind, WarningKind::Unreadable { .. }));
        if unreadable
            || any && dbc.messages.is_empty()
            || Decoder::new(&dbc).signals().len() > signals
        {
            failures.push(format!(
                "{}: not all of it can be read: {:?}",
                data::name(&path),
                dbc.warnings
            ));
        } else {
            agree += 1;
        }
    }
    data::conclude("DBC files load", agree, &failures);
}

#[test]
fn real_data_dbc_vectors() {
    let Some(folder) = data::folder("dbc") else {
        return;
    };
    let paths: HashMap<String, _> = data::files(&folder, "dbc")
        .into_iter()
        .map(|p| (data::name(&p), p))
        .collect();
    let mut decoders: HashMap<String, Decoder> = HashMap::new();
    let (mut agree, mut failures) = (0, Vec::new());
    for path in data::files(&folder, "jsonl") {
        for (number, case) in data::json_lines(&path).iter().enumerate() {
            let place = format!("{}:{}", data::name(&path), number + 1);
            let (Some(file), Some(id), Some(bytes), Some(expected)) = (
                case["dbc"].as_str(),
                case["id"].as_u64(),
                case["data"].as_str().and_then(bytes),
                case["signals"].as_object(),
            ) else {
                println!("{place}: not a frame with its signals, not looked at");
                continue;
            };
            let decoder = decoders.entry(file.to_owned()).or_insert_with(|| {
                let path = paths
                    .get(file)
                    .unwrap_or_else(|| panic!("{place}: no file {file}"));
                Decoder::new(&Dbc::parse(&fs::read(path).unwrap()))
            });
            let id = if case["ext"] == true {
                CanId::extended(id as u32)
            } else {
                CanId::standard(id as u32)
            };
            match compare(decoder, id.unwrap(), &bytes, expected) {
                Ok(()) => agree += 1,
                Err(why) => failures.push(format!("{place}: {file} {}: {why}", case["msg"])),
            }
        }
    }
    data::conclude("DBC frames", agree, &failures);
}

/// The same signals with the same values.
pub(crate) fn compare(
    decoder: &Decoder,
    id: CanId,
    bytes: &[u8],
    expected: &serde_json::Map<String, Value>,
) -> Result<(), String> {
    let mut readings = Vec::new();
    decoder.decode(id, bytes, &mut readings);
    let got: BTreeMap<&str, f64> = readings
        .iter()
        .map(|reading| {
            let signal = &decoder.signals()[reading.signal as usize];
            (signal.name.as_str(), signal.def.encoding.value(reading.raw))
        })
        .collect();
    let expected: BTreeMap<&str, f64> = expected
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_f64().unwrap_or(f64::NAN)))
        .collect();
    if !got.keys().eq(expected.keys()) {
        return Err(format!(
            "signals {:?}, expected {:?}",
            got.keys(),
            expected.keys()
        ));
    }
    for (name, value) in &got {
        if !data::same(*value, expected[name]) {
            return Err(format!("{name} is {value}, expected {}", expected[name]));
        }
    }
    Ok(())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}
