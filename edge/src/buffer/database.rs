//! Opening the database: how it is written, its version, and whose it is; and the rows that its blocks have.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};
use shared_protocol::GatewayId;

use super::error::StoreError;

pub(super) const MIGRATIONS: [&str; 3] = [
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
];

/// Opens the database, creates what is missing in it, and makes sure whose it is.
pub(super) fn connect(path: &Path, gateway: &GatewayId) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    // One process alone: the log's index stays in memory, and there is no file of it.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Damaged(format!("its journal mode is {mode}")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Checkpoints are counted, so they are made by us.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    prepared(connection, gateway, path)
}

pub(super) fn prepared(
    connection: Connection,
    gateway: &GatewayId,
    path: &Path,
) -> Result<Connection, StoreError> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -2048)?;
    let mut version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version as usize > MIGRATIONS.len() {
        return Err(StoreError::Damaged(format!("its version is {version}")));
    }
    for migration in &MIGRATIONS[version as usize..] {
        version += 1;
        connection.execute_batch(&format!(
            "BEGIN;\n{migration}\nPRAGMA user_version = {version};\nCOMMIT;"
        ))?;
    }
    connection.execute(
        "INSERT INTO meta VALUES ('gateway', ?1), ('gateway again', ?1) ON CONFLICT DO NOTHING",
        [gateway.as_str()],
    )?;
    let name = |key: &str| {
        connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
                row.get::<_, String>(0)
            })
            .optional()
    };
    match (name("gateway")?, name("gateway again")?) {
        (Some(found), Some(again)) if found == again && found == gateway.as_str() => Ok(connection),
        (Some(found), Some(again)) if found == again => Err(StoreError::OtherGateway {
            path: path.to_owned(),
            found,
            expected: gateway.clone(),
        }),
        _ => Err(StoreError::Damaged("it does not know whose it is".into())),
    }
}

/// The row that the next block gets.
pub(super) fn next_block(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM block")?
        .query_row([], |row| row.get(0))
}

/// Takes the row of a block away, with its bytes.
pub(super) fn delete_block(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    for delete in [
        "DELETE FROM payload WHERE block = ?1",
        "DELETE FROM block WHERE id = ?1",
    ] {
        connection.prepare_cached(delete)?.execute([id])?;
    }
    Ok(())
}
