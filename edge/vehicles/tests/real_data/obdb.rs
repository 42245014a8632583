//! Recorded answers of real cars and the values that OBDb's own decoder gives.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use vehicles::offline::{Definition, Reassembly};

use crate::data;

/// The expected values are rounded to five decimals.
const TOLERANCE: f64 = 1.1e-5;

/// The signal sets of each car: one for all model years, and some for ranges of them (`2012-2017.json`).
pub(crate) struct Sets {
    by_path: HashMap<PathBuf, Definition>,
    folder: PathBuf,
}

impl Sets {
    pub(crate) fn new(folder: &Path) -> Self {
        let mut by_path = HashMap::new();
        for path in data::files(&folder.join("signalsets"), "json") {
            let text = fs::read_to_string(&path).unwrap();
            let definition = Definition::read(&data::name(&path), &text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for note in &definition.notes {
                println!("{}: {note}", path.display());
            }
            let _ = by_path.insert(path, definition);
        }
        Self {
            by_path,
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn of(&self, case: &Value) -> Option<&Definition> {
        let car = self.folder.join("signalsets").join(case["car"].as_str()?);
        let year: Option<u16> = case["year"].as_str().and_then(|year| year.parse().ok());
        let mut candidates: Vec<(u16, &Definition)> = self
            .by_path
            .iter()
            .filter(|(path, _)| path.starts_with(&car))
            .filter_map(|(path, definition)| {
                let name = path.file_stem()?.to_string_lossy().into_owned();
                let Some((from, to)) = name.split_once('-') else {
                    return Some((u16::MAX, definition));
                };
                let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
                (from..=to)
                    .contains(&year?)
                    .then_some((to - from, definition))
            })
            .collect();
        candidates.sort_by_key(|(span, _)| *span);
        candidates.first().map(|(_, definition)| *definition)
    }
}

/// Every value that differs, and how many expected ones are not there.
pub(crate) fn compare(expected: &Value, result: &Value) -> (Vec<String>, usize, usize) {
    let (mut wrong, mut missing, mut right) = (Vec::new(), 0, 0);
    for (name, expected) in expected.as_object().into_iter().flatten() {
        let got = &result["values"][name];
        let agrees = match (expected.as_f64(), got.as_f64()) {
            (Some(expected), Some(got)) => (expected - got).abs() <= TOLERANCE,
            _ => expected == got,
        };
        if got.is_null() {
            missing += 1;
        } else if agrees {
            right += 1;
        } else {
            wrong.push(format!("{name} is {got}, expected {expected}"));
        }
    }
    (wrong, missing, right)
}

#[test]
fn real_data_obdb_vectors() {
    let Some(folder) = data::folder("obdb") else {
        return;
    };
    let sets = Sets::new(&folder);
    let (mut whole, mut damaged, mut values) = (0, 0, 0);
    let mut failures = Vec::new();
    for case in data::files(&folder, "jsonl")
        .iter()
        .flat_map(|path| data::json_lines(path))
    {
        if case.get("frames").is_none() {
            continue;
        }
        let Some(definition) = sets.of(&case) else {
            failures.push(format!("no signal set for {}", case["car"]));
            continue;
        };
        let place = format!("{} {} {}", case["car"], case["cmd"], case["frames"]);
        let strict = definition.answer(&case, Reassembly::Strict);
        let (wrong, missing, right) = compare(&case["expected"], &strict);
        values += right;
        if !wrong.is_empty() {
            failures.push(format!("{place}: {}", wrong.join("; ")));
        } else if missing == 0 {
            whole += 1;
        } else {
            // Some recordings are damaged, and what is expected is what OBDb's decoder makes of the damage: it puts bytes
            // together whatever their sequence numbers. Those values must come out only if that is asked for.
            let loose = definition.answer(&case, Reassembly::AsRecorded);
            let (wrong, missing, _) = compare(&case["expected"], &loose);
            if strict.get("error").is_some() && wrong.is_empty() && missing == 0 {
                damaged += 1;
                println!("damaged, {right} values safe: {}", strict["error"]);
            } else {
                failures.push(format!(
                    "{place}: {missing} missing; {} {}",
                    strict["error"],
                    wrong.join("; ")
                ));
            }
        }
    }
    println!(
        "{whole} recordings are whole and agree strictly; {damaged} are damaged and agree only as recorded; {values} values agree strictly"
    );
    data::conclude("OBDb recordings", whole + damaged, &failures);
}

#[test]
fn real_data_obdb_damaged() {
    let Some(folder) = data::folder("obdb") else {
        return;
    };
    let sets = Sets::new(&folder);
    let (mut agree, mut recovered, mut expected, mut unasked) = (0, 0, 0, 0);
    let mut failures = Vec::new();
    for case in data::files(&folder, "jsonl")
        .iter()
        .flat_map(|path| data::json_lines(path))
    {
        if case.get("lines").is_none() {
            continue;
        }
        let Some(definition) = sets.of(&case) else {
            failures.push(format!("no signal set for {}", case["car"]));
            continue;
        };
        let result = definition.answer(&case, Reassembly::Strict);
        let (wrong, missing, right) = compare(&case["expected"], &result);
        recovered += right;
        expected += right + missing + wrong.len();
        let known = |name: &&String| case["expected"].get(name.as_str()).is_none();
        unasked += result["values"]
            .as_object()
            .map_or(0, |values| values.keys().filter(known).count());
        if wrong.is_empty() {
            agree += 1;
        } else {
            failures.push(format!(
                "{} {}: {}",
                case["cmd"],
                case["lines"],
                wrong.join("; ")
            ));
        }
    }
    println!(
        "{recovered} of {expected} values recovered, {unasked} more that nothing is expected of"
    );
    data::conclude(
        "damaged OBDb recordings without a wrong value",
        agree,
        &failures,
    );
}
