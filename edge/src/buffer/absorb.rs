//! What was kept in memory while there was no disk goes to the disk.

use rusqlite::{Connection, params};

use super::{
    database::next_block,
    error::StoreError,
    gaps::place,
    store::{IN_DOUBT, SEEN, Store},
};

impl Store {
    /// Takes over all that another ledger holds: what was kept in memory goes to the disk. What an earlier attempt left
    /// there, although it reported an error, is older than what comes now and gives way to it.
    pub(super) fn absorb(&mut self, other: &Self) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let mut epochs = other
            .connection
            .prepare("SELECT id, counter, nonce FROM epoch ORDER BY id")?;
        let mut epochs = epochs.query([])?;
        while let Some(row) = epochs.next()? {
            let (old, counter, nonce): (i64, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            for delete in [
                "DELETE FROM payload WHERE block IN (SELECT id FROM block WHERE epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2))",
                "DELETE FROM block WHERE epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2)",
                "DELETE FROM stream WHERE epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2)",
                "DELETE FROM column_def WHERE epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2)",
                "DELETE FROM epoch WHERE counter = ?1 AND nonce = ?2",
            ] {
                transaction.execute(delete, params![counter, nonce])?;
            }
            transaction.execute(
                "INSERT INTO epoch (counter, nonce) VALUES (?1, ?2)",
                params![counter, nonce],
            )?;
            let new = transaction.last_insert_rowid();
            for (table, columns) in [
                ("column_def", "number, def"),
                (
                    "stream",
                    "stream, next_seq, produced, open, buffered, acknowledged, dropped, thinned, refused, damaged",
                ),
                ("journal", "stream, boot, offset, samples, bytes"),
            ] {
                copy_rows(&other.connection, &transaction, table, columns, (old, new))?;
            }
            let mut blocks = other.connection.prepare(&format!(
                "SELECT b.stream, b.seq, b.priority, b.state, b.samples, b.length, b.digest, b.thinned, b.passes, b.last, b.gap, b.gone,
                    iif(b.offered = {IN_DOUBT}, {IN_DOUBT}, {SEEN}), p.bytes
                 FROM block b JOIN payload p ON p.block = b.id WHERE b.epoch = ?1 ORDER BY b.place",
            ))?;
            let mut blocks = blocks.query([old])?;
            while let Some(row) = blocks.next()? {
                let value = |index| row.get::<_, rusqlite::types::Value>(index);
                let id = next_block(&transaction)?;
                transaction
                    .prepare_cached(
                        "INSERT INTO block (id, place, epoch, stream, seq, priority, state, samples, length, digest, thinned, passes,
                            last, gap, gone, offered)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
                    )?
                    .execute(params![
                        id, place(id), new, value(0)?, value(1)?, value(2)?, value(3)?, value(4)?, value(5)?, value(6)?,
                        value(7)?, value(8)?, value(9)?, value(10)?, value(11)?, value(12)?
                    ])?;
                transaction
                    .prepare_cached("INSERT INTO payload VALUES (?1, ?2)")?
                    .execute(params![id, value(13)?])?;
            }
        }
        transaction.commit()?;
        self.weigh()
    }
}

/// Copies an epoch's rows of a table, under another epoch's row.
fn copy_rows(
    from: &Connection,
    to: &Connection,
    table: &str,
    columns: &str,
    (old, new): (i64, i64),
) -> Result<(), StoreError> {
    let mut select = from.prepare(&format!("SELECT {columns} FROM {table} WHERE epoch = ?1"))?;
    let width = select.column_count();
    let places = ", ?".repeat(width);
    let mut insert = to.prepare(&format!(
        "INSERT INTO {table} (epoch, {columns}) VALUES (?{places})"
    ))?;
    let mut rows = select.query([old])?;
    while let Some(row) = rows.next()? {
        let mut values = vec![rusqlite::types::Value::from(new)];
        for index in 0..width {
            values.push(row.get(index)?);
        }
        insert.execute(rusqlite::params_from_iter(values))?;
    }
    Ok(())
}
