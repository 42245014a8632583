//! A guest's disk: an image file with an ext4 file system, which outlives the guest.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// An image file.
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Makes an empty one of this many MiB, which costs only what is written to it.
    pub fn new(path: &Path, mebibytes: u64) -> Result<Self> {
        File::create_new(path)
            .and_then(|file| file.set_len(mebibytes << 20))
            .with_context(|| path.display().to_string())?;
        run("mkfs.ext4", &["-q", "-F"], path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The image file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies a folder of it, with all that is in it, into a folder of this machine. No guest may run on it.
    pub fn copy_out(&self, folder: &str, into: &Path) -> Result<()> {
        // What a cut has left in the file system's journal is brought to its place first; 1: something was repaired.
        run("e2fsck", &["-p"], &self.path)?;
        let request = format!("rdump {folder} {}", into.display());
        run("debugfs", &["-R", &request], &self.path)
    }
}

/// A program of e2fsprogs, which not every account has in its PATH.
fn run(program: &str, arguments: &[&str], image: &Path) -> Result<()> {
    let output = Command::new(Path::new("/sbin").join(program))
        .args(arguments)
        .arg(image)
        .output()
        .with_context(|| format!("{program}, of Debian's e2fsprogs"))?;
    let repaired = program == "e2fsck" && output.status.code() == Some(1);
    if !output.status.success() && !repaired {
        bail!(
            "{program} {}: {}{}",
            image.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
