//! Devices that are no gateways: who they are, and how what they send is stored exactly once.
//!
//! | file | subject |
//! |---|---|
//! | `register` | which device speaks of which asset: [`Register`], [`Device`] |
//! | `record` | what a device sent, before and after it was judged: [`Record`] |
//! | `sink` | records become rows, once, in one transaction: [`Sink`], [`Along`] |
//! | `command` | what devices are told to do |
//! | `read` | the register and what is not stored, for the API |
//! | [`metrics`](mod@metrics) | every metric with its cause and what to do |
//!
//! A device signs nothing and numbers nothing. Exactly once is therefore kept record by record: the time and a digest of
//! the content of each is remembered in `devices.taken`, in the transaction that writes its rows. A record that is sent
//! again finds itself there, however often, over whichever connection and server it comes. What is remembered is forgotten
//! [`REMEMBERED`] after it was taken, in the time of the device: one that is silent for a year still finds what it sent last.

pub mod command;
pub mod metrics;
pub mod read;
mod record;
mod register;
mod sink;

use std::time::Duration;

pub use record::{DIGEST, Digest, Record, Unread, Why, signal};
pub use register::{Device, Kind, Register, RegisterError};
pub use sink::{Along, Sink, StoreError, Stored};

/// How long a record is remembered, counted from the latest that came of its device.
pub const REMEMBERED: Duration = Duration::from_hours(24 * 90);

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
