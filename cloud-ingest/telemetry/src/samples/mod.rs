//! Samples exactly as they are stored: out of the tables, and what is not there yet into them. For files.
//!
//! - [`each`] reads a selection in order of time, page by page, as it was at one instant
//! - [`check`] says why a sample cannot be stored; [`add_missing`] stores those that are not there yet

mod add;
mod read;

use std::sync::Arc;

use jiff::Timestamp;
use shared_protocol::{SignalDef, Source};

pub use self::{
    add::{AddError, add_missing, check},
    read::{ReadError, Selection, each},
};

/// One sample, exactly: two that are equal are stored as the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was measured, in microseconds.
    pub time: Timestamp,
    /// Whose, of `platform.asset`.
    pub asset: i32,
    /// The way it was read.
    pub source: Source,
    /// Which signal, and what the raw integer means. One of the catalogue comes in steps of its resolution.
    pub signal: Arc<SignalDef>,
    /// The raw integer.
    pub raw: i64,
}
