//! Samples leave as files and come in once, on real databases of every flavour.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod faults;
mod round;
mod world;
