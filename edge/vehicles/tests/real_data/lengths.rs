//! The lengths of answers that the shipped profiles rely on, when they ask for several identifiers at once, against recordings.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use vehicles::profile::{Command, Profile};

use crate::data;

/// The length of a message after service and identifier, as its first or only frame announces it; `None`: it is something else.
fn announced(frame: &str, command: &Command) -> Option<usize> {
    // Three digits of identifier, or eight.
    let (_, bytes) = frame.split_at_checked(if frame.len() % 2 == 1 { 3 } else { 8 })?;
    let byte = |at: usize| u8::from_str_radix(bytes.get(at * 2..at * 2 + 2)?, 16).ok();
    let (length, begins) = match byte(0)? {
        first @ 0x01..=0x07 => (first.into(), 1),
        first @ 0x10..=0x1F => (usize::from(first & 0xF) << 8 | usize::from(byte(1)?), 2),
        _ => return None,
    };
    let mut answer = vec![command.service + 0x40];
    answer.extend(&command.identifier.0);
    let same = (0..answer.len()).all(|at| byte(begins + at) == Some(answer[at]));
    same.then(|| length.checked_sub(answer.len())).flatten()
}

/// A profile is for the cars whose name begins with its own.
#[test]
fn real_data_answer_lengths() {
    let Some(folder) = data::folder("obdb") else {
        return;
    };
    let mut recorded: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for case in data::files(&folder, "jsonl")
        .iter()
        .flat_map(|path| data::json_lines(path))
    {
        if let (Some(car), Some(frames)) = (case["car"].as_str(), case["frames"].as_array()) {
            let frames = frames.iter().cloned();
            recorded
                .entry(car.to_lowercase())
                .or_default()
                .extend(frames);
        }
    }
    let (mut agree, mut failures) = (0, Vec::new());
    let profiles = data::root().join("firmware-config/profiles");
    for path in data::files(&profiles, "toml") {
        let profile: Profile = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let stem = data::name(&path).trim_end_matches(".toml").to_owned();
        let cars = recorded.iter().filter(|(car, _)| car.starts_with(&stem));
        let frames: Vec<&str> = cars
            .flat_map(|(_, all)| all)
            .filter_map(Value::as_str)
            .collect();
        for command in &profile.command {
            let (2, Some(length)) = (command.identifier.0.len(), command.answer_length) else {
                continue;
            };
            let response = command.address().unwrap().rx_id().to_string();
            let ours = frames.iter().filter(|frame| frame.starts_with(&response));
            let lengths: Vec<usize> = ours.filter_map(|frame| announced(frame, command)).collect();
            if lengths.is_empty() {
                continue;
            }
            // Damaged captures are among them, and what is asked together and cannot be taken apart is asked again alone.
            let right = lengths
                .iter()
                .filter(|found| **found == usize::from(length))
                .count();
            if right * 2 > lengths.len() {
                agree += 1;
            } else {
                failures.push(format!(
                    "{stem} {}: {right} of {}",
                    command.name,
                    lengths.len()
                ));
            }
        }
    }
    data::conclude("lengths of answers", agree, &failures);
}
