//! A profile or a signal set, and the command that a recording names.

use serde::de::IgnoredAny;
use thiserror::Error;

use crate::{
    diagnostic::Table,
    obdb::{self, ImportError, Names, Note},
    profile::{Level, Problem, Profile},
};

/// What answers are decoded by.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The commands and their signals.
    pub table: Table,
    /// What of a signal set could not be taken over.
    pub notes: Vec<Note>,
    /// What is doubtful in a profile.
    pub warnings: Vec<Problem>,
}

/// Why a text defines nothing.
#[derive(Debug, Error)]
pub enum DefinitionError {
    /// Neither JSON nor TOML of a profile.
    #[error("{file}: not a vehicle profile: {error}")]
    Profile {
        /// Name of the file.
        file: String,
        /// What is wrong with it, and where.
        error: toml::de::Error,
    },
    /// JSON, but not a signal set.
    #[error("{file}: {error}")]
    Set {
        /// Name of the file.
        file: String,
        /// What is wrong with it.
        error: ImportError,
    },
    /// It reads, but cannot be used.
    #[error("{file}: {}", list(problems))]
    Problems {
        /// Name of the file.
        file: String,
        /// All that is wrong.
        problems: Vec<Problem>,
    },
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl Definition {
    /// Reads a vehicle profile (TOML) or a signal set of OBDb (JSON), whichever the text is; `file` is its name in
    /// errors.
    pub fn read(file: &str, text: &str) -> Result<Self, DefinitionError> {
        let file = || file.to_owned();
        let unusable = |problems| DefinitionError::Problems {
            file: file(),
            problems,
        };
        // TOML may begin with a bracket, too, but not with a brace.
        let start = text.trim_start();
        let json = start.starts_with('{')
            || start.starts_with('[') && serde_json::from_str::<IgnoredAny>(text).is_ok();
        if json {
            let set = obdb::import(text, Names::Own).map_err(|error| DefinitionError::Set {
                file: file(),
                error,
            })?;
            let table = Table::new(set.commands).map_err(unusable)?;
            return Ok(Self {
                table,
                notes: set.notes,
                warnings: Vec::new(),
            });
        }
        let profile: Profile = toml::from_str(text).map_err(|error| DefinitionError::Profile {
            file: file(),
            error,
        })?;
        let (errors, warnings): (Vec<_>, Vec<_>) = profile
            .check()
            .into_iter()
            .partition(|problem| problem.level == Level::Error);
        if !errors.is_empty() {
            return Err(unusable(errors));
        }
        Ok(Self {
            table: Table::new(profile.command).map_err(unusable)?,
            notes: Vec::new(),
            warnings,
        })
    }

    /// The command that a recording names: by its own name, else by request, answer and payload as OBDb writes them
    /// (`7E4.7EC.220101|fc=1`), preferring commands for this model year.
    pub fn command(&self, name: &str, year: Option<u16>) -> Option<usize> {
        let commands = self.table.commands();
        let by = |matches: &dyn Fn(usize) -> bool| {
            // Of several the last: sets put refinements behind what they refine.
            let found: Vec<usize> = (0..commands.len()).filter(|&i| matches(i)).collect();
            let of_year = found.iter().rfind(|&&i| commands[i].is_for(year));
            of_year.or(found.last()).copied()
        };
        let route = |name: &str| name.split('|').next().unwrap_or_default().to_owned();
        let wanted = route(name);
        by(&|i| commands[i].name == name)
            .or_else(|| by(&|i| route(&commands[i].name) == wanted))
            .or_else(|| {
                let (request, response, payload) = obdb::parse_name(name)?;
                by(&|i| {
                    commands[i].request == request
                        && commands[i].payload() == payload
                        && response.is_none_or(|response| commands[i].answered_by(response))
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_kind_of_file_gives_the_command() {
        let set = r#"{"commands": [{"hdr": "7E4", "rax": "7EC", "fcm1": true, "cmd": {"22": "0101"}, "freq": 1,
            "signals": [{"id": "S", "name": "s", "fmt": {"len": 8, "max": 10, "unit": "volts"}}]}]}"#;
        let profile = "name = \"p\"\n[[bus]]\nname = \"b\"\nbitrate = 500000\n[[command]]\nname = \"battery\"\nrequest = \"7E4\"\nservice = \"22\"\nidentifier = \"0101\"\nsignal = [{ name = \"S\", length = 8 }]\n";
        for text in [set, profile] {
            let definition = Definition::read("file", text).unwrap();
            for name in ["7E4.7EC.220101|fc=1", "7E4.7EC.220101", "7E4.220101"] {
                assert_eq!(definition.command(name, None), Some(0), "{name}");
            }
            for name in ["7E4.7ED.220101", "7E4.7EC.220102", "", "x.y.z"] {
                assert_eq!(definition.command(name, None), None, "{name}");
            }
        }
        for (text, says) in [
            ("nam = 1", "file: not a vehicle profile"),
            ("{}", "file: not an OBDb signal set"),
            ("{\"commands\": [}", "file: not JSON"),
            ("[1]", "file: not an OBDb signal set"),
            ("name = \"p\"\nbus = []", "file: bus: must not be empty"),
        ] {
            let error = Definition::read("file", text).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
