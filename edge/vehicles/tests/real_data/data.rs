//! Where the data is, and reading it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of one kind of data, or `None` after saying that the test is skipped.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let data =
        std::env::var_os("PATIO_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let folder = data.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no {}", folder.display());
    None
}

/// Every file below a folder with this ending, sorted.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case(ending))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The lines of a file of JSON lines.
pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(parse)
        .collect()
}

/// The name of a file or folder.
pub(crate) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether two values are the same within the noise of floats.
pub(crate) fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
        || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        || (a.is_nan() && b.is_nan())
}

/// Says how many cases agree, which do not, and fails unless all do.
pub(crate) fn conclude(what: &str, agree: usize, failures: &[String]) {
    let total = agree + failures.len();
    if total == 0 {
        eprintln!("skipped: {what}: the folder has no cases");
        return;
    }
    println!("{what}: {agree} of {total} agree");
    for failure in failures.iter().take(20) {
        println!("  {failure}");
    }
    assert!(
        failures.is_empty(),
        "{what}: {} of {total} do not agree",
        failures.len()
    );
}
