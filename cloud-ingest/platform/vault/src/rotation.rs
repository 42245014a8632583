//! Changing the key-encryption key while everything runs: row by row, each only if nobody changed it meanwhile.

use platform::{Db, DbError};

use crate::envelope::{Column, Ring, VaultError};

/// Why a rotation stopped. What was rewrapped stays; running it again goes on.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// A value does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for RotationError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Puts every value of these columns under the key that seals now; returns how many there were under another.
pub async fn rotate(db: &Db, ring: &Ring, columns: &[Column]) -> Result<u64, RotationError> {
    let mut changed = 0;
    for place in columns {
        let Column { table, column, row } = *place;
        // Names of tables and columns cannot be parameters; these are constants of the rooms.
        let page = format!(
            "SELECT {row}::bigint, {column} FROM {table} WHERE {row} > $1::bigint AND {column} IS NOT NULL ORDER BY {row} LIMIT 500"
        );
        let write =
            format!("UPDATE {table} SET {column} = $3 WHERE {row} = $1::bigint AND {column} = $2");
        let client = db.system().await?;
        let mut last = i64::MIN;
        loop {
            let rows = client.query(&page, &[&last]).await?;
            for found in &rows {
                let (id, sealed): (i64, Vec<u8>) = (found.get(0), found.get(1));
                if let Some(again) = ring.rewrap(*place, id, &sealed)? {
                    changed += client.execute(&write, &[&id, &sealed, &again]).await?;
                }
                last = id;
            }
            if rows.len() < 500 {
                break;
            }
        }
    }
    Ok(changed)
}
