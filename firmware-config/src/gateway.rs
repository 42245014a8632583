//! The gateway's configuration: what `edge run --config FILE` reads.

mod address;
mod check;
mod file;
mod limits;
mod page;
mod schema;
mod stations;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use config_file::Faults;
use depot_config::{ModbusAddress, depot::Depot};
use isotp::uds::Vin;
use modbus::map::DeviceMap;
use shared_protocol::{AssetKey, GatewayId, VerifyingKey};
use vehicles::profile::Profile;

pub use address::{Broker, Interface, Network, Port};
pub use page::Page;
pub use schema::SCHEMA;
pub use stations::{Station, Stations, Token};

/// Everything a gateway is told, checked, with the profiles and device maps that it names. Paths are seen from
/// the working folder of the process, not from the folder of the file.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its id, a level of its MQTT topics.
    pub id: GatewayId,
    /// File with its Ed25519 secret key.
    pub key: PathBuf,
    /// Folder of its buffer; may not exist yet.
    pub data: PathBuf,
    /// Most room that the buffer may take, in bytes.
    pub quota: u64,
    /// Where its cloud is and how it knows it.
    pub cloud: Cloud,
    /// The CAN buses that it reads.
    pub can: Vec<Can>,
    /// The Modbus lines that it polls.
    pub modbus: Vec<Line>,
    /// The central system of charging stations, if there is to be one.
    pub stations: Option<Stations>,
    /// The depot whose electrical limits it holds, if it is to hold any.
    pub depot: Option<Arc<Depot>>,
    /// The installer's key with which the ratings of that depot were found to be signed; `None`: they are not.
    pub installer: Option<VerifyingKey>,
    /// The page for whoever looks after the depot, if there is to be one.
    pub page: Option<Page>,
    /// Least serious event that is written to the log: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
}

/// Where the cloud is and how the gateway knows it.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// The MQTT broker.
    pub broker: Broker,
    /// The key that verifies acknowledgements and commands.
    pub public_key: VerifyingKey,
    /// Certificates; there exactly when the broker is reached over TLS.
    pub tls: Option<Tls>,
}

/// Certificates for a connection over TLS, all PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Those that the broker's certificate is verified with.
    pub ca: PathBuf,
    /// The gateway's own certificate and its secret key.
    pub identity: Option<Identity>,
}

/// A certificate and its secret key, both PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its secret key.
    pub key: PathBuf,
}

/// One CAN bus of one vehicle.
#[derive(Clone, Debug)]
pub struct Can {
    /// The vehicle.
    pub asset: AssetKey,
    /// Where its frames come from.
    pub interface: Interface,
    /// What is known about this kind of vehicle, and which of its buses this is.
    pub profile: Option<(Arc<Profile>, String)>,
    /// DBC file by which broadcast frames are decoded, besides those of the profile.
    pub dbc: Option<PathBuf>,
    /// Whether the vehicle is asked; without it nothing is ever sent on the bus.
    pub diagnostics: bool,
    /// Its VIN, if the vehicle is to be compared with it before anything of it is taken.
    pub vin: Option<Vin>,
}

/// One Modbus line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in logs and metrics.
    pub name: AssetKey,
    /// Where it is.
    pub address: ModbusAddress,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Silence between an answer and the next request; a device map may ask for more.
    pub pause: Duration,
    /// What is on it.
    pub devices: Vec<Device>,
}

/// One device on a Modbus line.
#[derive(Clone, Debug)]
pub struct Device {
    /// The charger or meter.
    pub asset: AssetKey,
    /// Its number on the line.
    pub unit: u8,
    /// What is to be found in which register.
    pub map: Arc<DeviceMap>,
    /// Time between two readings where the map's points have none of their own; the map's default if `None`.
    pub interval: Option<Duration>,
}

impl Gateway {
    /// Reads a gateway's configuration and everything that it names.
    ///
    /// # Errors
    /// Everything that is wrong, in the file itself and in the profiles and device maps that it names.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let (file, spans) = config_file::read(path, &SCHEMA)?;
        check::check(file, &spans)
    }
}
