//! `scripts/bench edge-footprint [HOURS [OUTAGES [PROGRAM]]]`: size of the gateway that is flashed, and the memory it holds: at
//! 5,000 samples a second, and through an outage of so many hours (24) at 500 samples a second and its drain, which comes
//! again and again (6 times in all), the later ones a sixth as long. The samples of an outage come as fast as the gateway
//! takes them; blocks are as they would be, for both a minute and 20,000 samples end one.
#![allow(clippy::unwrap_used, reason = "a bench ends with what went wrong")]

#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../../../../edge/tests/uplink/broker.rs"]
mod broker;
#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../../../../edge/tests/uplink/cloud.rs"]
mod cloud;
#[allow(dead_code, reason = "made for the tests of the uplink")]
#[path = "../../../../edge/tests/uplink/mqtt.rs"]
mod mqtt;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bench::Figures;
use broker::{Broker, Manners};
use cloud::Cloud;
use shared_protocol::SigningKey;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    sync::watch,
    time::timeout,
};

const BUSES: u64 = 4;
/// Signals in each frame of the simulated buses.
const SIGNALS: u64 = 8;
const BUSY: u64 = 5_000;
const USUAL: u64 = 500;
const STEADY: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames that are written at once when they come as fast as they are taken.
const BURST: u64 = 100;

/// What the buses send.
#[derive(Default)]
struct Feed {
    /// Frames a second on each bus.
    rate: AtomicU64,
    /// Frames that may still go out as fast as they are taken, on all buses.
    burst: AtomicI64,
}

fn dbc() -> String {
    let mut text = String::from("VERSION \"\"\nBU_: ECU\nBO_ 256 Status: 8 ECU\n");
    for signal in 0..SIGNALS {
        let start = signal * 8;
        let _ = writeln!(
            text,
            " SG_ Value{signal} : {start}|8@1+ (0.5,0) [0|127.5] \"V\" ECU"
        );
    }
    text
}

/// socketcand for one bus: the handshake, then frames of which each byte moves a little now and then.
async fn bus(mut stream: TcpStream, feed: Arc<Feed>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"< hi >").await?;
    let mut said = [0; 256];
    for _ in 0..2 {
        if stream.read(&mut said).await? == 0 {
            return Ok(());
        }
        stream.write_all(b"< ok >").await?;
    }
    let mut bytes = [100_u8; 8];
    let mut chance = 1_u64;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut owed = 0.0;
    loop {
        let frames = if feed.burst.fetch_sub(BURST as i64, Ordering::Relaxed) > 0 {
            BURST
        } else {
            feed.burst.store(0, Ordering::Relaxed);
            tick.tick().await;
            owed += feed.rate.load(Ordering::Relaxed) as f64 / 10.0;
            owed as u64
        };
        owed -= (owed as u64).min(frames) as f64;
        let mut text = String::new();
        for _ in 0..frames {
            for byte in &mut bytes {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                *byte = match chance % 16 {
                    0 => byte.saturating_add(1),
                    1 => byte.saturating_sub(1),
                    _ => *byte,
                };
            }
            text.push_str("< frame 100 0.0 ");
            for byte in bytes {
                let _ = write!(text, "{byte:02X}");
            }
            text.push_str(" >");
        }
        stream.write_all(text.as_bytes()).await?;
    }
}

async fn buses(feed: Arc<Feed>) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(bus(stream, feed.clone()));
        }
    });
    Ok(port)
}

/// A way to the broker that can be closed: nobody listens then, and connections end.
async fn gate(own: u16, broker: u16, mut open: watch::Receiver<bool>) {
    loop {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let Ok(listener) = TcpListener::bind(("127.0.0.1", own)).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        loop {
            let mut closed = open.clone();
            tokio::select! {
                accepted = listener.accept() => if let Ok((mut near, _)) = accepted {
                    tokio::spawn(async move {
                        let Ok(mut far) = TcpStream::connect(("127.0.0.1", broker)).await else { return };
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                            _ = closed.wait_for(|open| !open) => {}
                        }
                    });
                },
                _ = open.wait_for(|open| !open) => break,
            }
        }
    }
}

/// The gateway's process.
struct Gateway {
    child: Child,
    reports: Lines<BufReader<ChildStdout>>,
    peak_kb: u64,
}

/// What it says each second, in samples.
struct Report {
    produced: u64,
    waiting: u64,
    connected: bool,
}

impl Gateway {
    fn start(program: &Path, config: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("run")
            .arg("--config")
            .arg(config)
            .arg("--report")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let stdout = child.stdout.take().context("its output")?;
        Ok(Self {
            child,
            reports: BufReader::new(stdout).lines(),
            peak_kb: 0,
        })
    }

    /// The memory that it holds, in kB.
    fn resident(&self) -> Result<u64> {
        let id = self.child.id().context("it has ended")?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let line = line.context("VmRSS")?.trim().trim_end_matches("kB").trim();
        Ok(line.parse()?)
    }

    /// Its next report; the most memory that it held is noted.
    async fn report(&mut self) -> Result<Report> {
        let line = timeout(PATIENCE, self.reports.next_line()).await;
        let line = line.context("no report")??.context("it has ended")?;
        self.peak_kb = self.peak_kb.max(self.resident()?);
        let report: serde_json::Value = serde_json::from_str(&line)?;
        let streams = report["streams"].as_array().context("streams")?;
        let sum = |key: &str| {
            streams
                .iter()
                .filter_map(|one| one[key].as_u64())
                .sum::<u64>()
        };
        let waiting = sum("open") + sum("buffered") + report["pending"].as_u64().unwrap_or(0);
        Ok(Report {
            produced: sum("produced"),
            waiting,
            connected: report["uplink"]["connected"] == true,
        })
    }

    /// Waits for something; returns how long that took.
    async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Report) -> bool) -> Result<f64> {
        let began = Instant::now();
        let (mut moved, mut before) = (Instant::now(), (0, 0));
        loop {
            let report = self.report().await?;
            if is_so(&report) {
                return Ok(began.elapsed().as_secs_f64());
            }
            if before != (report.produced, report.waiting) {
                before = (report.produced, report.waiting);
                moved = Instant::now();
            }
            ensure!(moved.elapsed() < PATIENCE, "{what}: nothing moves any more");
        }
    }

    /// Runs for so long; returns the most memory that it held meanwhile, in kB.
    async fn steady(&mut self, duration: Duration) -> Result<u64> {
        self.peak_kb = 0;
        let began = Instant::now();
        while began.elapsed() < duration {
            self.report().await?;
        }
        Ok(self.peak_kb)
    }
}

fn dist() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--profile",
            "dist",
            "-p",
            "edge",
        ])
        .status()?;
    if !built.success() {
        bail!("cargo build --profile dist -p edge: {built}");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(PathBuf::from(target).join("dist/edge"))
}

/// What became of an outage.
struct Outage {
    took_s: f64,
    drain_s: f64,
    peak_kb: u64,
    after_kb: u64,
}

/// The broker is gone while so many samples come, and then it is back.
async fn outage(
    gateway: &mut Gateway,
    feed: &Feed,
    open: &watch::Sender<bool>,
    samples: u64,
) -> Result<Outage> {
    open.send_replace(false);
    let mut produced = 0;
    gateway
        .until("disconnecting", |report| {
            produced = report.produced;
            !report.connected
        })
        .await?;
    gateway.peak_kb = 0;
    let frames = (samples / SIGNALS) as i64;
    feed.burst.store(frames, Ordering::Relaxed);
    // But for what is open at the end.
    let enough = produced + samples / 100 * 99;
    let took_s = gateway
        .until("the outage", |report| report.produced >= enough)
        .await?;
    open.send_replace(true);
    let drain_s = gateway
        .until("the drain", |report| {
            report.connected && report.waiting < 1_000
        })
        .await?;
    let peak_kb = gateway.peak_kb;
    // A while to come to rest.
    gateway.steady(Duration::from_secs(10)).await?;
    Ok(Outage {
        took_s,
        drain_s,
        peak_kb,
        after_kb: gateway.resident()?,
    })
}

/// How much the values grow from one to the next: the straight line with the least squares.
fn slope(values: &[u64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
    let (mut above, mut below) = (0.0, 0.0);
    for (place, value) in values.iter().enumerate() {
        let from_middle = place as f64 - middle;
        above += from_middle * (*value as f64 - mean);
        below += from_middle * from_middle;
    }
    above / below
}

#[tokio::main]
async fn main() -> Result<()> {
    let hours: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse().context("HOURS is a number")?,
        None => 24,
    };
    let outages: usize = match std::env::args().nth(2) {
        Some(text) => text.parse().context("OUTAGES is a number")?,
        None => 6,
    };
    ensure!(outages >= 3, "three OUTAGES or more show a growth");
    // Another build than the one of the dist profile, to compare.
    let program = match std::env::args().nth(3) {
        Some(program) => PathBuf::from(program),
        None => dist()?,
    };
    let mut figures = Figures::default();
    let binary = fs::metadata(&program)?.len();
    figures.add(
        "binary_mb",
        binary as f64 / 1e6,
        "of the dist profile (bound 12)",
    );

    let folder = tempfile::tempdir_in(std::env::current_dir()?)?;
    let feed = Arc::new(Feed::default());
    let port = buses(feed.clone()).await?;
    let key = SigningKey::from_seed([5; 32]);
    let cloud = Arc::new(Cloud::new(&"bench-1".parse()?, key.verifying_key()));
    let mut broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let own = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let (open, is_open) = watch::channel(true);
    tokio::spawn(gate(own, broker.port, is_open));
    // What it sees is not kept.
    tokio::spawn(async move {
        loop {
            broker.next().await;
        }
    });

    let mut config = format!(
        "[gateway]\nid = \"bench-1\"\nkey = \"gateway.key\"\ndata = \"buffer\"\n\n[cloud]\nbroker = \"mqtt://127.0.0.1:{own}\"\n\
         public_key = \"{}\"\n",
        cloud.key.verifying_key()
    );
    for bus in 0..BUSES {
        let _ = write!(
            config,
            "\n[[can]]\nasset = \"car-{bus}\"\ninterface = \"socketcand://127.0.0.1:{port}/can{bus}\"\ndbc = \"bus.dbc\"\n"
        );
    }
    let path = |name: &str| folder.path().join(name);
    fs::write(path("gateway.key"), key.to_hex())?;
    fs::write(path("bus.dbc"), dbc())?;
    fs::write(path("gateway.toml"), config)?;
    let mut gateway = Gateway::start(&program, &path("gateway.toml"))?;

    feed.rate.store(BUSY / SIGNALS / BUSES, Ordering::Relaxed);
    gateway
        .until("connecting", |report| {
            report.connected && report.produced > 0
        })
        .await?;
    let busy = gateway.steady(STEADY).await?;
    figures.add(
        "rss_mb",
        busy as f64 / 1e3,
        "most memory at 5,000 samples/s, connected (bound 20)",
    );

    feed.rate.store(0, Ordering::Relaxed);
    gateway
        .until("draining", |report| report.waiting < 1_000)
        .await?;
    let samples = hours * 3600 * USUAL;
    // The first two bring the allocator and its tables to their size; what later ones add is growth.
    let first = outage(&mut gateway, &feed, &open, samples).await?;
    let (mut peak_kb, mut after_kb) = (first.peak_kb, vec![first.after_kb]);
    for _ in 1..outages {
        let next = outage(&mut gateway, &feed, &open, samples / 6).await?;
        peak_kb = peak_kb.max(next.peak_kb);
        after_kb.push(next.after_kb);
    }
    figures.add(
        "outage_samples",
        samples as f64,
        "of the first simulated outage; a sixth of the later ones",
    );
    for (outage, kb) in after_kb.iter().enumerate() {
        figures.add(
            &format!("rss_after_{}_mb", outage + 1),
            *kb as f64 / 1e3,
            "memory held after an outage and its drain",
        );
    }
    figures.add(
        "outage_samples_per_s",
        samples as f64 / first.took_s,
        "taken by the gateway meanwhile",
    );
    figures.add(
        "rss_outage_mb",
        peak_kb as f64 / 1e3,
        "most memory through outage and drain (bound 32)",
    );
    figures.add(
        "drain_s",
        first.drain_s,
        "from the broker's return until all is acknowledged",
    );
    figures.add(
        "growth_kb_per_h",
        slope(&after_kb[1..]) / (hours as f64 / 6.0),
        "the straight line through what is held after the second drain and all later ones, for each hour of outage",
    );
    figures.print();
    Ok(())
}
