//! `depot.json`: all that somebody needs who wants to read a depot.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::stations::Version;

/// A car, as a gateway has to know it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CarEntry {
    /// Key.
    pub asset: String,
    /// Vehicle identification number.
    pub vin: String,
    /// `socketcand://127.0.0.1:PORT/car-01`.
    pub interface: String,
    /// Path of the DBC file.
    pub dbc: PathBuf,
    /// Path of the profile.
    pub profile: PathBuf,
}

/// A charger or meter, as a gateway has to know it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceEntry {
    /// Key.
    pub asset: String,
    /// `tcp://127.0.0.1:PORT`.
    pub address: String,
    /// Unit identifier.
    pub unit: u8,
    /// Name of the device map that ships.
    pub map: String,
    /// What the identity register says.
    pub identity: String,
}

/// A station that connects to its central system, as that has to know it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StationEntry {
    /// Key.
    pub asset: String,
    /// Its identity.
    pub id: String,
    /// The version that it speaks.
    pub version: Version,
    /// Its password.
    pub password: String,
}

/// A running depot.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Description {
    /// Where all chance came from.
    pub seed: u64,
    /// Simulated seconds in a second.
    pub speed: f64,
    /// When it started.
    pub started: jiff::Timestamp,
    /// Path of the truth.
    pub truth: PathBuf,
    /// The cars.
    pub cars: Vec<CarEntry>,
    /// The chargers that speak Modbus.
    pub chargers: Vec<DeviceEntry>,
    /// The chargers that speak OCPP.
    pub stations: Vec<StationEntry>,
    /// The tokens that drivers show there.
    pub tokens: Vec<String>,
    /// Path of the truth of their transactions.
    pub transactions: PathBuf,
    /// The meters.
    pub meters: Vec<DeviceEntry>,
}

impl Description {
    /// Reads a `depot.json`.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read(path)?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }
}
