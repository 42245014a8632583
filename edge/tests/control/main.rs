//! A gateway holds the limits of a depot of fifty stations, without any cloud: while all cars charge, when the building takes
//! more, when stations reboot, when the meter stands still, and when the gateway itself is gone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod browser;
mod holds;
mod night;
mod rig;
