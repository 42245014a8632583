//! How long rows are kept (`telemetry.retention`), and what is compressed.

use deadpool_postgres::ClientWrapper;
use jiff::Timestamp;
use platform::{Db, Flavour, MigrateError, Server, failure::in_words, migrate::lock_schema};

use super::{PARTITIONED, StorageError, is_by_day};

/// Rows of tables that are not partitioned: table and its time.
const BY_ROW: [(&str, &str); 9] = [
    ("state_change", "time"),
    ("command", "expires_at"),
    ("rollup_day", "bucket"),
    ("record", "time"),
    ("charging_transaction", "told_at"),
    ("gap", "received_at"),
    ("block_digest", "received_at"),
    ("quarantine", "last_at"),
    ("taken", "taken_at"),
];
/// Rows that one statement deletes.
const MOST_ROWS: u64 = 10_000;
/// How long a partition is waited for that somebody reads.
const LOCK_WAIT: &str = "SET lock_timeout = '5s'";

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Chunks or partitions.
    pub partitions: usize,
    /// Rows of other tables.
    pub rows: u64,
}

/// Removes what is older than `telemetry.retention` says, and has TimescaleDB Community compress what it says. What a
/// roll-up has still to read stays. Call it each hour.
pub async fn retain(db: &Db, now: Timestamp) -> Result<Retained, StorageError> {
    let client = lock_schema(db).await?;
    let server = Server::ask(&client).await.map_err(MigrateError::Db)?;
    let by_day = is_by_day(&client).await?.ok_or(StorageError::NotMigrated)?;
    client.batch_execute(LOCK_WAIT).await?;
    let sql = include_str!("../../queries/retention.sql");
    let mut retained = Retained::default();
    for row in client.query(sql, &[&now]).await? {
        let what: &str = row.get("what");
        if let Some(horizon) = row.get::<_, Option<Timestamp>>("horizon") {
            remove(&client, what, horizon, by_day, &mut retained).await?;
        }
        if let Some(after) = row.get::<_, Option<&str>>("compress_after")
            && server.flavour == Flavour::Community
            && !by_day
        {
            compress(&client, what, after).await;
        }
    }
    Ok(retained)
}

/// The level of roll-ups that reads a table.
fn reader(what: &str) -> Option<i16> {
    match what {
        "sample" => Some(0),
        "rollup_minute" => Some(1),
        "rollup_quarter" => Some(2),
        _ => None,
    }
}

async fn remove(
    client: &ClientWrapper,
    what: &str,
    horizon: Timestamp,
    by_day: bool,
    retained: &mut Retained,
) -> Result<(), StorageError> {
    if let Some(level) = reader(what) {
        let sql = include_str!("../../queries/unread_before.sql");
        if client.query_one(sql, &[&level, &horizon]).await?.get(0) {
            tracing::warn!(what, "kept for now: its roll-ups are not up to date");
            return Ok(());
        }
    }
    if let Some((_, time, per)) = PARTITIONED.into_iter().find(|(name, ..)| *name == what) {
        if by_day {
            let sql = include_str!("../../queries/partitions_before.sql");
            for row in client.query(sql, &[&what, &per, &horizon]).await? {
                let name: &str = row.get(0);
                client
                    .batch_execute(&format!("DROP TABLE telemetry.\"{name}\""))
                    .await?;
                retained.partitions += 1;
            }
            let rest = format!("{what}_rest");
            retained.rows += delete(client, &rest, time, horizon).await?;
        } else {
            let sql = format!(
                "SELECT count(*) FROM drop_chunks('telemetry.{what}', older_than => $1::timestamptz)"
            );
            let dropped: i64 = client.query_one(&sql, &[&horizon]).await?.get(0);
            retained.partitions += usize::try_from(dropped).unwrap_or_default();
        }
    } else if let Some((name, time)) = BY_ROW.into_iter().find(|(name, _)| *name == what) {
        if name == "taken" {
            // First it is said, then it is done: nobody takes what may be gone.
            let sql = include_str!("../../queries/forget.sql");
            client.execute(sql, &[&horizon]).await?;
        }
        retained.rows += delete(client, name, time, horizon).await?;
    } else {
        tracing::warn!(
            what,
            "telemetry.retention names a table that has no retention"
        );
    }
    Ok(())
}

async fn delete(
    client: &ClientWrapper,
    table: &str,
    time: &str,
    horizon: Timestamp,
) -> Result<u64, StorageError> {
    let sql = format!(
        "DELETE FROM telemetry.{table} WHERE ctid = ANY (ARRAY(\
         SELECT ctid FROM telemetry.{table} WHERE {time} < $1 LIMIT {MOST_ROWS}))"
    );
    let statement = client.prepare(&sql).await?;
    let mut deleted = 0;
    loop {
        let some = client.execute(&statement, &[&horizon]).await?;
        deleted += some;
        if some < MOST_ROWS {
            return Ok(deleted);
        }
    }
}

/// A policy for the columnstore. Rows go on coming without it: trouble is only told.
async fn compress(client: &ClientWrapper, what: &str, after: &str) {
    let Some((_, time, _)) = PARTITIONED.into_iter().find(|(name, ..)| *name == what) else {
        return;
    };
    let segments = match what {
        "extra" => "signal_id",
        "sample" => "asset_id, source",
        _ => "asset_id, signal_id, source",
    };
    let sql = format!(
        "DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM timescaledb_information.jobs
                WHERE proc_name = 'policy_compression' AND hypertable_schema = 'telemetry' AND hypertable_name = '{what}'
                  AND (config ->> 'compress_after')::interval = interval '{after}') THEN
                ALTER TABLE telemetry.{what} SET (timescaledb.compress, timescaledb.compress_segmentby = '{segments}',
                    timescaledb.compress_orderby = '{time}');
                PERFORM remove_compression_policy('telemetry.{what}', if_exists => true);
                PERFORM add_compression_policy('telemetry.{what}', compress_after => interval '{after}');
            END IF;
        END $$"
    );
    if let Err(error) = client.batch_execute(&sql).await {
        let reason = in_words(&error);
        tracing::warn!(what, reason, "old chunks are not compressed");
    }
}
