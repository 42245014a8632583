//! The databases that are asked.

use jiff::Timestamp;
use platform::{Clock, Db, DbError};
use vault::{Column, Ring, Secret, VaultError};

use crate::protocol::Entity;

/// Where passwords are sealed; for rotations of the key ring, too.
pub const PASSWORDS: [Column; 1] = [Column {
    table: "geotab.account",
    column: "password",
    row: "id",
}];

/// Why it is not done; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The database is in trouble.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The password cannot be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A value is not what it must be.
    #[error("{0}")]
    Value(&'static str),
    /// The organisation is not known.
    #[error("there is no organisation {0}: `cloud-ingest organization add` makes it")]
    NoOrganization(String),
    /// Another organisation has it.
    #[error("{0} belongs to another organisation")]
    Taken(String),
    /// It is not asked.
    #[error("{0} is not asked")]
    Missing(String),
}

impl From<tokio_postgres::Error> for AccountError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// A database to be asked.
#[derive(Clone, Copy)]
pub struct NewAccount<'a> {
    /// Whose vehicles.
    pub organization: &'a str,
    /// The host to begin with.
    pub server: &'a str,
    /// Its name at MyGeotab.
    pub database: &'a str,
    /// Who signs in.
    pub user: &'a str,
    /// With which password.
    pub password: &'a str,
}

/// A database, as people see it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name at MyGeotab.
    pub database: String,
    /// Whose vehicles.
    pub organization: String,
    /// Who signs in.
    pub user: String,
    /// How it is doing.
    pub state: String,
}

/// Asks a database from now on; doing it again renews server, user and password.
pub async fn add(
    db: &Db,
    ring: &Ring,
    account: &NewAccount<'_>,
    now: Timestamp,
) -> Result<i64, AccountError> {
    let word = |text: &str, more: &[u8]| {
        let fits = |byte: u8| {
            byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || more.contains(&byte)
        };
        !text.is_empty() && text.bytes().all(fits)
    };
    if !word(account.database, b"") || account.database.len() > 48 {
        return Err(AccountError::Value(
            "a database's name has 1 to 48 letters, digits, `.`, `_` or `-`",
        ));
    }
    if !word(account.server, b":") || account.server.len() > 253 {
        return Err(AccountError::Value(
            "the server is a host's name, such as my.geotab.com",
        ));
    }
    if account.user.is_empty() || account.user.chars().count() > 200 || account.password.is_empty()
    {
        return Err(AccountError::Value(
            "a user has 1 to 200 characters, and a password",
        ));
    }
    let register = platform::Register::new(db.clone(), Clock::system());
    let organization = register
        .organization(account.organization)
        .await
        .ok()
        .flatten();
    let organization = organization
        .ok_or_else(|| AccountError::NoOrganization(account.organization.to_owned()))?;
    let mut client = db.system().await?;
    let tx = client.transaction().await?;
    let sql = include_str!("../queries/add.sql");
    let row = tx
        .query_opt(
            sql,
            &[
                &organization,
                &account.database,
                &account.server,
                &account.user,
                &now,
            ],
        )
        .await?
        .ok_or_else(|| AccountError::Taken(account.database.to_owned()))?;
    let id: i64 = row.get(0);
    let sealed = ring.seal(PASSWORDS[0], id, &Secret::new(account.password.as_bytes()))?;
    tx.execute(include_str!("../queries/set_password.sql"), &[&id, &sealed])
        .await?;
    let entities = Entity::ALL.map(Entity::name).to_vec();
    tx.execute(
        include_str!("../queries/add_feeds.sql"),
        &[&organization, &id, &entities],
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// The databases, by name.
pub async fn list(db: &Db) -> Result<Vec<Listed>, AccountError> {
    let rows = db
        .system()
        .await?
        .query(include_str!("../queries/list.sql"), &[])
        .await?;
    let listed = |row: &tokio_postgres::Row| {
        let removed: Option<Timestamp> = row.get("removed_at");
        let fault: &str = row.get("fault");
        Listed {
            database: row.get("database"),
            organization: row.get("organization"),
            user: row.get("user_name"),
            state: match removed {
                Some(since) => format!("removed {since:.0}"),
                None if fault.is_empty() => "asked".to_owned(),
                None => fault.to_owned(),
            },
        }
    };
    Ok(rows.iter().map(listed).collect())
}

/// Asks a database no more.
pub async fn remove(db: &Db, database: &str) -> Result<(), AccountError> {
    let client = db.system().await?;
    let sql = include_str!("../queries/remove.sql");
    match client.execute(sql, &[&database, &Timestamp::now()]).await? {
        0 => Err(AccountError::Missing(database.to_owned())),
        _ => Ok(()),
    }
}
