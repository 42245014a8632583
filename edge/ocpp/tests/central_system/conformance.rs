//! Plays the certification cases of `conformance.toml` and `conformance-201.toml`, and checks that the tables are whole.

use std::{collections::HashSet, fs, path::Path};

use ocpp::{Call, Version, v1_6, v2_0_1};
use serde_json::{Value, json};

use crate::{
    data,
    support::{Peer, now},
};

fn cases() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cases = Vec::new();
    for name in ["conformance.toml", "conformance-201.toml"] {
        let table: toml::Value =
            toml::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap();
        let table = serde_json::to_value(table).unwrap();
        cases.extend(table["case"].as_array().unwrap().clone());
    }
    cases
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value[key].as_str()
}

/// Puts the number of the latest transaction where `$transaction` stands.
fn filled(value: &Value, number: Option<i32>) -> Value {
    match value {
        Value::String(text) if text == "$transaction" => json!(number.unwrap()),
        Value::Array(items) => items.iter().map(|item| filled(item, number)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), filled(member, number)))
            .collect(),
        other => other.clone(),
    }
}

/// Whether everything of `part` is in `whole`.
fn has(whole: &Value, part: &Value) -> bool {
    match part {
        Value::Object(members) => members.iter().all(|(name, one)| has(&whole[name], one)),
        part => whole == part,
    }
}

pub(crate) fn call(version: Version, action: &str, payload: &Value) -> Call {
    let raw = serde_json::value::to_raw_value(payload).unwrap();
    let strict = ocpp_kit::decode::DecodeOptions::pedantic();
    if version == Version::V1_6 {
        let action = v1_6::Action::from_wire(action).unwrap();
        Call::V16(v1_6::CsmsRequest::decode(action, &raw, &strict).unwrap())
    } else {
        let action = v2_0_1::Action::from_wire(action).unwrap();
        Call::V201(v2_0_1::CsmsRequest::decode(action, &raw, &strict).unwrap())
    }
}

fn play(case: &Value, version: Version) {
    let id = text(case, "id").unwrap();
    let mut peer = Peer::new(version);
    for step in case["step"].as_array().unwrap() {
        let numbers = peer.station.memory().transactions();
        let number = numbers.filter_map(|one| one.number).max();
        let with = filled(&step["with"], number);
        if let Some(action) = text(step, "ask") {
            let outcome = peer.ask(action, &with);
            if let Some(error) = text(step, "refused") {
                assert_eq!(outcome.error(), error, "{id}: {step}");
                continue;
            }
            let answer = outcome.answer();
            assert!(
                has(answer, &step["gets"]) || step["gets"].is_null(),
                "{id}: {step}: {answer}"
            );
            let stored = outcome.stored.first().map(|write| write.entry.kind);
            assert_eq!(stored, text(step, "stored"), "{id}: {step}");
        } else if let Some(action) = text(step, "call") {
            let answer = &step["answer"];
            crate::schemas::must_be_valid(version, action, true, answer);
            let (sent, outcome) = peer.call(&call(version, action, &with), answer);
            assert!(has(&sent[3], &with), "{id}: {sent}");
            assert_eq!(outcome.results, [Ok(answer.clone())], "{id}: {step}");
        } else if let Some(clock) = text(step, "clock") {
            assert!(["known", "unknown"].contains(&clock), "{id}: {step}");
            peer.blind = clock == "unknown";
        } else {
            assert_eq!(step["reconnect"], json!(true), "{id}: {step}");
            peer.clock += 10;
            let gone = peer.station.disconnected(now(peer.clock));
            assert!(gone.is_empty(), "{id}: {gone:?}");
            peer.reconnect();
        }
    }
}

#[test]
fn certification_cases_are_played() {
    let cases = cases();
    let played: Vec<_> = cases
        .iter()
        .filter(|case| case["step"].is_array())
        .collect();
    for case in &played {
        match text(case, "version").unwrap() {
            "1.6" => play(case, Version::V1_6),
            // What 2.1 shares with 2.0.1 is the same there.
            _ => {
                play(case, Version::V2_0_1);
                play(case, Version::V2_1);
            }
        }
    }
    for version in ["1.6", "2.0.1"] {
        let of = |cases: &mut dyn Iterator<Item = &Value>| {
            cases
                .filter(|case| text(case, "version") == Some(version))
                .count()
        };
        let (mine, all) = (of(&mut played.iter().copied()), of(&mut cases.iter()));
        println!("OCPP {version}: {mine} of {all} cases of the table are played here");
    }
}

#[test]
fn every_case_is_played_or_says_why_not() {
    let mut seen = HashSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    for case in cases() {
        let id = text(&case, "id").unwrap();
        assert!(seen.insert(id.to_owned()), "{id} stands here twice");
        let ways = ["step", "elsewhere", "why_not"];
        let given = ways.iter().filter(|way| !case[**way].is_null()).count();
        assert_eq!(given, 1, "{id}: one of {ways:?}");
        assert!(
            case["step"].as_array().is_none_or(|steps| steps.len() > 1),
            "{id}"
        );
        if let Some(name) = text(&case, "elsewhere") {
            let name = name.split_once(' ').unwrap().1;
            let wanted = format!("fn {name}(");
            let found = fs::read_dir(root.join("ocpp")).unwrap().any(|entry| {
                let text = fs::read_to_string(entry.unwrap().path()).unwrap();
                text.contains(&wanted)
            });
            assert!(found, "{id}: there is no test {name}");
        }
    }
    assert_eq!(
        seen.iter()
            .filter(|id| id.as_bytes()[3].is_ascii_digit())
            .count(),
        77
    );
}

/// Numbers of the list of 2.0.1 that are played here or elsewhere, each once.
#[test]
fn sixty_cases_of_2_0_1_have_their_number() {
    let mut tested = HashSet::new();
    let mut without = Vec::new();
    for case in cases() {
        if text(&case, "version") != Some("2.0.1") {
            continue;
        }
        let own = text(&case, "id").filter(|id| id.starts_with("TC_"));
        let also = case["oca"].as_array().into_iter().flatten();
        let numbers = own.into_iter().chain(also.map(|id| id.as_str().unwrap()));
        for id in numbers.map(str::to_owned) {
            let form = id.strip_prefix("TC_").unwrap().as_bytes();
            assert!(form[0].is_ascii_uppercase() && form[1] == b'_', "{id}");
            if case["why_not"].is_null() {
                assert!(tested.insert(id.clone()), "{id} stands here twice");
            } else {
                without.push(id);
            }
        }
    }
    println!(
        "{} numbers of 2.0.1 are tested, {} not",
        tested.len(),
        without.len()
    );
    assert!(tested.len() >= 60);
}

/// Numbers of cases as lists write them: `TC_` and digits, letters and `_` after it.
fn ids(list: &str) -> HashSet<String> {
    let ends = |byte: char| !(byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == '_');
    let pieces = list.split("TC_").skip(1);
    pieces
        .map(|piece| piece.split(ends).next().unwrap())
        .map(|id| format!("TC_{}", id.trim_end_matches("_CSMS").trim_end_matches('_')))
        .collect()
}

#[test]
fn real_data_the_lists_of_cases_are_in_the_table() {
    let Some(folder) = data::folder("ocpp/checklists") else {
        return;
    };
    let table: HashSet<String> = cases()
        .iter()
        .map(|case| text(case, "id").unwrap().to_owned())
        .collect();
    let mut listed = HashSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let list = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Lists of obligations and slices name the cases that this side has; prose names others, too.
        if name.contains("OBLIGATIONS") || name.contains("SLICE") {
            listed.extend(ids(&list));
        }
    }
    let missing: Vec<_> = listed.difference(&table).collect();
    println!("{} of {} agree", listed.len() - missing.len(), listed.len());
    assert!(!listed.is_empty() && missing.is_empty(), "{missing:?}");
}
