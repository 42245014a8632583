//! Puts a gateway together from its configuration, and keeps it together.
//!
//! | file | what it is |
//! |---|---|
//! | `parts` | what the configuration names, read and checked |
//! | `loops` | the loops that look after the others |

mod loops;
mod parts;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use firmware_config::gateway::Gateway;
use shared_protocol::AssetKey;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    buffer::{Buffer, Options, State, StoreError},
    clock::{self, Clock, Sources},
    commands::Desk,
    control::{self, Control, Shown, commission},
    health::{self, Counters},
    page::{self, Page},
    sources::{Context, modbus, ocpp, vehicle},
    supervise::{Drill, Feeder, LoopReport, Spec, Supervisor},
    transactions::BookError,
    uplink,
};
use loops::{Sighted, supervise, teller, watch_database, watch_ledger};
pub use parts::read_key;
use parts::{
    Networks, build_central, build_control, build_keeper, build_line, build_page, build_vehicle,
    link, listen, reserved,
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
    /// The address for metrics.
    #[error("metrics at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        source: io::Error,
    },
    /// An asset has the gateway's own key.
    #[error(
        "`{}` is the key of the gateway itself: give the asset another one",
        health::ASSET
    )]
    Reserved,
    /// The address for charging stations.
    #[error("charging stations at {address}: {source}")]
    Stations {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Who would be let in.
    #[error(transparent)]
    Door(#[from] ocpp::DoorError),
    /// The depot whose limits it is to hold.
    #[error(transparent)]
    Depot(#[from] load_manager::SiteError),
    /// The book of charging transactions.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The address of the page.
    #[error("the page at {address}: {source}")]
    Page {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        source: io::Error,
    },
    /// No thread or timer to look after the loops.
    #[error("supervision: {source}")]
    Supervision {
        /// What the system says.
        source: io::Error,
    },
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

/// What surrounds a gateway, besides its configuration.
#[derive(Debug, Default)]
pub struct Around {
    /// Where its metrics are to be had over HTTP, on this machine alone.
    pub metrics: Option<SocketAddr>,
    /// The hardware watchdog that it feeds.
    pub watchdog: Option<PathBuf>,
    /// How often the metrics become samples; [`health::EVERY`] without it.
    pub metrics_every: Option<Duration>,
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    buffer: Buffer,
    clock: Arc<Clock>,
    reports: watch::Receiver<uplink::Report>,
    supervisor: Supervisor,
    supervision: thread::JoinHandle<()>,
    control: Option<Arc<Control>>,
    /// What makes samples, and what sends them: the one stops before the other.
    stop: [watch::Sender<bool>; 2],
    sources: JoinSet<()>,
    makers: JoinSet<()>,
    senders: JoinSet<()>,
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
    /// The clock.
    pub clock: crate::clock::Standing,
    /// The loops.
    pub loops: Vec<LoopReport>,
    /// The depot's limits, if this gateway holds them.
    pub control: Option<Shown>,
}

/// How long a graceful stop waits for the cloud's word on what it sent last, and for each of its other steps.
const FAREWELL: Duration = Duration::from_secs(10);
/// A loop of which nothing was heard for so long is stuck.
const DEADLINE: Duration = Duration::from_secs(20);
/// A line is heard at each exchange on it. One whose units are given longer than this to answer is given as much here.
const LATE: Duration = Duration::from_secs(5);

/// Starts a gateway: everything that can be wrong is found before anything runs.
pub fn start(config: Gateway, around: &Around) -> Result<Running, StartError> {
    let key = read_key(&config.key)?;
    let link = link(&config)?;
    reserved(&config)?;
    let mut networks = Networks::default();
    let vehicles = config
        .can
        .into_iter()
        .map(|can| build_vehicle(can, &mut networks))
        .collect::<Result<Vec<_>, _>>()?;
    let stations = config.stations.as_ref();
    let connects = |asset: &AssetKey| {
        let mut stations = stations.iter().flat_map(|one| &one.stations);
        stations.any(|station| station.asset == *asset)
    };
    let lines = config
        .modbus
        .into_iter()
        .map(|line| build_line(line, connects))
        .collect::<Result<Vec<_>, _>>()?;
    let depot = config.depot;
    let page = around.metrics.map(listen).transpose()?;
    let feeder = Feeder::open(around.watchdog.as_deref()).map_err(|source| StartError::File {
        path: around.watchdog.clone().unwrap_or_default(),
        what: format!("the hardware watchdog: {source}"),
    })?;
    let data = config.data;
    let folder = data.clone();
    let clock = Arc::new(Clock::new(Sources::machine(), Some(data.clone()))?);
    let control = depot
        .map(|depot| build_control(depot, config.installer.is_some(), &data, &lines, &clock))
        .transpose()?;
    let board = config
        .page
        .map(|page| build_page(page, &clock))
        .transpose()?;
    let keeper = build_keeper(config.stations.as_ref(), &lines, &data)?;
    let central = config.stations.zip(keeper.clone());
    let central = central
        .map(|(stations, keeper)| build_central(stations, keeper, clock.clone()))
        .transpose()?;
    let options = Options {
        folder: data.clone(),
        quota: config.quota,
        gateway: config.id.clone(),
        key: key.clone(),
    };
    let buffer = Buffer::open(options, clock.clone())?;

    let supervisor = Supervisor::new();
    let stop = [watch::channel(false).0, watch::channel(false).0];
    let (making, sending) = (stop[0].subscribe(), stop[1].subscribe());
    let (mut sources, mut makers, mut senders) = (JoinSet::new(), JoinSet::new(), JoinSet::new());

    senders.spawn(watch_database(&supervisor, &buffer, sending.clone()));
    senders.spawn(watch_ledger(&supervisor, &buffer, sending.clone()));
    let (desk, commands) = Desk::new(data.clone(), clock.clone(), buffer.clone());
    let mut letterboxes = BTreeMap::<_, Vec<_>>::new();
    for vehicle in &vehicles {
        let boxes = letterboxes.entry(vehicle.asset.clone()).or_default();
        boxes.push(vehicle.orders.clone());
    }
    let stations = central.as_ref().map(|(central, _)| central.clone());
    let desk = desk.of(control.clone()).over(letterboxes).before(stations);
    let desk = Arc::new(desk);
    let counter = desk.counter();
    let (report, reports) = watch::channel(uplink::Report::default());
    let uplink = uplink::Options {
        link,
        gateway: config.id,
        key,
        cloud: config.cloud.public_key,
        commands,
        clock: clock.clone(),
    };
    let spec = Spec::new("uplink", DEADLINE)
        .critical()
        .ends_by_itself(FAREWELL);
    let (ours, stopped) = (buffer.clone(), sending.clone());
    senders.spawn(supervisor.keep(spec, sending, move |beat| {
        let (options, buffer) = (uplink.clone(), ours.clone());
        uplink::run(options, buffer, stopped.clone(), report.clone(), beat)
    }));

    let spec = Spec::new("clock", DEADLINE).critical();
    let ours = (clock.clone(), buffer.clone());
    makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
        let (clock, buffer) = ours.clone();
        clock::keep(clock, buffer, beat)
    }));
    let ours = desk.clone();
    let spec = Spec::new("commands", DEADLINE);
    makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
        let desk = ours.clone();
        async move { desk.work(&beat).await }
    }));
    let counters = Arc::new(Counters::default());
    let tell = teller(Sighted {
        began: Instant::now(),
        folder: data,
        buffer: buffer.clone(),
        uplink: reports.clone(),
        desk,
        clock: clock.clone(),
        supervisor: supervisor.clone(),
        counters: counters.clone(),
        control: control.clone(),
    });
    let ours = (tell.clone(), clock.clone(), buffer.clone());
    let every = around.metrics_every.unwrap_or(health::EVERY);
    let spec = Spec::new("health", DEADLINE);
    makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
        let (tell, clock, buffer) = ours.clone();
        health::keep(every, tell, clock, buffer, beat)
    }));
    if let Some(page) = page {
        let spec = Spec::new("page", DEADLINE);
        makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
            health::serve(page.clone(), tell.clone(), beat)
        }));
    }

    let context = Context {
        buffer: buffer.clone(),
        clock: clock.clone(),
        stop: making.clone(),
        counters,
        control: control.clone(),
        keeper: keeper.clone(),
    };
    if let Some(control) = &control {
        let ours = (control.clone(), clock.clone());
        let spec = Spec::new("control", DEADLINE).critical();
        makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
            let (control, clock) = ours.clone();
            control::run(control, clock, beat)
        }));
        let ours = (control.clone(), folder, clock.clone());
        let spec = Spec::new("commission", DEADLINE);
        makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
            let (control, folder, clock) = ours.clone();
            commission::keep(control, folder, clock, beat)
        }));
        if let Some((settings, listener, tls)) = board {
            let (control, clock) = (control.clone(), clock.clone());
            let page = Page::new(settings, control, clock, counter, tls.is_some());
            let (page, ours) = (Arc::new(page), making.clone());
            let spec = Spec::new("supervisor-page", DEADLINE).ends_by_itself(FAREWELL);
            makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
                let (listener, tls) = (listener.clone(), tls.clone());
                page::serve(page.clone(), listener, tls, ours.clone(), beat)
            }));
        }
    }
    for dongles in networks.0 {
        let clock = clock.clone();
        let spec = Spec::new(format!("dongles:{}", dongles.network()), DEADLINE);
        makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
            let (dongles, clock) = (dongles.clone(), clock.clone());
            async move { dongles.search(clock, &beat).await }
        }));
    }
    for vehicle in vehicles {
        let (vehicle, context) = (Arc::new(vehicle), context.clone());
        let spec = Spec::new(format!("can:{}", vehicle.asset), DEADLINE);
        sources.spawn(supervisor.keep(spec, making.clone(), move |beat| {
            vehicle::run(vehicle.clone(), context.clone(), beat)
        }));
    }
    for line in lines {
        let context = context.clone();
        let deadline = DEADLINE.max(line.longest_silence() + LATE);
        let spec = Spec::new(format!("modbus:{}", line.name), deadline);
        sources.spawn(supervisor.keep(spec, making.clone(), move |beat| {
            modbus::run(line.clone(), context.clone(), beat)
        }));
    }
    if let Some(keeper) = keeper {
        let context = context.clone();
        let spec = Spec::new("stations:records", DEADLINE).ends_by_itself(FAREWELL);
        makers.spawn(supervisor.keep(spec, making.clone(), move |beat| {
            keeper.clone().carry(context.clone(), beat)
        }));
    }
    if let Some((central, listener)) = central {
        for station in central.relayed() {
            let spec = Spec::new(format!("relay:{station}"), DEADLINE).ends_by_itself(FAREWELL);
            let ours = (central.clone(), station, context.clone());
            sources.spawn(supervisor.keep(spec, making.clone(), move |beat| {
                let (central, station, context) = ours.clone();
                ocpp::relay(central, station, context, beat)
            }));
        }
        let spec = Spec::new("stations", DEADLINE).ends_by_itself(FAREWELL);
        let context = context.clone();
        sources.spawn(supervisor.keep(spec, making.clone(), move |beat| {
            ocpp::run(central.clone(), listener.clone(), context.clone(), beat)
        }));
    }
    let supervision = supervise(&supervisor, feeder)?;
    Feeder::ready();
    Ok(Running {
        buffer,
        clock,
        reports,
        supervisor,
        supervision,
        control,
        stop,
        sources,
        makers,
        senders,
    })
}

impl Running {
    /// What it says about itself.
    pub fn status(&self) -> Status {
        let state: State = self.buffer.state().borrow().clone();
        Status {
            streams: state.totals,
            pending: state.pending,
            buffer_failing: state.failing,
            uplink: self.reports.borrow().clone(),
            clock: self.clock.standing(),
            loops: self.supervisor.reports(),
            control: self.control.as_ref().map(|control| control.shown()),
        }
    }

    /// Makes a loop of this name fail on purpose; tells whether there is one.
    pub fn drill(&self, name: &str, drill: Drill) -> bool {
        self.supervisor.drill(name, drill)
    }

    /// Waits until a source has ended; `None` when none is left. A recording ends; anything else runs for ever.
    pub async fn source_ended(&mut self) -> Option<()> {
        self.sources.join_next().await.map(|_| ())
    }

    /// Makes all that was read durable, and waits until the cloud has acknowledged it; tells whether it has in time.
    pub async fn acknowledged(&self, within: Duration) -> bool {
        if tokio::time::timeout(FAREWELL, self.buffer.flush())
            .await
            .is_err()
        {
            return false;
        }
        let mut state = self.buffer.state();
        let answered =
            state.wait_for(|state| state.totals.iter().all(|totals| totals.buffered == 0));
        matches!(tokio::time::timeout(within, answered).await, Ok(Ok(_)))
    }

    /// Stops reading, seals and commits everything, gives the cloud a moment to answer, and ends.
    pub async fn stop(mut self) {
        Feeder::stopping();
        self.supervisor.stopping();
        // Sources first: what they have read is in the buffer's queue when they are gone.
        self.stop[0].send_replace(true);
        while self.sources.join_next().await.is_some() {}
        while self.makers.join_next().await.is_some() {}
        let connected = self.reports.borrow().connected;
        let wait = if connected { FAREWELL } else { Duration::ZERO };
        if !self.acknowledged(wait).await {
            tracing::info!(
                "not all is acknowledged yet; it is kept and goes out at the next start"
            );
        }
        self.stop[1].send_replace(true);
        while self.senders.join_next().await.is_some() {}
        if let Err(error) = self.clock.save() {
            tracing::warn!(%error, "the time cannot be saved");
        }
        let stopped = tokio::time::timeout(FAREWELL, self.buffer.stop()).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::error!("the buffer does not stop; what it has not committed is lost");
        }
        self.supervisor.over();
        let _ = self.supervision.join();
    }
}
