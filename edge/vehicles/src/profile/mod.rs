//! A vehicle profile: everything the gateway knows about one kind of vehicle, as a file people write.
//!
//! ```toml
//! name = "Example EV"
//! vin = ["WXY??ZE*"]
//!
//! [[bus]]
//! name = "diagnostic"
//! bitrate = 500000
//!
//! [[dbc]]
//! file = "example.dbc"
//! bus = "diagnostic"
//! only_mapped = true
//!
//! [[dbc.signal]]
//! name = "BMS_Status.PackVoltage"
//! signal = "Vehicle.Powertrain.TractionBattery.CurrentVoltage"
//! not_available = [0xFFFF]
//!
//! [[command]]
//! name = "battery"
//! bus = "diagnostic"
//! request = "7E4"
//! response = "7EC"
//! service = "22"
//! identifier = "0101"
//! every = { charging = "10s", driving = "5s" }
//!
//! [[command.signal]]
//! name = "soc"
//! signal = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
//! bit = 32
//! length = 8
//! divide = 2
//! min = 0
//! max = 100
//! ```
//!
//! The fields of [`Profile`] and the types below it are the keys; their documentation is the format's. Numbers written as
//! `0.1`, `"0.1"` or `"1e-1"` are exact decimals. [`Profile::check`] finds what is wrong beyond the form.
//!
//! | file | what it is about |
//! |---|---|
//! | `command.rs`, `every.rs`, `years.rs` | [`Command`]: a request, its answer, how often it is asked |
//! | `check.rs`, `problem.rs` | [`Profile::check`] and what it finds |
//! | `hex.rs` | bytes and identifiers as texts |

mod check;
mod command;
mod every;
mod hex;
mod problem;
mod years;

use serde::{Deserialize, Serialize};
use shared_protocol::Decimal;

pub(crate) use check::check_commands;
pub use command::{Command, DiagnosticSignal, Order, Outside, RequestError};
pub use every::{Every, VehicleState};
pub use hex::{Hex, NotHex};
pub use problem::{Fault, Level, Problem};
pub use years::Years;

/// A vehicle profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What people call this kind of vehicle.
    pub name: String,
    /// Which vehicles it is for, as patterns of the VIN (ISO 3779): `?` is any one character, a `*` at the end any rest.
    /// No pattern: it is chosen by name only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vin: Vec<String>,
    /// The buses that the gateway is connected to, at least one.
    pub bus: Vec<Bus>,
    /// Broadcast frames: DBC files and the buses they describe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dbc: Vec<DbcFile>,
    /// Diagnostic requests and what is in their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<Command>,
}

/// A CAN bus of the vehicle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// Name by which the rest of the file refers to it.
    pub name: String,
    /// Bits per second, 10000 to 1000000.
    pub bitrate: u32,
    /// Bits per second of the data phase; only for CAN FD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_bitrate: Option<u32>,
    /// Whether the gateway only listens on this bus and never sends: no commands then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub listen_only: bool,
}

/// A DBC file and what its signals are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DbcFile {
    /// Path of the file; a relative one starts at the profile's folder. Or the name of one that ships with the profiles.
    pub file: String,
    /// Name of the bus it describes.
    pub bus: String,
    /// Whether signals that are not listed below are left out. Otherwise they are kept under their own names,
    /// `Message.Signal`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub only_mapped: bool,
    /// What its signals are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signal: Vec<MappedSignal>,
}

/// What one signal of a DBC file is: `value = (value by the file) × multiply ÷ divide + add`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedSignal {
    /// The signal in the file: `Message.Signal`.
    pub name: String,
    /// The signal of the catalogue that it is; without one it keeps its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Unit of its values. Without one it is the catalogue's, or the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Factor from the file's unit to the wanted one; 1 if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub multiply: Decimal,
    /// Divisor from the file's unit to the wanted one; 1 if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub divide: Decimal,
    /// Added after that; 0 if absent.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    pub add: Decimal,
    /// Raw integers that mean that there is no value, such as `[0xFF]`. For a signed signal negative numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_available: Vec<i64>,
}

impl Profile {
    /// Whether the profile is for the vehicle of this VIN.
    pub fn is_for(&self, vin: &str) -> bool {
        self.vin.iter().any(|pattern| matches(pattern, vin))
    }

    /// The bus of this name.
    pub fn bus(&self, name: &str) -> Option<&Bus> {
        self.bus.iter().find(|bus| bus.name == name)
    }
}

fn matches(pattern: &str, vin: &str) -> bool {
    let (pattern, open) = match pattern.strip_suffix('*') {
        Some(beginning) => (beginning, true),
        None => (pattern, false),
    };
    let mut rest = vin.chars();
    let fits = pattern.chars().all(|p| {
        rest.next()
            .is_some_and(|c| p == '?' || p.eq_ignore_ascii_case(&c))
    });
    fits && (open || rest.next().is_none())
}

fn one() -> Decimal {
    Decimal::ONE
}

fn zero() -> Decimal {
    Decimal::ZERO
}

// serde asks with references.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}

fn is_one(value: &Decimal) -> bool {
    *value == Decimal::ONE
}

fn is_zero(value: &Decimal) -> bool {
    *value == Decimal::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vin_patterns() {
        for (pattern, vin, fits) in [
            ("WXY??ZE*", "WXY12ZE0000000001", true),
            ("WXY??ZE*", "WXY12ZF0000000001", false),
            ("wxy*", "WXY12ZE0000000001", true),
            ("*", "", true),
            ("AB?", "AB1", true),
            ("AB?", "AB", false),
            ("AB?", "AB12", false),
        ] {
            assert_eq!(matches(pattern, vin), fits, "{pattern} {vin}");
        }
    }
}
