//! The frame of the HTTP API, for every room that has routes.
//!
//! - [`problem`]: every error as RFC 9457 `application/problem+json` with a stable code, from one table
//! - [`params`] · [`body`]: query parameters and JSON bodies, checked field by field; [`page`]: lists in pages
//! - [`guard`]: who asks and whether they may. What a route wants stands in its OpenAPI description (`security`), and
//!   that is what is enforced; [`caller`]: who it was, for handlers; [`limit`]: how often
//! - [`once`]: `Idempotency-Key`, in the transaction that does what is asked
//! - [`request`]: request ids, in the answer and on every line of the log
//!
//! A handler takes a [`Caller`], opens `db.tenant(&caller.scope)` and answers `Result<_, Problem>`.

pub mod body;
pub mod caller;
pub mod guard;
pub mod limit;
pub mod once;
pub mod page;
pub mod params;
pub mod problem;
pub mod request;

use platform::{Db, DbError, Room};

pub use body::{Body, Content};
pub use caller::Caller;
pub use guard::Guard;
pub use once::Turn;
pub use page::{List, PageSize};
pub use params::Params;
pub use problem::{Code, Problem, Problems};

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `web`.
pub fn room() -> Room {
    Room {
        schema: "web",
        runner: embedded::migrations::runner,
    }
}

/// Longest body that is read.
pub const MAX_BODY: usize = 64 * 1024;
/// Longest time that a request may take.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);

/// Deletes answers that are more than a day old; to be called each hour.
pub async fn tidy(db: &Db) -> Result<(), DbError> {
    let client = db.system().await?;
    client
        .execute(include_str!("../queries/forget.sql"), &[])
        .await?;
    Ok(())
}
