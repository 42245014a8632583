//! What the crate says about files, sound and broken.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod broken;
mod reading;
mod yard;
