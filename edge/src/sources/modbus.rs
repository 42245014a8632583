//! One Modbus line with its chargers and meters.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use depot_config::{ModbusAddress, Parity};
use modbus::{Bus, Cycle, Device, Framing, PointError, Timing, UnitError, longest_silence};
use shared_protocol::{AssetKey, Source};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Notify,
};
use tokio_serial::SerialPortBuilderExt as _;

use super::{
    Context, Emitter,
    observe::{self, Observed},
};
use crate::{
    control::{Post, Steer},
    health::SourceCounts,
    stopped,
    supervise::Beat,
};

/// A line and what is on it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in logs.
    pub name: AssetKey,
    /// Where it is.
    pub address: ModbusAddress,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The devices.
    pub devices: Vec<LineDevice>,
}

impl Line {
    /// The longest that nothing is heard of it while it works.
    pub(crate) fn longest_silence(&self) -> Duration {
        longest_silence(&timing(self))
    }
}

/// A device on a line.
#[derive(Clone, Debug)]
pub struct LineDevice {
    /// The charger or meter.
    pub asset: AssetKey,
    /// Its number on the line.
    pub unit: u8,
    /// Its map.
    pub device: Arc<Device>,
    /// Whether its transactions are made of what is read of it.
    pub observed: bool,
}

/// Whether transactions can be made of what is read of a device: by its map it says whether there is a car, and counts energy.
pub fn is_observable(device: &Device) -> bool {
    let points = 0..device.map().points.len();
    let names: Vec<&str> = points
        .filter_map(|point| device.signal_def(point))
        .map(|def| def.signal.name())
        .collect();
    [observe::STATUS, observe::REGISTER]
        .iter()
        .all(|name| names.contains(name))
}

trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Transport for T {}

type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>> + Send>>;

/// Polls one line until the gateway stops.
pub async fn run(line: Line, mut context: Context, beat: Beat) {
    let mut bus = Bus::new(
        framing(&line.address),
        timing(&line),
        connector(line.address.clone()),
    );
    // The line is the loop that is watched: its units share one wire or one connection, and take turns on it. Each exchange has
    // its own deadline, so a unit that hangs is left alone by itself and tried again, while the others go on.
    let moving = beat.clone();
    bus.watched(move || moving.moves());
    let mut units = Vec::new();
    let mut steers = Vec::new();
    let told = Arc::new(Notify::new());
    for device in &line.devices {
        match bus.add(device.unit, device.device.clone(), None) {
            Ok(unit) => {
                let post = context.control.as_ref();
                let post = post.and_then(|control| control.post(&device.asset));
                steers.extend(steer(device, unit, post.as_ref(), &told));
                units.push(Unit {
                    emitter: Emitter::new(&context, device.asset.clone(), Source::Modbus),
                    of: device.clone(),
                    health: Health::new(context.counters.source(device.asset.as_str())),
                    post,
                    observed: observed(device, &context).await,
                });
            }
            Err(error) => {
                tracing::error!(line = %line.name, asset = %device.asset, %error, "this device is not polled");
            }
        }
    }
    loop {
        // Waiting may be dropped at no cost, an exchange may not.
        tokio::select! {
            () = beat.during(bus.ready()) => {}
            () = told.notified() => {
                for steer in &mut steers {
                    beat.pass().await;
                    if !bus.is_dead(steer.unit()) {
                        steer.carry(&mut bus, context.clock.now_us() / 1000).await;
                    }
                }
                continue;
            }
            () = stopped(&mut context.stop) => {
                // Who goes on here finds how the stations were left.
                for observed in units.iter_mut().filter_map(|unit| unit.observed.as_mut()) {
                    beat.during(observed.keep(&context)).await;
                }
                return;
            }
        }
        // Should a unit's own deadlines not hold, it holds up the line, and this loop is started again.
        let cycle = bus.next().await;
        let Some(unit) = units.get_mut(cycle.unit) else {
            continue;
        };
        unit.health.report(&unit.of.asset, &cycle);
        let time_us = context.clock.at_us(cycle.started.into_std()) / 1000 * 1000;
        let device = &unit.of.device;
        let readings = cycle.readings.iter();
        let readings =
            readings.filter_map(|reading| Some((reading, device.signal_def(reading.point)?)));
        if let Some(post) = &unit.post {
            let said = readings.clone();
            let said =
                said.map(|(reading, def)| (def.signal.name(), def.encoding.value(reading.raw)));
            post.hear(time_us / 1000, said);
            if let Some(serial) = &cycle.identity {
                post.identify(serial);
            }
        }
        if let Some(observed) = &mut unit.observed {
            let said = readings.clone();
            let said =
                said.map(|(reading, def)| (def.signal.name(), def.encoding.value(reading.raw)));
            beat.during(observed.hear(&context, said)).await;
            if let Some(post) = &unit.post {
                post.observes(observed.open());
            }
        }
        let emitter = &mut unit.emitter;
        let samples = readings
            .filter_map(|(reading, def)| emitter.sample(reading.point, def, time_us, reading.raw))
            .collect();
        let pushed = context.push(samples, &unit.health.counts, &beat);
        if pushed.await.is_err() {
            return;
        }
        let mut told_here = steers.iter_mut();
        if let Some(steer) = told_here.find(|steer| steer.unit() == cycle.unit) {
            if unit.health.failing {
                steer.missed();
            } else {
                let now = context.clock.now_us() / 1000;
                steer.attend(&mut bus, now).await;
            }
        }
    }
}

/// A device on the line, while it is polled.
#[derive(Debug)]
struct Unit {
    emitter: Emitter,
    of: LineDevice,
    health: Health,
    /// Its place on the board of whoever holds the depot's limits.
    post: Option<Post>,
    /// Its transactions, if they are made here.
    observed: Option<Observed>,
}

/// Who makes the transactions of a device, if they are made of what is read of it.
async fn observed(device: &LineDevice, context: &Context) -> Option<Observed> {
    let keeper = context.keeper.as_ref().filter(|_| device.observed)?;
    let interval = Duration::from_millis(device.device.map().defaults.interval_ms.into());
    let observed = Observed::new(keeper, &device.asset, interval).await;
    observed
        .inspect_err(|error| tracing::error!(asset = %device.asset, %error, "no transactions are made of what is read of a charger"))
        .ok()
}

/// Who tells a device its limit, if it is a station of the depot that takes one.
fn steer(
    device: &LineDevice,
    unit: usize,
    post: Option<&Post>,
    told: &Arc<Notify>,
) -> Option<Steer> {
    let control = device.device.control()?;
    let post = post?.clone();
    post.wakes(told);
    Some(Steer::new(device.asset.clone(), post, unit, control))
}

/// Says once when a device begins to fail, and once when it is well again.
#[derive(Debug)]
struct Health {
    failing: bool,
    counts: Arc<SourceCounts>,
}

impl Health {
    fn new(counts: Arc<SourceCounts>) -> Self {
        Self {
            failing: false,
            counts,
        }
    }

    fn report(&mut self, asset: &AssetKey, cycle: &Cycle) {
        // A point that the device has no value for (no vehicle, no state of charge) is no fault of the device.
        let is_fault = |error: &&UnitError| {
            !matches!(
                error,
                UnitError::Point {
                    error: PointError::NotAvailable,
                    ..
                }
            )
        };
        let error = cycle.errors.iter().find(is_fault);
        self.say(asset, error);
        self.failing = error.is_some();
        if self.failing {
            self.counts.failed();
        } else {
            self.counts.works();
        }
    }

    fn say(&self, asset: &AssetKey, error: Option<&UnitError>) {
        match (error, self.failing) {
            (Some(error), false) => {
                tracing::warn!(%asset, %error, "a device does not answer as it should");
            }
            (None, true) => tracing::info!(%asset, "the device answers again"),
            _ => {}
        }
    }
}

fn framing(address: &ModbusAddress) -> Framing {
    if address.is_rtu() {
        Framing::Rtu
    } else {
        Framing::Tcp
    }
}

fn timing(line: &Line) -> Timing {
    let timing = match &line.address {
        ModbusAddress::Serial { baud, .. } => Timing::serial(*baud),
        ModbusAddress::Tcp(_) | ModbusAddress::RtuTcp(_) => Timing::tcp(),
    };
    Timing {
        response: line.timeout,
        ..timing
    }
}

fn connector(address: ModbusAddress) -> impl FnMut() -> Opening {
    move || {
        let address = address.clone();
        Box::pin(async move {
            Ok(match address {
                ModbusAddress::Tcp(at) | ModbusAddress::RtuTcp(at) => {
                    let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream) as Box<dyn Transport>
                }
                ModbusAddress::Serial {
                    port,
                    baud,
                    parity,
                    stop_bits,
                } => Box::new(
                    tokio_serial::new(port, baud)
                        .parity(match parity {
                            Parity::None => tokio_serial::Parity::None,
                            Parity::Even => tokio_serial::Parity::Even,
                            Parity::Odd => tokio_serial::Parity::Odd,
                        })
                        .stop_bits(if stop_bits == 2 {
                            tokio_serial::StopBits::Two
                        } else {
                            tokio_serial::StopBits::One
                        })
                        .open_native_async()?,
                ),
            })
        })
    }
}
