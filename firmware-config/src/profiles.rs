//! Vehicle profiles: those that ship with Patio, by name, and anybody's own, by path.

mod schema;

use std::{fs, path::Path};

use config_file::{Collection, Fault, Kind, Spans, Syntax};
use vehicles::{
    dbc::{Dbc, Decoder, MappingError},
    profile::{self, Level, Problem, Profile},
};

pub use schema::SCHEMA;

/// All vehicle profiles. The DBC files of one that was read are seen from the working folder of the process.
pub static PROFILES: Collection<Profile> = Collection {
    what: "vehicle profile",
    folder: "firmware-config/profiles",
    shipped: include!(concat!(env!("OUT_DIR"), "/profiles.rs")),
    schema: &SCHEMA,
    finish,
};

/// The text by which a file names a vehicle profile.
pub const NAME: Kind = Kind::Syntax(Syntax {
    form: "the name of a vehicle profile that ships, or the path of one that ends in .toml",
    check: |text| PROFILES.admits(text),
});

/// What works in a profile and may not be what was meant.
pub fn warnings(profile: &Profile, spans: &Spans) -> Vec<Fault> {
    let problems = profile.check().into_iter();
    let problems = problems.filter(|problem| !refuses(problem));
    problems
        .map(|problem| spans.problem(&problem.path, format!("warning: {}", problem.fault)))
        .collect()
}

/// Definitions made elsewhere have signals that overlap, and are read; in a file that somebody wrote it is a mistake.
fn refuses(problem: &Problem) -> bool {
    problem.level == Level::Error || matches!(problem.fault, profile::Fault::Overlap(_))
}

fn finish(profile: &mut Profile, spans: &Spans) -> Vec<Fault> {
    let problems = profile.check().into_iter().filter(refuses);
    let mut faults: Vec<_> = problems
        .map(|problem| spans.problem(&problem.path, problem.fault.to_string()))
        .collect();
    for (index, dbc) in profile.dbc.iter_mut().enumerate() {
        let key = format!("dbc[{index}].file");
        let path = match spans.existing_file(&key, Path::new(&dbc.file)) {
            Ok(path) => path,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        match path.to_str() {
            Some(text) => text.clone_into(&mut dbc.file),
            None => faults.push(spans.fault(&key, "a path in UTF-8", path.display().to_string())),
        }
        let content = match dbc_content(&path) {
            Ok(content) => content,
            Err(found) => {
                faults.push(spans.fault(&key, "a DBC file with messages", found));
                continue;
            }
        };
        for error in Decoder::mapped(&content, &dbc.signal, dbc.only_mapped)
            .err()
            .unwrap_or_default()
        {
            // Names that the catalogue does not have are found by the profile's own check.
            if let MappingError::NoSignal { name } = &error {
                let place = dbc
                    .signal
                    .iter()
                    .position(|signal| signal.name == *name)
                    .unwrap_or_default();
                let found = format!("`{name}`");
                let expected = format!("a signal of {}", path.display());
                faults.push(spans.fault(
                    &format!("dbc[{index}].signal[{place}].name"),
                    expected,
                    found,
                ));
            }
        }
    }
    faults
}

/// Reads a DBC file that describes at least one message; the error is what was found instead.
pub(crate) fn dbc_content(path: &Path) -> Result<Dbc, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let dbc = Dbc::parse(&bytes);
    if dbc.messages.is_empty() {
        Err("none".to_owned())
    } else {
        Ok(dbc)
    }
}
