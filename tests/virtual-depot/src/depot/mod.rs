//! The depot as a whole: what it is started with, what it tells about itself, and the tick that drives it.

mod description;
mod starting;
mod ticker;

pub use description::{CarEntry, Description, DeviceEntry, StationEntry};

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use tokio::{sync::RwLock, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    starting::Starting,
    ticker::{REBOOT_SECONDS, Ticker},
};
use crate::{
    bus::{
        ecu::EcuError,
        model::{self, Model, ModelError},
        server::BusHandle,
    },
    car::Plan,
    devices::map::{self, Device, MapError},
    faults::{Faults, Rates},
    stations::{Central, Plugs, token},
    truth::{Log, sessions::SessionLog},
    yard::{Setup, World, charger_report, meter_report, name},
};

/// What a depot is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Folder for `depot.json`, `truth.jsonl` and the car's profile; made if it is not there.
    pub dir: PathBuf,
    /// What is simulated.
    pub setup: Setup,
    /// What goes wrong.
    pub faults: Rates,
    /// First port; the others follow. Without one they are what the system gives.
    pub port_base: Option<u16>,
    /// What stations and meter are called; by their numbers if absent.
    pub keys: Option<Keys>,
    /// Which stations speak OCPP, and with whom; none if absent.
    pub central: Option<Central>,
}

/// Asset keys, as a depot file has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Of the stations; those that have none are called by their numbers.
    pub stations: Vec<String>,
    /// Of the meter.
    pub meter: String,
}

impl Config {
    /// A few cars and stations without faults, at the pace of the wall.
    pub fn new(dir: impl Into<PathBuf>, seed: u64, cars: usize, chargers: usize) -> Self {
        Self {
            dir: dir.into(),
            setup: Setup {
                seed,
                cars,
                chargers,
                speed: 1.0,
                plan: Plan::Shifts,
                wiring: Vec::new(),
            },
            faults: Rates::default(),
            port_base: None,
            keys: None,
            central: None,
        }
    }
}

/// Why a depot cannot be started, or its truth not be kept.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// The virtual car's files are wrong.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The virtual car's ECUs are wrong.
    #[error(transparent)]
    Ecu(#[from] EcuError),
    /// A device map is wrong.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Too many of something.
    #[error("{what}: {found} where {most} is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// As asked for.
        found: usize,
        /// The most.
        most: usize,
    },
    /// A speed that time cannot have.
    #[error("speed {0}: use a number from 0.001 to 100000")]
    Speed(f64),
    /// A file cannot be written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A port cannot be had.
    #[error("port {port}: {error}")]
    Port {
        /// Which; 0 is any.
        port: u16,
        /// Why.
        error: io::Error,
    },
}

/// What all tasks of a depot share.
#[derive(Debug)]
pub struct Shared {
    world: Mutex<World>,
    /// The truth.
    pub log: Log,
    /// What goes wrong.
    pub faults: Faults,
    /// Held for reading while something is given; whoever holds it for writing knows that nothing is.
    pub gate: RwLock<()>,
    producing: AtomicBool,
    simulated_ms: AtomicI64,
    /// Ends all tasks.
    pub stop: CancellationToken,
    /// All tasks.
    pub tasks: TaskTracker,
    /// When it started; the time of ISO-TP counts from here.
    pub started: Instant,
}

impl Shared {
    /// The simulated depot.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything may be given now.
    pub fn is_producing(&self) -> bool {
        self.producing.load(Ordering::Acquire)
    }

    /// Simulated time since the start, in ms.
    pub fn simulated_ms(&self) -> i64 {
        self.simulated_ms.load(Ordering::Relaxed)
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Values given to readers.
    pub given: u64,
    /// Values withheld from them by faults.
    pub withheld: u64,
    /// Simulated time, in ms.
    pub simulated_ms: i64,
    /// How often each fault struck.
    pub faults: Vec<(String, u64)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stopped after {} simulated seconds: {} values given, {} withheld",
            self.simulated_ms / 1000,
            self.given,
            self.withheld
        )?;
        self.faults
            .iter()
            .try_for_each(|(fault, times)| write!(f, ", {times} {fault}"))
    }
}

/// A depot.
#[derive(Debug)]
pub struct Depot;

impl Depot {
    /// Binds everything on loopback, writes the files and begins. Needs a tokio runtime.
    pub async fn start(config: Config) -> Result<Handle, DepotError> {
        check(&config)?;
        let model = Arc::new(Model::shipped()?);
        let charger = Arc::new(Device::read(map::CHARGER, charger_report)?);
        let meter = Arc::new(Device::read(map::METER, meter_report)?);
        let file = |name: &str| config.dir.join(name);
        let failed = |path: PathBuf| move |error| DepotError::File { path, error };
        std::fs::create_dir_all(&config.dir).map_err(failed(config.dir.clone()))?;
        let dir = std::fs::canonicalize(&config.dir).map_err(failed(config.dir.clone()))?;
        let files = [
            ("virtual-car.dbc", model::DBC),
            ("virtual-car.toml", model::PROFILE),
        ];
        for (name, text) in files {
            std::fs::write(file(name), text).map_err(failed(file(name)))?;
        }
        let truth = file("truth.jsonl");
        let transactions = file("transactions.jsonl");
        let sessions = SessionLog::create(&transactions).map_err(failed(transactions.clone()))?;
        let sessions = Arc::new(sessions);
        let cars = config.setup.cars;
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(&config.setup)),
            log: Log::create(&truth).map_err(failed(truth.clone()))?,
            faults: Faults::new(config.setup.seed, config.faults.clone()),
            gate: RwLock::new(()),
            producing: AtomicBool::new(true),
            simulated_ms: AtomicI64::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            started: Instant::now(),
        });
        let mut starting = Starting {
            shared: Arc::clone(&shared),
            setup: config.setup.clone(),
            keys: config.keys.clone(),
            central: config.central.clone(),
            plugs: Plugs::new(),
            sessions: Arc::clone(&sessions),
            stations: Vec::new(),
            next_port: config.port_base,
            description: Description {
                seed: config.setup.seed,
                speed: config.setup.speed,
                started: jiff::Timestamp::now(),
                truth: dir.join("truth.jsonl"),
                cars: Vec::new(),
                chargers: Vec::new(),
                stations: Vec::new(),
                tokens: (0..cars)
                    .map(|car| token(&name("car", car, cars)))
                    .collect(),
                transactions: dir.join("transactions.jsonl"),
                meters: Vec::new(),
            },
        };
        let prepared = starting.bind(&dir, &model, &charger, &meter).await;
        let (buses, broadcasts) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                shared.stop.cancel();
                return Err(error);
            }
        };
        shared.log.flush();
        let description = starting.description;
        let path = file("depot.json");
        serde_json::to_string_pretty(&description)
            .map_err(io::Error::other)
            .and_then(|json| std::fs::write(&path, json + "\n"))
            .map_err(failed(path.clone()))?;
        let ticker = Ticker {
            shared: Arc::clone(&shared),
            model,
            buses: buses.clone(),
            broadcasts,
            stations: starting.stations,
        };
        shared.tasks.spawn(ticker.run());
        Ok(Handle {
            shared,
            description,
            buses,
            plugs: starting.plugs,
            sessions,
        })
    }
}

fn check(config: &Config) -> Result<(), DepotError> {
    let Setup {
        cars,
        chargers,
        speed,
        ..
    } = config.setup;
    for (what, found) in [("cars", cars), ("chargers", chargers)] {
        let most = 2000;
        if found > most {
            return Err(DepotError::TooMany { what, found, most });
        }
    }
    if !(0.001..=100_000.0).contains(&speed) {
        return Err(DepotError::Speed(speed));
    }
    let ports = config.port_base.map_or(0, usize::from) + chargers + cars + 2;
    if ports > 0xFFFF {
        return Err(DepotError::TooMany {
            what: "ports",
            found: ports,
            most: 0xFFFF,
        });
    }
    Ok(())
}

/// A running depot.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    description: Description,
    buses: Vec<BusHandle>,
    plugs: Plugs,
    sessions: Arc<SessionLog>,
}

impl Handle {
    /// What stands in `depot.json`.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The simulated depot. While it is held nothing moves.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// What goes wrong, to be changed.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Lets a station forget its settings and go away for some seconds.
    pub fn reboot(&self, charger: usize) {
        if let Some(charger) = self.shared.world().chargers.get_mut(charger) {
            charger.reboot(REBOOT_SECONDS);
        }
    }

    /// The bus of the car with this key.
    pub fn car(&self, asset: &str) -> Option<&BusHandle> {
        let cars = &self.description.cars;
        let index = cars.iter().position(|car| car.asset == asset)?;
        self.buses.get(index)
    }

    /// The stations that speak OCPP.
    pub fn plugs(&self) -> &Plugs {
        &self.plugs
    }

    /// Stands still: no frame, no answer, no simulated time. When this returns, nothing more is given.
    pub async fn pause(&self) {
        self.shared.producing.store(false, Ordering::Release);
        drop(self.shared.gate.write().await);
        self.shared.log.flush();
    }

    /// Goes on.
    pub fn resume(&self) {
        self.shared.producing.store(true, Ordering::Release);
    }

    /// What the run has come to so far.
    pub fn summary(&self) -> Summary {
        let (given, withheld) = self.shared.log.counts();
        let struck = self.shared.faults.struck().into_iter();
        Summary {
            given,
            withheld,
            simulated_ms: self.shared.simulated_ms(),
            faults: struck
                .map(|(fault, times)| (fault.name().to_owned(), times))
                .collect(),
        }
    }

    /// Stops: nothing more is given, every task ends, and the truth is on its way to the disk.
    pub async fn stop(self) -> Result<Summary, DepotError> {
        self.pause().await;
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |error| DepotError::File { path, error }
        };
        let finished = self.shared.log.finish();
        finished.map_err(failed(&self.description.truth))?;
        let finished = self.sessions.finish();
        finished.map_err(failed(&self.description.transactions))?;
        Ok(self.summary())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
