//! Gateways that were away bring what they have while all of them go on: how long the live blocks take then.
//!
//! Each gateway sends as `edge/src/uplink` does: of its backlog 48 blocks wait for the cloud's word at most, the oldest first, on the
//! topic of the backlog, and the block of each second goes out when it is due, on that of the live ones, whatever waits.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bench::percentile;
use platform::{Db, testing::TestDatabase};
use rumqttc::{AsyncClient, Event, EventLoop, Packet, PublishOptions, QoS};
use shared_protocol::{Ack, Stream, Verdict, topic};
use telemetry::Delivery;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    depot::{Gateway, VALUES},
    wire::{Cloud, connect, start},
};

const GATEWAYS: usize = 20;
/// Blocks of its backlog that one of them waits for the cloud's word with.
const IN_FLIGHT: usize = 48;
/// What is not answered in this time goes out again, as `edge` sends it.
const AGAIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_mins(60);

pub(crate) struct Backlog {
    /// How long it took until nothing was left.
    pub(crate) drained_s: f64,
    pub(crate) blocks_per_s: f64,
    pub(crate) live_p50_ms: f64,
    pub(crate) live_p99_ms: f64,
    /// Blocks that had to be sent again.
    pub(crate) again: f64,
    /// Greatest resident memory of the server.
    pub(crate) rss_mb: f64,
}

/// A block on its way.
struct Flight {
    since: Instant,
    sent: Instant,
    is_live: bool,
}

/// What became of a gateway's blocks.
#[derive(Default)]
struct Sent {
    live_ms: Vec<f64>,
    again: u64,
    blocks: u64,
    /// When the backlog was gone.
    done_s: f64,
}

/// The backlog is of the seconds before `backlog`, the present begins there.
struct Line<'a> {
    gateway: &'a Gateway,
    cloud: &'a Cloud,
    client: AsyncClient,
    backlog: u64,
    flights: HashMap<u64, Flight>,
    sent: Sent,
}

impl Line<'_> {
    async fn publish(&mut self, second: u64) -> Result<()> {
        let now = Instant::now();
        let is_new = !self.flights.contains_key(&second);
        let flight = self.flights.entry(second).or_insert(Flight {
            since: now,
            sent: now,
            is_live: second >= self.backlog,
        });
        let Delivery { topic, payload } = if flight.is_live && is_new {
            self.gateway.live(second)?
        } else {
            self.gateway.late(second)?
        };
        flight.sent = now;
        self.sent.blocks += 1;
        let options = PublishOptions::at_least_once();
        Ok(self.client.publish(topic, payload, options).await?)
    }

    fn answered(&mut self, payload: &[u8]) -> Result<()> {
        let ack = Ack::open(payload, &self.cloud.key, &self.gateway.id)?;
        for answer in ack.answers.iter().filter(|a| a.stream == Stream::Live) {
            for (seq, _, verdict) in &answer.blocks {
                ensure!(*verdict == Verdict::Stored, "block {seq}: {verdict:?}");
                if let Some(flight) = self.flights.remove(seq)
                    && flight.is_live
                {
                    let ms = flight.since.elapsed().as_secs_f64() * 1e3;
                    self.sent.live_ms.push(ms);
                }
            }
        }
        Ok(())
    }

    /// Sends again what was not answered.
    async fn again(&mut self) -> Result<()> {
        let late = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.sent.elapsed() > AGAIN);
        let late: Vec<u64> = late.map(|(second, _)| *second).collect();
        for second in late {
            self.sent.again += 1;
            self.publish(second).await?;
        }
        Ok(())
    }
}

/// Gateways that are not done with their backlog yet.
type Behind = AtomicUsize;

/// Sends the backlog, and live blocks until nobody has any backlog.
async fn drain(line: &mut Line<'_>, events: &mut EventLoop, behind: &Behind) -> Result<()> {
    let begun = Instant::now();
    // Where a second begins is everybody's own.
    let mut tick = interval(Duration::from_secs(1));
    tick.reset_after(Duration::from_secs(1).mul_f64(rand_of(line.gateway)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut oldest, mut present) = (0, line.backlog);
    let mut is_behind = line.backlog > 0;
    while behind.load(Relaxed) > 0 || !line.flights.is_empty() {
        let waiting = line.flights.values().filter(|flight| !flight.is_live);
        for _ in waiting.count()..IN_FLIGHT {
            if oldest == line.backlog {
                break;
            }
            line.publish(oldest).await?;
            oldest += 1;
        }
        if is_behind && oldest == line.backlog && line.flights.values().all(|flight| flight.is_live)
        {
            is_behind = false;
            line.sent.done_s = begun.elapsed().as_secs_f64();
            behind.fetch_sub(1, Relaxed);
        }
        tokio::select! {
            _ = tick.tick() => {
                line.again().await?;
                if behind.load(Relaxed) > 0 {
                    line.publish(present).await?;
                    present += 1;
                }
            }
            event = events.poll() => if let Event::Incoming(Packet::Publish(publish)) = event? {
                line.answered(&publish.payload)?;
            }
        }
    }
    Ok(())
}

/// One gateway, from its connection on.
async fn send(gateway: &Gateway, cloud: &Cloud, backlog: u64, behind: &Behind) -> Result<Sent> {
    let (client, mut events) = connect(format!("backlog-{}", gateway.id), &cloud.broker);
    client
        .subscribe(topic::ack(&gateway.id), QoS::AtLeastOnce)
        .await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    let mut line = Line {
        gateway,
        cloud,
        client,
        backlog,
        flights: HashMap::new(),
        sent: Sent::default(),
    };
    drain(&mut line, &mut events, behind).await?;
    Ok(line.sent)
}

/// A part of one that depends on the gateway's name.
fn rand_of(gateway: &Gateway) -> f64 {
    let sum: u32 = gateway.id.as_str().bytes().map(u32::from).sum();
    f64::from(sum % 100) / 100.0
}

/// How much there is, and of how many of the gateways.
#[derive(Clone, Copy)]
pub(crate) struct Away {
    pub(crate) gateways: usize,
    pub(crate) minutes: u64,
}

impl Away {
    /// Of each of them.
    pub(crate) const fn all(minutes: u64) -> Self {
        Self {
            gateways: GATEWAYS,
            minutes,
        }
    }

    /// A week's, of one.
    pub(crate) const WEEK: Self = Self {
        gateways: 1,
        minutes: 7 * 24 * 60,
    };
}

/// All gateways send live; some of them have been away.
pub(crate) async fn measure(database: &TestDatabase, db: &Db, away: Away) -> Result<Backlog> {
    let folder = tempfile::tempdir()?;
    let ingestor = telemetry::Ingestor::new(db.clone(), platform::Clock::system());
    let seconds = away.minutes * 60;
    let mut gateways = Vec::new();
    for n in 0..GATEWAYS {
        let backlog = if n < away.gateways { seconds } else { 0 };
        let name = format!("backlog-{}-{n}", away.gateways);
        // An hour is left for what is live meanwhile.
        let gateway = Gateway::new(db, &name, backlog + 3600).await?;
        ingestor.ingest(vec![gateway.definitions()?]).await;
        gateways.push((gateway, backlog));
    }
    let cloud = start(&database.url, folder.path())?;
    let behind = Behind::new(away.gateways);
    let all = gateways
        .iter()
        .map(|(gateway, backlog)| send(gateway, &cloud, *backlog, &behind));
    let sent = timeout(PATIENCE, futures::future::try_join_all(all))
        .await
        .context("the backlog is not drained in time")??;
    let drained_s = sent.iter().map(|one| one.done_s).fold(0.0, f64::max);
    let mut live: Vec<f64> = sent
        .iter()
        .flat_map(|one| one.live_ms.iter().copied())
        .collect();
    let blocks: u64 = sent.iter().map(|one| one.blocks - one.again).sum();
    let backlog = Backlog {
        drained_s,
        blocks_per_s: blocks as f64 / drained_s,
        live_p50_ms: percentile(&mut live, 0.5),
        live_p99_ms: percentile(&mut live, 0.99),
        again: sent.iter().map(|one| one.again).sum::<u64>() as f64,
        rss_mb: cloud.rss_mb()?,
    };
    println!(
        "  {} minutes of {} of {GATEWAYS} gateways: {blocks} blocks, {:.0} million values, in {drained_s:.0} s",
        away.minutes,
        away.gateways,
        (blocks * VALUES) as f64 / 1e6
    );
    Ok(backlog)
}
