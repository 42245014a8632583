//! Events on real databases of every flavour, with stand-ins for their receivers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod delivering;
mod living;
mod publishing;
mod receiving;
mod world;
