//! Codecs against packets that devices sent, against themselves, and against noise; the server against a simulated tracker.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod codec;
mod generate;
mod real;
mod server;
mod world;
