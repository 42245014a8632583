//! The rooms of the cloud, and what they need of the database.

use platform::{Db, DbError, MigrateError, Room, Server, migrate};

/// Every room, in the order of their dependencies.
pub fn all() -> [Room; 13] {
    [
        platform::room(),
        audit::room(),
        access::room(),
        web::room(),
        jobs::room(),
        vault::room(),
        events::room(),
        privacy::room(),
        telemetry::room(),
        charging::room(),
        depots::room(),
        devices::room(),
        geotab::room(),
    ]
}

/// Brings the tables to what this program needs; doing it again changes nothing.
pub async fn prepare(db: &Db) -> Result<Server, MigrateError> {
    migrate(db, &all()).await
}

/// What a database lacks, for people. Changes nothing.
pub async fn missing(db: &Db, server: &Server) -> Result<Vec<String>, DbError> {
    let mut missing = Vec::new();
    if server.standby {
        missing.push("a primary: this server is a standby, which takes no writes".to_owned());
    }
    if server.offers_timescale {
        missing.push(
            "TimescaleDB: the server has it, this database does not; `database migrate` creates it where it may"
                .to_owned(),
        );
    }
    let client = db.owner().await?;
    let mut behind = false;
    for room in all() {
        let history = format!("{}.migration", room.schema);
        let known: Option<String> = client
            .query_one("SELECT to_regclass($1)::text", &[&history])
            .await?
            .get(0);
        let mut applied: Vec<i64> = Vec::new();
        if known.is_some() {
            let rows = client
                .query(&format!("SELECT version::bigint FROM {history}"), &[])
                .await?;
            applied.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
        }
        for migration in (room.runner)().get_migrations() {
            if !applied.contains(&i64::from(migration.version())) {
                behind = true;
                missing.push(format!(
                    "{} {migration}: `database migrate` applies it",
                    room.schema
                ));
            }
        }
    }
    if !behind {
        match telemetry::storage::missing(db, jiff::Timestamp::now()).await {
            Ok(more) => missing.extend(more),
            Err(error) => missing.push(error.to_string()),
        }
    }
    if behind {
        let may: bool = client
            .query_one(
                "SELECT has_database_privilege(current_user, current_database(), 'CREATE')",
                &[],
            )
            .await?
            .get(0);
        if !may {
            missing.push(format!(
                "the right to create schemas: GRANT CREATE ON DATABASE {} TO this user",
                server.database
            ));
        }
    }
    Ok(missing)
}
