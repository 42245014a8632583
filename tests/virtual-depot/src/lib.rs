//! A simulated depot that keeps the truth: electric cars on CAN buses (socketcand protocol), chargers that speak Modbus TCP or
//! OCPP, and a meter on Modbus TCP, for development, tests and benchmarks without a yard. Every value that a reader is given is written
//! down as it is given, so that what was stored at the other end can be compared with it, value by value.
//!
//! | room | what it is for |
//! |---|---|
//! | [`car`] | battery, driving, charging: a car as a function of time |
//! | [`yard`] | cars, stations, meter and supply together |
//! | [`bus`] | the cars' CAN buses |
//! | [`devices`] | chargers and meter over Modbus TCP |
//! | [`stations`] | chargers that speak OCPP |
//! | [`truth`] | what was given, and the comparison with what was stored |
//! | [`faults`] | what goes wrong on purpose |
//! | [`chance`] | chance that can be repeated |
//! | [`depot`] | all of it, started and stopped |
//!
//! The simulation is pure and deterministic: two [`yard::World`]s of the same setup are equal after the same steps.
//! `bus`, `devices` and `stations` show it to whoever connects.

pub mod bus;
pub mod car;
pub mod chance;
pub mod depot;
pub mod devices;
pub mod faults;
pub mod stations;
pub mod truth;
pub mod yard;

pub use car::Plan;
pub use depot::{Config, Depot, DepotError, Description, Handle, Keys, Summary};
pub use faults::{Fault, Rates};
pub use truth::{ColumnId, Report, Stored, Truth, compare};
pub use yard::{Setup, World};
