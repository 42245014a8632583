//! What happened, for those who want to know: written in the transaction in which it happens, in order, and told to
//! programs elsewhere.
//!
//! - [`catalogue`]: every event there is, as data (`catalogue.toml`), with its payload, an example, and who may read it
//! - [`publish()`]: writing events into the outbox; [`Relay`] (`relay`): from there into the log and to the endpoints
//! - [`webhooks`]: endpoints, signatures and deliveries by Standard Webhooks
//! - [`live`]: the log as a stream (server-sent events) that can be resumed
//! - [`incoming`]: webhooks of others, verified on their raw bytes, dealt with once
//! - [`prune`]: what is old is forgotten
//!
//! Of one aggregate (a vehicle, a session) events are in the order in which they happened, in the log and in the stream,
//! and `sequence` counts them without gaps. Deliveries of webhooks are tried again and may overtake each other: a receiver
//! looks at `sequence`.

pub mod catalogue;
pub mod incoming;
pub mod live;
pub mod prune;
mod publish;
mod relay;
pub mod webhooks;

pub use catalogue::{Catalogue, Definition};
pub use publish::{Event, PublishError, publish};
pub use relay::Relay;

/// A connection on which a transaction is open: `&Tenant` and `&Client` of [`platform`] become one where it is wanted.
pub type Tx = deadpool_postgres::ClientWrapper;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `events`. It refers to the tables of [`platform::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "events",
        runner: embedded::migrations::runner,
    }
}
