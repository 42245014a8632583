//! Calls to the world outside: one HTTP request, to an address that was looked at before it was connected to.
//!
//! - [`Client`] (`client`): sends a request and returns the answer; follows no redirect, knows no proxy
//! - [`address`]: which addresses a stranger's URL may lead to
//! - `standin` (feature `testing`): a service outside with scripted faults
//!
//! # A port to a service outside
//!
//! Whatever Patio needs of others (a payment, a signature, a scan, a delivery) is a *port*, and looks like this:
//!
//! 1. a **trait** in the room's own words, whose errors say what is known of the effect: `Refused` (it did not happen and
//!    will not), `Unreachable` (it did not happen), `Unknown` (it may have happened);
//! 2. the **real client**, made of [`Client`], that sends an idempotency key with everything that has an effect;
//! 3. a **stand-in server** in the tests, which speaks the same protocol and does what a script says: answer, refuse, hang
//!    up before, hang up *after the effect*, never answer *after the effect*, redirect, talk nonsense.
//!
//! A job calls the port outside any transaction (`jobs::Task::work`), with its own number as the key, and writes what
//! came of it in the transaction that ends it. After `Unknown` it calls again with the same key: the other side knows
//! that it has done it. The test that every port has: the script hangs up after the effect, twice; there is one effect.
//!
//! `events` (webhooks) and `vault` (object storage, virus scans) are built like this.

pub mod address;
mod client;
#[cfg(feature = "testing")]
pub mod standin;

pub use client::{Answer, CallError, Client, Request, Resolve, Rules, System};
