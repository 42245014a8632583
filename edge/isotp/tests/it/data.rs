//! Where recorded and published data lies, and how tests over it report.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file or folder of the data; `None`, said on stderr, where there is no data on this machine.
pub(crate) fn path(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PATIO_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no {}", path.display());
    None
}

/// The lines of a JSON-lines file.
pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let parse = |(n, line): (usize, &str)| {
        serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{} line {}: {error}", path.display(), n + 1))
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(parse)
        .collect()
}

/// The bytes of a hexadecimal string in a JSON value.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value}"));
    hex::decode(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Prints `N of M agree` and the first disagreements; fails unless all agree and there was something to compare.
pub(crate) fn report(what: &str, results: &[Result<(), String>]) {
    let wrong: Vec<_> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    println!(
        "{what}: {} of {} agree",
        results.len() - wrong.len(),
        results.len()
    );
    for reason in wrong.iter().take(10) {
        println!("  {reason}");
    }
    assert!(!results.is_empty(), "{what}: nothing to compare");
    assert!(wrong.is_empty(), "{what}: {} disagree", wrong.len());
}
