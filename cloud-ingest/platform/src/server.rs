//! Which PostgreSQL answers: its version and its flavour.

use std::fmt;

use tokio_postgres::Client;

use crate::db::DbError;

/// Oldest PostgreSQL that this program runs on.
pub const OLDEST: u32 = 150_000;

/// What the server offers for telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// TimescaleDB Community: hypertables, columnstore, continuous aggregates, policies.
    Community,
    /// TimescaleDB Apache edition: hypertables.
    Apache,
    /// PostgreSQL alone: native range partitions.
    Plain,
}

impl Flavour {
    /// Whether there are hypertables.
    pub const fn has_hypertables(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// A database server, as it presents itself.
#[derive(Clone, Debug)]
pub struct Server {
    /// `server_version_num`, such as 150018.
    pub version: u32,
    /// What it offers for telemetry, in this database.
    pub flavour: Flavour,
    /// Version of the TimescaleDB extension of this database.
    pub timescale: Option<String>,
    /// Whether TimescaleDB could be had in this database: it is loaded and installed, but not created.
    pub offers_timescale: bool,
    /// Whether it is a standby, which takes no writes.
    pub standby: bool,
    /// Name of the database.
    pub database: String,
}

impl Server {
    /// Asks the server behind a connection.
    pub async fn ask(client: &Client) -> Result<Self, DbError> {
        let row = client
            .query_one(include_str!("../queries/server.sql"), &[])
            .await?;
        let timescale: Option<String> = row.get("timescale");
        let license: Option<String> = row.get("license");
        let flavour = match (&timescale, license.as_deref()) {
            (None, _) => Flavour::Plain,
            (Some(_), Some("timescale")) => Flavour::Community,
            (Some(_), _) => Flavour::Apache,
        };
        Ok(Self {
            version: row.get::<_, i32>("version").unsigned_abs(),
            flavour,
            offers_timescale: timescale.is_none() && row.get::<_, bool>("loaded"),
            timescale,
            standby: row.get("standby"),
            database: row.get("database"),
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PostgreSQL {}.{}",
            self.version / 10_000,
            self.version % 10_000
        )?;
        match (&self.timescale, self.flavour) {
            (Some(version), Flavour::Community) => write!(f, ", TimescaleDB {version} Community")?,
            (Some(version), _) => write!(f, ", TimescaleDB {version} Apache edition")?,
            (None, _) => f.write_str(", plain")?,
        }
        write!(f, ", database {}", self.database)
    }
}
