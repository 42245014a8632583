//! A depot with a car at every station, a gateway that holds its limits, and somebody who watches what really flows. The
//! gateway is the program itself: it can be killed.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use load_manager::Heat;
use serde_json::Value;
use shared_protocol::SigningKey;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};
use virtual_depot::{
    Config, Depot, Handle, Keys, Plan,
    yard::{Charger, Phasor, Wiring},
};

pub(crate) const STATIONS: usize = 50;
/// Rating of the breaker of the supply, and what it may carry for hours, in A.
pub(crate) const BREAKER: f64 = 400.0;
pub(crate) const CONTINUOUS: f64 = 320.0;
/// What a station falls back to, in A.
pub(crate) const FALLBACK: f64 = 6.0;
const PHASES: [&str; 3] = ["L1-L2", "L2-L3", "L3-L1"];
/// A generous end of waiting.
const PATIENCE: Duration = Duration::from_secs(120);
/// By which people come in to the page.
pub(crate) const PIN: &str = "493021";

/// `edge run`, and what it reported last.
struct Program {
    child: Child,
    report: Arc<Mutex<Value>>,
}

pub(crate) struct Rig {
    pub(crate) depot: Arc<Handle>,
    gateway: Option<Program>,
    /// The port of the page.
    pub(crate) page: u16,
    watcher: JoinHandle<f64>,
    over: Arc<AtomicBool>,
    folder: tempfile::TempDir,
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Program {
    /// Starts it; `None` when it ends at once, as when somebody has taken its port.
    async fn start(config: &Path) -> Option<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_edge"))
            .args(["run", "--report", "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line());
        let first = first.await.expect("no report").unwrap()?;
        let report = Arc::new(Mutex::new(serde_json::from_str(&first).unwrap()));
        let newest = report.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                *newest.lock().unwrap() = serde_json::from_str(&line).unwrap();
            }
        });
        Some(Self { child, report })
    }
}

fn station(place: usize) -> String {
    format!("station-{:02}", place + 1)
}

fn depot_file() -> String {
    let mut text = format!(
        "[depot]\nid = \"test\"\nname = \"Test\"\ntime_zone = \"America/Mexico_City\"\nlatitude = 19.4\nlongitude = -99.1\n\
         voltage_system = \"220Y/127\"\n\n[[circuit]]\nid = \"main\"\nbreaker = {BREAKER}\n\n[[meter]]\nid = \"grid\"\n\
         circuit = \"main\"\nmodbus = {{ address = \"tcp://10.20.0.1:502\", unit = 1, map = \"patio-virtual-meter\" }}\n"
    );
    for place in 0..STATIONS {
        let _ = write!(
            text,
            "\n[[station]]\nid = \"{}\"\ncircuit = \"main\"\nphases = \"{}\"\nconnectors = [\"Type 1\"]\nmax_current = 32\n\
             fallback_current = {FALLBACK}\nmodbus = {{ address = \"tcp://10.20.1.{}:502\", unit = 1, map = \"patio-virtual-charger\" }}\n",
            station(place),
            PHASES[place % 3],
            place + 1
        );
    }
    text
}

fn gateway_file(folder: &Path, depot: &Handle, page: u16) -> String {
    let key = SigningKey::from_seed([5; 32]);
    std::fs::write(folder.join("gateway.key"), key.to_hex()).unwrap();
    // Nothing listens there: what holds the breakers needs no cloud.
    let mut text = format!(
        "[gateway]\nid = \"depot-1\"\nkey = \"gateway.key\"\ndata = \"buffer\"\n\n[control]\ndepot = \"depot.toml\"\n\n\
         [cloud]\nbroker = \"mqtt://127.0.0.1:1\"\npublic_key = \"{}\"\n\n\
         [page]\nlisten = \"127.0.0.1:{page}\"\npin = \"{}\"\n",
        key.verifying_key(),
        edge::page::hash(PIN).unwrap()
    );
    let described = depot.description();
    for device in described.chargers.iter().chain(&described.meters) {
        let _ = write!(
            text,
            "\n[[modbus]]\nname = {:?}\naddress = {:?}\ntimeout = \"1s\"\n[[modbus.device]]\nasset = {:?}\nunit = {}\nmap = {:?}\n",
            device.asset, device.address, device.asset, device.unit, device.map
        );
    }
    text
}

impl Rig {
    pub(crate) async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path().join("depot"), seed, STATIONS, STATIONS);
        config.setup.plan = Plan::Charging;
        let wiring = PHASES.map(|phases| phases.parse::<Wiring>().unwrap());
        config.setup.wiring = wiring.into_iter().cycle().take(STATIONS).collect();
        config.keys = Some(Keys {
            stations: (0..STATIONS).map(station).collect(),
            meter: "grid".to_owned(),
        });
        let depot = Depot::start(config).await.unwrap();
        // As a depot is that nobody has told anything yet, but by whoever put the stations up.
        for charger in &mut depot.world().chargers {
            charger.settings.current_limit = FALLBACK;
            charger.write_limit(FALLBACK);
        }
        let began = Instant::now();
        while flows(&depot)
            .into_iter()
            .any(|current| current > CONTINUOUS)
        {
            assert!(began.elapsed() < PATIENCE, "the stations do not settle");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::fs::write(folder.path().join("depot.toml"), depot_file()).unwrap();
        let (depot, over) = (Arc::new(depot), Arc::new(AtomicBool::new(false)));
        let mut rig = Self {
            watcher: tokio::spawn(watch(depot.clone(), over.clone())),
            depot,
            gateway: None,
            page: 0,
            over,
            folder,
        };
        rig.start_gateway().await;
        rig
    }

    /// A file of the gateway's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("buffer").join(name)
    }

    /// Starts the gateway, once more after it was killed.
    pub(crate) async fn start_gateway(&mut self) {
        let config = self.folder.path().join("gateway.toml");
        for _ in 0..5 {
            self.page = free_port();
            let text = gateway_file(self.folder.path(), &self.depot, self.page);
            std::fs::write(&config, text).unwrap();
            self.gateway = Program::start(&config).await;
            if self.gateway.is_some() {
                return;
            }
        }
        panic!("the gateway does not start");
    }

    /// What the gateway says of its depot.
    pub(crate) fn control(&self) -> Value {
        let gateway = self.gateway.as_ref();
        gateway.map_or(Value::Null, |gateway| {
            gateway.report.lock().unwrap()["control"].clone()
        })
    }

    /// What a station offers a car, in A.
    pub(crate) fn offer(&self, station: usize) -> f64 {
        self.depot.world().chargers[station].offered_current()
    }

    /// What flows at the supply on the phase that carries most, in A.
    pub(crate) fn flows(&self) -> f64 {
        flows(&self.depot).into_iter().fold(0.0, f64::max)
    }

    /// How many stations offer a car something, and the sum of what they offer, in A.
    pub(crate) fn offered(&self) -> (usize, f64) {
        let world = self.depot.world();
        let offered = world.chargers.iter().map(Charger::offered_current);
        offered.fold((0, 0.0), |(count, sum), one| {
            (count + usize::from(one > 0.0), sum + one)
        })
    }

    pub(crate) fn alarms(&self) -> Vec<String> {
        let control = self.control();
        let alarms = control["alarms"].as_array().into_iter().flatten();
        let alarms = alarms.filter_map(|alarm| alarm.as_str().map(str::to_owned));
        alarms.collect()
    }

    /// Waits until something is so, and returns how long it took.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        while !is_so(self) {
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: {:.0} A flow, {:?} offered, {:?}",
                self.flows(),
                self.offered(),
                self.control()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }

    /// The gateway is gone, in the middle of whatever it did.
    pub(crate) async fn kill_gateway(&mut self) {
        let mut gateway = self.gateway.take().unwrap();
        gateway.child.kill().await.unwrap();
    }

    /// Ends, and returns how near the breaker came to its trip: 1 is that it trips.
    pub(crate) async fn end(mut self) -> f64 {
        if self.gateway.is_some() {
            self.kill_gateway().await;
        }
        self.over.store(true, Ordering::Relaxed);
        self.watcher.await.unwrap()
    }
}

fn flows(depot: &Handle) -> [f64; 3] {
    depot.world().meter.live().currents.map(Phasor::size)
}

/// Looks at the breaker ten times a second.
async fn watch(depot: Arc<Handle>, over: Arc<AtomicBool>) -> f64 {
    let mut heat = [Heat::default(); 3];
    let mut hottest = 0.0_f64;
    let mut last = Instant::now();
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let since = last.elapsed().as_secs_f64();
        last = Instant::now();
        for (heat, current) in heat.iter_mut().zip(flows(&depot)) {
            heat.pass(current / BREAKER, since);
            hottest = hottest.max(heat.part());
        }
    }
    hottest
}
