//! A whole gateway: its loops fail one after the other, its process is stopped, frozen and watched.
//!
//! - [`house`]: a depot, a broker and a gateway's configuration
//! - [`drills`]: each loop hangs and panics on purpose
//! - [`process`]: the program as systemd runs it
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../uplink/broker.rs"]
mod broker;
#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../uplink/cloud.rs"]
mod cloud;
mod drills;
mod house;
#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../uplink/mqtt.rs"]
mod mqtt;
mod process;
