//! What a backup holds.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use jiff::Timestamp;
use platform::Server;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;

use super::{BackupError, DUMP, at};
use crate::rooms;

const NAME: &str = "manifest.json";
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this file.
    pub format: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// The version of the program that made it.
    pub program: String,
    /// The server's `server_version_num`.
    pub server: u32,
    /// The version of TimescaleDB in the database.
    pub timescale: Option<String>,
    /// What is not in it, for people.
    pub without: String,
    /// The last migration of each room.
    pub rooms: BTreeMap<String, i64>,
    /// The rows of each table.
    pub tables: BTreeMap<String, i64>,
    /// Every file but this one.
    pub files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its path in the backup.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

impl Manifest {
    pub(super) fn new(
        server: &Server,
        tables: BTreeMap<String, i64>,
        rooms: BTreeMap<String, i64>,
        files: Vec<Entry>,
    ) -> Self {
        Self {
            format: FORMAT,
            made_at: Timestamp::now(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            server: server.version,
            timescale: server.timescale.clone(),
            without: "the vault's key ring, and the database logins of dashboards".to_owned(),
            rooms,
            tables,
            files,
        }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let path = folder.join(NAME);
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| at(&path)(e.into()))?;
        text.push(b'\n');
        fs::write(&path, text).map_err(at(&path))?;
        flush(&path)?;
        flush(folder)
    }

    /// Reads the manifest of a backup.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(NAME);
        let text = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BackupError::Unfit(format!(
                "{} is no backup, or one that was interrupted: it has no {NAME}",
                folder.display()
            )),
            _ => at(&path)(error),
        })?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| {
            BackupError::Unfit(format!("{} cannot be read: {error}", path.display()))
        })?;
        if manifest.format == FORMAT {
            return Ok(manifest);
        }
        Err(BackupError::Unfit(format!(
            "{} has format {}, and this program reads {FORMAT}",
            path.display(),
            manifest.format
        )))
    }

    /// Whether every file is as it was written.
    pub fn verify(&self, folder: &Path) -> Result<(), BackupError> {
        if !self.files.iter().any(|file| file.path == DUMP) {
            return Err(BackupError::Unfit(format!("the backup has no {DUMP}")));
        }
        let found = sums(folder)?;
        for file in &self.files {
            let unfit = |what| {
                Err(BackupError::Unfit(format!(
                    "{} of the backup {what}",
                    file.path
                )))
            };
            match found.iter().find(|one| one.path == file.path) {
                None => return unfit("is missing"),
                Some(one) if one != file => return unfit("was changed: its checksum is another"),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Whether a restored database has the rows that were saved.
    pub(super) fn compare(&self, found: &BTreeMap<String, i64>) -> Result<(), BackupError> {
        for (table, rows) in &self.tables {
            let there = found.get(table);
            if there != Some(rows) {
                let there = there.map_or_else(|| "no table".to_owned(), ToString::to_string);
                let what = format!("{table} had {rows} rows, and has {there}");
                return Err(BackupError::Differs(what));
            }
        }
        Ok(())
    }
}

/// The rows of each table, in the transaction of this connection.
pub(super) async fn count(client: &Client) -> Result<BTreeMap<String, i64>, BackupError> {
    let names = client
        .query(include_str!("queries/tables.sql"), &[])
        .await?;
    let mut counts = BTreeMap::new();
    for row in names {
        let name: String = row.get(0);
        // It is quoted by the server.
        let rows = client
            .query_one(&format!("SELECT count(*) FROM {name}"), &[])
            .await?;
        counts.insert(name, rows.get(0));
    }
    Ok(counts)
}

/// The last migration of each room.
pub(super) async fn migrations(client: &Client) -> Result<BTreeMap<String, i64>, BackupError> {
    let mut last = BTreeMap::new();
    for room in rooms::all() {
        let history = format!("{}.migration", room.schema);
        let there = "SELECT to_regclass($1) IS NOT NULL";
        // An older program had fewer rooms.
        if !client
            .query_one(there, &[&history])
            .await?
            .get::<_, bool>(0)
        {
            continue;
        }
        let sql = format!("SELECT coalesce(max(version), 0)::bigint FROM {history}");
        let row = client.query_one(&sql, &[]).await?;
        last.insert(room.schema.to_owned(), row.get(0));
    }
    Ok(last)
}

/// Lengths and checksums of all files in a folder but the manifest, by path.
pub(super) fn sums(folder: &Path) -> Result<Vec<Entry>, BackupError> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<Entry>) -> Result<(), BackupError> {
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let path = entry.map_err(at(folder))?.path();
            if path.is_dir() {
                walk(root, &path, found)?;
                continue;
            }
            let name = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            if name == NAME {
                continue;
            }
            let mut hash = Sha256::new();
            let mut file = File::open(&path).map_err(at(&path))?;
            let (mut part, mut bytes) = (vec![0; 64 * 1024], 0);
            loop {
                let read = file.read(&mut part).map_err(at(&path))?;
                if read == 0 {
                    break;
                }
                hash.update(&part[..read]);
                bytes += read as u64;
            }
            let sha256 = hex::encode(hash.finalize());
            found.push(Entry {
                path: name,
                bytes,
                sha256,
            });
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Returns when it is on disk.
pub(super) fn flush(path: &Path) -> Result<(), BackupError> {
    // A relative name without a folder is in the current one.
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(at(path))
}
