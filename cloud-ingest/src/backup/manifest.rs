//! What a backup holds, and whether it does.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Component, Path},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{BackupError, at};

/// The form of the folder.
pub const FORM: u32 = 1;
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const CHECKSUM: &str = "manifest.sha256";
pub(super) const DUMP: &str = "database.dump";

/// A file of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the folder: 1.
    pub form: u32,
    /// The version of the program that made it.
    pub program: String,
    /// When its snapshot was taken.
    pub made_at: Timestamp,
    /// `server_version_num` of the server.
    pub server: u32,
    /// Version of TimescaleDB in the database; null: plain PostgreSQL.
    pub timescaledb: Option<String>,
    /// The login that owned the tables.
    pub owner: String,
    /// The newest migration of each room.
    pub migrations: BTreeMap<String, i64>,
    /// Numbers of rows of all tables.
    pub rows: BTreeMap<String, i64>,
    /// Whether the store of files is in it; a bucket of its own has copies of its own.
    pub with_files: bool,
    /// All files but the manifest, below the folder.
    pub parts: BTreeMap<String, Part>,
    /// What has to come from elsewhere.
    pub not_in_it: Vec<String>,
}

/// Length and SHA-256 of a file.
pub(super) fn measure(path: &Path) -> Result<Part, BackupError> {
    let mut file = fs::File::open(path).map_err(|error| at(path, &error))?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(|error| at(path, &error))?;
        if read == 0 {
            let sha256 = hex::encode(hash.finalize());
            return Ok(Part { size, sha256 });
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}

/// Writes it beside what it tells of.
pub(super) fn write(folder: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|error| BackupError::Failed(error.to_string()))?;
    let sum = format!("{}  {MANIFEST}\n", hex::encode(Sha256::digest(&text)));
    for (name, content) in [(MANIFEST, text), (CHECKSUM, sum.into_bytes())] {
        let path = folder.join(name);
        fs::write(&path, content)
            .and_then(|()| fs::File::open(&path)?.sync_all())
            .map_err(|error| at(&path, &error))?;
    }
    Ok(())
}

/// Reads the manifest and looks at every file that it names.
pub fn check(folder: &Path) -> Result<Manifest, BackupError> {
    let read = |name: &str| {
        fs::read(folder.join(name)).map_err(|error| {
            BackupError::Damaged(format!("{}: {error}", folder.join(name).display()))
        })
    };
    let (text, sum) = (read(MANIFEST)?, read(CHECKSUM)?);
    let expected = format!("{}  {MANIFEST}\n", hex::encode(Sha256::digest(&text)));
    if sum != expected.as_bytes() {
        return Err(BackupError::Damaged(format!(
            "{MANIFEST} does not fit {CHECKSUM}"
        )));
    }
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| BackupError::Damaged(format!("{MANIFEST}: {error}")))?;
    if manifest.form != FORM {
        return Err(BackupError::Refused(format!(
            "the backup has form {}, and this program reads form {FORM}: use the version that made it, {}",
            manifest.form, manifest.program
        )));
    }
    if !manifest.parts.contains_key(DUMP) {
        return Err(BackupError::Damaged(format!("{MANIFEST} names no {DUMP}")));
    }
    for (name, part) in &manifest.parts {
        let plain = Path::new(name)
            .components()
            .all(|one| matches!(one, Component::Normal(_)));
        let found = if plain {
            measure(&folder.join(name)).map_err(|error| BackupError::Damaged(error.to_string()))?
        } else {
            return Err(BackupError::Damaged(format!(
                "{name} is no place in the folder"
            )));
        };
        if found != *part {
            return Err(BackupError::Damaged(format!(
                "{name} has {} bytes with SHA-256 {}, and should have {} with {}",
                found.size, found.sha256, part.size, part.sha256
            )));
        }
    }
    Ok(manifest)
}
