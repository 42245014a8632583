//! MyGeotab: its feeds become readings, exactly once.
//!
//! | file | subject |
//! |---|---|
//! | [`protocol`] | requests and answers of the JSON-RPC, no I/O |
//! | `meaning` | what records mean, as data (`data/geotab.toml`) |
//! | `account` | the databases that are asked; their passwords are sealed |
//! | [`poller`] | asking: sign-in, feeds, back-off |
//!
//! A feed has versions: `GetFeed` gives what came after one and the version to go on from (Geotab's "Data Feed" guide). That
//! cursor moves in the transaction of the rows, and records are remembered by their ids, too: pages may overlap.

mod account;
mod meaning;
pub mod poller;
pub mod protocol;

pub use account::{AccountError, Listed, NewAccount, PASSWORDS, add, list, remove};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `geotab`. It refers to the tables of [`devices::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "geotab",
        runner: embedded::migrations::runner,
    }
}
