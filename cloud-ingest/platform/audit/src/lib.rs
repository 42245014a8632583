//! Who did what: an audit trail that can only grow, chained by hashes, so that whoever changes it is found out.
//!
//! - [`record()`]: an entry in the business transaction; [`trail`]: what was done, for people
//! - [`verify`](mod@verify): follows every chain and compares it with its head and with anchors kept elsewhere
//!
//! | what somebody does | what stands against it |
//! |---|---|
//! | the application changes or deletes entries | it has no right to; a trigger refuses even the owner |
//! | the owner of the tables switches the trigger off, and changes, deletes or swaps rows | the hashes do not fit any more |
//! | and cuts the last entries off | the head of the chain says how many there were |
//! | and puts the head back, too, or computes all hashes anew | an [`Anchor`] that was kept elsewhere does not fit |
//!
//! Entries of an organisation wait for each other until their transactions end: record last, shortly before COMMIT.
//! Values of `before` and `after` are kept for as long as the trail is: name people by their numbers.

mod record;
pub mod verify;

pub use record::{Entry, Filter, Recorded, Was, record, trail};
pub use verify::{Anchor, Fault, Finding, Report, verify};

/// A connection on which a transaction is open: `&Tenant` and `&Client` of [`platform`] become one where it is wanted.
pub type Tx = deadpool_postgres::ClientWrapper;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `audit`. It refers to the tables of [`platform::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "audit",
        runner: embedded::migrations::runner,
    }
}
