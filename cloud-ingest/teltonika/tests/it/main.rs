//! Codecs against packets that devices sent, against themselves, and against noise.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod codec;
mod generate;
mod real;
