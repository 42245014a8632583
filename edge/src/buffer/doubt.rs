//! A commit of which nobody knows whether it happened. What it carried must be neither lost nor stored twice, so the disk is
//! asked when it is there again, by the numbers that the commit gave.

use rusqlite::{Connection, params};
use shared_protocol::Epoch;

use super::error::StoreError;

/// A commit that reported an error: it may have reached the disk all the same.
#[derive(Debug)]
pub(super) struct Doubt {
    epoch: Epoch,
    /// What the streams of the epoch say if it did.
    after: Vec<Mark>,
    /// Whether it did. It is asked once, before anything else changes the database.
    reached: Option<bool>,
}

impl Doubt {
    /// About a transaction of this epoch that is complete but for its COMMIT.
    pub(super) fn about(transaction: &Connection, epoch: Epoch) -> Result<Self, StoreError> {
        Ok(Self {
            epoch,
            after: marks(transaction, epoch)?,
            reached: None,
        })
    }

    /// Whether the disk has the commit; `None` while nobody could look.
    pub(super) fn reached(&self) -> Option<bool> {
        self.reached
    }

    /// Looks into a database that has just been opened.
    pub(super) fn ask(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if self.reached.is_none() {
            let found = marks(connection, self.epoch)?;
            let is_there = |mark: &Mark| {
                let mut same = found.iter().filter(|found| found.0 == mark.0);
                same.any(|found| found.1 >= mark.1 && found.2 >= mark.2)
            };
            self.reached = Some(self.after.iter().all(is_there));
        }
        Ok(())
    }
}

/// How far a stream of an epoch has come: stream, samples produced, next number. Every commit of samples or records moves one
/// of them, and nothing moves them back while the epoch lasts.
type Mark = (u8, i64, i64);

fn marks(connection: &Connection, epoch: Epoch) -> Result<Vec<Mark>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT stream, produced, next_seq FROM stream
         WHERE epoch = (SELECT id FROM epoch WHERE counter = ?1 AND nonce = ?2)",
    )?;
    let rows = statement.query_map(params![epoch.counter, epoch.nonce.cast_signed()], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is known of a database before it is opened.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    /// It is damaged, whatever a look at it says.
    pub(super) suspect: bool,
    /// The new epoch's counter is greater than this.
    pub(super) counter: u32,
    /// A commit of which nobody knows whether it is in there.
    pub(super) doubt: Option<&'a mut Doubt>,
}
