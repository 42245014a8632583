//! The depot file: what is installed where, what feeds it, who works when, and what the utility bills.

mod billing;
mod check;
mod circuits;
mod contract;
mod currents;
mod electrical;
mod fallback;
mod files;
mod phases;
mod schema;
mod work;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use config_file::{Faults, Spans, Texts};
use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use shared_protocol::{AssetKey, GatewayId};

pub use contract::Contract;
pub use currents::{Currents, worst};
pub use electrical::{
    Circuit, Connection, Connector, Ocpp, OcppVersion, Station, Transformer, VectorGroup,
    VoltageSystem,
};
pub use fallback::{CircuitSum, Fallback};
pub use phases::{Phase, Phases};
pub use schema::SCHEMA;
pub(crate) use work::DATE;
pub use work::{Shift, Weekday};

use crate::{
    ModbusAddress,
    tariff::{Book, HolidayCalendar, Month, PriceTable, Prices, Service, TariffError},
};

/// One depot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depot {
    /// The depot as a whole.
    #[serde(rename = "depot")]
    pub site: Site,
    /// What the utility delivers and bills.
    pub contract: Option<Contract>,
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
    /// When vehicles leave and come back.
    #[serde(rename = "shift")]
    pub shifts: Vec<Shift>,
    /// Days on which the depot rests, besides those of its holiday calendar.
    #[serde(rename = "holiday")]
    pub holidays: Vec<Holiday>,
    /// What the file names, read with it.
    #[serde(skip)]
    pub named: Named,
}

/// What a depot file names, read with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    /// The holiday calendar.
    pub holidays: Option<Arc<HolidayCalendar>>,
    /// The tariff book.
    pub book: Option<Arc<Book>>,
    /// The price table.
    pub prices: Option<Arc<PriceTable>>,
}

/// The depot as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its id.
    pub id: AssetKey,
    /// What people call it.
    pub name: String,
    /// The zone of its clocks and of its tariff.
    #[serde(
        deserialize_with = "bundled_time_zone",
        serialize_with = "time_zone_name"
    )]
    pub time_zone: TimeZone,
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// What its circuits carry that are behind no transformer of this file.
    pub voltage_system: VoltageSystem,
    /// The statutory holidays on which it rests: name of a holiday calendar that ships, or path of a file; `None` when
    /// it works on them.
    pub holiday_calendar: Option<String>,
    /// Most by which stations between a phase and neutral may load one phase more than another, in A; `None`: no limit.
    pub unbalance: Option<f64>,
    /// Stated on purpose: no station charges while no gateway tells it a limit.
    pub stops_without_gateway: bool,
}

/// A meter and the circuit that it measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Its id.
    pub id: AssetKey,
    /// The circuit that it measures.
    pub circuit: AssetKey,
    /// The gateway that reads it; `None` where there is only one.
    pub gateway: Option<GatewayId>,
    /// How it is read.
    pub modbus: Unit,
}

/// A unit on a Modbus line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parking {
    /// Its id.
    pub id: AssetKey,
    /// The station whose cable reaches it.
    pub station: Option<AssetKey>,
    /// Which connector of the station, counted from 1.
    pub connector: u8,
}

/// A gateway of the depot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The id in its own configuration.
    pub id: GatewayId,
}

/// A day on which the depot rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// The day.
    pub date: Date,
    /// What people call it.
    pub name: String,
}

impl Depot {
    /// Reads a depot file and checks it, with the device maps and price tables that it names.
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

    /// Like [`Depot::parse`], for a text from elsewhere: the files that it names are looked for among those that came
    /// with it, by their paths, and never on the disk.
    pub fn parse_among(path: &Path, text: &str, files: Texts) -> Result<Self, Faults> {
        Self::checked(config_file::parse_among(path, text, &SCHEMA, Some(files))?)
    }

    /// The paths of the files that it names, as they stand in it and in those that they name.
    pub fn named_files(&self) -> Vec<PathBuf> {
        files::named(self)
    }

    /// The text of a file that reads back as this depot.
    pub fn print(&self) -> String {
        config_file::print(self, &SCHEMA).expect("a depot is a table of TOML")
    }

    /// What each circuit carries when every station falls back by itself, and how many vehicles still charge.
    /// Of a depot that was read here: circuits that feed each other have no sums.
    pub fn fallback(&self) -> Fallback {
        Fallback::of(self)
    }

    /// The voltages of the circuit with this id.
    pub fn voltage_system(&self, circuit: &AssetKey) -> VoltageSystem {
        let mut next = Some(circuit);
        // No way up is longer than there are circuits.
        for _ in &self.circuits {
            let Some(circuit) = next.and_then(|id| self.circuits.iter().find(|c| c.id == *id))
            else {
                break;
            };
            if let Some(transformer) = &circuit.transformer {
                return transformer.voltage_system;
            }
            next = circuit.parent.as_ref();
        }
        self.site.voltage_system
    }

    /// Power of a station at a current on each of its phases, in W, at nominal voltage and power factor 1.
    pub fn station_power(&self, station: &Station, current: f64) -> f64 {
        current
            * self
                .voltage_system(&station.circuit)
                .power_per_ampere(station.connection())
    }

    /// The tariff of its contract; `None` without a contract.
    ///
    /// # Errors
    /// The tariff book does not have it.
    pub fn service(&self) -> Option<Result<Service<'_>, TariffError>> {
        let (contract, book) = (self.contract.as_ref()?, self.named.book.as_ref()?);
        Some(book.service(
            &contract.tariff,
            &contract.division,
            self.site.time_zone.clone(),
        ))
    }

    /// The prices of its contract for a month; `None` without a contract or price table.
    ///
    /// # Errors
    /// The table lacks the month.
    pub fn prices(&self, month: Month) -> Option<Result<Prices<'_>, TariffError>> {
        let (contract, book) = (self.contract.as_ref()?, self.named.book.as_ref()?);
        let table = self.named.prices.as_ref()?;
        Some(table.of(book, &contract.tariff, &contract.division, month))
    }

    /// The name of the day of rest that a date is at this depot.
    pub fn rests(&self, date: Date) -> Option<&str> {
        let own = self.holidays.iter().find(|day| day.date == date);
        let statutory = self.named.holidays.as_ref();
        own.map(|day| day.name.as_str())
            .or_else(|| statutory.and_then(|holidays| holidays.name_of(date)))
    }

    fn checked((mut depot, spans): (Self, Spans)) -> Result<Self, Faults> {
        let (faults, named) = check::check(&depot, &spans);
        Faults::check(faults)?;
        depot.named = named;
        Ok(depot)
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

fn time_zone_name<S: serde::Serializer>(zone: &TimeZone, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.iana_name().unwrap_or("UTC"))
}
