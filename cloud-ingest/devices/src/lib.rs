//! Devices that are no gateways: who they are, and how what they send is stored exactly once.
//!
//! | file | subject |
//! |---|---|
//! | `register` | which device speaks of which asset: [`Register`], [`Device`] |
//! | `record` | what a device sent, before and after it was judged: [`Record`] |
//! | `sink` | records become rows, once, in one transaction: [`Sink`], [`Along`] |
//! | [`json`] | what devices say as JSON over MQTT, pure |
//! | `command` | what devices are told to do |
//! | `read` | the register and what is not stored, for the API |
//! | [`metrics`](mod@metrics) | every metric with its cause and what to do |
//!
//! A device signs nothing and numbers nothing. Exactly once is therefore kept record by record: a digest of the content of
//! each, its time included, is remembered (`telemetry.taken`) in the transaction that writes its rows. A record that is sent
//! again finds itself there, however often, over whichever connection and server it comes.

pub mod command;
pub mod json;
pub mod metrics;
pub mod read;
mod record;
mod register;
mod sink;

pub use record::{Record, Unread, Why, signal};
pub use register::{Device, Kind, Register, RegisterError};
pub use shared_protocol::Digest;
pub use sink::{Along, Sink, StoreError, Stored};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `devices`. It refers to the tables of [`platform::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "devices",
        runner: embedded::migrations::runner,
    }
}
