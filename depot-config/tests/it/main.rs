//! Depot files, tariffs and device maps, sound and broken.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod breakers;
mod broken;
mod calendars;
mod devices;
mod differences;
mod drawings;
mod ratings;
mod round;
mod shipped;
mod tariffs;

use std::{fs, path::PathBuf};

/// A folder with a device map of a charger and of a meter.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("charger.toml", include_str!("../broken/maps/charger.toml"));
        folder.write("meter.toml", include_str!("../broken/maps/meter.toml"));
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
