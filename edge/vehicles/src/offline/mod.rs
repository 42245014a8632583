//! Whole files decoded, for the command line: recorded answers by a profile or a signal set, recorded buses by a DBC
//! file. Texts in, values out; nothing here opens a file.
//!
//! | file | what it is about |
//! |---|---|
//! | `definition.rs` | a profile or a signal set, and the command that a recording names |
//! | `answers.rs` | recorded answers into values |
//! | `bus.rs` | recorded frames into values |

mod answers;
mod bus;
mod definition;

pub use answers::{Reassembly, decode_answers};
pub use bus::{LogValue, LogValues, decode_log};
pub use definition::{Definition, DefinitionError};
