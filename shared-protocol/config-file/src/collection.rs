//! Files of one kind of which some ship inside the binary: found by name, others by path.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use crate::{Fault, Faults, Schema, Spans, nearest, parse, parse_among, read};

/// Files of one kind, of which some ship inside the binary. Where a file names one of them, a text that ends in
/// `.toml` is a path and anything else the name of a shipped one.
#[derive(Debug)]
pub struct Collection<T> {
    /// What one of them is called (`device map`).
    pub what: &'static str,
    /// Folder in the source tree where the shipped ones are kept, for messages about them.
    pub folder: &'static str,
    /// Names and texts of the shipped ones.
    pub shipped: &'static [(&'static str, &'static str)],
    /// Their keys.
    pub schema: &'static Schema,
    /// What is wrong beyond single keys. May complete what was read, such as paths by the folder of the file.
    pub finish: fn(&mut T, &Spans) -> Vec<Fault>,
}

impl<T: DeserializeOwned> Collection<T> {
    /// Names of the shipped ones.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.shipped.iter().map(|(name, _)| *name)
    }

    /// Reads a file of this kind and checks it.
    pub fn read(&self, path: &Path) -> Result<T, Faults> {
        Ok(self.open(path)?.0)
    }

    /// Like [`Collection::read`], with the places of its keys.
    pub fn open(&self, path: &Path) -> Result<(T, Spans), Faults> {
        self.finished(read(path, self.schema)?)
    }

    /// Like [`Collection::open`] with the text at hand; `path` is the name used in faults.
    pub fn parse(&self, path: &Path, text: &str) -> Result<(T, Spans), Faults> {
        self.finished(parse(path, text, self.schema)?)
    }

    /// A file that another one names, from where that one is from.
    fn read_beside(&self, path: &Path, spans: &Spans) -> Result<T, Faults> {
        let Some(texts) = spans.texts() else {
            return self.read(path);
        };
        let text = path.to_str().and_then(|path| texts.get(path));
        let text = text.map_or("", String::as_str);
        let read = parse_among(path, text, self.schema, Some(texts.clone()))?;
        Ok(self.finished(read)?.0)
    }

    /// The shipped one with this name; `None` when there is none.
    pub fn shipped(&self, name: &str) -> Option<Result<T, Faults>> {
        let (name, text) = self.shipped.iter().find(|(shipped, _)| *shipped == name)?;
        let path = Path::new(self.folder).join(format!("{name}.toml"));
        Some(self.parse(&path, text).map(|(value, _)| value))
    }

    /// Whether a text is a path or the name of a shipped one; the error is advice. For a [`crate::Syntax`].
    pub fn admits(&self, text: &str) -> Result<(), String> {
        if text == ".toml" || text.chars().any(char::is_control) {
            return Err(format!("the path of a {} needs a name", self.what));
        }
        if is_path(text) || self.names().any(|name| name == text) {
            return Ok(());
        }
        let names: Vec<_> = self.names().collect();
        Err(match nearest(text, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!(
                "those that ship are {}; the path of a file ends in .toml",
                names.join(", ")
            ),
        })
    }

    fn finished(&self, (mut value, spans): (T, Spans)) -> Result<(T, Spans), Faults> {
        Faults::check((self.finish)(&mut value, &spans))?;
        Ok((value, spans))
    }
}

/// Whether a text that names a member of a collection is the path of a file.
pub fn is_path(text: &str) -> bool {
    Path::new(text)
        .extension()
        .is_some_and(|extension| extension == "toml")
}

/// Reads members of a [`Collection`] that other files name, each once.
#[derive(Debug)]
pub struct Loader<T: 'static> {
    collection: &'static Collection<T>,
    loaded: HashMap<PathBuf, Option<Arc<T>>>,
}

impl<T: DeserializeOwned> Loader<T> {
    /// Reads members of this collection.
    pub fn new(collection: &'static Collection<T>) -> Self {
        Self {
            collection,
            loaded: HashMap::new(),
        }
    }

    /// The one that stands in a file as the value of `key`. When it cannot be had, its faults are added, once
    /// for each member however often it is named.
    pub fn load(
        &mut self,
        written: &str,
        key: &str,
        spans: &Spans,
        faults: &mut Vec<Fault>,
    ) -> Option<Arc<T>> {
        let place = if is_path(written) {
            match spans.existing_file(key, Path::new(written)) {
                Ok(path) => path,
                Err(fault) => {
                    faults.push(fault);
                    return None;
                }
            }
        } else {
            PathBuf::from(written)
        };
        if let Some(loaded) = self.loaded.get(&place) {
            return loaded.clone();
        }
        let result = if is_path(written) {
            self.collection.read_beside(&place, spans)
        } else if let Some(result) = self.collection.shipped(written) {
            result
        } else {
            let expected = format!("the name of a {} that ships", self.collection.what);
            Err(spans.fault(key, expected, format!("`{written}`")).into())
        };
        let loaded = result
            .map_err(|found| faults.extend(found.into_vec()))
            .ok()
            .map(Arc::new);
        self.loaded.insert(place, loaded.clone());
        loaded
    }
}
