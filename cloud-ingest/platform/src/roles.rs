//! What programs act as in the database. None of the three owns anything, may log in, or gets round row-level security.
//!
//! One URL is enough where its login may do everything, as in development. In production two logins keep the owner's
//! rights away from the program that talks to the world:
//!
//! ```sql
//! CREATE ROLE patio_app NOLOGIN; CREATE ROLE patio_system NOLOGIN; CREATE ROLE patio_reader NOLOGIN;
//! CREATE ROLE patio_owner LOGIN PASSWORD '…';       -- migrates: Db::owner
//! CREATE ROLE patio_login LOGIN PASSWORD '…';       -- serves: becomes the roles
//! GRANT patio_app, patio_system, patio_reader TO patio_owner;
//! GRANT patio_app, patio_system TO patio_login;
//! CREATE DATABASE patio OWNER patio_owner;
//! ```

use tokio_postgres::Client;

use crate::{failure::in_words, migrate::MigrateError};

/// One organisation at a time.
pub const APP: &str = "patio_app";
/// All organisations.
pub const SYSTEM: &str = "patio_system";
/// What dashboards may read; logins that are members of it see one organisation each.
pub const READER: &str = "patio_reader";

/// Makes the roles where they are missing, and looks whether they are what they have to be.
pub(crate) async fn ensure(client: &Client) -> Result<(), MigrateError> {
    if let Err(error) = client
        .batch_execute(include_str!("../queries/roles.sql"))
        .await
    {
        return Err(MigrateError::Roles(in_words(&error)));
    }
    let unfit = client
        .query(include_str!("../queries/unfit_roles.sql"), &[])
        .await?;
    match unfit.first() {
        None => Ok(()),
        Some(row) => {
            let (role, fault): (&str, &str) = (row.get(0), row.get(1));
            Err(MigrateError::Roles(format!("the role {role} {fault}")))
        }
    }
}
