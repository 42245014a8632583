//! What stands in depots, as their files say it: the files that `depot-config` checks, every version of them, and never
//! one written over another that its writer had not read.
//!
//! | file | subject |
//! |---|---|
//! | `api.rs` | the routes under `/v1/depots` |
//! | `condition.rs` | `If-Match` and `If-None-Match`: which version a writer has read |
//! | `kept.rs` | reading and writing versions |
//!
//! What comes in is checked by [`depot_config`] itself, with the files that it names looked for among those that came
//! along: nobody's text makes this program open a file. A version that was written never changes; its ETag has its
//! number and the beginning of its digest, so that no two contents share one, not even after a backup was restored.
//! Whoever sends what is there already, because an answer was lost, for one, is answered as if they had just written it.

pub mod api;
mod condition;
mod kept;

use platform::{Clock, Db, Room};

pub use api::routes;
pub use kept::DepotVersion;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `depots`. It refers to the tables of [`platform::room`].
pub fn room() -> Room {
    Room {
        schema: "depots",
        runner: embedded::migrations::runner,
    }
}

/// Longest body that is read: a depot of 200 stations is about 80 kB, its prices of some years as much.
pub const MAX_BODY: usize = 1 << 20;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Depots {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
}
