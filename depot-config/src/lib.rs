//! What a depot is: its circuits, charging stations, meters and parking places in one TOML file, and the maps
//! of the Modbus devices that stand in it. Files are read with everything that is wrong with them told at once,
//! with line and key; what is read here is sound.
//!
//! | file | subject |
//! |---|---|
//! | `depot.rs` | the depot file: [`Depot`](depot::Depot) |
//! | `depot/check.rs` | ids, references, units, fall-backs |
//! | `depot/circuits.rs` | loops, phases, breakers that hold when all stations fall back |
//! | `devices.rs` | device maps: [`DEVICES`](devices::DEVICES), those that ship and anybody's own |
//! | `address.rs` | where a Modbus line is: [`ModbusAddress`] |
//! | `build.rs` | the maps in the folder `devices`, put into the binary |
//!
//! The command `depot-config` is a thin shell over this library.

#![forbid(unsafe_code)]

mod address;
pub mod depot;
pub mod devices;

pub use address::{ModbusAddress, Parity};
