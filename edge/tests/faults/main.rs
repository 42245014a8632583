//! What the ledger survives: damage to its files, and disks that forget, tear, fill up and fail.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod conservation;
mod crashes;
mod damage;
mod disk;
mod doubt;
mod rig;
mod stuck;
mod sync;
mod troubles;
mod where_it_lies;
