//! Every room's tables: each room has a schema of its own name, its `migrations/V<n>__<what>.sql`, and its own
//! history. They run under one lock, so that any number of programs may start at once, and only forward.

use std::time::Duration;

use refinery::{Target, error::Kind};
use tokio_postgres::Client;

use crate::{
    db::{Db, DbError},
    failure::in_words,
    retry::Backoff,
    roles,
    server::Server,
};

/// The advisory lock under which schemas change.
const LOCK: i64 = 0x5061_7469_6f00_0001;
const LOCK_WAIT: Duration = Duration::from_mins(2);

/// A room's part of the database.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Its schema.
    pub schema: &'static str,
    /// Its migrations.
    pub runner: fn() -> refinery::Runner,
}

/// Why the schema is not what this program needs. What was already applied stays; running it again goes on there.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database was migrated by a newer program.
    #[error(
        "schema {schema} was migrated by a newer version of this program ({what}): start that version, or restore a backup"
    )]
    Newer {
        /// The room's schema.
        schema: &'static str,
        /// Which migration.
        what: String,
    },
    /// A migration that has been applied was edited afterwards.
    #[error(
        "schema {schema}: {what} was changed after it had been applied: restore its file, and write a new migration"
    )]
    Edited {
        /// The room's schema.
        schema: &'static str,
        /// Which migration.
        what: String,
    },
    /// A migration failed; it changed nothing.
    #[error("schema {schema}: {reason}")]
    Failed {
        /// The room's schema.
        schema: &'static str,
        /// Which migration, and the server's words.
        reason: String,
    },
    /// Somebody else migrates, and does not come to an end.
    #[error("another program has been changing the schema for {LOCK_WAIT:?}: see pg_stat_activity")]
    Locked,
    /// The server takes no writes.
    #[error("the database server is a standby: name the primary")]
    Standby,
    /// The roles that programs act as cannot be made, or may too much.
    #[error(
        "{0}; an administrator of the server has to put it right: CREATE ROLE patio_app NOLOGIN; \
         CREATE ROLE patio_system NOLOGIN; CREATE ROLE patio_reader NOLOGIN; GRANT patio_app, patio_system, \
         patio_reader TO (this login)"
    )]
    Roles(String),
    /// The database is out of reach or refuses.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Brings all rooms' schemas to what this program needs; doing it again changes nothing.
///
/// Where the server offers TimescaleDB and the database does not have it yet, it is created first; without the right
/// to do so the database stays plain. Returns the server as it is afterwards.
///
/// The login must own the tables, and may create roles unless an administrator has made them (see [`roles`]).
pub async fn migrate(db: &Db, rooms: &[Room]) -> Result<Server, MigrateError> {
    let mut client = lock_schema(db).await?;
    let server = Server::ask(&client).await?;
    if server.standby {
        return Err(MigrateError::Standby);
    }
    // Building an index may take longer than any statement of the daily work.
    client.batch_execute("SET statement_timeout = 0").await?;
    if server.offers_timescale
        && let Err(error) = client
            .batch_execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            .await
    {
        tracing::warn!(
            reason = in_words(&error),
            "TimescaleDB is there but cannot be created: the database stays plain"
        );
    }
    roles::ensure(&client).await?;
    for room in rooms {
        migrate_room(&mut client, room, Target::Latest).await?;
    }
    Ok(Server::ask(&client).await?)
}

/// A connection of the owner that holds the lock under which schemas change. The lock goes with the connection.
pub async fn lock_schema(db: &Db) -> Result<deadpool_postgres::ClientWrapper, MigrateError> {
    let client = db.owner().await?;
    let mut backoff = Backoff::new(
        Duration::from_millis(50),
        Duration::from_secs(1),
        LOCK_WAIT.as_secs() as u32,
    );
    loop {
        let row = client
            .query_one(include_str!("../queries/try_lock.sql"), &[&LOCK])
            .await?;
        if row.get(0) {
            return Ok(client);
        }
        tokio::time::sleep(backoff.wait().ok_or(MigrateError::Locked)?).await;
    }
}

/// Brings rooms to earlier states, as databases have them that an older program migrated.
#[cfg(feature = "testing")]
pub async fn migrate_to(db: &Db, states: &[(Room, i32)]) -> Result<(), MigrateError> {
    let mut client = lock_schema(db).await?;
    if Server::ask(&client).await?.offers_timescale {
        client
            .batch_execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            .await?;
    }
    roles::ensure(&client).await?;
    for (room, version) in states {
        let target = Target::Version(*version);
        migrate_room(&mut client, room, target).await?;
    }
    Ok(())
}

async fn migrate_room(
    client: &mut Client,
    room: &Room,
    target: Target,
) -> Result<(), MigrateError> {
    let schema = room.schema;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             GRANT USAGE ON SCHEMA {schema} TO {app}, {system}, {reader};
             ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {system}",
            app = roles::APP,
            system = roles::SYSTEM,
            reader = roles::READER,
        ))
        .await?;
    let history = format!("{schema}.migration");
    let mut runner = (room.runner)().set_target(target);
    runner.set_migration_table_name(&history);
    let report = runner
        .run_async(client)
        .await
        .map_err(|error| match error.kind() {
            Kind::MissingVersion(migration) => MigrateError::Newer {
                schema,
                what: migration.to_string(),
            },
            Kind::DivergentVersion(migration, _) => MigrateError::Edited {
                schema,
                what: migration.to_string(),
            },
            Kind::Connection(what, source) => MigrateError::Failed {
                schema,
                reason: source.downcast_ref::<tokio_postgres::Error>().map_or_else(
                    || format!("{what}: {source}"),
                    |source| format!("{what}: {}", in_words(source)),
                ),
            },
            other => MigrateError::Failed {
                schema,
                reason: other.to_string(),
            },
        })?;
    for migration in report.applied_migrations() {
        tracing::info!(schema, %migration, "migrated");
    }
    if !report.applied_migrations().is_empty() {
        client
            .batch_execute(&format!(
                "REVOKE ALL ON {history} FROM {system};
                 COMMENT ON TABLE {history} IS 'Migrations of this schema that have been applied.';
                 COMMENT ON COLUMN {history}.version IS 'Number of the migration.';
                 COMMENT ON COLUMN {history}.name IS 'Its name.';
                 COMMENT ON COLUMN {history}.applied_on IS 'When it was applied, RFC 3339.';
                 COMMENT ON COLUMN {history}.checksum IS 'Checksum of its name and text.'",
                system = roles::SYSTEM,
            ))
            .await?;
    }
    Ok(())
}
