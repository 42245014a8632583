//! The database against what the depot really said: every sample there, once, with its value; and the gateway's own
//! ledger, which must agree with both.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rusqlite::OpenFlags;
use shared_protocol::{Source, catalogue};
use tokio_postgres::{Client, NoTls};
use virtual_depot::truth::{
    ColumnId, Stored, Truth, compare,
    sessions::{self, SessionReport, StoredSession},
};

/// Sums of the gateway's ledger, in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Ever made durable.
    pub produced: u64,
    /// Journalled or sealed, not acknowledged.
    pub waiting: u64,
    /// Acknowledged by the cloud.
    pub acknowledged: u64,
    /// Absent for good.
    pub dropped: u64,
}

/// Reads the ledger of a gateway that does not run.
pub fn ledger(buffer: &Path) -> Result<Ledger> {
    let path = buffer.join("buffer.sqlite");
    let database = rusqlite::Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .with_context(|| path.display().to_string())?;
    let ledger = database.query_row(
        "SELECT sum(produced), sum(open + buffered), sum(acknowledged), sum(dropped) FROM stream WHERE stream <> 0",
        [],
        |row| {
            let count = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
            Ok(Ledger { produced: count(0)?, waiting: count(1)?, acknowledged: count(2)?, dropped: count(3)? })
        },
    )?;
    if ledger.produced != ledger.waiting + ledger.acknowledged + ledger.dropped {
        bail!("the gateway's ledger does not add up: {ledger:?}");
    }
    Ok(ledger)
}

/// A connection to a database.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio::time::timeout(Duration::from_secs(10), tokio_postgres::connect(url, NoTls))
            .await
            .context("the database does not answer within 10 s")??;
    tokio::spawn(connection);
    Ok(client)
}

/// Drops the database of this name, if it is there, and makes it anew, beside the one of `url`. Returns its URL.
pub async fn fresh_database(url: &str, name: &str) -> Result<String> {
    let client = connect(url)
        .await
        .context("connecting to the database server")?;
    client
        .batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
        .await?;
    client
        .batch_execute(&format!("CREATE DATABASE \"{name}\""))
        .await
        .context("the role must be allowed to create databases")?;
    with_database(url, name)
}

/// Makes the database of this name unless it is there, beside the one of `url`. Returns its URL.
pub async fn database(url: &str, name: &str) -> Result<String> {
    let client = connect(url)
        .await
        .context("connecting to the database server")?;
    if client
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
        .await?
        .is_none()
    {
        client
            .batch_execute(&format!("CREATE DATABASE \"{name}\""))
            .await
            .context("the role must be allowed to create databases")?;
    }
    with_database(url, name)
}

/// The same URL with another database.
pub fn with_database(url: &str, name: &str) -> Result<String> {
    let (before, options) = url
        .split_once('?')
        .map_or((url, None), |(before, options)| (before, Some(options)));
    let scheme = before
        .find("://")
        .context("a database URL begins with postgres://")?
        + 3;
    let host_end = before[scheme..]
        .find('/')
        .map_or(before.len(), |at| scheme + at);
    let options = options
        .map(|options| format!("?{options}"))
        .unwrap_or_default();
    Ok(format!("{}/{name}{options}", &before[..host_end]))
}

/// All samples of the database: for each column its raw integers in the order of their instants. Signals of the
/// catalogue are in steps of its resolution, others as the gateway read them.
pub async fn stored(client: &Client) -> Result<Stored> {
    let mut stored = Stored::new();
    for signal in catalogue().signals() {
        let rows = client
            .query(
                &format!(
                    "SELECT g.local_key, o.name, s.\"{column}\"::bigint FROM telemetry.sample s
                     JOIN platform.gateway_asset g ON g.asset_id = s.asset_id JOIN telemetry.source o ON o.number = s.source
                     WHERE s.\"{column}\" IS NOT NULL ORDER BY s.time",
                    column = signal.column
                ),
                &[],
            )
            .await?;
        for row in rows {
            let (asset, source, raw): (&str, &str, i64) = (row.get(0), row.get(1), row.get(2));
            stored
                .entry(ColumnId::new(asset, source, &signal.name))
                .or_default()
                .push(raw);
        }
    }
    let rows = client
        .query(
            "SELECT g.local_key, o.name, x.name, e.raw FROM telemetry.extra e JOIN telemetry.extra_signal x ON x.id = e.signal_id
             JOIN platform.gateway_asset g ON g.asset_id = x.asset_id JOIN telemetry.source o ON o.number = x.source
             WHERE e.raw IS NOT NULL ORDER BY e.time",
            &[],
        )
        .await?;
    for row in rows {
        let (asset, source, name, raw): (&str, &str, &str, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        stored
            .entry(ColumnId::new(asset, source, name))
            .or_default()
            .push(raw);
    }
    Ok(stored)
}

/// What a check found.
#[derive(Debug)]
pub struct Verdict {
    /// The database against the truth.
    pub report: virtual_depot::truth::Report,
    /// The gateway's own account.
    pub ledger: Ledger,
    /// Samples and records in the database, those included that wait for their time.
    pub stored: u64,
    /// By source (`can` by DBC files, `obd` by UDS and OBD requests, …): assets that were read so, and their samples.
    pub sources: BTreeMap<String, (usize, u64)>,
}

impl Verdict {
    /// Everything that the gateway made durable is stored once, nothing else is, and nothing waits any more.
    pub fn is_conserved(&self) -> bool {
        self.ledger.waiting == 0
            && self.ledger.dropped == 0
            && self.ledger.produced == self.stored
            && self.ledger.acknowledged == self.stored
            && self.report.is_subsequence()
    }
}

/// Compares a database, a gateway's buffer and the truth.
pub async fn check(database_url: &str, buffer: &Path, truth: &Path) -> Result<Verdict> {
    let client = connect(database_url).await?;
    let stored = stored(&client).await?;
    let samples: u64 = stored.values().map(|raws| raws.len() as u64).sum();
    let records = client.query_one("SELECT count(*) FROM telemetry.record", &[]);
    let records: i64 = records.await?.get(0);
    let sources = by_source(&stored);
    // What the gateway says of itself is counted, but the depot knows nothing of it.
    // What stations say over OCPP they say again when its answer was lost: their transactions are compared, not their samples.
    let told = stored
        .into_iter()
        .filter(|(column, _)| {
            ![Source::Gateway, Source::Ocpp]
                .map(Source::name)
                .contains(&&*column.source)
        })
        .collect();
    let report = compare(&Truth::read(truth)?, &told);
    // What was read by a start of the machine that ended before it knew the time of day: kept whole, without an instant.
    let timeless = client.query_one(
        "SELECT coalesce(sum(samples), 0)::bigint FROM telemetry.unplaced",
        &[],
    );
    let timeless: i64 = timeless.await?.get(0);
    let stored = samples + records.cast_unsigned() + timeless.cast_unsigned();
    Ok(Verdict {
        report,
        ledger: ledger(buffer)?,
        stored,
        sources,
    })
}

/// Assets and samples of each source.
fn by_source(stored: &Stored) -> BTreeMap<String, (usize, u64)> {
    let mut sources: BTreeMap<String, (BTreeSet<&str>, u64)> = BTreeMap::new();
    for (column, raws) in stored {
        let (assets, samples) = sources.entry(column.source.clone()).or_default();
        assets.insert(&column.asset);
        *samples += raws.len() as u64;
    }
    let sources = sources.into_iter();
    let counted = sources.map(|(source, (assets, samples))| (source, (assets.len(), samples)));
    counted.collect()
}

/// Compares the charging transactions of a database with the truth.
pub async fn transactions(database_url: &str, truth: &Path) -> Result<SessionReport> {
    let client = connect(database_url).await?;
    let rows = client
        .query(
            "SELECT station, evse, token, (extract(epoch FROM started_at) * 1000000)::bigint AS started,
                    (extract(epoch FROM ended_at) * 1000000)::bigint AS ended, reason, energy_mwh,
                    ended_at IS NOT NULL AND NOT beginning_unknown AND NOT incomplete AND register_resets = 0
                        AND entries = int8multirange(int8range(0, entry + 1)) AS whole
             FROM telemetry.charging_transaction",
            &[],
        )
        .await?;
    let time = |us: Option<i64>| us.and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    let one = |row: &tokio_postgres::Row| StoredSession {
        station: row.get("station"),
        evse: row.get("evse"),
        token: row.get("token"),
        started: time(row.get("started")),
        ended: time(row.get("ended")),
        reason: row.get("reason"),
        energy_mwh: row.get("energy_mwh"),
        whole: row.get("whole"),
    };
    let stored: Vec<StoredSession> = rows.iter().map(one).collect();
    let truth = sessions::read(truth).with_context(|| truth.display().to_string())?;
    Ok(sessions::compare(&truth, &stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        for (url, expected) in [
            (
                "postgres://u:p@127.0.0.1:5432/postgres",
                "postgres://u:p@127.0.0.1:5432/x",
            ),
            ("postgres://u@host", "postgres://u@host/x"),
            (
                "postgres:///postgres?host=/run/pg&port=5433",
                "postgres:///x?host=/run/pg&port=5433",
            ),
        ] {
            assert_eq!(with_database(url, "x").unwrap(), expected);
        }
    }
}
