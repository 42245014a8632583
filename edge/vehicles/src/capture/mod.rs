//! Recorded answers of adapters (ELM327 and the like) as lines of hexadecimal digits: identifier and data of one frame
//! each, ISO-TP's control bytes included. `7EC103E620101EFFBE7` is the first frame of an answer from 7EC.
//!
//! Such recordings lose digits, lines and line ends. [`answers`] guesses nothing: an answer is whole, or it is an error,
//! of which at most the bytes before the fault are given. (One thing nobody can see: whole bytes lost inside a last frame
//! that is filled up, so that it looks like a shorter one.) [`as_recorded`] is for one purpose only, to compare with tools
//! that put whatever they read one after the other.
//!
//! | file | what it is about |
//! |---|---|
//! | `line.rs` | a line into identifier and data |
//! | `reassembly.rs` | frames into answers (ISO 15765-2 §9.6) |

mod line;
mod reassembly;

pub use line::LineFault;
pub use reassembly::{Answer, Captured, Fault, FaultKind, answers, as_recorded};
