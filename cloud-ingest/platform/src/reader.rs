//! Logins of dashboards: each reads what belongs to one organisation, and is known by who it is.

use crate::{
    db::{Db, DbError},
    roles::READER,
    scope::OrganizationId,
};

/// Why there is no such login; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The name cannot be one.
    #[error(
        "a reader is called by 1 to 63 letters a-z, digits and _, not beginning with a digit or patio_, and not `{0}`"
    )]
    Name(String),
    /// The database is out of reach or refuses.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for ReaderError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Makes a login that reads what belongs to an organisation, and nothing else. Roles are of the whole server, so its
/// name must be free there.
pub async fn add_reader(
    db: &Db,
    organization: OrganizationId,
    name: &str,
    password: &str,
) -> Result<(), ReaderError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.starts_with("patio_");
    if !fits {
        return Err(ReaderError::Name(name.chars().take(80).collect()));
    }
    let mut owner = db.owner().await?;
    let tx = owner.transaction().await?;
    let password = password.replace('\'', "''");
    tx.batch_execute(&format!(
        "CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {READER};
         ALTER ROLE {name} SET default_transaction_read_only = on;
         ALTER ROLE {name} SET statement_timeout = '30s'"
    ))
    .await?;
    tx.execute(
        include_str!("../queries/add_reader.sql"),
        &[&name, &organization],
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Takes a reader's login away, and ends its connections.
pub async fn remove_reader(db: &Db, name: &str) -> Result<bool, ReaderError> {
    let mut owner = db.owner().await?;
    let tx = owner.transaction().await?;
    let sql = include_str!("../queries/remove_reader.sql");
    let known = tx.query_opt(sql, &[&name]).await?;
    let Some(quoted) = known.map(|row| row.get::<_, String>(0)) else {
        return Ok(false);
    };
    tx.batch_execute(&format!("DROP ROLE {quoted}")).await?;
    tx.commit().await?;
    let sql = include_str!("../queries/end_connections.sql");
    owner.execute(sql, &[&name]).await?;
    Ok(true)
}
