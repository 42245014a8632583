//! A depot as it travels: its file, with the files that it names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path},
    sync::Arc,
};

use config_file::{Fault, Faults};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::depot::{Depot, SCHEMA};

/// A depot file and the files that it names, such as its own price table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The depot file (TOML), to the byte.
    pub text: String,
    /// The texts of the files that it names, by their paths, seen from its folder.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

impl Document {
    /// Reads a depot file and those that it names, and checks them.
    ///
    /// # Errors
    /// What [`Depot::read`] finds, and files that are not in the depot file's folder or below it.
    pub fn read(path: &Path) -> Result<(Self, Depot), Faults> {
        let unreadable = |path: &Path, error: std::io::Error| {
            Faults::from(vec![Fault::of_file(
                path,
                &format!("it cannot be read: {error}"),
            )])
        };
        let depot = Depot::read(path)?;
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        let mut files = BTreeMap::new();
        for named in depot.named_files() {
            let found = named.display().to_string();
            if !travels(&found) {
                let problem = format!(
                    "expected only files in the folder of the depot or below it, found {found}: \
                     they go along when the depot does"
                );
                return Err(Faults::from(vec![Fault::of_file(path, &problem)]));
            }
            let place = path.parent().unwrap_or(Path::new("")).join(&named);
            let text = fs::read_to_string(&place).map_err(|error| unreadable(&place, error))?;
            files.insert(found, text);
        }
        Ok((Self { text, files }, depot))
    }

    /// Checks it without looking at any disk. Its id has to be this one.
    ///
    /// # Errors
    /// Everything that is wrong with it, in files named as they came.
    pub fn check(&self, id: &str) -> Result<Depot, Faults> {
        let path = Path::new(id).with_extension("toml");
        let among = Arc::new(self.files.clone());
        let outside = self.files.keys().filter(|path| !travels(path));
        let expected = "expected a path below the folder of the depot, found another one";
        Faults::check(
            outside
                .map(|path| Fault::of_file(Path::new(path), expected))
                .collect(),
        )?;
        let depot = Depot::parse_among(&path, &self.text, Arc::clone(&among))?;
        let named = depot.named_files();
        let more = self.files.keys();
        let more = more.filter(|path| !named.iter().any(|named| named == Path::new(path)));
        let mut faults: Vec<_> = more
            .map(|path| {
                Fault::of_file(
                    Path::new(path),
                    "expected only files that the depot names, found this one",
                )
            })
            .collect();
        if depot.site.id.as_str() != id {
            let (_, spans) =
                config_file::parse_among::<Depot>(&path, &self.text, &SCHEMA, Some(among))?;
            let expected = format!("`{id}`, under which it is kept");
            faults.push(spans.fault("depot.id", expected, format!("`{}`", depot.site.id)));
        }
        Faults::check(faults)?;
        Ok(depot)
    }

    /// SHA-256 of the text and of the files with their paths, each with its length.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(&self.text);
        for (path, text) in &self.files {
            add(path);
            add(text);
        }
        hash.finalize().into()
    }
}

/// Whether a path stays below the folder that it is seen from.
fn travels(path: &str) -> bool {
    let parts = Path::new(path).components();
    !path.is_empty()
        && !path.contains('\\')
        && parts
            .into_iter()
            .all(|part| matches!(part, Component::Normal(_)))
}
