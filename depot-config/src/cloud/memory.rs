//! Which version of the cloud a depot file goes back to: the file `depot.toml.cloud` beside it.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::CloudError;
use crate::document::Document;

/// What stands before the entries.
const HEAD: &str = "# Which version of the cloud the file beside this one goes back to. depot-config writes and reads this;\n\
                    # without it a push asks which version to replace.\n\n";

/// A version of the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The depot.
    pub depot: String,
    /// The version.
    pub version: u32,
    /// Its ETag.
    pub etag: String,
    /// SHA-256 of what it says, in hexadecimal.
    pub digest: String,
}

impl Base {
    /// This version with this content.
    pub fn new(depot: &str, version: u32, etag: &str, document: &Document) -> Self {
        Self {
            depot: depot.to_owned(),
            version,
            etag: etag.to_owned(),
            digest: hex::encode(document.digest()),
        }
    }
}

/// What is remembered of a depot file.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    /// By the cloud's address.
    bases: BTreeMap<String, Base>,
}

impl Memory {
    /// What is remembered of this file; nothing when it was never in the cloud.
    pub fn of(file: &Path) -> Result<Self, CloudError> {
        let mut path = file.as_os_str().to_owned();
        path.push(".cloud");
        let path = PathBuf::from(path);
        let bases = match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                let problem = format!(
                    "it is not what depot-config wrote: {} (without the file, a push asks which version to replace)",
                    error.message()
                );
                CloudError::file(&path, problem)
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(CloudError::file(&path, error)),
        };
        Ok(Self { path, bases })
    }

    /// The version that it goes back to, as a depot of this cloud.
    pub fn base(&self, url: &str, depot: &str) -> Option<&Base> {
        self.bases.get(url).filter(|base| base.depot == depot)
    }

    /// It goes back to this version now.
    pub fn set(&mut self, url: &str, base: Base) {
        self.bases.insert(url.to_owned(), base);
    }

    /// Keeps it.
    pub fn write(&self) -> Result<(), CloudError> {
        let text =
            toml::to_string(&self.bases).map_err(|error| CloudError::file(&self.path, error))?;
        replace(&self.path, &format!("{HEAD}{text}"))
    }
}

/// Replaces a file: afterwards it is the old one or the new one, never a part.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), CloudError> {
    let failed =
        |error: std::io::Error| CloudError::file(path, format!("it cannot be written: {error}"));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = fs::File::create(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}
