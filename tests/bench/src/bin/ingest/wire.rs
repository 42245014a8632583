//! From MQTT to the acknowledgement: `cloud-ingest serve` with its embedded broker, and gateways that publish.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bench::percentile;
use platform::{Db, testing::TestDatabase};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use shared_protocol::{Ack, Stream, Verdict, VerifyingKey, topic};
use telemetry::Delivery;
use tokio::time::{interval, timeout};

use crate::depot::Gateway;

const GATEWAYS: usize = 8;
/// Blocks of each gateway, for the highest rate and then for the latency.
const BLOCKS: u64 = 300;
/// Unacknowledged blocks of one gateway while the highest rate is looked for.
const IN_FLIGHT: usize = 16;
/// The part of the highest rate at which latency is measured.
const LOAD: f64 = 0.7;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Wire {
    pub(crate) blocks_per_s: f64,
    /// The rate at which latency was measured.
    pub(crate) offered_blocks_per_s: f64,
    /// Greatest resident memory of the server.
    pub(crate) rss_mb: f64,
    pub(crate) ack_p99_ms: f64,
}

pub(crate) struct Cloud {
    child: Child,
    pub(crate) broker: (String, u16),
    pub(crate) key: VerifyingKey,
}

impl Cloud {
    /// The most that has been resident of it, by the kernel's count.
    pub(crate) fn rss_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        Ok(kb.context("the kernel counts memory")?.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("cloud-ingest");
    ensure!(
        path.is_file(),
        "{} is not built: cargo build --release -p cloud-ingest",
        path.display()
    );
    Ok(path)
}

pub(crate) fn start(database: &str, folder: &Path) -> Result<Cloud> {
    let made = Command::new(program()?)
        .args(["keygen", "--out"])
        .arg(folder.join("cloud.key"))
        .output()?;
    let key = VerifyingKey::from_hex(String::from_utf8(made.stdout)?.trim())?;
    let text = format!(
        "[database]\nurl = \"{database}\"\n[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nlisten = \"127.0.0.1:0\"\n\
         [keys]\nsigning = \"cloud.key\"\n[log]\nlevel = \"warn\"\n"
    );
    let config = folder.join("cloud.toml");
    std::fs::write(&config, text)?;
    let mut child = Command::new(program()?)
        .args(["serve", "--config"])
        .arg(config)
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().context("standard output is piped")?;
    let mut ready = String::new();
    BufReader::new(out).read_line(&mut ready)?;
    let broker = ready
        .split("broker=mqtt://")
        .nth(1)
        .and_then(|place| place.trim().rsplit_once(':'));
    let Some((host, port)) = broker else {
        let _ = child.kill();
        bail!("cloud-ingest says `{}`", ready.trim());
    };
    let broker = (host.to_owned(), port.parse()?);
    Ok(Cloud { child, broker, key })
}

/// A client as `edge` makes it: with a list of what is under way that is as long as it has to be.
pub(crate) fn connect(id: String, broker: &(String, u16)) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, broker.clone());
    options
        .set_keep_alive(30)
        .set_outgoing_inflight_upper_limit(256)
        .set_max_packet_size(Some(4 << 20));
    AsyncClient::builder(options).capacity(1000).build()
}

/// A gateway's blocks on their way. `rate` is blocks per second; without it a window is kept full. Returns the times from
/// publishing to acknowledgement in milliseconds.
async fn send(
    gateway: &Gateway,
    cloud: (&(String, u16), VerifyingKey),
    blocks: Vec<Delivery>,
    rate: Option<f64>,
) -> Result<Vec<f64>> {
    let (broker, key) = cloud;
    let id = format!("{}-{}", gateway.id, rate.is_some());
    let (client, mut events) = connect(id, broker);
    client
        .subscribe(topic::ack(&gateway.id), QoS::AtLeastOnce)
        .await?;
    let count = blocks.len();
    let mut blocks = blocks.into_iter();
    let mut sent: HashMap<u64, Instant> = HashMap::new();
    let mut times = Vec::new();
    let mut next = 0;
    let mut ready = false;
    let mut tick = interval(Duration::from_secs_f64(rate.map_or(1.0, |rate| 1.0 / rate)));
    while times.len() < count {
        let due = tokio::select! {
            _ = tick.tick(), if ready && rate.is_some() => 1,
            event = events.poll() => {
                match event? {
                    Event::Incoming(Packet::SubAck(_)) => ready = true,
                    Event::Incoming(Packet::Publish(publish)) => {
                        let ack = Ack::open(&publish.payload, &key, &gateway.id)?;
                        for answer in ack.answers.iter().filter(|a| a.stream == Stream::Live) {
                            for (seq, _, verdict) in &answer.blocks {
                                ensure!(*verdict == Verdict::Stored, "block {seq}: {verdict:?}");
                                let begun = sent.remove(seq);
                                times.extend(begun.map(|begun| begun.elapsed().as_secs_f64() * 1e3));
                            }
                        }
                    }
                    _ => {}
                }
                if ready && rate.is_none() { IN_FLIGHT - sent.len() } else { 0 }
            }
        };
        for (block, seq) in blocks.by_ref().take(due).zip(next..) {
            next = seq + 1;
            sent.insert(first_seq(rate) + seq, Instant::now());
            client
                .publish(block.topic, block.payload, PublishOptions::at_least_once())
                .await?;
        }
    }
    Ok(times)
}

/// The blocks for the latency follow those for the highest rate.
fn first_seq(rate: Option<f64>) -> u64 {
    if rate.is_some() { BLOCKS } else { 0 }
}

async fn round(gateways: &[Gateway], cloud: &Cloud, rate: Option<f64>) -> Result<(f64, Vec<f64>)> {
    let mut work = Vec::new();
    for gateway in gateways {
        let first = first_seq(rate);
        let blocks: Result<Vec<_>> = (first..first + BLOCKS).map(|n| gateway.live(n)).collect();
        work.push(send(gateway, (&cloud.broker, cloud.key), blocks?, rate));
    }
    let begun = Instant::now();
    let done = timeout(PATIENCE, futures::future::try_join_all(work)).await;
    let times = done.context("blocks were not acknowledged in time")??;
    let seconds = begun.elapsed().as_secs_f64();
    Ok((seconds, times.concat()))
}

pub(crate) async fn measure(database: &TestDatabase, db: &Db) -> Result<Wire> {
    let folder = tempfile::tempdir()?;
    let mut gateways = Vec::new();
    let ingestor = telemetry::Ingestor::new(db.clone(), platform::Clock::system());
    for n in 0..GATEWAYS {
        let gateway = Gateway::new(db, &format!("wire-{n}"), 7200).await?;
        ingestor.ingest(vec![gateway.definitions()?]).await;
        gateways.push(gateway);
    }
    let cloud = start(&database.url, folder.path())?;
    let (seconds, _) = round(&gateways, &cloud, None).await?;
    let blocks_per_s = (GATEWAYS as u64 * BLOCKS) as f64 / seconds;
    let rate = blocks_per_s * LOAD / GATEWAYS as f64;
    let (_, mut times) = round(&gateways, &cloud, Some(rate)).await?;
    println!(
        "  MQTT: {blocks_per_s:.0} blocks/s at most; at {:.0} blocks/s median {:.1} ms",
        rate * GATEWAYS as f64,
        percentile(&mut times, 0.5)
    );
    Ok(Wire {
        blocks_per_s,
        offered_blocks_per_s: rate * GATEWAYS as f64,
        rss_mb: cloud.rss_mb()?,
        ack_p99_ms: percentile(&mut times, 0.99),
    })
}
