//! A transaction that sees all organisations, for what the house does itself.

use std::ops::Deref;

use deadpool_postgres::Object;
use platform::{Client, Db, DbError};

use crate::Tx;

/// Until it is committed or rolled back its connection does not return to the pool; dropping it ends the connection, and
/// with it the transaction.
#[derive(Debug)]
pub struct House(Option<Client>);

impl House {
    /// Begins one.
    pub async fn begin(db: &Db) -> Result<Self, DbError> {
        let house = Self(Some(db.system().await?));
        house.batch_execute("BEGIN").await?;
        Ok(house)
    }

    /// Makes it all true.
    pub async fn commit(self) -> Result<(), tokio_postgres::Error> {
        self.end("COMMIT").await
    }

    /// Makes nothing of it true.
    pub async fn rollback(self) -> Result<(), tokio_postgres::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &str) -> Result<(), tokio_postgres::Error> {
        self.batch_execute(how).await?;
        // Ended: it may return to the pool.
        drop(self.0.take());
        Ok(())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

impl Deref for House {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        self.0
            .as_ref()
            .expect("the connection is only taken away by what consumes the transaction")
    }
}
