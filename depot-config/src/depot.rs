//! The depot file: what is installed where, and what feeds it.

mod check;
mod circuits;
mod phases;
mod schema;

use std::path::Path;

use config_file::{Faults, Spans};
use jiff::tz::TimeZone;
use serde::Deserialize;
use shared_protocol::{AssetKey, GatewayId};

pub use phases::{Phase, Phases};
pub use schema::SCHEMA;

use crate::ModbusAddress;

/// One depot.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depot {
    /// The depot as a whole.
    #[serde(rename = "depot")]
    pub site: Site,
    /// Its circuits, in the order of the file.
    #[serde(rename = "circuit")]
    pub circuits: Vec<Circuit>,
    /// Its charging stations.
    #[serde(rename = "station")]
    pub stations: Vec<Station>,
    /// Its meters.
    #[serde(rename = "meter")]
    pub meters: Vec<Meter>,
    /// Its parking places.
    #[serde(rename = "parking")]
    pub parkings: Vec<Parking>,
    /// Its gateways.
    #[serde(rename = "gateway")]
    pub gateways: Vec<Gateway>,
}

/// The depot as a whole.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its id.
    pub id: AssetKey,
    /// What people call it.
    pub name: String,
    /// The zone of its clocks and of its tariff.
    #[serde(deserialize_with = "bundled_time_zone")]
    pub time_zone: TimeZone,
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// Nominal voltage between two phases, in V.
    pub voltage: f64,
}

/// What one breaker protects.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Circuit {
    /// Its id.
    pub id: AssetKey,
    /// The circuit that feeds it; `None` at the supply.
    pub parent: Option<AssetKey>,
    /// Rating of its breaker per phase, in A.
    pub breaker: u32,
    /// The phases that it carries.
    pub phases: Phases,
    /// Whether it carries its full rating continuously.
    pub rated_100_percent: bool,
    /// Kept free per phase for loads that are not stations, in A.
    pub reserved: f64,
}

/// A charging station with one connector.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Station {
    /// Its id.
    pub id: AssetKey,
    /// The circuit that feeds it.
    pub circuit: AssetKey,
    /// The phases that it is wired to, in the order of its terminals.
    pub phases: Phases,
    /// What plugs into the vehicle.
    pub connector: String,
    /// Most that it draws from each of its phases, in A.
    pub max_current: f64,
    /// What it falls back to by itself when nobody tells it a limit, in A.
    pub fallback_current: f64,
    /// How it is read and limited.
    pub modbus: Option<Unit>,
}

/// A meter and the circuit that it measures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Its id.
    pub id: AssetKey,
    /// The circuit that it measures.
    pub circuit: AssetKey,
    /// How it is read.
    pub modbus: Unit,
}

/// A unit on a Modbus line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The line that it is on.
    pub address: ModbusAddress,
    /// Its number on the line.
    pub unit: u8,
    /// Name of a shipped device map, or path of a file.
    pub map: String,
}

/// Where a vehicle stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parking {
    /// Its id.
    pub id: AssetKey,
    /// The station whose cable reaches it.
    pub station: Option<AssetKey>,
}

/// A gateway of the depot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The id in its own configuration.
    pub id: GatewayId,
}

impl Depot {
    /// Reads a depot file and checks it, with the device maps that it names.
    ///
    /// # Errors
    /// Everything that is wrong: keys, references, loops, phases, and breakers that would not hold if every
    /// station fell back by itself.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        Self::checked(config_file::read(path, &SCHEMA)?)
    }

    /// Like [`Depot::read`] with the text at hand.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Faults> {
        Self::checked(config_file::parse(path, text, &SCHEMA)?)
    }

    fn checked((depot, spans): (Self, Spans)) -> Result<Self, Faults> {
        Faults::check(check::check(&depot, &spans))?;
        Ok(depot)
    }
}

impl Site {
    /// Power of 1 A on each of these phases at nominal voltage and power factor 1, in W: between a phase and
    /// neutral, between two phases, or in all three.
    pub fn power_per_ampere(&self, phases: &Phases) -> f64 {
        match phases.as_slice().len() {
            1 => self.voltage / 3.0_f64.sqrt(),
            2 => self.voltage,
            _ => self.voltage * 3.0_f64.sqrt(),
        }
    }
}

impl Circuit {
    /// What it may carry per phase for as long as charging takes, in A: its rating or 80 % of it (a load of three
    /// hours or more is continuous: NOM-001-SEDE-2012 and NEC, 100, 210-20(a), 215-3), less what is reserved.
    pub fn usable(&self) -> f64 {
        let rating = f64::from(self.breaker);
        let continuous = if self.rated_100_percent {
            rating
        } else {
            rating * 4.0 / 5.0
        };
        continuous - self.reserved
    }
}

fn bundled_time_zone<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<TimeZone, D::Error> {
    let name = String::deserialize(deserializer)?;
    jiff::tz::TimeZoneDatabase::bundled()
        .get(&name)
        .map_err(serde::de::Error::custom)
}
