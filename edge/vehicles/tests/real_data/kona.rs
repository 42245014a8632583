//! Recorded buses of a real car, every value against `cantools` (PyPI), which runs in an environment of its own.

use std::{collections::HashMap, fs, path::Path, process::Command};

use isotp::CanId;
use serde_json::Value;
use vehicles::{
    dbc::{Dbc, Decoder},
    log::LogReader,
};

use crate::{data, dbc::compare};

#[test]
fn real_data_kona_log_vs_cantools() {
    let Some(folder) = data::folder("kona") else {
        return;
    };
    let python = data::root().join(".patio/venv/bin/python");
    let probe = Command::new(&python)
        .args(["-c", "import cantools"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
        return;
    }
    let (mut frames, mut values, mut failures) = (0, 0, Vec::new());
    for log in data::files(&folder, "csv") {
        for dbc in data::files(&folder, "dbc") {
            let (these, inside) = compare_log(&python, &dbc, &log, &mut failures);
            println!(
                "{} by {}: {these} frames, {inside} values",
                data::name(&log),
                data::name(&dbc)
            );
            frames += these;
            values += inside;
        }
    }
    println!("{values} values");
    data::conclude("frames by cantools", frames - failures.len(), &failures);
}

fn compare_log(
    python: &Path,
    dbc: &Path,
    log: &Path,
    failures: &mut Vec<String>,
) -> (usize, usize) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_data/cantools_decode.py");
    let output = Command::new(python)
        .arg(script)
        .arg(dbc)
        .arg(log)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // By line of the recording: the signals, or why cantools gives none.
    let peer: HashMap<u64, Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|result: Value| (result["line"].as_u64().unwrap(), result))
        .collect();
    let decoder = Decoder::new(&Dbc::parse(&fs::read(dbc).unwrap()));
    let text = fs::read_to_string(log).unwrap();
    let (mut seen, mut values) = (0, 0);
    for (number, line) in (1..).zip(text.lines()) {
        let Some(frame) = LogReader::new([line].into_iter()).next() else {
            continue;
        };
        // The peer read the header as such; a reader of one line cannot know it.
        let Ok(frame) = frame else {
            assert!(
                !peer.contains_key(&number),
                "{}:{number}: {frame:?}",
                log.display()
            );
            continue;
        };
        match peer.get(&number) {
            None => {
                let mut readings = Vec::new();
                let outcome = decoder.decode(frame.id, &frame.data, &mut readings);
                if outcome.known {
                    failures.push(format!(
                        "{}:{number}: {} is unknown to cantools",
                        log.display(),
                        frame.id
                    ));
                }
            }
            Some(result) => {
                seen += 1;
                assert_eq!(
                    (result["id"].as_u64(), result["extended"].as_bool()),
                    ids(frame.id)
                );
                let Some(signals) = result["signals"].as_object() else {
                    failures.push(format!(
                        "{}:{number}: cantools says {}",
                        log.display(),
                        result["error"]
                    ));
                    continue;
                };
                values += signals.len();
                if let Err(why) = compare(&decoder, frame.id, &frame.data, signals) {
                    failures.push(format!("{}:{number}: {} {why}", log.display(), frame.id));
                }
            }
        }
    }
    (seen, values)
}

fn ids(id: CanId) -> (Option<u64>, Option<bool>) {
    (Some(id.raw().into()), Some(id.is_extended()))
}
