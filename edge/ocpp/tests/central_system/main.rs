//! The central system against the official schemas, broken frames, and the certification cases of its side.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod broken;
mod conformance;
mod data;
mod leases;
mod schemas;
mod support;
mod transactions;
