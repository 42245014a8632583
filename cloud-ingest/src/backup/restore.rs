//! Restoring a backup into an empty database: everything is looked at before anything is changed.

use std::{fs, path::Path};

use platform::{Db, Server, migrate};

use super::{BackupError, Manifest, at, check, counts, make::Store, manifest::DUMP, tools::Tools};
use crate::rooms;

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What was in the backup.
    pub manifest: Manifest,
    /// Dashboards whose logins this server does not have: `cloud-ingest reader` makes them again.
    pub lost_readers: Vec<String>,
}

/// Restores a backup. The database must be empty, of the same kind, and its login the one that owned the tables.
pub async fn restore(
    db: &Db,
    tools: &Tools,
    store: &Store,
    folder: &Path,
) -> Result<Restored, BackupError> {
    let manifest = check(folder)?;
    let server = db.server().await?;
    fits(&manifest, &server)?;
    if manifest.with_files && matches!(store, Store::Elsewhere) {
        return Err(BackupError::Refused(
            "the backup has files: name a folder for them with --files".to_owned(),
        ));
    }
    let dump = folder.join(DUMP);
    let list = tools.list(server.version, &dump)?;
    let client = db.owner().await?;
    client.batch_execute("SET statement_timeout = 0").await?;
    let row = client
        .query_one(include_str!("../../queries/sees_all.sql"), &[])
        .await?;
    let login: String = row.get(1);
    if login != manifest.owner {
        return Err(BackupError::Refused(format!(
            "the tables belonged to the login {}, and this is {login}: restore as that one",
            manifest.owner
        )));
    }
    let there = client
        .query(include_str!("../../queries/backup_tables.sql"), &[])
        .await?;
    if let Some(row) = there.first() {
        return Err(BackupError::Refused(format!(
            "the database is not empty: it has {}; make a new one with `createdb`",
            row.get::<_, &str>(0)
        )));
    }
    // The roles that rights are given to belong to the server, and are in no dump; TimescaleDB has to be there first.
    let ready = migrate(db, &[]).await?;
    if ready.timescale != manifest.timescaledb {
        return Err(BackupError::Refused(format!(
            "the backup is of {}, and this database has {}",
            named(manifest.timescaledb.as_deref()),
            named(ready.timescale.as_deref())
        )));
    }
    let wanted = std::env::temp_dir().join(format!("patio-restore-{}", std::process::id()));
    let kept: Vec<&str> = list.lines().filter(|line| !is_of_server(line)).collect();
    fs::write(&wanted, kept.join("\n")).map_err(|error| at(&wanted, &error))?;
    let timescale = ready.timescale.is_some();
    if timescale {
        client
            .batch_execute("SELECT timescaledb_pre_restore()")
            .await?;
    }
    let restored = tools.restore(&dump, &wanted);
    // It was only a list.
    let _ = fs::remove_file(&wanted);
    if timescale {
        client
            .batch_execute("SELECT timescaledb_post_restore()")
            .await?;
    }
    restored.map_err(|error| {
        BackupError::Failed(format!(
            "{error}\nwhat was restored is not complete: drop this database"
        ))
    })?;
    let client = db.owner().await?;
    client.batch_execute("SET statement_timeout = 0").await?;
    let rows = counts(&client).await?;
    if rows != manifest.rows {
        let differs = manifest
            .rows
            .iter()
            .find(|(table, n)| rows.get(*table) != Some(n));
        return Err(BackupError::Failed(format!(
            "what was restored is not what was backed up, first in {differs:?}: drop this database"
        )));
    }
    if let Store::Folder(to) = store {
        for name in manifest.parts.keys() {
            if let Some(key) = name.strip_prefix("files/") {
                put(&folder.join(name), &to.join(key))?;
            }
        }
    }
    rooms::prepare(db).await?;
    let lost = client
        .query(include_str!("../../queries/lost_readers.sql"), &[])
        .await?;
    Ok(Restored {
        manifest,
        lost_readers: lost.iter().map(|row| row.get(0)).collect(),
    })
}

fn named(timescale: Option<&str>) -> String {
    timescale.map_or_else(
        || "plain PostgreSQL".to_owned(),
        |version| format!("TimescaleDB {version}"),
    )
}

/// Whether this program, and this server, can have it.
fn fits(manifest: &Manifest, server: &Server) -> Result<(), BackupError> {
    for (schema, version) in &manifest.migrations {
        let room = rooms::all().into_iter().find(|room| room.schema == schema);
        let newest = room.map_or(0, |room| {
            let runner = (room.runner)();
            let versions = runner
                .get_migrations()
                .iter()
                .map(|one| i64::from(one.version()));
            versions.max().unwrap_or(0)
        });
        if *version > newest {
            return Err(BackupError::Refused(format!(
                "the backup is of a newer version of this program ({}; {schema} is at migration {version}, and here at {newest}): \
                 restore it with that version",
                manifest.program
            )));
        }
    }
    if server.version / 10_000 < manifest.server / 10_000 {
        return Err(BackupError::Refused(format!(
            "the backup is of PostgreSQL {}, and this server is {}: restore it on a server that is no older",
            manifest.server / 10_000,
            server.version / 10_000
        )));
    }
    if server.timescale.is_none() && server.offers_timescale != manifest.timescaledb.is_some() {
        return Err(BackupError::Refused(format!(
            "the backup is of {}, and this server has {}TimescaleDB",
            named(manifest.timescaledb.as_deref()),
            if server.offers_timescale { "" } else { "no " }
        )));
    }
    Ok(())
}

/// What belongs to the server, or is made again: extensions, and rights to tables that are yet to come.
fn is_of_server(line: &str) -> bool {
    let what = line.split_once(';').map_or("", |(_, rest)| rest);
    let mut words = what.split_whitespace().skip(2);
    let first = words.next().unwrap_or_default();
    let second = words.next().unwrap_or_default();
    first == "EXTENSION"
        || (first == "COMMENT" && what.contains(" EXTENSION "))
        || (first == "DEFAULT" && second == "ACL")
}

/// A file is complete or not there; one that is there is the same one, for its name is its digest.
fn put(from: &Path, to: &Path) -> Result<(), BackupError> {
    if to.exists() {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    let beside = to.with_extension("partial");
    fs::copy(from, &beside)
        .and_then(|_| fs::File::open(&beside)?.sync_all())
        .and_then(|()| fs::rename(&beside, to))
        .map_err(|error| at(to, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_server_is_left_out() {
        for (line, left_out) in [
            ("2; 3079 16385 EXTENSION - timescaledb ", true),
            ("4313; 0 0 COMMENT - EXTENSION timescaledb ", true),
            (
                "2177; 826 17011 DEFAULT ACL access DEFAULT PRIVILEGES FOR TABLES patio",
                true,
            ),
            ("3801; 0 0 COMMENT access TABLE user patio", false),
            ("300; 1259 17011 TABLE platform organization patio", false),
            ("; Selected TOC Entries:", false),
        ] {
            assert_eq!(is_of_server(line), left_out, "{line}");
        }
    }
}
