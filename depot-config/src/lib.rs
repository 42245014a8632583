//! What a depot is: its circuits, charging stations, meters and parking places in one TOML file, and the maps
//! of the Modbus devices that stand in it; the tariffs by which its energy is billed. Files are read with everything that is wrong with them told at once,
//! with line and key; what is read here is sound.
//!
//! | file | subject |
//! |---|---|
//! | `depot.rs` | the depot file: [`Depot`](depot::Depot) |
//! | `depot/electrical.rs` | ratings of circuits, transformers and stations |
//! | `depot/currents.rs` | currents as phasors, also through transformers |
//! | `depot/fallback.rs` | what flows when every station falls back by itself |
//! | `depot/check.rs` | ids, references, units, connectors, fall-backs |
//! | `depot/circuits.rs` | loops, phases, breakers that hold when all stations fall back |
//! | `depot/billing.rs` | contract, tariff and prices fit together |
//! | `tariff.rs` | tariffs, holidays and prices as data, and what they say of an instant |
//! | `draw.rs` | the single-line diagram: [`draw`] |
//! | `diff.rs` | what changed between two depots, by key: [`diff`] |
//! | `ratings.rs` | what an installer has signed of a depot: [`ratings`] |
//! | `document.rs` | a depot with the files that it names, as it travels: [`Document`] |
//! | `cloud.rs` | depots in the cloud, with optimistic locking (feature `cloud`) |
//! | `new.rs` | a depot from answers to questions: [`new`] |
//! | `devices.rs` | device maps: [`DEVICES`](devices::DEVICES), those that ship and anybody's own |
//! | `address.rs` | where a Modbus line is: [`ModbusAddress`] |
//! | `build.rs` | the files that ship, put into the binary |
//!
//! The command `depot-config` is a thin shell over this library (`command/`).

#![forbid(unsafe_code)]

mod address;
#[cfg(feature = "cloud")]
pub mod cloud;
pub mod depot;
pub mod devices;
pub mod diff;
pub mod document;
pub mod draw;
pub mod new;
pub mod ratings;
pub mod tariff;

pub use address::{ModbusAddress, Parity};
pub use document::Document;
