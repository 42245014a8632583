//! Gateway configurations and vehicle profiles, sound and broken, and the command.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command;
mod gateway;
mod import;
mod profiles;

use std::{fs, path::PathBuf};

/// A gateway's folder with every file that [`SOUND`] names.
pub(crate) struct Folder(tempfile::TempDir);

/// A sound configuration.
pub(crate) const SOUND: &str = include_str!("gateway.toml");

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in [
            "gateway.key",
            "ca.pem",
            "gateway.pem",
            "gateway-tls.key",
            "drive.log",
            "stations.pem",
            "stations.key",
            "station-ca.pem",
            "cp-01.password",
            "csms-ca.pem",
            "page.pem",
            "page.key",
        ] {
            folder.write(name, "");
        }
        folder.write("car.toml", include_str!("car.toml"));
        folder.write("car.dbc", include_str!("car.dbc"));
        folder.write("depot.toml", include_str!("depot.toml"));
        folder.write("deaf.toml", include_str!("deaf.toml"));
        folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What was said, without the name of the folder.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}
