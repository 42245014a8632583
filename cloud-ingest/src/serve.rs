//! Starting everything in order, and stopping it in the other.
//!
//! Addresses are taken first: a port in use is found before anything is started. Then the database and its tables, the
//! broker, the pipeline, and HTTP. Stopping: nothing more is read, the transactions in hand end and are acknowledged,
//! the connections say good-bye, HTTP finishes its requests, and last the embedded broker goes.

use std::{
    io::Write as _,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use ::jobs::Bell;
use access::{Access, oidc::Oidc};
use events::{
    live::{Live, Pace},
    webhooks::Endpoints,
};
use outbound::{Client, Rules};
use platform::{Backoff, Clock, Db, DbError};
use telemetry::Ingestor;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use vault::{Links, Secret};
use web::limit::Limits;

use crate::{
    broker::{self, Endpoint, child, supervisor},
    cli::Failure,
    config::{Broker, Config, Database},
    devices::{self, Devices},
    http::{self, App},
    ingest::{Parts, Pipeline, json::JsonDevices, telemetry::Telemetry},
    metrics,
    replica::Replica,
    rooms,
    status::Status,
    works::Works,
};

/// How long transactions in hand may take when it is time to stop.
const FINISH: Duration = Duration::from_secs(15);
/// How long requests in hand may take then.
const FINISH_HTTP: Duration = Duration::from_secs(5);
/// How long the broker of a predecessor that was killed may take to end.
const PREDECESSOR_WAIT: Duration = Duration::from_secs(3);
/// How long a broker may take at the start before we say that we are ready without it.
const BROKER_WAIT: Duration = Duration::from_secs(10);
/// Connections of the pipeline to the broker.
const CONNECTIONS: usize = 4;
const EVERY_SECOND: Duration = Duration::from_secs(1);
const EVERY_TEN_SECONDS: Duration = Duration::from_secs(10);
const EVERY_HALF_MINUTE: Duration = Duration::from_secs(30);
const EVERY_MINUTE: Duration = Duration::from_mins(1);
const EVERY_HOUR: Duration = Duration::from_hours(1);

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config, database_wait: Duration) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let started = tokio::select! {
        started = start(config, database_wait) => started?,
        () = signals.any() => return Ok(ExitCode::SUCCESS),
    };
    started.until(signals).await
}

struct Signals(Signal, Signal);

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|e| Failure::run(format!("no signals: {e}")));
        Ok(Self(
            on(SignalKind::terminate())?,
            on(SignalKind::interrupt())?,
        ))
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// Everything that runs.
struct Running {
    broker: Option<supervisor::Running>,
    pipeline: Pipeline,
    http: JoinSet<std::io::Result<()>>,
    jobs: JoinSet<()>,
    works: Works,
    devices: Devices,
    stop: CancellationToken,
}

async fn start(config: Config, database_wait: Duration) -> Result<Running, Failure> {
    let listener = TcpListener::bind(config.http.listen)
        .await
        .map_err(|error| Failure::occupied("[http] listen", config.http.listen, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::run(error.to_string()))?;
    let own_broker = match &config.broker {
        Broker::Embedded { listen, pace } => Some(OwnBroker {
            listen: free_for_broker(*listen).await?,
            inner: child::inner_address()?,
            pace: *pace,
        }),
        Broker::External { .. } => None,
    };
    let trackers = devices::bind(config.teltonika.server.as_ref())
        .await
        .map_err(|error| match &config.teltonika.server {
            Some(server) => Failure::occupied("[teltonika] listen", server.listen, &error),
            None => Failure::run(error.to_string()),
        })?;
    let recorder = metrics::install().map_err(|e| Failure::run(format!("no metrics: {e}")))?;
    telemetry::metrics::describe();
    ::jobs::metrics::describe();
    ::devices::metrics::describe();
    teltonika::metrics::describe();

    // Questions never take the connections that blocks need.
    let for_api = config.database.connections / 3;
    let for_blocks = config.database.connections - for_api;
    let db = connect(&config.database, for_blocks, database_wait).await?;
    let api_db = connect(&config.database, for_api, database_wait).await?;
    let server = rooms::prepare(&db).await?;
    let clock = Clock::system();
    let prepared = telemetry::prepare_storage(&db, clock.now())
        .await
        .map_err(|error| Failure::run(error.to_string()))?;
    tracing::info!(%server, ?prepared, "the database is ready");

    let status = Arc::new(Status::default());
    let broker = match &own_broker {
        Some(own) => Some(start_broker(own, &config, &status).await?),
        None => None,
    };
    let (endpoint, shared_group) = match &config.broker {
        Broker::External {
            address,
            tls,
            shared_group,
        } => {
            let (address, tls) = (address.clone(), tls.clone());
            (Endpoint { address, tls }, shared_group.clone())
        }
        Broker::Embedded { listen, .. } => {
            let inner = own_broker.as_ref().map_or(*listen, |own| own.inner);
            (Endpoint::local(inner), None)
        }
    };
    // One of the same cloud goes on where the one before it ended.
    let session = (own_broker.is_none() && shared_group.is_none())
        .then(|| config.signing.verifying_key().to_string()[..16].to_owned());
    let ingestor = Ingestor::new(db.clone(), clock.clone());
    let pipeline = Pipeline::start(Parts {
        store: Telemetry::new(ingestor.clone(), db.clone(), clock.clone()),
        endpoint: endpoint.clone(),
        shared_group: shared_group.clone(),
        signing: config.signing,
        config: config.ingest,
        status: Arc::clone(&status),
    });
    let stop = CancellationToken::new();
    let url = config.database.url.as_deref().unwrap_or_default();
    let access = Access::new(api_db.clone(), clock.clone()).with_ring(config.vault.clone());
    if let Some(ring) = &config.vault {
        let sealed = access.seal_codes(ring).await;
        match sealed.map_err(|error| Failure::run(error.to_string()))? {
            0 => {}
            sealed => tracing::info!(sealed, "secrets of one-time codes are sealed now"),
        }
    }
    let oidc = match (&config.vault, config.http.public_url) {
        (Some(ring), Some(base)) => {
            let private = config.http.private_providers;
            Some(Oidc::new(access.clone(), ring.clone(), base, private))
        }
        _ => None,
    };
    let limits = Arc::new(Limits::new(
        config.http.requests_per_second,
        config.http.strangers_per_minute,
    ));
    let app = App {
        db: api_db.clone(),
        replica: config
            .database
            .replica_url
            .clone()
            .map(|url| Replica::new(url, for_api, config.database.replica_lag, clock.clone())),
        store: db.clone(),
        access: access.clone(),
        oidc,
        limits: Arc::clone(&limits),
        status: Arc::clone(&status),
        metrics: recorder.clone(),
        clock: clock.clone(),
        endpoints: config
            .vault
            .clone()
            .map(|ring| Endpoints::new(ring, Client::new(Rules::STRANGERS))),
        live: Live::new(
            api_db,
            Bell::listen(url, "events"),
            Pace::DEFAULT,
            stop.clone(),
        ),
        files: match config.files {
            Some(place) => Some(place.open(&clock).map_err(Failure::run)?),
            None => None,
        },
        links: Links::new(Secret::new(config.links)),
    };
    let mut http = JoinSet::new();
    let service = http::service(app)
        .map_err(|error| Failure::run(error.to_string()))?
        .into_make_service_with_connect_info::<SocketAddr>();
    let asked = stop.clone();
    http.spawn(async move {
        axum::serve(http::patient(listener), service)
            .with_graceful_shutdown(asked.cancelled_owned())
            .await
    });
    let sink = ::devices::Sink::new(db.clone(), clock.clone());
    let devices = Devices::start(
        &sink,
        trackers,
        &config.teltonika,
        &config.geotab,
        config.json.map(|list| JsonDevices {
            sink: sink.clone(),
            list,
            endpoint: endpoint.clone(),
            shared_group,
            session,
            status: Arc::clone(&status),
        }),
        config.vault.clone(),
    );
    let works = Works::start(&db, url, &clock, config.vault);
    let mut jobs = JoinSet::new();
    let ticking = Arc::clone(&status);
    jobs.spawn(repeat(EVERY_SECOND, move || {
        ticking.tick();
        recorder.run_upkeep();
        async {}
    }));
    jobs.spawn(repeat(EVERY_MINUTE, move || place(ingestor.clone())));
    jobs.spawn(repeat(EVERY_MINUTE, move || {
        limits.tidy();
        async {}
    }));
    jobs.spawn(repeat(EVERY_HOUR, move || tidy(access.clone())));
    let (rolled, at) = (db.clone(), clock.clone());
    jobs.spawn(repeat(EVERY_TEN_SECONDS, move || {
        roll_up(rolled.clone(), at.clone())
    }));
    let (matched, at) = (db.clone(), clock.clone());
    jobs.spawn(repeat(EVERY_HALF_MINUTE, move || {
        match_vehicles(matched.clone(), at.clone())
    }));
    jobs.spawn(repeat(EVERY_HOUR, move || {
        prepare(db.clone(), clock.clone())
    }));
    wait_for_broker(&status, &endpoint).await;
    let outside = own_broker.map(|own| Endpoint::local(own.listen));
    announce(address, outside.as_ref().unwrap_or(&endpoint));
    Ok(Running {
        broker,
        pipeline,
        http,
        jobs,
        works,
        devices,
        stop,
    })
}

/// The embedded broker.
struct OwnBroker {
    /// Where clients come to.
    listen: SocketAddr,
    /// Where we do.
    inner: SocketAddr,
    /// How fast a client may publish.
    pace: broker::Pace,
}

/// The address for the embedded broker. That of a program that was killed a moment ago ends by itself, but not in no
/// time: it is waited for.
async fn free_for_broker(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    let begun = Instant::now();
    loop {
        match child::free_address(listen) {
            Err(_) if begun.elapsed() < PREDECESSOR_WAIT => sleep(Duration::from_millis(50)).await,
            other => return other,
        }
    }
}

/// Reaches the database. One that is not there yet is waited for; a wrong URL or missing rights are not.
async fn connect(
    database: &Database,
    connections: usize,
    patience: Duration,
) -> Result<Db, Failure> {
    let url = database.url.as_deref().unwrap_or_default();
    let owner_url = database.owner_url.as_deref().unwrap_or(url);
    let begun = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5), u32::MAX);
    loop {
        let error = match Db::connect_with(url, owner_url, connections).await {
            Ok(db) => return Ok(db),
            Err(error @ (DbError::Unreachable { .. } | DbError::Late(_) | DbError::Query(_))) => {
                error
            }
            Err(error) => return Err(error.into()),
        };
        let Some(wait) = backoff.wait().filter(|_| begun.elapsed() < patience) else {
            return Err(error.into());
        };
        tracing::warn!(%error, "waiting for the database");
        sleep(wait).await;
    }
}

async fn start_broker(
    own: &OwnBroker,
    config: &Config,
    status: &Arc<Status>,
) -> Result<supervisor::Running, Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::run(format!("this program cannot find itself: {e}")))?;
    let supervisor = supervisor::Supervisor {
        program,
        listen: own.listen,
        inner: own.inner,
        pace: own.pace,
        log_level: config.log.level.clone(),
        log_format: config.log.format.clone(),
        status: Arc::clone(status),
    };
    supervisor.start().await.map_err(|e| {
        Failure::run(format!(
            "the embedded broker does not start on {}: {e}",
            own.listen
        ))
    })
}

async fn wait_for_broker(status: &Status, endpoint: &Endpoint) {
    let connected = async {
        while !status.connected(CONNECTIONS) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(BROKER_WAIT, connected).await.is_err() {
        let reason = status.broker_fault().unwrap_or_default();
        tracing::warn!(
            broker = endpoint.url(),
            reason,
            "starting without the broker"
        );
    }
}

/// Does something again and again; a round that takes longer delays the next.
async fn repeat<F: Future<Output = ()>>(every: Duration, mut job: impl FnMut() -> F) {
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        job().await;
    }
}

/// Gives blocks their time whose boot has learnt it since.
async fn place(ingestor: Ingestor) {
    match timeout(EVERY_MINUTE, ingestor.place()).await {
        Ok(Ok(0)) => {}
        Ok(Ok(blocks)) => tracing::info!(blocks, "blocks got their time"),
        Ok(Err(error)) => tracing::warn!(%error, "blocks without time stay where they are"),
        Err(_) => tracing::warn!("giving blocks their time takes longer than a minute"),
    }
}

/// Brings roll-ups up to date.
async fn roll_up(db: Db, clock: Clock) {
    if let Err(error) = telemetry::roll_up(&db, clock.now()).await {
        tracing::warn!(%error, "roll-ups are not brought up to date");
    }
}

/// Finds out which vehicles charge.
async fn match_vehicles(db: Db, clock: Clock) {
    match timeout(EVERY_MINUTE, charging::match_all(&db, clock.now())).await {
        Ok(Ok(0)) => {}
        Ok(Ok(decided)) => tracing::debug!(decided, "vehicles of charging transactions"),
        Ok(Err(error)) => tracing::warn!(%error, "nobody knows which vehicles charge"),
        Err(_) => tracing::warn!("finding out which vehicles charge takes longer than a minute"),
    }
}

/// Makes room for the days to come.
async fn prepare(db: Db, clock: Clock) {
    match timeout(EVERY_HOUR, telemetry::prepare_storage(&db, clock.now())).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "the storage is not prepared for the days to come");
        }
        Err(_) => tracing::warn!("preparing the storage takes longer than an hour"),
    }
    match timeout(EVERY_HOUR, telemetry::retain(&db, clock.now())).await {
        Ok(Ok(retained)) => tracing::debug!(?retained, "what was old is gone"),
        Ok(Err(error)) => tracing::warn!(%error, "what is old is still there"),
        Err(_) => tracing::warn!("removing what is old takes longer than an hour"),
    }
}

/// Forgets what has no meaning any more.
async fn tidy(access: Access) {
    let work = async {
        access.tidy().await?;
        web::tidy(access.db()).await
    };
    match timeout(EVERY_HOUR, work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "old sessions and answers stay for now"),
        Err(_) => tracing::warn!("tidying takes longer than an hour"),
    }
}

fn announce(address: SocketAddr, endpoint: &Endpoint) {
    let local = Endpoint::local(address).address;
    let mut out = std::io::stdout();
    // Whoever started us may not be listening; that is no reason not to run.
    let _ = writeln!(out, "ready http=http://{local} broker={}", endpoint.url())
        .and_then(|()| out.flush());
}

impl Running {
    async fn until(mut self, mut signals: Signals) -> Result<ExitCode, Failure> {
        let broken = tokio::select! {
            () = signals.any() => None,
            reason = self.pipeline.broken() => Some(reason),
            Some(ended) = self.http.join_next() => Some(format!("HTTP ended: {ended:?}")),
            reason = self.works.broken() => Some(format!("the worker ended: {reason}")),
            reason = self.devices.broken() => Some(format!("the devices' part ended: {reason}")),
            Some(ended) = self.jobs.join_next() => Some(format!("a job ended: {ended:?}")),
        };
        match &broken {
            None => tracing::info!("stopping"),
            Some(reason) => tracing::error!(reason, "stopping"),
        }
        self.jobs.abort_all();
        self.works.stop().await;
        self.devices.stop().await;
        self.pipeline.stop(FINISH).await;
        self.stop.cancel();
        let answered = async { while self.http.join_next().await.is_some() {} };
        // Who still has not read its answer will not.
        let _ = timeout(FINISH_HTTP, answered).await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        match broken {
            None => Ok(ExitCode::SUCCESS),
            Some(reason) => Err(Failure::run(reason)),
        }
    }
}
