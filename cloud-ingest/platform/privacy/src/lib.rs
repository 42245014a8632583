//! Personal data: what is kept of people, why and how long; and what becomes of it when they ask (ARCO: access,
//! rectification, erasure — *cancelación* —, objection) or when its time is over.
//!
//! - [`register`](mod@register): what is kept, as data (`data/personal-data.toml`); every table of every room stands there
//! - [`deadline`]: until when an answer is due; pure
//! - [`request`]: requests of people, written down, listed, refused
//! - [`carry`]: carrying them out, table by table; [`mention`]: names in what people write
//! - [`proof`]: what was done, shown without the data, and whether it is still so
//! - [`retain`]: what is over its time goes by itself; [`retain::CarryOut`]: the job that carries a request out
//!
//! Rights over people's data go beyond what the application may do with their rows (nobody reads hashes, nobody deletes
//! sessions), so requests are carried out as the system, in a transaction of the house; every statement names the
//! organisation. A statement is made of what the register says, and a test prepares each against the migrated tables.
//!
//! *Provable afterwards* means: each step says which columns of how many rows, and the SHA-256 of a receipt and of what
//! stood there. The receipt is given once to whoever asked; with it and the data that they have, they can show that it
//! was these. The steps' digest is in the audit trail, whose chain shows when that was written.
//!
//! A backup has what was erased after it was made: it goes when the backup goes, and has to be erased again where one is
//! restored (`privacy.request` of later days is not in it, so keep `cloud-ingest privacy list` beside backups).

pub mod carry;
pub mod deadline;
pub mod mention;
pub mod proof;
pub mod register;
pub mod request;
pub mod retain;

pub use proof::{Step, Verdict};
pub use register::{Kept, Register, register};
pub use request::{Kind, New, Request, State};

use platform::DbError;

/// A connection on which a transaction is open.
pub type Tx = deadpool_postgres::ClientWrapper;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `privacy`. It refers to the tables of [`platform::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "privacy",
        runner: embedded::migrations::runner,
    }
}

/// Why a request is not written down or not carried out; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// There is no such request.
    #[error("there is no request {0}")]
    NoRequest(i64),
    /// It has ended.
    #[error("request {0} has ended: make a new one")]
    Ended(i64),
    /// There is one of this kind for this person already.
    #[error(
        "there is an open request of this kind for {0} already: carry it out or refuse it first"
    )]
    Open(String),
    /// There is no such person in this organisation.
    #[error(
        "there is nobody called {0} in this organisation: write the kind of person and their number, such as user:12"
    )]
    NoSubject(String),
    /// What was given cannot be.
    #[error("{field} must be {rule}")]
    Bad {
        /// Which of it.
        field: &'static str,
        /// What it must be.
        rule: String,
    },
    /// Somebody else has what is to be unique.
    #[error("somebody else has this {0} already")]
    Taken(String),
    /// The register says something that the database refuses.
    #[error("the register of personal data does not fit the database at {relation}: {reason}")]
    Register {
        /// Which table.
        relation: String,
        /// Why.
        reason: String,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
    /// The database is out of reach or refuses.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for PrivacyError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}
