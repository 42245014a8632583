//! Blocks become rows, exactly once: the way of a sample from the broker into the database, and out of it again.
//!
//! - [`Ingestor`] (`ingest/`): deliveries in, [`Outcome`]s out, [`acks`] of them for the gateways; [`hello`]
//! - [`readings`]: the same for devices that seal no blocks, in the transaction of whoever brings them
//! - [`samples`]: samples exactly as they are stored, out of the tables and into them once: for files
//! - [`charging`]: charging transactions, as stations told them; [`command`](mod@command): what gateways are told to do, and what became of it
//! - [`plan`]: what a command of kind `plan` says
//! - [`storage`]: [`prepare_storage`] makes the catalogue's columns and the partitions that samples need, [`retain`]
//!   removes what is old
//! - [`rollup`]: minutes, quarters of an hour and days from samples
//! - [`read`]: assets, latest values, series, sums, for the API
//! - [`layout`] · `columns` · `decode`: what a column means and which row a sample belongs to, pure
//! - [`ranges`]: the ledger's sets of block numbers; `copy` · `micros`: rows for binary COPY; `trouble`: what can be tried again
//! - [`metrics`](mod@metrics): every metric with its cause and what to do
//!
//! Tables stand in `migrations/`, statements in `queries/`; only those that name the catalogue's columns are built.

pub mod charging;
mod columns;
pub mod command;
mod copy;
mod decode;
pub mod hello;
mod ingest;
pub mod layout;
pub mod metrics;
mod micros;
pub mod outcome;
pub mod plan;
pub mod ranges;
pub mod read;
pub mod readings;
pub mod rollup;
pub mod samples;
pub mod storage;
mod trouble;

pub use hello::HelloError;
pub use ingest::{Delivery, Ingestor, ReadmitError};
pub use outcome::{Outcome, OutcomeKind, Reason, acks};
pub use rollup::{Resolution, roll_up};
pub use storage::{Prepared, Retained, StorageError, prepare_storage, retain};

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `telemetry`. It refers to the tables of [`platform::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "telemetry",
        runner: embedded::migrations::runner,
    }
}
