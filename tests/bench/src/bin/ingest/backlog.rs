//! Gateways that were away bring what they have while all of them go on: how long the live blocks take then.
//!
//! Each gateway sends as `edge/src/uplink` does: 64 blocks wait for the cloud's word at most, the oldest first, and the block of
//! each second goes out when it is due, whatever waits.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bench::percentile;
use platform::{Db, testing::TestDatabase};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};
use shared_protocol::{Ack, Stream, Verdict, topic};
use telemetry::Delivery;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    depot::{Gateway, VALUES},
    wire::{Cloud, start},
};

const GATEWAYS: usize = 20;
/// Blocks of a second that one of them waits for the cloud's word with.
const IN_FLIGHT: usize = 64;
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
        let Delivery { topic, payload } = self.gateway.live(second)?;
        let now = Instant::now();
        let flight = self.flights.entry(second).or_insert(Flight {
            since: now,
            sent: now,
            is_live: second >= self.backlog,
        });
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

/// Until the backlog is gone.
async fn drain(gateway: &Gateway, cloud: &Cloud, backlog: u64) -> Result<Sent> {
    let id = format!("backlog-{}", gateway.id);
    let mut options = MqttOptions::new(id, cloud.broker.clone());
    options
        .set_keep_alive(30)
        .set_max_packet_size(Some(4 << 20));
    let (client, mut events) = AsyncClient::builder(options).capacity(1000).build();
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
    // Where a second begins is everybody's own.
    let mut tick = interval(Duration::from_secs(1));
    tick.reset_after(Duration::from_secs(1).mul_f64(rand_of(gateway)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut oldest, mut present) = (0, backlog);
    while oldest < backlog || !line.flights.is_empty() {
        let waiting = line
            .flights
            .values()
            .filter(|flight| !flight.is_live)
            .count();
        for _ in waiting..IN_FLIGHT {
            if oldest == backlog {
                break;
            }
            line.publish(oldest).await?;
            oldest += 1;
        }
        tokio::select! {
            _ = tick.tick() => {
                line.again().await?;
                let is_behind = line.flights.values().any(|flight| !flight.is_live);
                if oldest < backlog || is_behind {
                    line.publish(present).await?;
                    present += 1;
                }
            }
            event = events.poll() => if let Event::Incoming(Packet::Publish(publish)) = event? {
                line.answered(&publish.payload)?;
            }
        }
    }
    Ok(line.sent)
}

/// A part of one that depends on the gateway's name.
fn rand_of(gateway: &Gateway) -> f64 {
    let sum: u32 = gateway.id.as_str().bytes().map(u32::from).sum();
    f64::from(sum % 100) / 100.0
}

/// `minutes` of backlog of each gateway.
pub(crate) async fn measure(database: &TestDatabase, db: &Db, minutes: u64) -> Result<Backlog> {
    let folder = tempfile::tempdir()?;
    let ingestor = telemetry::Ingestor::new(db.clone(), platform::Clock::system());
    let mut gateways = Vec::new();
    for n in 0..GATEWAYS {
        let gateway = Gateway::new(db, &format!("backlog-{n}")).await?;
        ingestor.ingest(vec![gateway.definitions()?]).await;
        gateways.push(gateway);
    }
    let cloud = start(&database.url, folder.path())?;
    let begun = Instant::now();
    let all = gateways
        .iter()
        .map(|gateway| drain(gateway, &cloud, minutes * 60));
    let sent = timeout(PATIENCE, futures::future::try_join_all(all))
        .await
        .context("the backlog is not drained in time")??;
    let drained_s = begun.elapsed().as_secs_f64();
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
        "  {minutes} minutes of {GATEWAYS} gateways: {blocks} blocks, {:.0} million values, in {drained_s:.0} s",
        (blocks * VALUES) as f64 / 1e6
    );
    Ok(backlog)
}
