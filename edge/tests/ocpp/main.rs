//! The central system as charging stations see it: who may come in, and what becomes of transactions when everything fails.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod assumed;
#[path = "../control/browser.rs"]
mod browser;
#[allow(dead_code, reason = "the tests of the uplink use the rest")]
#[path = "../uplink/certificates.rs"]
mod certificates;
mod composite;
mod door;
mod faults;
mod orders;
mod page;
mod peers;
mod phases;
mod relay;
mod rig;
mod wiring;
