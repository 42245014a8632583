//! Connections of Modbus TCP. Every answer shows one instant of the depot; what it gives goes into the truth once it is
//! written.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    map::{Device, Exception, Image, Written},
    mbap::{self, Request, Wish},
};
use crate::{
    chance::Chance,
    depot::Shared,
    faults::Fault,
    truth::Sample,
    yard::{ChargerReport, MeterReport, World},
};

/// Unit identifier of every device.
pub const UNIT: u8 = 1;

/// How long a client may leave its connection unread before it is closed.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// How long after an answer its duplicate comes.
const DUPLICATE_AFTER: Duration = Duration::from_millis(40);

/// Which device.
#[derive(Clone, Debug)]
pub enum Which {
    /// A station, by its index.
    Charger(usize, Arc<Device<ChargerReport>>),
    /// The meter.
    Meter(Arc<Device<MeterReport>>),
}

/// A device on the network.
#[derive(Clone, Debug)]
pub struct Server {
    /// Everything that it shares.
    pub shared: Arc<Shared>,
    /// Key of the device.
    pub asset: String,
    /// Which it is.
    pub which: Which,
    /// Its first column.
    pub first_column: u32,
    /// Seed of its chance.
    pub seed: u64,
}

/// An answer ready to go.
#[derive(Debug)]
struct Answer {
    frame: Vec<u8>,
    samples: Vec<Sample>,
    simulated_ms: i64,
}

impl Server {
    /// Accepts connections until the depot stops.
    pub async fn serve(self, listener: TcpListener) {
        let server = Arc::new(self);
        let mut number = 0;
        loop {
            let accepted = tokio::select! {
                () = server.shared.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                // A station that reboots knows nobody.
                Ok(_) if server.is_rebooting() => {}
                Ok((stream, _)) => {
                    number += 1;
                    let name = format!("{}/connection {number}", server.asset);
                    let chance = Chance::new(server.seed, &name);
                    if let Ok(()) = stream.set_nodelay(true) {
                        server
                            .shared
                            .tasks
                            .spawn(Arc::clone(&server).connection(stream, chance));
                    }
                }
                Err(error) => {
                    tracing::warn!(asset = server.asset, %error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, chance: Chance) {
        let (from, to) = stream.into_split();
        let connection = Connection {
            closed: self.shared.stop.child_token(),
            to: Arc::new(Mutex::new(to)),
            asked: Arc::new(AtomicU64::new(0)),
            chance,
            server: self,
        };
        let _closes_when_done = connection.closed.clone().drop_guard();
        let asset = connection.server.asset.clone();
        if let Err(error) = connection.run(from).await {
            tracing::debug!(asset, %error, "a connection ended");
        }
    }

    fn is_rebooting(&self) -> bool {
        match &self.which {
            Which::Charger(index, _) => self.shared.world().chargers[*index].is_rebooting(),
            Which::Meter(_) => false,
        }
    }

    /// The right answer: all of it from one instant.
    fn prepare(&self, request: &Request) -> Answer {
        let mut world = self.shared.world();
        let simulated_ms = self.shared.simulated_ms();
        let image = if request.unit == UNIT {
            request.wish().and_then(|wish| match wish {
                Wish::Read { address, count } => {
                    if let Which::Charger(index, _) = &self.which {
                        world.chargers[*index].read += 1;
                    }
                    self.image(&world, address, count).map(Some)
                }
                Wish::Write { address, words } => {
                    self.write(&mut world, address, &words).map(|()| None)
                }
            })
        } else {
            Err(Exception::GatewayTargetFailed)
        };
        drop(world);
        let (frame, samples) = match image {
            Ok(Some(Image { words, samples })) => (request.registers(&words), samples),
            Ok(None) => (request.confirmation(), Vec::new()),
            Err(exception) => (request.exception(exception), Vec::new()),
        };
        let samples = samples.into_iter().map(|(column, raw)| Sample {
            column: self.first_column + column as u32,
            raw,
        });
        Answer {
            frame,
            samples: samples.collect(),
            simulated_ms,
        }
    }

    fn image(&self, world: &World, address: u16, count: u16) -> Result<Image, Exception> {
        match &self.which {
            Which::Charger(index, device) => {
                let charger = &world.chargers[*index];
                let setting = |what| match what {
                    Written::CurrentLimit => charger.settings.current_limit,
                    Written::FailSafeCurrent => charger.settings.fail_safe_current,
                    Written::Watchdog => charger.settings.watchdog,
                };
                device.image(address, count, charger.serial, |r| r(charger), setting)
            }
            Which::Meter(device) => {
                let meter = &world.meter;
                device.image(address, count, meter.serial, |r| r(meter), |_| 0.0)
            }
        }
    }

    fn write(&self, world: &mut World, address: u16, words: &[u16]) -> Result<(), Exception> {
        let Which::Charger(index, device) = &self.which else {
            return Err(Exception::IllegalFunction);
        };
        let written = device.written(address, words)?;
        let charger = &mut world.chargers[*index];
        for (what, value) in written {
            match what {
                Written::CurrentLimit => charger.write_limit(value),
                Written::FailSafeCurrent => charger.settings.fail_safe_current = value,
                Written::Watchdog => charger.settings.watchdog = value,
            }
        }
        Ok(())
    }
}

/// A connection to a device.
struct Connection {
    server: Arc<Server>,
    to: Arc<Mutex<OwnedWriteHalf>>,
    /// When it is over.
    closed: CancellationToken,
    /// How many requests came.
    asked: Arc<AtomicU64>,
    chance: Chance,
}

impl Connection {
    async fn run(mut self, mut from: OwnedReadHalf) -> io::Result<()> {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 512]);
        loop {
            let count = tokio::select! {
                () = self.closed.cancelled() => return Ok(()),
                count = from.read(&mut chunk) => count?,
            };
            if count == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(&chunk[..count]);
            while let Some(request) = mbap::take(&mut bytes).map_err(io::Error::other)? {
                self.asked.fetch_add(1, Ordering::AcqRel);
                self.answer(&request).await?;
            }
        }
    }

    /// Answers a request, or does something wrong. An error ends the connection.
    async fn answer(&mut self, request: &Request) -> io::Result<()> {
        let shared = &self.server.shared;
        if !shared.is_producing() {
            return Ok(());
        }
        if self.server.is_rebooting() {
            return Err(io::Error::other("the station reboots"));
        }
        let answer = self.server.prepare(request);
        let fault = [
            Fault::Drop,
            Fault::Late,
            Fault::Exception,
            Fault::Truncate,
            Fault::WrongUnit,
            Fault::Duplicate,
        ]
        .into_iter()
        .find(|fault| shared.faults.strikes(&self.server.asset, *fault, 1.0));
        match fault {
            None => return send(shared, &self.to, &answer).await,
            Some(Fault::Duplicate) => {
                send(shared, &self.to, &answer).await?;
                self.later(DUPLICATE_AFTER, Answer::wrong(answer.frame), true);
                return Ok(());
            }
            Some(fault) => shared
                .log
                .withheld(answer.simulated_ms, &answer.samples, fault),
        }
        let mut frame = answer.frame;
        let mut is_torn = false;
        match fault {
            Some(Fault::Late) => {
                let lateness = shared.faults.lateness(&mut self.chance);
                self.later(lateness, Answer::wrong(frame), false);
                return Ok(());
            }
            Some(Fault::Exception) => frame = request.exception(Exception::ServerDeviceFailure),
            Some(Fault::WrongUnit) => frame[6] = UNIT + 1,
            // Half of the truncated answers lack their last register, half the end of the frame.
            Some(Fault::Truncate) if frame.len() > 11 && self.chance.happens(0.5) => {
                let mut pdu = frame[7..frame.len() - 2].to_vec();
                pdu[1] -= 2;
                frame = request.frame(request.unit, &pdu);
            }
            Some(Fault::Truncate) => {
                frame.truncate(frame.len() - 1);
                is_torn = true;
            }
            _ => return Err(io::Error::other("dropped on purpose")),
        }
        send(shared, &self.to, &Answer::wrong(frame)).await?;
        if is_torn {
            return Err(io::Error::other("torn on purpose"));
        }
        Ok(())
    }

    /// Sends an answer that nobody waits for after `delay`, unless the connection is closed by then, or, with
    /// `if_idle`, more has been asked on it.
    fn later(&self, delay: Duration, answer: Answer, if_idle: bool) {
        let (shared, to) = (Arc::clone(&self.server.shared), Arc::clone(&self.to));
        let (closed, asked) = (self.closed.clone(), Arc::clone(&self.asked));
        let then = asked.load(Ordering::Acquire);
        self.server.shared.tasks.spawn(async move {
            tokio::select! {
                () = closed.cancelled() => return,
                () = sleep(delay) => {}
            }
            if !if_idle || asked.load(Ordering::Acquire) == then {
                // The reader may have closed the connection.
                let _ = send(&shared, &to, &answer).await;
            }
        });
    }
}

impl Answer {
    /// An answer that gives nothing.
    fn wrong(frame: Vec<u8>) -> Self {
        Self {
            frame,
            samples: Vec::new(),
            simulated_ms: 0,
        }
    }
}

/// Writes an answer, and the truth about what it gives.
async fn send(shared: &Shared, to: &Mutex<OwnedWriteHalf>, answer: &Answer) -> io::Result<()> {
    let mut to = to.lock().await;
    let _pass = shared.gate.read().await;
    if !shared.is_producing() {
        return Ok(());
    }
    timeout(WRITE_LIMIT, to.write_all(&answer.frame)).await??;
    shared.log.given(answer.simulated_ms, &answer.samples);
    Ok(())
}
