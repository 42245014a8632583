//! Answers of ECUs decoded by table.
//!
//! A [`Table`] is compiled from the [commands](crate::profile::Command) of a profile, or of an imported
//! [signal set](crate::obdb). Raw integers are kept as they came wherever value = raw × scale + offset can be written with
//! exact decimals. Two cases need another encoding, and [`DiagnosticField::def`](DiagnosticField) says which it is:
//!
//! - a clamped value that is not a whole number of raw steps: the value in decimal steps (`10^-n`), still exact;
//! - a scale without a finite decimal (÷ 3): the value computed in `f64`.
//!
//! | file | what it is about |
//! |---|---|
//! | `field.rs` | one signal: its bits, its encoding, its range |
//! | `table.rs` | [`Table`]: answers into readings |

mod field;
mod table;

pub use table::{AnswerError, DiagnosticField, Outcome, Table};
