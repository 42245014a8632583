//! Puts a gateway together from its configuration, and keeps it together.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use firmware_config::gateway::{Can, Gateway};
use shared_protocol::SigningKey;
use tokio::{sync::watch, task::JoinSet};
use vehicles::{
    dbc::{Dbc, Decoder},
    diagnostic::Table,
};

use crate::{
    buffer::{Buffer, Options, State, StoreError},
    clock::Clock,
    sources::{Context, modbus, vehicle},
    uplink,
};

/// Why a gateway does not start. Nothing has been started then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file that the configuration names.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The buffer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error("the system has no randomness to give: {0}")]
    Random(#[from] getrandom::Error),
}

impl StartError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File {
            path,
            what: error.to_string(),
        }
    }

    fn wrong(path: &Path, problems: &[impl ToString]) -> Self {
        let what = problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ");
        Self::File {
            path: path.to_owned(),
            what,
        }
    }
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    buffer: Buffer,
    reports: watch::Receiver<uplink::Report>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<&'static str>,
    uplink: tokio::task::JoinHandle<()>,
}

/// What a running gateway says about itself.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Status {
    /// Counters of each stream.
    pub streams: Vec<crate::buffer::StreamTotals>,
    /// Samples that no commit has made durable yet.
    pub pending: u64,
    /// Why commits fail at present, if they do.
    pub buffer_failing: Option<String>,
    /// The uplink.
    pub uplink: uplink::Report,
}

/// How long a graceful stop waits for the cloud's word on what it sent last.
const FAREWELL: Duration = Duration::from_secs(10);

/// Starts a gateway: everything that can be wrong is found before anything runs.
pub fn start(config: Gateway) -> Result<Running, StartError> {
    let key = read_key(&config.key)?;
    let link = link(&config)?;
    let vehicles = config
        .can
        .into_iter()
        .map(build_vehicle)
        .collect::<Result<Vec<_>, _>>()?;
    let lines = config
        .modbus
        .into_iter()
        .map(build_line)
        .collect::<Result<Vec<_>, _>>()?;
    let clock = Arc::new(Clock::start()?);
    let options = Options {
        folder: config.data,
        quota: config.quota,
        gateway: config.id.clone(),
        key: key.clone(),
    };
    let buffer = Buffer::open(options, clock.clone())?;
    let (stop, stopped) = watch::channel(false);
    let (report, reports) = watch::channel(uplink::Report::default());
    let uplink = uplink::Options {
        link,
        gateway: config.id,
        key,
        cloud: config.cloud.public_key,
    };
    let uplink = tokio::spawn(uplink::run(uplink, buffer.clone(), stopped.clone(), report));
    let mut tasks = JoinSet::new();
    let context = Context {
        buffer: buffer.clone(),
        clock,
        stop: stopped,
    };
    for vehicle in vehicles {
        let run = vehicle::run(vehicle, context.clone());
        tasks.spawn(async {
            run.await;
            "vehicle"
        });
    }
    for line in lines {
        let run = modbus::run(line, context.clone());
        tasks.spawn(async {
            run.await;
            "modbus"
        });
    }
    Ok(Running {
        buffer,
        reports,
        stop,
        tasks,
        uplink,
    })
}

impl Running {
    /// What it says about itself now.
    pub fn status(&self) -> Status {
        let state: State = self.buffer.state().borrow().clone();
        Status {
            streams: state.totals,
            pending: state.pending,
            buffer_failing: state.failing,
            uplink: self.reports.borrow().clone(),
        }
    }

    /// Waits until a source has ended; `None` when none is left. A recording ends; anything else runs for ever.
    pub async fn source_ended(&mut self) -> Option<Result<&'static str, tokio::task::JoinError>> {
        self.tasks.join_next().await
    }

    /// Makes all that was read durable, and waits until the cloud has acknowledged it; tells whether it has in time.
    pub async fn acknowledged(&self, within: Duration) -> bool {
        let _ = self.buffer.flush().await;
        let mut state = self.buffer.state();
        let answered =
            state.wait_for(|state| state.totals.iter().all(|totals| totals.buffered == 0));
        matches!(tokio::time::timeout(within, answered).await, Ok(Ok(_)))
    }

    /// Stops reading, seals and commits everything, gives the cloud a moment to answer, and ends.
    pub async fn stop(mut self) {
        // Sources first: what they have read is in the buffer's queue when they are gone.
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let connected = self.reports.borrow().connected;
        let wait = if connected { FAREWELL } else { Duration::ZERO };
        if !self.acknowledged(wait).await {
            tracing::info!(
                "not all is acknowledged yet; it is kept and goes out at the next start"
            );
        }
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(FAREWELL, &mut self.uplink).await;
        let _ = self.buffer.stop().await;
    }
}

/// Reads a secret key file: 64 hexadecimal digits.
pub fn read_key(path: &Path) -> Result<SigningKey, StartError> {
    let text = fs::read_to_string(path).map_err(StartError::file(path))?;
    SigningKey::from_hex(&text).map_err(|error| StartError::File {
        path: path.to_owned(),
        what: format!("{error}; `edge keygen` makes one"),
    })
}

fn link(config: &Gateway) -> Result<uplink::Link, StartError> {
    let read = |path: &Path| fs::read(path).map_err(StartError::file(path));
    let tls = match &config.cloud.tls {
        Some(tls) => Some(uplink::Tls {
            ca: read(&tls.ca)?,
            client: match &tls.identity {
                Some(identity) => Some((read(&identity.certificate)?, read(&identity.key)?)),
                None => None,
            },
        }),
        None => None,
    };
    let address = &config.cloud.broker.address;
    Ok(uplink::Link {
        host: address.host.clone(),
        port: address.port,
        tls,
    })
}

fn build_vehicle(can: Can) -> Result<vehicle::Vehicle, StartError> {
    let mut decoders = Vec::new();
    if let Some(path) = &can.dbc {
        decoders.push(Decoder::new(&read_dbc(path)?));
    }
    let mut diagnostics = None;
    if let Some((profile, bus)) = &can.profile {
        for file in profile.dbc.iter().filter(|file| file.bus == *bus) {
            let path = Path::new(&file.file);
            let decoder = Decoder::mapped(&read_dbc(path)?, &file.signal, file.only_mapped);
            decoders.push(decoder.map_err(|errors| StartError::wrong(path, &errors))?);
        }
        if can.diagnostics {
            let commands = profile
                .command
                .iter()
                .filter(|command| command.bus.as_ref().is_none_or(|on| on == bus));
            let table = Table::new(commands.cloned().collect());
            diagnostics = Some(
                table.map_err(|problems| StartError::wrong(Path::new(&profile.name), &problems))?,
            );
        }
    }
    Ok(vehicle::Vehicle {
        asset: can.asset,
        interface: can.interface,
        decoders,
        diagnostics,
    })
}

fn read_dbc(path: &Path) -> Result<Dbc, StartError> {
    let dbc = Dbc::parse(&fs::read(path).map_err(StartError::file(path))?);
    for warning in &dbc.warnings {
        tracing::warn!(file = %path.display(), %warning, "DBC");
    }
    Ok(dbc)
}

fn build_line(line: firmware_config::gateway::Line) -> Result<modbus::Line, StartError> {
    let devices = line
        .devices
        .into_iter()
        .map(|device| {
            let mut map = (*device.map).clone();
            if let Some(interval) = device.interval {
                map.defaults.interval_ms = interval.as_millis() as u32;
            }
            let checked = ::modbus::Device::new(map)
                .map_err(|problems| StartError::wrong(Path::new(&device.map.model), &problems))?;
            Ok(modbus::LineDevice {
                asset: device.asset,
                unit: device.unit,
                device: Arc::new(checked),
            })
        })
        .collect::<Result<_, StartError>>()?;
    Ok(modbus::Line {
        name: line.name,
        address: line.address,
        timeout: line.timeout,
        devices,
    })
}
