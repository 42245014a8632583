//! Charging as the fleet sees it: which vehicle a transaction is of.
//!
//! | file | subject |
//! |---|---|
//! | `matching/` | the decision, without I/O: what speaks for which pair of transaction and vehicle |
//! | `matcher.rs` | what is read for it of transactions and telematics, and what is kept of it |
//! | `api.rs` | what operations see and say: transactions without a vehicle, cards, parking places, the safe default |
//!
//! Stations tell transactions to their gateways, cars their telematics to whoever listens to them: gateways, trackers,
//! services. Both meet only here, in the cloud. What a transaction itself is stands in `telemetry.charging_transaction`, and
//! does not change by what is decided here.

pub mod api;
mod matcher;
pub mod matching;

use platform::{Clock, Db, Room};

pub use api::{Assumed, Known, assumed_at, routes, vehicles};
pub use matcher::match_all;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `charging`. It refers to the tables of [`platform::room`] and of the room `telemetry`.
pub fn room() -> Room {
    Room {
        schema: "charging",
        runner: embedded::migrations::runner,
    }
}

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Charging {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
}
