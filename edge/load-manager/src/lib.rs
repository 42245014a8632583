//! Who may charge with how much, so that every breaker and the contract hold, whatever is said, late or missing.
//!
//! [`Manager::step`] takes the depot's circuits and stations ([`Site`]), what meters and stations say ([`Inputs`]) and the
//! time, and answers with a limit for each station ([`Decision`]). It does no I/O and looks at no clock; the same inputs
//! give the same answer. Whoever calls it (once a second) carries the orders out and tells which ones were acknowledged.
//!
//! | file | subject |
//! |---|---|
//! | `site.rs` | the depot as the manager sees it: what 1 A of a station is on every circuit above it |
//! | `rules.rs` | times, steps and limits that are no property of a depot's wires |
//! | `input.rs` | what meters and stations say |
//! | `base.rs` | loads that are not stations, from meters or from what is reserved |
//! | `station.rs` | what a station was told, and the most that it may therefore draw |
//! | `lease.rs` | when an order is written, and for how long it holds |
//! | `room.rs` | what still fits on the circuits above a station |
//! | `share.rs` | who gets how much of it |
//! | `window.rs` | the 15-minute average that the utility bills |
//! | `trip.rs` | how long a breaker carries too much |
//! | `manager.rs` | one step |
//! | `trial.rs` | the test whether a station ends by itself what it was told for a time |
//!
//! What makes it safe:
//!
//! - *Currents are phasors per phase* ([`depot_config::depot::Currents`]), also through delta-wye transformers, and what
//!   counts is the worst part of the stations, for no car has to draw what it may.
//! - *Room is given once it is free.* A station counts with the most that it was ever told and is not known to have given
//!   up: a lower limit counts when it is acknowledged and measured, or acknowledged and its time is over. So a lost
//!   command, a restart, a car that takes five seconds cost others room for a while and no breaker anything.
//! - *Limits are leases.* A station that nobody hears counts with its limit or its fall-back, whichever is more, before
//!   the lease ends; one that is known to ignore ends of leases, with its maximum.
//! - *A meter that is silent* brings the stations below it to their fall-backs, at which `depot-config` has checked that
//!   all breakers hold.

#![forbid(unsafe_code)]

mod base;
mod input;
mod lease;
mod manager;
mod room;
mod rules;
mod share;
mod site;
mod station;
mod trial;
mod trip;
mod window;

pub use input::{Inputs, Measured, MeterReading, Request, StationReport};
pub use lease::Write;
pub use manager::{Alarm, Decision, Limit, Manager, Why};
pub use rules::Rules;
pub use site::{Site, SiteError, StationOptions};
pub use trial::{Outcome, Reason, Trial};
pub use trip::{Heat, seconds_to_trip};
pub use window::Kept;

/// Milliseconds of a clock that never goes back.
pub type Millis = i64;
