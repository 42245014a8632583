//! What has to be there before samples arrive: the catalogue's columns, the view in units, partitions for the days
//! to come. `retention`: how long rows are kept.

mod retention;

use std::collections::HashMap;

use deadpool_postgres::{ClientWrapper, Transaction};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use platform::{Db, Flavour, MigrateError, Server, failure::in_words, migrate::lock_schema};
use shared_protocol::Decimal;

pub use self::retention::{Retained, retain};
use crate::layout::{SOURCES, Slot, expression, is_position, layout};

/// How many days ahead a natively partitioned table has partitions.
const DAYS_AHEAD: i32 = 7;
/// Natively partitioned where there are no hypertables: table, its time, a partition's length.
const PARTITIONED: [(&str, &str, &str); 4] = [
    ("sample", "time", "day"),
    ("extra", "time", "day"),
    ("rollup_minute", "bucket", "day"),
    ("rollup_quarter", "bucket", "month"),
];
/// What the views over the catalogue's columns say of themselves; another text has them made again.
const READING: &str = "Samples of the catalogue's signals, in their units: the float nearest to the exact decimal. Positions that are not to be shown are NULL.";
const SAMPLE_STEP: &str =
    "Samples of the catalogue's signals, one row each, in steps of their resolution.";

/// Why storage is not ready.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The tables are not there.
    #[error("schema telemetry is not there: run the migrations first")]
    NotMigrated,
    /// The catalogue contradicts what is stored.
    #[error(
        "signal {name}: {what}; stored samples would change their meaning: give the changed signal a new id and column"
    )]
    Changed {
        /// The signal.
        name: String,
        /// What changed.
        what: String,
    },
    /// It was tried for a while; call again later.
    #[error("the database is in trouble: {detail}")]
    Later {
        /// Its last words.
        detail: String,
    },
    /// The schema is locked, or the database out of reach.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// A statement failed.
    #[error("{}", in_words(.0))]
    Query(#[from] tokio_postgres::Error),
}

/// What was found and made.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The server.
    pub server: Server,
    /// How many columns of the catalogue were added.
    pub columns: usize,
    /// How many partitions were added.
    pub days: usize,
}

/// Makes everything that samples need: columns and view of the catalogue, and, without hypertables, partitions from
/// yesterday to a week ahead. Doing it again changes nothing; it has to be done at every start and every day.
pub async fn prepare_storage(db: &Db, now: Timestamp) -> Result<Prepared, StorageError> {
    let mut client = lock_schema(db).await?;
    let server = Server::ask(&client).await.map_err(MigrateError::Db)?;
    let Some(by_day) = is_by_day(&client).await? else {
        return Err(StorageError::NotMigrated);
    };
    if by_day && server.flavour != Flavour::Plain {
        tracing::warn!("telemetry is natively partitioned: TimescaleDB came later and is not used");
    }
    let columns = add_columns(&mut client).await?;
    let days = if by_day {
        add_days(&client, now).await?
    } else {
        0
    };
    Ok(Prepared {
        server,
        columns,
        days,
    })
}

/// Whether telemetry is natively partitioned; `None`: its tables are not there.
async fn is_by_day(client: &ClientWrapper) -> Result<Option<bool>, StorageError> {
    let sql = include_str!("../../queries/storage_kind.sql");
    Ok(client.query_one(sql, &[]).await?.get("by_day"))
}

/// What storage lacks, for people. Changes nothing; the migrations have to have been applied.
pub async fn missing(db: &Db, now: Timestamp) -> Result<Vec<String>, StorageError> {
    let client = db.owner().await.map_err(MigrateError::Db)?;
    let mut missing = Vec::new();
    let Some(by_day) = is_by_day(&client).await? else {
        return Ok(missing);
    };
    let timescale = client
        .query_one(include_str!("../../queries/timescale.sql"), &[])
        .await?;
    let (created, loaded): (bool, bool) = (timescale.get("created"), timescale.get("loaded"));
    if created && !loaded {
        missing.push(
            "TimescaleDB's loader, although this database uses it: shared_preload_libraries = 'timescaledb', and restart"
                .to_owned(),
        );
    }
    if created && by_day {
        missing.push(
            "hypertables: TimescaleDB came after the tables, which are partitioned natively and stay so".to_owned(),
        );
    }
    let known: i64 = client
        .query_one("SELECT count(*) FROM telemetry.signal", &[])
        .await?
        .get(0);
    // Before the first start there are none, and that is as it should be.
    let started = known > 0;
    if started && known < layout().slots.len() as i64 {
        missing.push("columns of the catalogue: `cloud-ingest serve` adds them".to_owned());
    }
    let tomorrow = now.to_zoned(TimeZone::UTC).date().checked_add(1.day());
    if let (true, Ok(tomorrow)) = (by_day && started, tomorrow) {
        let child = format!("telemetry.sample_{}", tomorrow.strftime("%Y%m%d"));
        let there: bool = client
            .query_one("SELECT to_regclass($1) IS NOT NULL", &[&child])
            .await?
            .get(0);
        if !there {
            missing.push("a partition for tomorrow: `cloud-ingest serve` makes it".to_owned());
        }
    }
    Ok(missing)
}

/// A signal that has a column.
struct Known {
    name: String,
    column: String,
    column_type: String,
    unit: String,
    resolution: Decimal,
    about: String,
}

async fn known_signals(tx: &Transaction<'_>) -> Result<Vec<(i32, Known)>, StorageError> {
    let sql = include_str!("../../queries/signals.sql");
    let rows = tx.query(sql, &[]).await?;
    let known = rows.iter().map(|row| {
        let about = format!(
            "{} [{}]",
            row.get::<_, &str>("about"),
            row.get::<_, &str>("unit")
        );
        let known = Known {
            name: row.get("name"),
            column: row.get("column_name"),
            column_type: row.get("column_type"),
            unit: row.get("unit"),
            resolution: row.get::<_, &str>("resolution").parse().map_err(|_| {
                StorageError::Changed {
                    name: row.get("name"),
                    what: "its resolution cannot be read".to_owned(),
                }
            })?,
            about,
        };
        Ok((row.get("id"), known))
    });
    known.collect()
}

/// Compares a signal with its column.
fn unchanged(slot: &Slot, known: &Known) -> Result<(), StorageError> {
    let signal = slot.signal;
    let changed = |what: String| {
        Err(StorageError::Changed {
            name: signal.name.clone(),
            what,
        })
    };
    if known.column != signal.column {
        return changed(format!(
            "its column was {}, and is {} now",
            known.column, signal.column
        ));
    }
    if known.resolution != signal.resolution {
        return changed(format!(
            "its resolution was {}, and is {} now",
            known.resolution, signal.resolution
        ));
    }
    if known.unit != signal.unit {
        return changed(format!(
            "its unit was {}, and is {} now",
            known.unit, signal.unit
        ));
    }
    if known.column_type != slot.width.sql() {
        return changed(format!(
            "its range needs a column of type {}, not {}",
            slot.width.sql(),
            known.column_type
        ));
    }
    Ok(())
}

/// Adds the columns that the catalogue has and the table has not; returns how many.
async fn add_columns(client: &mut ClientWrapper) -> Result<usize, StorageError> {
    let tx = client.transaction().await?;
    let known: HashMap<i32, Known> = known_signals(&tx).await?.into_iter().collect();
    let mut new: Vec<&Slot> = Vec::new();
    for slot in &layout().slots {
        match known.get(&slot.signal.id.0.into()) {
            Some(known) => unchanged(slot, known)?,
            None => new.push(slot),
        }
    }
    // Wide columns first: less padding in rows.
    new.sort_by_key(|slot| (std::cmp::Reverse(slot.width), slot.signal.id));
    let (numbers, names): (Vec<i16>, Vec<&str>) = SOURCES
        .iter()
        .map(|source| (source.number(), source.name()))
        .unzip();
    let sql = include_str!("../../queries/ensure_sources.sql");
    tx.execute(sql, &[&numbers, &names]).await?;
    let mut ddl = String::new();
    ddl.extend(new.iter().map(|slot| {
        let signal = slot.signal;
        let (column, width) = (&signal.column, slot.width.sql());
        let about = literal(&format!(
            "{} Steps of {} {}.",
            signal.about, signal.resolution, signal.unit
        ));
        format!(
            "ALTER TABLE telemetry.sample ADD COLUMN \"{column}\" {width};\n\
             COMMENT ON COLUMN telemetry.sample.\"{column}\" IS {about};\n"
        )
    }));
    tx.batch_execute(&ddl).await?;
    let insert = tx
        .prepare(include_str!("../../queries/insert_signal.sql"))
        .await?;
    for slot in &new {
        let signal = slot.signal;
        let standard = serde_word(&signal.standard);
        tx.execute(
            &insert,
            &[
                &i32::from(signal.id.0),
                &signal.column,
                &slot.width.sql(),
                &signal.name,
                &standard,
                &signal.unit,
                &signal.resolution.to_string(),
                &slot.least,
                &slot.greatest,
                &signal.class.name(),
                &signal.about,
            ],
        )
        .await?;
    }
    let views = tx
        .query_one(include_str!("../../queries/fits_catalogue.sql"), &[])
        .await?;
    let said: (Option<&str>, Option<&str>) = (views.get("reading"), views.get("sample_step"));
    if !new.is_empty() || said != (Some(READING), Some(SAMPLE_STEP)) {
        create_views(&tx).await?;
    }
    let count = new.len();
    tx.commit().await?;
    Ok(count)
}

/// `telemetry.reading`: the wide rows in units; `telemetry.sample_step`: a row for each value. Columns that a newer
/// program added stay.
async fn create_views(tx: &Transaction<'_>) -> Result<(), StorageError> {
    let known = known_signals(tx).await?;
    let mut columns = String::new();
    columns.extend(known.iter().map(|(_, known)| {
        let expression = expression(&known.column, known.resolution);
        let expression = if is_position(&known.name) {
            format!("CASE WHEN platform.position_shown(asset_id, time) THEN {expression} END")
        } else {
            expression
        };
        format!(",\n       {expression} AS \"{}\"", known.column)
    }));
    let mut comments = String::new();
    comments.extend(known.iter().map(|(_, known)| {
        format!(
            "COMMENT ON COLUMN telemetry.reading.\"{}\" IS {};\n",
            known.column,
            literal(&known.about)
        )
    }));
    let steps: Vec<String> = known
        .iter()
        .map(|(id, known)| format!("({id}, s.\"{}\"::bigint)", known.column))
        .collect();
    let sql = format!(
        "CREATE OR REPLACE VIEW telemetry.reading AS\n\
         SELECT time, asset_id, source{columns}\nFROM telemetry.sample;\n\
         COMMENT ON VIEW telemetry.reading IS {};\n\
         COMMENT ON COLUMN telemetry.reading.time IS 'When it was measured.';\n\
         COMMENT ON COLUMN telemetry.reading.asset_id IS 'Whose signals.';\n\
         COMMENT ON COLUMN telemetry.reading.source IS 'The way they were read.';\n{comments}\
         CREATE OR REPLACE VIEW telemetry.sample_step AS\n\
         SELECT s.time, s.asset_id, s.source, v.signal_id, v.steps\nFROM telemetry.sample AS s\n\
         CROSS JOIN LATERAL (VALUES {}) AS v (signal_id, steps)\nWHERE v.steps IS NOT NULL;\n\
         COMMENT ON VIEW telemetry.sample_step IS {};\n\
         COMMENT ON COLUMN telemetry.sample_step.time IS 'When it was measured.';\n\
         COMMENT ON COLUMN telemetry.sample_step.asset_id IS 'Whose signal.';\n\
         COMMENT ON COLUMN telemetry.sample_step.source IS 'The way it was read.';\n\
         COMMENT ON COLUMN telemetry.sample_step.signal_id IS 'The signal, of telemetry.signal.';\n\
         COMMENT ON COLUMN telemetry.sample_step.steps IS 'What was measured, in steps of its resolution.'",
        literal(READING),
        steps.join(", "),
        literal(SAMPLE_STEP),
    );
    tx.batch_execute(&sql).await?;
    tx.batch_execute(include_str!("../../queries/expose_reading.sql"))
        .await?;
    Ok(())
}

/// Adds the partitions of the days around `now`, and those of days whose rows are in the default partition.
async fn add_days(client: &ClientWrapper, now: Timestamp) -> Result<usize, StorageError> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let mut added = 0;
    for (parent, time, per) in PARTITIONED {
        let sql = format!(
            "SELECT DISTINCT ({time} AT TIME ZONE 'UTC')::date FROM telemetry.{parent}_rest LIMIT 31"
        );
        let rows = client.query(&sql, &[]).await?;
        let mut days: Vec<Date> = rows.iter().map(|row| row.get(0)).collect();
        days.extend((-1..=DAYS_AHEAD).filter_map(|day| today.checked_add(day.days()).ok()));
        for day in days {
            let sql = include_str!("../../queries/add_partition.sql");
            let row = client.query_one(sql, &[&parent, &per, &day]).await?;
            added += usize::from(row.get::<_, bool>(0));
        }
    }
    Ok(added)
}

/// A text as an SQL literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The word by which files name a standard.
fn serde_word(standard: &shared_protocol::Standard) -> String {
    serde_json::to_value(standard)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
