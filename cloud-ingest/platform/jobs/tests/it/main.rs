//! Jobs on real databases of every flavour.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod asking;
mod doing;
mod fairness;
mod killing;
mod schedules;
mod world;
