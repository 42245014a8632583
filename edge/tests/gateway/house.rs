//! A depot with a car, a charger and a meter, a broker with a cloud behind it, and the configuration of a gateway for them.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use shared_protocol::SigningKey;
use virtual_depot::{Config, Depot, Handle, Plan};

use crate::{
    broker::{Broker, Manners},
    cloud::Cloud,
};

/// Its one charger and its meter as the gateway holds their limits.
const DEPOT: &str = r#"
[depot]
id = "test"
name = "Test"
time_zone = "America/Mexico_City"
latitude = 19.4
longitude = -99.1
voltage_system = "220Y/127"

[[circuit]]
id = "main"
breaker = 100

[[meter]]
id = "meter-01"
circuit = "main"
modbus = { address = "tcp://10.0.0.1", unit = 2, map = "patio-virtual-meter" }

[[station]]
id = "charger-01"
circuit = "main"
phases = "L1-L2"
connectors = ["Type 1"]
max_current = 32
fallback_current = 6
modbus = { address = "tcp://10.0.0.1", unit = 1, map = "patio-virtual-charger" }
"#;

pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) cloud: Arc<Cloud>,
    _depot: Handle,
    _broker: Broker,
}

impl House {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path().join("depot"), 1, 1, 1);
        config.setup.plan = Plan::Driving;
        let depot = Depot::start(config).await.unwrap();
        let key = SigningKey::from_seed([5; 32]);
        let gateway = "depot-1".parse().unwrap();
        let cloud = Arc::new(Cloud::new(&gateway, key.verifying_key()));
        let broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
        let mut text = format!(
            "[gateway]\nid = \"{gateway}\"\nkey = \"gateway.key\"\ndata = \"buffer\"\n\n\
             [cloud]\nbroker = \"mqtt://127.0.0.1:{}\"\npublic_key = \"{}\"\n",
            broker.port,
            cloud.key.verifying_key()
        );
        text += "\n[control]\ndepot = \"depot.toml\"\n";
        std::fs::write(folder.path().join("depot.toml"), DEPOT).unwrap();
        let described = depot.description();
        for car in &described.cars {
            let _ = write!(
                text,
                "\n[[can]]\nasset = {:?}\ninterface = {:?}\nprofile = {:?}\ndiagnostics = true\n",
                car.asset,
                car.interface,
                car.profile.display().to_string()
            );
        }
        for device in described.chargers.iter().chain(&described.meters) {
            let _ = write!(
                text,
                "\n[[modbus]]\nname = {:?}\naddress = {:?}\ntimeout = \"1s\"\n[[modbus.device]]\nasset = {:?}\nunit = {}\nmap = {:?}\n",
                device.asset, device.address, device.asset, device.unit, device.map
            );
        }
        // A station that may call, and does not.
        let _ = write!(
            text,
            "\n[stations]\nlisten = \"127.0.0.1:{}\"\ninsecure_stations = true\n\n\
             [[stations.station]]\nid = \"CP-1\"\nasset = \"charger-9\"\npassword_sha256 = \"{}\"\n",
            free_port(),
            "5e".repeat(32)
        );
        std::fs::write(folder.path().join("gateway.key"), key.to_hex()).unwrap();
        std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
        Self {
            folder,
            cloud,
            _depot: depot,
            _broker: broker,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("gateway.toml")
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// `(produced, open, buffered, acknowledged, dropped)` of the ledger of a gateway that does not run.
pub(crate) fn ledger(buffer: &Path) -> [i64; 5] {
    let database = rusqlite::Connection::open(buffer.join("buffer.sqlite")).unwrap();
    let sums = "SELECT sum(produced), sum(open), sum(buffered), sum(acknowledged), sum(dropped) FROM stream";
    database
        .query_row(sums, [], |row| {
            Ok([
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ])
        })
        .unwrap()
}
