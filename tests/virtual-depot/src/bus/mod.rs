//! The cars' CAN buses: broadcast frames by `virtual-car.dbc`, ECUs that answer OBD and UDS, and a server of the
//! socketcand protocol through which both are reached. Each car has a bus of its own, named like the car.
//!
//! | file | what it is about |
//! |---|---|
//! | [`model`] | the DBC file and the profile as tables |
//! | [`field`] | a value in some bits |
//! | [`broadcast`] | frames that come of themselves |
//! | [`ecu`] | frames that answer |
//! | [`socketcand`] | the text protocol |
//! | [`server`] | a bus, its clients, and who is given what |
//! | [`connection`] | the clients' connections |
//! | [`elm327`] | a dongle in a car's socket |

pub mod broadcast;
pub mod connection;
pub mod ecu;
pub mod elm327;
pub mod field;
pub mod model;
pub mod server;
pub mod socketcand;
