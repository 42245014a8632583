//! Blocks become rows, on real databases of every flavour.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod charging;
mod commands;
mod compressed;
mod exactly_once;
mod flow;
mod gaps;
mod poison;
mod reading;
mod readings;
mod readmit;
mod rollups;
mod states;
mod storage;
mod time;
mod trouble;
mod world;
