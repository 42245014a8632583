//! Making a backup while everything runs.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use platform::{Db, Server};

use super::{
    BackupError, Manifest, at, counts,
    manifest::{DUMP, FORM, Part, measure, write},
    tools::Tools,
};
use crate::rooms;

/// Where the store of files is.
#[derive(Clone, Debug)]
pub enum Store {
    /// A folder of this machine.
    Folder(PathBuf),
    /// Elsewhere, as in a bucket, which has copies of its own; or there are no files.
    Elsewhere,
}

/// Makes a backup in a new folder, which is there when it is complete.
pub async fn make(
    db: &Db,
    tools: &Tools,
    store: &Store,
    folder: &Path,
    now: Timestamp,
) -> Result<Manifest, BackupError> {
    if folder.exists() {
        return Err(BackupError::Refused(format!(
            "{} is there already: name a new folder",
            folder.display()
        )));
    }
    let name = folder
        .file_name()
        .ok_or_else(|| BackupError::Refused(format!("{} names no folder", folder.display())))?;
    let beside = folder.with_file_name(format!(".{}.partial", name.to_string_lossy()));
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(|error| at(&beside, &error))?;
    }
    // People's data are for nobody else on the machine.
    DirBuilder::new()
        .mode(0o700)
        .create(&beside)
        .map_err(|error| at(&beside, &error))?;
    let made = fill(db, tools, store, &beside, now).await;
    let done = made.and_then(|manifest| {
        fs::rename(&beside, folder).map_err(|error| at(folder, &error))?;
        Ok(manifest)
    });
    if done.is_err() {
        // What is left of it is no backup.
        let _ = fs::remove_dir_all(&beside);
    }
    done
}

async fn fill(
    db: &Db,
    tools: &Tools,
    store: &Store,
    folder: &Path,
    now: Timestamp,
) -> Result<Manifest, BackupError> {
    let client = db.owner().await?;
    let server = Server::ask(&client).await?;
    let behind = rooms::missing(db, &server).await?;
    if let Some(what) = behind.first() {
        return Err(BackupError::Refused(format!(
            "the database is not complete: {what}"
        )));
    }
    let row = client
        .query_one(include_str!("../../queries/sees_all.sql"), &[])
        .await?;
    let (sees_all, owner): (bool, String) = (row.get(0), row.get(1));
    if !sees_all {
        return Err(BackupError::Refused(format!(
            "the login {owner} does not see all rows: back up as one that gets round row-level security \
             (ALTER ROLE … BYPASSRLS)"
        )));
    }
    client
        .batch_execute(
            "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        .await?;
    let snapshot: String = client
        .query_one("SELECT pg_export_snapshot()", &[])
        .await?
        .get(0);
    let rows = counts(&client).await?;
    let mut migrations = BTreeMap::new();
    for room in rooms::all() {
        let sql = format!("SELECT max(version)::bigint FROM {}.migration", room.schema);
        migrations.insert(
            room.schema.to_owned(),
            client.query_one(&sql, &[]).await?.get(0),
        );
    }
    let sql = include_str!("../../queries/backup_files.sql");
    let contents: Vec<(i32, String)> = client
        .query(sql, &[])
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let dump = folder.join(DUMP);
    tools.dump(server.version, &snapshot, &dump)?;
    client.batch_execute("COMMIT").await?;
    fs::set_permissions(&dump, Permissions::from_mode(0o600)).map_err(|error| at(&dump, &error))?;
    let mut parts = BTreeMap::from([(DUMP.to_owned(), measure(&dump)?)]);
    match store {
        Store::Folder(from) => {
            for (organization, digest) in &contents {
                let key = format!("{organization}/{}/{digest}", &digest[..2]);
                if let Some(part) = copy(from, &folder.join("files"), &key, digest, &client).await?
                {
                    parts.insert(format!("files/{key}"), part);
                }
            }
        }
        Store::Elsewhere => {}
    }
    let manifest = Manifest {
        form: FORM,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: now,
        server: server.version,
        timescaledb: server.timescale,
        owner,
        migrations,
        rows,
        with_files: matches!(store, Store::Folder(_)),
        parts,
        not_in_it: [
            "the key ring that opens sealed secrets (keys.vault)",
            "the signing key (keys.signing)",
            "the configuration",
            "the passwords of dashboards' logins",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    write(folder, &manifest)?;
    Ok(manifest)
}

/// Copies the content of a file. One that somebody forgot since the snapshot is left out; one that is missing for another
/// reason, or is not what it should be, is an error.
async fn copy(
    from: &Path,
    to: &Path,
    key: &str,
    digest: &str,
    client: &tokio_postgres::Client,
) -> Result<Option<Part>, BackupError> {
    let (from, to) = (from.join(key), to.join(key));
    if !from.exists() {
        let still = "SELECT EXISTS (SELECT FROM vault.file WHERE sha256 = decode($1, 'hex'))";
        let still: bool = client.query_one(still, &[&digest]).await?.get(0);
        if still {
            return Err(BackupError::Refused(format!(
                "{} is missing in the store of files: is --files the right folder?",
                from.display()
            )));
        }
        return Ok(None);
    }
    let folder = to.parent().unwrap_or(&to);
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    fs::copy(&from, &to).map_err(|error| at(&from, &error))?;
    let part = measure(&to)?;
    if part.sha256 != digest {
        return Err(BackupError::Refused(format!(
            "{} is not what was stored: restore it from an older backup first",
            from.display()
        )));
    }
    Ok(Some(part))
}
