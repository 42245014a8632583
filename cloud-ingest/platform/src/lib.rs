//! The floor under every business room of the cloud: the database, migrations, the register of organisations,
//! gateways and assets, time, money.
//!
//! - [`scope`]: for which organisation, by whom and in which request something is done
//! - [`db`]: the pool of connections, with errors that say what to do; [`tenant`]: a transaction of one organisation;
//!   [`roles`]: what programs act as in the database; [`server`]: which PostgreSQL answers
//! - [`migrate`](mod@migrate): every room's tables, forward only, under one lock
//! - [`asset`]: what is measured; [`reader`]: logins of dashboards
//! - [`register`]: organisations, gateways with their public keys, assets
//! - [`failure`]: what a database error means for whoever has to go on; [`retry`]: how long to wait then
//! - [`clock`]: time that tests can move; [`zone`]: time zones by name; [`money`]; [`phone`]
//! - `testing` (feature): a fresh database per test, on every flavour
//!
//! SQL stands in `queries/*.sql`, one statement per file; a test prepares each against the migrated schema.

pub mod asset;
pub mod clock;
pub mod db;
pub mod failure;
pub mod migrate;
pub mod money;
pub mod phone;
pub mod reader;
pub mod register;
pub mod retry;
pub mod roles;
pub mod scope;
pub mod server;
pub mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
pub mod zone;

pub use clock::{Clock, Hand};
pub use db::{Client, Db, DbError};
pub use failure::Failure;
pub use migrate::{MigrateError, Room, migrate};
pub use money::{Currency, Money};
pub use phone::Phone;
pub use register::{Gateway, GatewayKeys, Register, RegisterError};
pub use retry::Backoff;
pub use scope::{Actor, OrganizationId, RequestId, Scope};
pub use server::{Flavour, Server};
pub use tenant::Tenant;
pub use zone::Zone;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `platform`.
pub fn room() -> Room {
    Room {
        schema: "platform",
        runner: embedded::migrations::runner,
    }
}
