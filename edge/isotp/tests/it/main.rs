//! The crate's tests from outside: two ends on a simulated bus, reference vectors, recorded cars, and properties.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bus;
mod client;
mod data;
mod gateway_and_ecu;
mod group;
mod link;
mod oracle;
mod properties;
mod recorded_answers;
mod recorded_bus;
mod reference;
mod uds_vectors;
