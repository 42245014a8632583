//! Chargers and meters over Modbus TCP, one port each.
//!
//! | file | what it is about |
//! |---|---|
//! | [`map`] | registers by the device maps |
//! | [`mbap`] | frames |
//! | [`server`] | connections, and what goes wrong on them |

pub mod map;
pub mod mbap;
pub mod server;
