//! The truth: what readers of the depot were given, written down as it is given, and the comparison with what somebody
//! stored of it.
//!
//! A file of JSON lines. First each column, then each value in the order given; the number of a value among its
//! column's is its serial number.
//!
//! ```text
//! {"column":0,"asset":"car-01","source":"can","signal":"Vehicle.Speed","unit":"km/h","step":"0.01"}
//! {"c":0,"r":4210,"t":1763690000123456,"s":61500}
//! {"c":0,"r":4212,"t":1763690000223456,"s":61600,"x":"frame-lost"}
//! ```
//!
//! `r` is the raw integer in steps of `step` (the catalogue's resolution) as the reader gets it through the car's
//! profile or the device's map, `t` the wall clock in µs since 1970, `s` the simulated time in ms since the start.
//! `x` names the fault because of which the value was **not given**, or not so that it may be taken.

mod compare;
mod log;
mod observed;
mod read;
pub mod sessions;

pub use compare::{ColumnReport, Finding, Report, Stored, compare};
pub use log::{Log, Sample};
pub use read::{ColumnId, ColumnTruth, Record, Truth, TruthError};

use shared_protocol::{Decimal, Source};

/// What a column holds, whosesoever it is.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnKind {
    /// The way by which it is read.
    pub source: Source,
    /// A signal of the catalogue, or `Message.Signal` for one that it does not know.
    pub signal: String,
    /// Unit of its values.
    pub unit: String,
    /// Value of one step of its raw integers.
    pub step: Decimal,
}
