//! Whether a database is what it was when it was last written. What is found here is mended by `salvage.rs`.

use std::{path::Path, sync::mpsc, time::Duration};

use rusqlite::{Connection, ErrorCode};

use super::{error::StoreError, pages};

/// A gateway must be up soon: what cannot be looked at in this time is looked at when it is needed.
const WITHIN: Duration = Duration::from_secs(2);

/// What must hold between the tables; each counts what contradicts it.
const RULES: [(&str, &str); 4] = [
    (
        "counters that do not add up",
        "SELECT count(*) FROM stream WHERE produced <> open + buffered + acknowledged + dropped + thinned + refused + damaged
            OR min(produced, open, buffered, acknowledged, dropped, thinned, refused, damaged) < 0",
    ),
    (
        "samples that are not where they are counted",
        "SELECT count(*) FROM stream s WHERE buffered <> coalesce((SELECT sum(samples) FROM block b
            WHERE b.epoch = s.epoch AND b.stream = s.stream AND b.state IN (0, 2)), 0)
            OR open <> coalesce((SELECT sum(samples) FROM journal j WHERE j.epoch = s.epoch AND j.stream = s.stream), 0)",
    ),
    (
        "numbers that were not given",
        "SELECT count(*) FROM stream s WHERE next_seq <= (SELECT max(last) FROM block b
            WHERE b.epoch = s.epoch AND b.stream = s.stream)",
    ),
    (
        "blocks that belong nowhere",
        "SELECT count(*) FROM block b WHERE state NOT IN (0, 1, 2) OR length(digest) <> 16 OR last < seq
            OR priority <> CASE stream WHEN 0 THEN 0 WHEN 4 THEN 1 WHEN 1 THEN 2 WHEN 2 THEN 3 WHEN 3 THEN 4 END
            OR NOT EXISTS (SELECT 1 FROM stream s WHERE s.epoch = b.epoch AND s.stream = b.stream)",
    ),
];

/// Looks at the structure and at what must hold between the tables, as far as the time reaches.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let (done, waiting) = mpsc::sync_channel::<()>(1);
    let interrupt = connection.get_interrupt_handle();
    let watch = std::thread::spawn(move || {
        if waiting.recv_timeout(WITHIN) == Err(mpsc::RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    let found = examine(connection);
    drop(done);
    let _ = watch.join();
    match found {
        Err(StoreError::Sqlite(rusqlite::Error::SqliteFailure(failure, _)))
            if failure.code == ErrorCode::OperationInterrupted =>
        {
            tracing::info!("the buffer's database is too long to be looked at whole at the start");
            Ok(())
        }
        other => other,
    }
}

fn examine(connection: &Connection) -> Result<(), StoreError> {
    for (what, rule) in RULES {
        let contradictions: i64 = connection.query_row(rule, [], |row| row.get(0))?;
        if contradictions > 0 {
            return Err(StoreError::Damaged(what.into()));
        }
    }
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        Ok(())
    } else {
        Err(StoreError::Damaged(said))
    }
}

/// Whether the log beside a database is whole, but for a torn end.
pub(super) fn log_is_whole(database: &Path) -> bool {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    !pages::is_broken_inside(Path::new(&log)).unwrap_or(true)
}
