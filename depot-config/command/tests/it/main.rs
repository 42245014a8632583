//! The command `depot-config`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command;
mod import;
mod questions;
mod ratings;
mod simulate;

use std::{fs, path::PathBuf};

/// A folder with a device map of a charger and of a meter.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(
            "charger.toml",
            include_str!("../../../tests/broken/maps/charger.toml"),
        );
        folder.write(
            "meter.toml",
            include_str!("../../../tests/broken/maps/meter.toml"),
        );
        folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// What was said, without the name of the folder.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}
