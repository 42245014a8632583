//! The gateway's configuration as its file writes it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use depot_config::ModbusAddress;
use serde::Deserialize;
use shared_protocol::{AssetKey, GatewayId};

use super::{Broker, Interface};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) gateway: Gateway,
    pub(super) cloud: Cloud,
    pub(super) can: Vec<Can>,
    pub(super) modbus: Vec<Modbus>,
    pub(super) stations: Option<Stations>,
    pub(super) control: Option<Control>,
    pub(super) page: Option<Page>,
    pub(super) log: Log,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gateway {
    pub(super) id: GatewayId,
    pub(super) key: PathBuf,
    pub(super) data: PathBuf,
    #[serde(deserialize_with = "config_file::bytes")]
    pub(super) quota: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cloud {
    pub(super) broker: Broker,
    pub(super) public_key: String,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) certificate_key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Can {
    pub(super) asset: AssetKey,
    pub(super) interface: Interface,
    pub(super) profile: Option<String>,
    pub(super) bus: Option<String>,
    pub(super) dbc: Option<PathBuf>,
    pub(super) diagnostics: bool,
    pub(super) vin: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Modbus {
    pub(super) name: AssetKey,
    pub(super) address: ModbusAddress,
    #[serde(deserialize_with = "config_file::duration")]
    pub(super) timeout: Duration,
    #[serde(deserialize_with = "config_file::duration")]
    pub(super) pause: Duration,
    pub(super) device: Vec<Device>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    pub(super) asset: AssetKey,
    pub(super) unit: u8,
    pub(super) map: String,
    #[serde(default, deserialize_with = "config_file::optional_duration")]
    pub(super) interval: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    pub(super) depot: PathBuf,
    pub(super) installer_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) listen: SocketAddr,
    pub(super) pin: String,
    pub(super) token: Option<String>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) certificate_key: Option<PathBuf>,
    pub(super) insecure_page: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stations {
    pub(super) listen: SocketAddr,
    pub(super) certificate: Option<PathBuf>,
    pub(super) certificate_key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) insecure_stations: bool,
    #[serde(deserialize_with = "config_file::duration")]
    pub(super) heartbeat: Duration,
    pub(super) station: Vec<Station>,
    pub(super) token: Vec<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Station {
    pub(super) id: String,
    pub(super) asset: AssetKey,
    pub(super) password_sha256: Option<String>,
    pub(super) certificate_sha256: Option<String>,
    pub(super) relay: Option<String>,
    pub(super) relay_password: Option<PathBuf>,
    pub(super) relay_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) blocked: bool,
    pub(super) expires: Option<jiff::Timestamp>,
    pub(super) group: Option<String>,
}
