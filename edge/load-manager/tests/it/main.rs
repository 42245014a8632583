//! The load manager against simulated stations: scenarios that are data, and whatever chance brings.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod chance;
mod scenarios;
mod sim;
