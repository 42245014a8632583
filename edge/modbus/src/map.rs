//! The device map: a table that people write, one TOML file for each model of meter or charger, which says
//! what is to be found in which register. `depot-config/devices/` holds the maps that ship.
//!
//! ```toml
//! manufacturer = "Example"
//! model = "X1"
//! kind = "meter"
//! source = "Example X1 manual, rev. 3, chapter 5"
//! points = [
//!     { signal = "W",       address = 52, type = "f32" },
//!     { signal = "PhVphA",  address = 0,  type = "u16", scale = 0.1, invalid = [0xFFFF] },
//! ]
//! [defaults]
//! function = "input"
//! [identity]
//! address = 0xFC00
//! type = "u32"
//! function = "holding"
//! ```

mod check;
mod point;

pub use check::Problem;
pub(crate) use check::resolve;
pub use point::{Bits, Order, Pattern, Point, RegisterType, Sign, Table};

use std::collections::BTreeMap;

use serde::Deserialize;
use shared_protocol::Decimal;

/// One model of meter or charger.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceMap {
    /// Who makes it.
    pub manufacturer: String,
    /// Model as its maker writes it; several models with the same registers are separated by `/`.
    pub model: String,
    /// What it is.
    pub kind: Kind,
    /// The document that the registers come from.
    pub source: String,
    /// What to read, one line for each signal.
    pub points: Vec<Point>,
    /// What holds for all points that do not say otherwise.
    #[serde(default)]
    pub defaults: Defaults,
    /// Deviations from the standard that this device forces.
    #[serde(default)]
    pub workarounds: Workarounds,
    /// The register that says which device this is. It is read back after every fault and compared.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// Registers whose content is fixed for devices that this map fits; with another content nothing is read.
    #[serde(default)]
    pub guards: Vec<Guard>,
    /// Registers that must not be read, not even when they lie between two points.
    #[serde(default)]
    pub unreadable: Vec<Hole>,
    /// How charging is limited; only for chargers.
    #[serde(default)]
    pub control: Option<Control>,
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Measures a circuit; its signals are SunSpec points.
    Meter,
    /// Charges vehicles; its signals are OCPP measurands.
    Charger,
}

/// What holds for all points that do not say otherwise, and how the device wants to be asked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// Table that the addresses are in: `holding`, `input`, `coil` or `discrete`.
    pub function: Table,
    /// Order of the registers of a number: `big` is most significant first.
    pub word_order: Order,
    /// Order of the two bytes within a register: `big` is the standard's.
    pub byte_order: Order,
    /// What the maker's document calls the first register: 0, 1, 40001, … It is subtracted from every address of the file.
    pub first_address: u32,
    /// Most registers that the device answers in one request, 1 to 125.
    pub max_registers: u16,
    /// Most coils or discrete inputs in one request, 1 to 2000.
    pub max_bits: u16,
    /// How many registers between two points may be read along for the sake of fewer requests. 0 reads nothing that the
    /// map does not name. More than [`crate::plan::BREAK_EVEN`] is never worth it and is not done.
    pub max_gap: u16,
    /// Milliseconds of silence the device wants between an answer and the next request.
    pub pause_ms: u32,
    /// How many masters the device serves at a time, where that is known; Patio itself takes one.
    pub connections: Option<u16>,
    /// Milliseconds between two readings of a point.
    pub interval_ms: u32,
    /// What stands in a register that has no value, by type: the bits as they are in the registers.
    pub invalid: BTreeMap<RegisterType, Vec<Pattern>>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            function: Table::Holding,
            word_order: Order::Big,
            byte_order: Order::Big,
            first_address: 0,
            max_registers: 125,
            max_bits: 2000,
            max_gap: 0,
            pause_ms: 0,
            connections: None,
            interval_ms: 1000,
            invalid: BTreeMap::new(),
        }
    }
}

/// Deviations that a device forces. Each is switched on by the text that names the device and what it does wrong.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workarounds {
    /// Every point is read by a request of its own: for devices that answer only whole values, or that refuse blocks.
    pub one_request_per_point: Option<String>,
    /// The connection is closed after every cycle: for devices that forget to serve others while one is open.
    pub close_after_cycle: Option<String>,
    /// Nothing is asked for this long after a connection was opened: for devices that ignore the first request.
    pub pause_after_connect: Option<PauseAfterConnect>,
}

/// A pause after the connection was opened.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseAfterConnect {
    /// How long, in milliseconds.
    pub ms: u32,
    /// The device that forces it.
    pub because: String,
}

/// The register that says which device this is, usually its serial number.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Where it is.
    pub address: u32,
    /// How it is written: an integer or `string`.
    #[serde(rename = "type")]
    pub register_type: RegisterType,
    /// How many registers a `string` has.
    #[serde(default)]
    pub registers: Option<u16>,
    /// Table, if not the default.
    #[serde(default)]
    pub function: Option<Table>,
    /// Order of its registers, if not the default.
    #[serde(default)]
    pub word_order: Option<Order>,
    /// Order of its bytes, if not the default.
    #[serde(default)]
    pub byte_order: Option<Order>,
}

/// A register that has the same content in every device that the map fits, such as a model code.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Where it is.
    pub address: u32,
    /// An integer type.
    #[serde(rename = "type")]
    pub register_type: RegisterType,
    /// Table, if not the default.
    #[serde(default)]
    pub function: Option<Table>,
    /// One of these must stand there.
    pub values: Vec<i64>,
    /// What it is, for the message when it is not there.
    pub about: String,
}

/// Registers that must not be read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// Table, if not the default.
    #[serde(default)]
    pub function: Option<Table>,
    /// First address.
    pub from: u32,
    /// Last address.
    pub to: u32,
}

/// How charging is limited. All of it are holding registers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Largest current per phase that the vehicle may draw, in A.
    pub current_limit: Setting,
    /// Current per phase that the charger falls back to when nothing is written in time, in A.
    #[serde(default)]
    pub fail_safe_current: Option<Setting>,
    /// How long the charger waits for the next write before it falls back, in s.
    #[serde(default)]
    pub watchdog: Option<Setting>,
}

/// A register that is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Where it is.
    pub address: u32,
    /// `u16`, `i16`, `u32`, `i32` or `f32`.
    #[serde(rename = "type")]
    pub register_type: RegisterType,
    /// Value of one step; 1 if absent.
    #[serde(default = "one")]
    pub scale: Decimal,
    /// Least value that may be written, in the unit of the setting.
    pub min: Decimal,
    /// Greatest value that may be written.
    pub max: Decimal,
    /// A value below `min` that means something of its own: a current that pauses charging, a time that switches the watchdog off.
    #[serde(default)]
    pub off: Option<Decimal>,
    /// Order of its registers, if not the default.
    #[serde(default)]
    pub word_order: Option<Order>,
    /// Function that writes it: `single` (6) or `multiple` (16); `multiple` if absent.
    #[serde(default)]
    pub write: Write,
    /// Where the device shows what was written, if its register can only be written.
    #[serde(default)]
    pub read_back: Option<ReadBack>,
}

/// The register that shows a setting whose own register cannot be read. Its steps are those of the setting.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadBack {
    /// Where it is: a holding register.
    pub address: u32,
    /// `u16`, `i16`, `u32`, `i32` or `f32`.
    #[serde(rename = "type")]
    pub register_type: RegisterType,
}

/// Modbus function that writes a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Write {
    /// Function 6, for settings of one register.
    Single,
    /// Function 16.
    #[default]
    Multiple,
}

fn one() -> Decimal {
    Decimal::ONE
}
