//! What must be kept safe: secrets, sealed in the rows they belong to, and files, by their content.
//!
//! - [`Secret`] (`secret`): a secret in memory; [`envelope`]: a secret in a table; [`rotate`]: changing the key
//! - [`Files`] (`files/`): photos and documents, in a directory or in S3-compatible storage, scanned and checked;
//!   [`Links`]: links to them that expire
//!
//! The columns that hold secrets are constants of their rooms ([`envelope::Column`]); whoever runs a rotation lists them.

pub mod envelope;
pub mod files;
mod rotation;
mod secret;

pub use envelope::{Column, Ring, VaultError};
pub use files::{Files, links::Links};
pub use rotation::{RotationError, rotate};
pub use secret::Secret;

/// A connection on which a transaction is open: `&Tenant` and `&Client` of [`platform`] become one where it is wanted.
pub type Tx = deadpool_postgres::ClientWrapper;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `vault`. It refers to the tables of [`platform::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "vault",
        runner: embedded::migrations::runner,
    }
}
