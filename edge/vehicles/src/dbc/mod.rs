//! Vector DBC files: which signals the frames of a bus carry, and decoding them.
//!
//! [`Dbc::parse`] reads a file, leaving out what cannot be used and saying so; [`Decoder::new`] compiles it, with an
//! optional [mapping](crate::profile::MappedSignal) onto the catalogue, into a table that turns frames into raw integers.
//!
//! | file | what it is about |
//! |---|---|
//! | `statements.rs` | the text cut into statements, so that a bad one is lost alone |
//! | `file.rs` | [`Dbc`]: what a file says, free of the parser's types |
//! | `grammar.rs` | one statement through `can-dbc`'s grammar |
//! | `read.rs` | statements into a [`Dbc`] |
//! | `multiplex.rs` | which signals of a message are in which of its frames |
//! | `warning.rs` | what was left out, and where |
//! | `field.rs` | where a signal's bits stand, and taking them out |
//! | `decoder.rs` | [`Decoder`]: frames into readings |
//! | `compile.rs` | a [`Dbc`] into a [`Decoder`] |

mod compile;
mod decoder;
mod field;
mod file;
mod grammar;
mod multiplex;
mod read;
mod statements;
mod warning;

pub use compile::MappingError;
pub use decoder::{DbcSignal, Decoder, Outcome};
pub use file::{ByteOrder, Dbc, Message, Number, Signal, When};
pub use warning::{Warning, WarningKind};
