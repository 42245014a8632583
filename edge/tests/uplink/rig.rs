//! A gateway's buffer and the real uplink on it.

use std::{sync::Arc, time::Duration};

use edge::{
    buffer::{self, Buffer, Sample, StoredBlock, StreamTotals},
    clock::Clock,
    supervise::Beat,
    uplink::{self, Link, Report, Tls},
};
use shared_protocol::{
    Column, Encoding, GatewayId, SignalDef, SignalRef, SigningKey, Source, catalogue,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::cloud::Cloud;

pub(crate) const LIVE: &str = "Vehicle.Speed";
pub(crate) const CRITICAL: &str = "ErrorCode";
pub(crate) const BULK: &str = "Vehicle.Exterior.AirTemperature";
/// Longer than anything takes that is not a fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Values that do not compress.
pub(crate) fn noise(seed: u64, count: usize) -> impl Iterator<Item = i64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16).cast_signed()
    })
    .take(count)
}

/// How long tests that only get better with time may take.
pub(crate) fn budget() -> Duration {
    let seconds = std::env::var("PATIO_TEST_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(20))
}

pub(crate) struct Rig {
    pub(crate) buffer: Buffer,
    pub(crate) gateway: GatewayId,
    pub(crate) key: SigningKey,
    pub(crate) clock: Arc<Clock>,
    /// Goes with its database.
    _folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::named("depot-1")
    }

    pub(crate) fn named(gateway: &str) -> Self {
        Self::over(gateway, Clock::start().unwrap())
    }

    /// With a clock of the test's.
    pub(crate) fn over(gateway: &str, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway: GatewayId = gateway.parse().unwrap();
        let key = SigningKey::from_seed([5; 32]);
        let options = buffer::Options {
            folder: folder.path().to_owned(),
            quota: 1 << 30,
            gateway: gateway.clone(),
            key: key.clone(),
        };
        let clock = Arc::new(clock);
        let buffer = Buffer::open(options, clock.clone()).unwrap();
        Self {
            clock,
            buffer,
            gateway,
            key,
            _folder: folder,
        }
    }

    /// An ingestor that knows this gateway.
    pub(crate) fn cloud(&self) -> Cloud {
        Cloud::new(&self.gateway, self.key.verifying_key())
    }

    pub(crate) fn column(&self, signal: &str) -> u32 {
        let signal = SignalRef::Catalogue(catalogue().by_name(signal).unwrap().id);
        self.buffer.columns().number(&Column {
            asset: "car-01".parse().unwrap(),
            source: Source::Can,
            def: SignalDef {
                signal,
                encoding: Encoding::PLAIN,
            },
        })
    }

    /// Makes a block of these values.
    pub(crate) async fn seal(&self, signal: &str, values: impl IntoIterator<Item = i64>) {
        let column = self.column(signal);
        let samples = values.into_iter().zip(0..).map(|(raw, n)| Sample {
            column,
            time_us: n * 1000,
            raw,
        });
        self.buffer.push(samples.collect()).await.unwrap();
        self.buffer.flush().await.unwrap();
    }

    /// Makes so many blocks of one value each: live, and of each ten one critical and one bulk.
    pub(crate) async fn fill(&self, blocks: i64) {
        for n in 0..blocks {
            let signal = match n % 10 {
                3 => CRITICAL,
                7 => BULK,
                _ => LIVE,
            };
            self.seal(signal, [n]).await;
        }
    }

    /// Makes a backlog of at least so many bytes, of blocks of about 30 kB that do not compress; returns how long it is.
    pub(crate) async fn pile_up(&self, bytes: usize) -> usize {
        let mut piled = 0;
        for seed in 0.. {
            if piled >= bytes {
                break;
            }
            self.seal(BULK, noise(seed, 5_000)).await;
            let newest = self.buffer.to_send(4, 0, true, 1).await.unwrap();
            piled += newest.iter().map(|block| block.bytes.len()).sum::<usize>();
        }
        piled
    }

    /// All blocks that are still to be sent.
    pub(crate) async fn held(&self) -> Vec<StoredBlock> {
        let mut held = Vec::new();
        for priority in 0..5 {
            held.extend(
                self.buffer
                    .to_send(priority, 0, false, 1_000_000)
                    .await
                    .unwrap(),
            );
        }
        held
    }

    /// Waits until nothing is left to be sent, and checks the books.
    pub(crate) async fn emptied(&self) {
        let mut state = self.buffer.state();
        let empty = async {
            while !self.held().await.is_empty() {
                state.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, empty)
            .await
            .expect("blocks are left in the buffer");
        self.balanced();
    }

    /// Nothing is missing and nothing is counted twice.
    pub(crate) fn balanced(&self) -> Vec<StreamTotals> {
        let totals = self.buffer.state().borrow().totals.clone();
        assert!(totals.iter().all(StreamTotals::conserved), "{totals:?}");
        totals
    }

    pub(crate) fn options(&self, link: Link, cloud: &Cloud) -> uplink::Options {
        uplink::Options {
            link,
            gateway: self.gateway.clone(),
            key: self.key.clone(),
            cloud: cloud.key.verifying_key(),
            // Nobody carries them out.
            commands: mpsc::channel(1).0,
            clock: self.clock.clone(),
        }
    }

    /// Runs the uplink to this port of this machine.
    pub(crate) fn uplink(&self, port: u16, cloud: &Cloud) -> Uplink {
        Uplink::start(self.options(plain(port), cloud), self.buffer.clone())
    }
}

pub(crate) fn plain(port: u16) -> Link {
    Link {
        host: "127.0.0.1".into(),
        port,
        tls: None,
    }
}

pub(crate) fn encrypted(port: u16, ca: &str, client: Option<(&str, &str)>) -> Link {
    Link {
        host: "localhost".into(),
        port,
        tls: Some(Tls {
            ca: ca.into(),
            client: client.map(|(chain, key)| (chain.into(), key.into())),
        }),
    }
}

/// An uplink that runs.
pub(crate) struct Uplink {
    pub(crate) reports: watch::Receiver<Report>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Uplink {
    pub(crate) fn start(options: uplink::Options, buffer: Buffer) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (report, reports) = watch::channel(Report::default());
        let task = tokio::spawn(uplink::run(options, buffer, stopped, report, Beat::free()));
        Self {
            reports,
            stop,
            task,
        }
    }

    /// Waits until its report says so.
    pub(crate) async fn until(&mut self, condition: impl FnMut(&Report) -> bool) -> Report {
        if let Ok(report) = timeout(PATIENCE, self.reports.wait_for(condition)).await {
            return report.unwrap().clone();
        }
        panic!("not reported: {:?}", self.report())
    }

    pub(crate) fn report(&self) -> Report {
        self.reports.borrow().clone()
    }

    /// Ends it, and returns its last report.
    pub(crate) async fn stop(self) -> Report {
        self.stop.send(true).unwrap();
        timeout(PATIENCE, self.task)
            .await
            .expect("it does not stop")
            .unwrap();
        self.reports.borrow().clone()
    }
}
