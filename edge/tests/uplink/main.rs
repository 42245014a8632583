//! The uplink from the outside: it survives every broker.
//!
//! - [`mqtt`] · [`broker`] · [`cloud`] · [`rig`]: a scripted broker that misbehaves as told, an ingestor with a key of its
//!   own behind it, and a gateway's buffer with the real uplink on it
//! - [`delivery`] · [`wiped`] · [`limits`] · [`refusal`] · [`dead`] · [`words`] · [`clock`]: what it must survive
//! - [`slow_link`] over [`link`]: what is fresh passes a large backlog
//! - [`cases`]: packets that a broker must not send, from recorded cases
//! - [`mosquitto`] over [`certificates`]: a real broker with the configuration that ships · [`commands`] through it
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod broker;
mod cases;
mod certificates;
mod clock;
mod cloud;
mod commands;
mod dead;
mod delivery;
mod limits;
mod link;
mod mosquitto;
mod mqtt;
mod refusal;
mod rig;
mod slow_link;
mod wiped;
mod words;
