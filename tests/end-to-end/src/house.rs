//! The house: keys and configuration files in one folder, and the programs in their order.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use depot_config::{
    depot::{Depot, OcppVersion},
    ratings::{beside, signed},
};
use serde::Deserialize;

use sha2::{Digest as _, Sha256};
use virtual_depot::depot::StationEntry;

use crate::process::{self, Process};

const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(40);
/// The gateway's name everywhere.
pub const GATEWAY: &str = "demo-1";

/// What is to be set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything lives here: keys, configuration, buffer, logs, truth.
    pub folder: PathBuf,
    /// The database of the cloud.
    pub database_url: String,
    /// Vehicles of the virtual depot.
    pub cars: u32,
    /// Charging stations of the virtual depot.
    pub chargers: u32,
    /// Seed of everything that is random in the virtual depot.
    pub seed: u64,
    /// How much faster than real its vehicles live.
    pub speed: f64,
    /// A recorded bus to read instead of virtual cars.
    pub replay: Option<Replay>,
}

/// A recorded bus.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The recording.
    pub log: PathBuf,
    /// DBC files, each with the bus of the recording that it describes; without a number it describes all of them.
    pub dbcs: Vec<(PathBuf, Option<u16>)>,
    /// How many times as fast as it was recorded.
    pub speed: f64,
}

/// What the virtual depot says of itself (`depot.json`).
#[derive(Debug, Default, Deserialize)]
struct Endpoints {
    #[serde(default)]
    cars: Vec<Car>,
    #[serde(default)]
    chargers: Vec<Device>,
    #[serde(default)]
    meters: Vec<Device>,
    #[serde(default)]
    stations: Vec<StationEntry>,
    #[serde(default)]
    tokens: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Car {
    asset: String,
    interface: String,
    profile: String,
}

#[derive(Debug, Deserialize)]
struct Device {
    asset: String,
    address: String,
    unit: u8,
    map: String,
}

/// What drivers and stations that speak OCPP do of their own accord.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// A car stands at every station and charges, whatever the hour.
    pub charging: bool,
    /// Drivers leave after about so many seconds, and come back; without it, when they have to.
    pub restless: Option<f64>,
    /// What goes wrong, as `virtual-depot --faults` takes it.
    pub faults: String,
    /// How stations are spoken with, in turn, as `virtual-depot --speaks` takes it; if empty, as their file says.
    pub speaks: Vec<String>,
}

/// A house that has been set up. Its programs may be started, stopped and killed one by one.
#[derive(Debug)]
pub struct House {
    options: Options,
    /// What the depot file says of stations and meter.
    of: Option<OfDepot>,
    habits: Habits,
    ports: Ports,
    /// The virtual depot.
    pub depot: Option<Process>,
    /// The cloud.
    pub cloud: Option<Process>,
    /// The gateway.
    pub edge: Option<Process>,
}

/// What a depot file says.
#[derive(Debug)]
struct OfDepot {
    /// The file.
    file: PathBuf,
    /// Keys of the stations.
    stations: Vec<String>,
    /// How they are spoken with.
    speaks: Vec<String>,
    /// The phases that they are wired to.
    phases: Vec<String>,
    /// Key of the meter.
    meter: String,
}

#[derive(Debug)]
struct Ports {
    http: u16,
    broker: u16,
    stations: u16,
}

/// How a station is spoken with, as `virtual-depot --speaks` takes it.
fn speaks(station: &depot_config::depot::Station) -> String {
    match &station.ocpp {
        None => "modbus".to_owned(),
        Some(ocpp) => {
            let version = match ocpp.version {
                OcppVersion::V1_6 => "ocpp1.6",
                OcppVersion::V2_0_1 => "ocpp2.0.1",
            };
            format!("{version}:{}", ocpp.id)
        }
    }
}

/// A port that is free now. Another program may take it before it is used; then starting fails and says so.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl House {
    /// Makes keys, starts the virtual depot, writes the configuration files and enters the gateway in the cloud's register.
    pub async fn set_up(options: Options) -> Result<Self> {
        Self::made(options, None, Habits::default()).await
    }

    /// Like [`House::set_up`] where drivers and stations have these habits.
    pub async fn with_habits(options: Options, habits: Habits) -> Result<Self> {
        Self::made(options, None, habits).await
    }

    /// Like [`House::set_up`] with the stations and the first meter of a depot file, whose limits the gateway holds, where drivers
    /// and stations have these habits. What the depot is rated for is signed by an installer of this folder.
    pub async fn of_depot(options: Options, file: &Path, habits: Habits) -> Result<Self> {
        let depot = Depot::read(file)?;
        let stations = || depot.stations.iter();
        let meter = depot.meters.first();
        let of = OfDepot {
            file: fs::canonicalize(file)?,
            stations: stations().map(|station| station.id.to_string()).collect(),
            speaks: if habits.speaks.is_empty() {
                stations().map(speaks).collect()
            } else {
                habits.speaks.clone()
            },
            phases: stations()
                .map(|station| station.phases.to_string())
                .collect(),
            meter: meter.map_or("meter-01".to_owned(), |meter| meter.id.to_string()),
        };
        Self::made(options, (!of.stations.is_empty()).then_some(of), habits).await
    }

    async fn made(options: Options, of: Option<OfDepot>, habits: Habits) -> Result<Self> {
        fs::create_dir_all(&options.folder)
            .with_context(|| options.folder.display().to_string())?;
        let mut house = Self {
            ports: Ports {
                http: free_port()?,
                broker: free_port()?,
                stations: free_port()?,
            },
            options,
            of,
            habits,
            depot: None,
            cloud: None,
            edge: None,
        };
        let cloud_key = house.key("cloud-ingest", "cloud.key").await?;
        let gateway_key = house.key("edge", "gateway.key").await?;
        let installer = house.sign().await?;
        let endpoints = house.start_depot().await?;
        fs::write(house.path("cloud.toml"), house.cloud_config())?;
        fs::write(
            house.path("gateway.toml"),
            house.gateway_config(&cloud_key, installer.as_deref(), &endpoints),
        )?;
        let config = house.text("cloud.toml");
        let migrate = ["database", "migrate", "--config", &config];
        process::output(&process::program("cloud-ingest")?, &migrate).await?;
        house.register(&config, &gateway_key).await?;
        house.make_api_key().await?;
        Ok(house)
    }

    /// Signs what the depot is rated for with a key of this folder, over a copy of its file; returns the public half. A file
    /// that names others beside it cannot be copied alone: it stays where it is, unsigned.
    async fn sign(&mut self) -> Result<Option<String>> {
        let key = self.path("installer.key");
        let copy = self.path("depot.toml");
        let Some(file) = self.of.as_ref().map(|of| of.file.clone()) else {
            return Ok(None);
        };
        if file != copy {
            fs::copy(&file, &copy).with_context(|| copy.display().to_string())?;
        }
        let Ok(depot) = Depot::read(&copy) else {
            println!(
                "{}: it names files beside it, so its ratings are not signed here",
                file.display()
            );
            return Ok(None);
        };
        let public = self.key("edge", "installer.key").await?;
        let secret = fs::read_to_string(&key).with_context(|| key.display().to_string())?;
        let secret = shared_protocol::SigningKey::from_hex(&secret)?;
        let ratings = signed(&depot, &secret)?;
        fs::write(beside(&copy), ratings).with_context(|| copy.display().to_string())?;
        if let Some(of) = &mut self.of {
            of.file = copy;
        }
        Ok(Some(public))
    }

    /// Enters the gateway in the register. A database that outlived its house knows it with the key of that one: then the
    /// new key is added.
    async fn register(&self, config: &str, public_key: &str) -> Result<()> {
        let program = process::program("cloud-ingest")?;
        let say = async |verb| {
            let arguments = [
                "gateway",
                verb,
                "--config",
                config,
                "--id",
                GATEWAY,
                "--public-key",
                public_key,
            ];
            process::output(&program, &arguments).await
        };
        if let Err(error) = say("add").await {
            say("add-key").await.context(error)?;
        }
        Ok(())
    }

    /// A new key for the cloud's API, good for a day, with these permissions.
    pub async fn key_for(&self, permissions: &[&str]) -> Result<String> {
        let config = self.text("cloud.toml");
        let mut add = vec!["key", "add", "--config", &config];
        add.extend(["--name", "scripts/run", "--hours", "24"]);
        add.extend(permissions.iter().flat_map(|one| ["--permission", one]));
        process::output(&process::program("cloud-ingest")?, &add).await
    }

    /// A key for the cloud's API that only reads, new with each start, in `api.key`.
    async fn make_api_key(&self) -> Result<()> {
        let key = self.key_for(&["telemetry.read", "gateways.read"]).await?;
        let path = self.path("api.key");
        // Made anew, not overwritten: an older file may have let others read it.
        let _ = fs::remove_file(&path);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{}", key.trim()))
            .with_context(|| path.display().to_string())
    }

    /// The key for the cloud's API.
    pub fn api_key(&self) -> Result<String> {
        let path = self.path("api.key");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim().to_owned())
    }

    /// The address of the cloud's API.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    /// What the first station and the meter are called.
    pub fn shown(&self) -> (String, String) {
        match &self.of {
            Some(OfDepot {
                stations, meter, ..
            }) => (stations.first().cloned().unwrap_or_default(), meter.clone()),
            None => ("charger-01".to_owned(), "meter-01".to_owned()),
        }
    }

    /// The folder of the house.
    pub fn folder(&self) -> &Path {
        &self.options.folder
    }

    /// A file of the house.
    pub fn path(&self, name: &str) -> PathBuf {
        self.options.folder.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Makes a key, once, and returns its public half.
    async fn key(&self, program: &str, name: &str) -> Result<String> {
        let path = self.path(name);
        if let Ok(text) = fs::read_to_string(&path) {
            let key = shared_protocol::SigningKey::from_hex(&text)
                .with_context(|| path.display().to_string())?;
            return Ok(key.verifying_key().to_string());
        }
        process::output(
            &process::program(program)?,
            &["keygen", "--out", &self.text(name)],
        )
        .await
    }

    async fn start_depot(&mut self) -> Result<Endpoints> {
        let options = &self.options;
        let cars = if options.replay.is_some() {
            0
        } else {
            options.cars
        };
        if cars == 0 && options.chargers == 0 && self.of.is_none() {
            return Ok(Endpoints::default());
        }
        let folder = self.path("depot");
        fs::create_dir_all(&folder)?;
        let (which, chargers) = match &self.of {
            Some(of) => ("--charger-keys", of.stations.join(",")),
            None => ("--chargers", options.chargers.to_string()),
        };
        let (folder, seed) = (folder.display().to_string(), options.seed.to_string());
        let (cars, speed) = (cars.to_string(), options.speed.to_string());
        let mut arguments = vec![
            "--dir", &folder, "--seed", &seed, "--cars", &cars, "--speed", &speed, which, &chargers,
        ];
        let phases = self.of.as_ref().map(|of| of.phases.join(","));
        let speaks = self.of.as_ref().map(|of| of.speaks.join(","));
        let central = format!("ws://127.0.0.1:{}/ocpp", self.ports.stations);
        if let (Some(of), Some(phases), Some(speaks)) = (&self.of, &phases, &speaks) {
            arguments.extend(["--charger-phases", phases, "--meter-key", &of.meter]);
            arguments.extend(["--central", &central, "--speaks", speaks]);
        }
        if self.habits.charging {
            arguments.extend(["--plan", "charging"]);
        }
        let restless = self.habits.restless.map(|seconds| seconds.to_string());
        if let Some(restless) = &restless {
            arguments.extend(["--restless", restless]);
        }
        if !self.habits.faults.is_empty() {
            arguments.extend(["--faults", &self.habits.faults]);
        }
        let mut depot = Process::start(
            "virtual-depot",
            &process::program("virtual-depot")?,
            &arguments,
            &options.folder,
        )?;
        let json = depot.ready("ready", READY).await?;
        self.depot = Some(depot);
        let text = fs::read_to_string(&json).with_context(|| json.clone())?;
        serde_json::from_str(&text).with_context(|| json)
    }

    fn cloud_config(&self) -> String {
        format!(
            "[database]\nurl = {:?}\n\n[http]\nlisten = \"127.0.0.1:{}\"\n\n[mqtt]\nbroker = \"embedded\"\nlisten = \"127.0.0.1:{}\"\n\n\
             [keys]\nsigning = \"cloud.key\"\n",
            self.options.database_url, self.ports.http, self.ports.broker
        )
    }

    fn gateway_config(
        &self,
        cloud_key: &str,
        installer: Option<&str>,
        endpoints: &Endpoints,
    ) -> String {
        let mut text = format!(
            "[gateway]\nid = \"{GATEWAY}\"\nkey = \"gateway.key\"\ndata = \"buffer\"\n\n\
             [cloud]\nbroker = \"mqtt://127.0.0.1:{}\"\npublic_key = \"{cloud_key}\"\n",
            self.ports.broker
        );
        if let Some(of) = &self.of {
            let _ = write!(
                text,
                "\n[control]\ndepot = {:?}\n",
                of.file.display().to_string()
            );
            if let Some(key) = installer {
                let _ = writeln!(text, "installer_key = {key:?}");
            }
        }
        if !endpoints.stations.is_empty() {
            let _ = write!(
                text,
                "\n[stations]\nlisten = \"127.0.0.1:{}\"\ninsecure_stations = true\n",
                self.ports.stations
            );
        }
        for StationEntry {
            asset,
            id,
            password,
            ..
        } in &endpoints.stations
        {
            let digest = hex::encode(Sha256::digest(password));
            let _ = write!(
                text,
                "\n[[stations.station]]\nid = {id:?}\nasset = {asset:?}\npassword_sha256 = \"{digest}\"\n"
            );
        }
        let shown = endpoints
            .tokens
            .iter()
            .filter(|_| !endpoints.stations.is_empty());
        for token in shown {
            let _ = write!(text, "\n[[stations.token]]\nid = {token:?}\n");
        }
        for car in &endpoints.cars {
            let _ = write!(
                text,
                "\n[[can]]\nasset = {:?}\ninterface = {:?}\nprofile = {:?}\ndiagnostics = true\n",
                car.asset, car.interface, car.profile
            );
        }
        if let Some(replay) = &self.options.replay {
            for (dbc, bus) in &replay.dbcs {
                let bus_option = bus.map(|bus| format!("bus={bus}&")).unwrap_or_default();
                let asset = bus.map_or("replay".to_owned(), |bus| format!("replay-bus{bus}"));
                let interface = format!(
                    "replay:{}?{bus_option}speed={}",
                    replay.log.display(),
                    replay.speed
                );
                let _ = write!(
                    text,
                    "\n[[can]]\nasset = {asset:?}\ninterface = {interface:?}\ndbc = {:?}\n",
                    dbc.display().to_string()
                );
            }
        }
        for device in endpoints.chargers.iter().chain(&endpoints.meters) {
            // Two seconds: on a busy machine an answer that was given and not waited for would count as lost.
            let _ = write!(
                text,
                "\n[[modbus]]\nname = {:?}\naddress = {:?}\ntimeout = \"2s\"\n[[modbus.device]]\nasset = {:?}\nunit = {}\nmap = {:?}\n",
                device.asset, device.address, device.asset, device.unit, device.map
            );
        }
        text
    }

    /// Starts the cloud and waits until it takes blocks.
    pub async fn start_cloud(&mut self) -> Result<()> {
        let config = self.text("cloud.toml");
        let program = process::program("cloud-ingest")?;
        let mut cloud = Process::start(
            "cloud-ingest",
            &program,
            &["serve", "--config", &config],
            &self.options.folder,
        )?;
        cloud.ready("ready", READY).await?;
        self.cloud = Some(cloud);
        Ok(())
    }

    /// Starts the gateway, which reports each second.
    pub fn start_edge(&mut self) -> Result<()> {
        self.start_edge_with(&[])
    }

    /// The same with further arguments.
    pub fn start_edge_with(&mut self, further: &[&str]) -> Result<()> {
        let config = self.text("gateway.toml");
        let arguments = [&["run", "--config", &config, "--report"], further].concat();
        self.edge = Some(Process::start(
            "edge",
            &process::program("edge")?,
            &arguments,
            &self.options.folder,
        )?);
        Ok(())
    }

    /// Runs the gateway until every recording has been played and all of it is acknowledged.
    pub async fn play(&mut self, within: Duration) -> Result<()> {
        let config = self.text("gateway.toml");
        let arguments = ["run", "--config", &config, "--until-played"];
        let mut edge = Process::start(
            "edge",
            &process::program("edge")?,
            &arguments,
            &self.options.folder,
        )?;
        edge.ended(within).await
    }

    /// Lets all transactions at stations that speak OCPP end, and waits until every message of them was answered by the gateway,
    /// which has to run. How many there were, and how many it has refused.
    pub async fn finish_depot(&mut self, within: Duration) -> Result<(u64, u64)> {
        let Some(depot) = &mut self.depot else {
            return Ok((0, 0));
        };
        depot.say("finish").await?;
        let said = depot.ready("finished", within).await?;
        let mut numbers = said.split(' ').map(str::parse);
        let mut number = || numbers.next().context("two numbers")?.context(said.clone());
        Ok((number()?, number()?))
    }

    /// Stops the depot: from then on nothing new is said, and its truth is complete.
    pub async fn stop_depot(&mut self) -> Result<()> {
        if let Some(mut depot) = self.depot.take() {
            depot.say("stop").await?;
            depot.ended(STOP).await?;
        }
        Ok(())
    }

    /// Stops the gateway, which commits all it has read and waits a moment for the cloud.
    pub async fn stop_edge(&mut self) -> Result<()> {
        match self.edge.take() {
            Some(mut edge) => edge.stop(STOP).await,
            None => Ok(()),
        }
    }

    /// Stops the cloud.
    pub async fn stop_cloud(&mut self) -> Result<()> {
        match self.cloud.take() {
            Some(mut cloud) => cloud.stop(STOP).await,
            None => Ok(()),
        }
    }

    /// Stops everything in order; the first error is told after all have been stopped.
    pub async fn stop(&mut self) -> Result<()> {
        let depot = self.stop_depot().await;
        let edge = self.stop_edge().await;
        let cloud = self.stop_cloud().await;
        depot.and(edge).and(cloud)
    }
}
