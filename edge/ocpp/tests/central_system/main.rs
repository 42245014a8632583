//! The central system against the official schemas, broken frames, and the certification cases of its side.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod broken;
mod composite;
mod conformance;
mod data;
mod leases;
mod painted;
mod schemas;
mod support;
mod transactions;
