//! Vehicle profiles: those that ship with Patio, by name, and anybody's own, by path. The same holds for the DBC files that
//! they name.

mod schema;

use std::{fs, io, path::Path};

use config_file::{Collection, Fault, Kind, Spans, Syntax};
use vehicles::{
    dbc::{Dbc, Decoder, MappingError},
    profile::{self, DbcFile, Level, Problem, Profile},
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

/// The DBC files that ship, by name: public facts about broadcast frames, beside the profiles that name them.
pub static DBCS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/dbcs.rs"));

/// The DBC file that ships under this name.
fn shipped_dbc(name: &str) -> Option<Dbc> {
    let (_, text) = DBCS.iter().find(|(shipped, _)| *shipped == name)?;
    Some(Dbc::parse(text.as_bytes()))
}

/// The DBC file that a profile which was read names: one that ships, by its name, or that at a path.
///
/// # Errors
/// It cannot be read, as the system says.
pub fn dbc(file: &str) -> io::Result<Dbc> {
    shipped_dbc(file).map_or_else(|| Ok(Dbc::parse(&fs::read(file)?)), Ok)
}

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
        let content = match found_dbc(dbc, &format!("dbc[{index}].file"), spans) {
            Ok(content) => content,
            Err(fault) => {
                faults.push(fault);
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
                let expected = format!("a signal of {}", dbc.file);
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

/// What a profile names in its key `file`; a path in it is seen from the working folder of the process from then on.
fn found_dbc(dbc: &mut DbcFile, key: &str, spans: &Spans) -> Result<Dbc, Fault> {
    if let Some(shipped) = shipped_dbc(&dbc.file) {
        return Ok(shipped);
    }
    let path = spans.existing_file(key, Path::new(&dbc.file))?;
    match path.to_str() {
        Some(text) => text.clone_into(&mut dbc.file),
        None => {
            let found = path.display().to_string();
            return Err(spans.fault(key, "a path in UTF-8", found));
        }
    }
    dbc_content(&path).map_err(|found| spans.fault(key, "a DBC file with messages", found))
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
