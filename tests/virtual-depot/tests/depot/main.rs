#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The simulated depot as its readers see it, over its sockets.

mod can;
mod cantools;
mod command;
mod devices;
mod dongle;
mod reader;
mod whole;
