//! What stations' transactions are remembered by, and what of them is still to go to the buffer: one SQLite database, so that
//! both change together.

use std::path::Path;

use ::ocpp::{Entry, Memory, Rest, Transaction, Version, Write};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared_protocol::AssetKey;

/// Transactions that are kept of a station; the engine remembers fewer.
const KEPT: u32 = 512;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS transaction_state (
        station TEXT NOT NULL, id TEXT NOT NULL, place INTEGER NOT NULL, ended INTEGER NOT NULL, state TEXT NOT NULL,
        PRIMARY KEY (station, id)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, asset TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS place (latest INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS relayed (
        number INTEGER PRIMARY KEY AUTOINCREMENT, station TEXT NOT NULL, id TEXT NOT NULL, action TEXT NOT NULL, payload TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS relay_number (
        station TEXT NOT NULL, id TEXT NOT NULL, theirs INTEGER NOT NULL, PRIMARY KEY (station, id)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS standing (
        number INTEGER PRIMARY KEY AUTOINCREMENT, station TEXT NOT NULL, place TEXT NOT NULL, action TEXT NOT NULL,
        payload TEXT NOT NULL, UNIQUE (station, place)
    ) STRICT;
    INSERT INTO place SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM place);
";

/// Why the book cannot be used; nothing of what was asked has happened.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// SQLite failed.
    #[error("the book of transactions: {0}: stations get no answers until it can be written")]
    Sqlite(#[from] rusqlite::Error),
    /// What it holds cannot be read.
    #[error("the book of transactions holds what is no transaction: {0}")]
    Damaged(#[from] serde_json::Error),
    /// The thread that worked on it is gone.
    #[error("the work on the book of transactions was broken off")]
    Gone,
}

/// The book; one at a time.
#[derive(Debug)]
pub struct Book {
    connection: Connection,
}

/// A record that is to go to the buffer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) number: i64,
    pub(crate) asset: String,
    pub(crate) kind: String,
    pub(crate) payload: String,
}

/// What another back-office is to be told.
#[derive(Clone, Debug)]
pub(crate) struct Relayed {
    pub(crate) number: i64,
    station: String,
    /// The transaction, by our name.
    id: String,
    pub(crate) action: String,
    pub(crate) payload: Value,
    /// The number that the back-office gave it.
    pub(crate) theirs: Option<i64>,
}

impl Book {
    /// Opens the book, or begins one.
    ///
    /// # Errors
    /// When the file cannot be opened or is no database.
    pub fn open(path: &Path) -> Result<Self, BookError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    /// What is remembered of a station.
    pub(crate) fn memory(&mut self, station: &str) -> Result<Memory, BookError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT state FROM transaction_state WHERE station = ?1 ORDER BY place",
        )?;
        let rows = statement.query_map([station], |row| row.get::<_, String>(0))?;
        let mut transactions = Vec::new();
        for row in rows {
            transactions.push(serde_json::from_str::<Transaction>(&row?)?);
        }
        Ok(Memory::new(transactions))
    }

    /// Makes durable what a transaction has told: its state, the record for the cloud, and what another back-office is told
    /// (`relayed`: there is one).
    pub(crate) fn store(
        &mut self,
        station: &str,
        asset: &AssetKey,
        received: Value,
        write: &Write,
        relayed: bool,
    ) -> Result<(), BookError> {
        let one = &write.transaction;
        let state = serde_json::to_string(one)?;
        let transaction = self.connection.transaction()?;
        let known: Option<i64> = transaction
            .prepare_cached("SELECT place FROM transaction_state WHERE station = ?1 AND id = ?2")?
            .query_row([station, &one.id], |row| row.get(0))
            .optional()?;
        let place = match known {
            Some(place) => place,
            None => transaction.query_row(
                "UPDATE place SET latest = latest + 1 RETURNING latest",
                [],
                |row| row.get(0),
            )?,
        };
        transaction
            .prepare_cached("INSERT OR REPLACE INTO transaction_state VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![station, one.id, place, one.ended, state])?;
        transaction
            .prepare_cached(
                "DELETE FROM transaction_state WHERE station = ?1 AND ended AND place <= (SELECT place FROM transaction_state \
                 WHERE station = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![station, KEPT])?;
        insert(&transaction, asset, received, &write.entry)?;
        if let (true, Some(said)) = (relayed, &write.said) {
            transaction
                .prepare_cached(
                    "INSERT INTO relayed (station, id, action, payload) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![station, one.id, said.action, said.payload])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Keeps what a station has told that is of no transaction.
    pub(crate) fn tell(
        &mut self,
        asset: &AssetKey,
        received: Value,
        entry: &Entry,
    ) -> Result<(), BookError> {
        insert(&self.connection, asset, received, entry)
    }

    /// Keeps who a station is, or how something at it stands, in its version's words.
    pub(crate) fn stands(
        &mut self,
        station: &str,
        (place, action): (&str, &str),
        payload: &Value,
    ) -> Result<(), BookError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO standing (station, place, action, payload) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![station, place, action, payload.to_string()])?;
        Ok(())
    }

    /// Keeps how a charger was left that is only looked at.
    pub(crate) fn rests(&mut self, station: &str, rest: Rest) -> Result<(), BookError> {
        let payload = serde_json::to_value(rest)?;
        self.stands(station, ("rest", "MeterValues"), &payload)
    }

    /// How a charger was left.
    pub(crate) fn rest(&mut self, station: &str) -> Result<Option<Rest>, BookError> {
        self.stood(station, "rest")
    }

    /// Who a station has said that it is when it booted.
    pub(crate) fn boot(&mut self, station: &str) -> Result<Option<Value>, BookError> {
        self.stood(station, "boot")
    }

    fn stood<T: DeserializeOwned>(
        &mut self,
        station: &str,
        place: &str,
    ) -> Result<Option<T>, BookError> {
        let text: Option<String> = self
            .connection
            .prepare_cached("SELECT payload FROM standing WHERE station = ?1 AND place = ?2")?
            .query_row([station, place], |row| row.get(0))
            .optional()?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// The version that a station spoke when it connected last.
    pub(crate) fn version(&mut self, station: &str) -> Result<Option<Version>, BookError> {
        let name: Option<String> = self
            .connection
            .prepare_cached("SELECT action FROM standing WHERE station = ?1 AND place = 'version'")?
            .query_row([station], |row| row.get(0))
            .optional()?;
        Ok(name.as_deref().and_then(Version::from_subprotocol))
    }

    /// What stands at a station since this number: its own number, action and payload.
    pub(crate) fn standing(
        &mut self,
        station: &str,
        after: i64,
    ) -> Result<Option<(i64, String, Value)>, BookError> {
        let found: Option<(i64, String, String)> = self
            .connection
            .prepare_cached(
                "SELECT number, action, payload FROM standing WHERE station = ?1 AND number > ?2 AND place LIKE 'status%' \
                 ORDER BY number LIMIT 1",
            )?
            .query_row(params![station, after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let read = |(number, action, text): (i64, String, String)| {
            Ok((number, action, serde_json::from_str(&text)?))
        };
        found.map(read).transpose()
    }

    /// The number of the latest that a station's other back-office is to be told; 0 when there is none.
    pub(crate) fn latest_relayed(&mut self, station: &str) -> Result<i64, BookError> {
        let latest = self
            .connection
            .prepare_cached("SELECT coalesce(max(number), 0) FROM relayed WHERE station = ?1")?
            .query_row([station], |row| row.get(0))?;
        Ok(latest)
    }

    /// What a station's other back-office is to be told next.
    pub(crate) fn relayed(&mut self, station: &str) -> Result<Option<Relayed>, BookError> {
        let found: Option<(i64, String, String, String, Option<i64>)> = self
            .connection
            .prepare_cached(
                "SELECT number, id, action, payload, (SELECT theirs FROM relay_number AS n WHERE n.station = r.station AND n.id = r.id) \
                 FROM relayed AS r WHERE station = ?1 ORDER BY number LIMIT 1",
            )?
            .query_row([station], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .optional()?;
        let read = |(number, id, action, text, theirs): (_, _, _, String, _)| {
            let payload = serde_json::from_str(&text)?;
            let station = station.to_owned();
            Ok(Relayed {
                number,
                station,
                id,
                action,
                payload,
                theirs,
            })
        };
        found.map(read).transpose()
    }

    /// The other back-office has answered, perhaps with its own number of the transaction.
    pub(crate) fn told(&mut self, next: &Relayed, theirs: Option<i64>) -> Result<(), BookError> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM relayed WHERE number = ?1", [next.number])?;
        if let Some(theirs) = theirs.filter(|_| next.action == "StartTransaction") {
            transaction.execute(
                "INSERT OR REPLACE INTO relay_number VALUES (?1, ?2, ?3)",
                params![next.station, next.id, theirs],
            )?;
        } else if next.action == "StopTransaction" {
            transaction.execute(
                "DELETE FROM relay_number WHERE station = ?1 AND id = ?2",
                params![next.station, next.id],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The oldest records that have not gone out.
    pub(crate) fn outgoing(&mut self, limit: u32) -> Result<Vec<Outgoing>, BookError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT number, asset, kind, payload FROM outbox ORDER BY number LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok(Outgoing {
                number: row.get(0)?,
                asset: row.get(1)?,
                kind: row.get(2)?,
                payload: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Those up to this number are durable elsewhere.
    pub(crate) fn gone(&mut self, number: i64) -> Result<(), BookError> {
        self.connection
            .execute("DELETE FROM outbox WHERE number <= ?1", [number])?;
        Ok(())
    }
}

fn insert(
    connection: &Connection,
    asset: &AssetKey,
    received: Value,
    entry: &Entry,
) -> Result<(), BookError> {
    let mut payload = entry.payload.clone();
    payload["received"] = received;
    connection
        .prepare_cached("INSERT INTO outbox (asset, kind, payload) VALUES (?1, ?2, ?3)")?
        .execute(params![asset.as_str(), entry.kind, payload.to_string()])?;
    Ok(())
}

/// When something was received, for a record: the time of day, or that it is not known.
pub(crate) fn received(wall: Option<jiff::Timestamp>) -> Value {
    wall.map_or(Value::Null, |wall| json!(wall))
}
