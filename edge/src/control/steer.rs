//! A charger on a Modbus line is told: its limit, the current to which it falls back, and after which time it does.

use std::{future::Future, io};

use load_manager::Millis;
use modbus::{Bus, SettingName, WriteError, device::ResolvedControl};
use shared_protocol::{AssetKey, Decimal};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Order, Post};

/// How often a charger's settings are compared with what they have to be: one that was rebooted has lost them.
const ATTENDED: Millis = 10_000;
/// The shortest watchdog that an order asks for, in s: what a charger has of which nothing is known.
const WATCHDOG: i64 = 50;

/// Whether a charger falls back by itself when nobody writes to it.
pub(super) fn falls_back(control: &ResolvedControl) -> bool {
    control.fail_safe_current.is_some() && control.watchdog.is_some()
}

/// Tells one charger.
#[derive(Debug)]
pub struct Steer {
    asset: AssetKey,
    post: Post,
    /// Its number on the bus.
    unit: usize,
    /// What it has to fall back to.
    fallback: Decimal,
    /// Whether it does.
    falls_back: bool,
    /// Its watchdog, in s; `None`: whatever it was left with.
    watchdog: Option<i64>,
    /// The order that it holds.
    holds: Option<Order>,
    attended: Option<Millis>,
    troubled: bool,
}

/// In tenths of an ampere, never more.
fn decimal(amperes: f64) -> Decimal {
    let tenths = (amperes * 10.0 + 1e-6).floor().max(0.0);
    Decimal::new(tenths as i64, -1).unwrap_or(Decimal::ZERO)
}

fn seconds(seconds: i64) -> Decimal {
    Decimal::new(seconds, 0).unwrap_or(Decimal::ZERO)
}

impl Steer {
    /// For the charger with this number on its bus, of which nothing is known: whoever told it before may have left it with
    /// any limit and any watchdog. It counts with its maximum until it has acknowledged a new order, and until its
    /// settings were compared it is not relied on to fall back.
    pub fn new(asset: AssetKey, post: Post, unit: usize, control: &ResolvedControl) -> Self {
        let falls_back = falls_back(control);
        post.begins();
        post.falls_back(false);
        Self {
            asset,
            fallback: decimal(post.fallback()),
            post,
            unit,
            falls_back,
            watchdog: None,
            holds: None,
            attended: None,
            troubled: false,
        }
    }

    /// The charger's number on its bus.
    pub fn unit(&self) -> usize {
        self.unit
    }

    /// It did not answer as it should: its settings are compared as soon as it does.
    pub fn missed(&mut self) {
        self.attended = None;
    }

    /// Carries out the order that waits, if there is one.
    pub async fn carry<C, F, S>(&mut self, bus: &mut Bus<C, S>, now: Millis)
    where
        C: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(order) = self.post.order(now) else {
            return;
        };
        let written = self.write(bus, &order).await;
        match &written {
            Ok(()) => {
                self.holds = Some(order);
                self.post.acknowledge(order.number);
            }
            Err(_) => self.post.failed(),
        }
        self.say(written.as_ref().err());
    }

    /// A longer watchdog comes after the limit that it guards, a shorter one before: at no time does an old limit hold for
    /// longer than it was given for.
    async fn write<C, F, S>(&mut self, bus: &mut Bus<C, S>, order: &Order) -> Result<(), WriteError>
    where
        C: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let wanted = order.seconds();
        let limit = decimal(order.amperes);
        // One that is not known may be longer than any.
        let before = match self.watchdog {
            None => Some(wanted.min(WATCHDOG)),
            Some(watchdog) => (wanted < watchdog).then_some(wanted),
        };
        if let Some(before) = before.filter(|_| self.falls_back) {
            self.set_watchdog(bus, before).await?;
        }
        bus.write(self.unit, SettingName::CurrentLimit, limit)
            .await?;
        if self.falls_back && self.watchdog != Some(wanted) {
            self.set_watchdog(bus, wanted).await?;
        }
        Ok(())
    }

    async fn set_watchdog<C, F, S>(
        &mut self,
        bus: &mut Bus<C, S>,
        wanted: i64,
    ) -> Result<(), WriteError>
    where
        C: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = SettingName::Watchdog;
        // Until it is read back it may be either.
        self.watchdog = None;
        bus.write(self.unit, name, seconds(wanted)).await?;
        self.watchdog = Some(wanted);
        Ok(())
    }

    /// Compares its settings with what they have to be, when it is time to, and sets them right. One that has forgotten its
    /// limit is told again by the next order.
    pub async fn attend<C, F, S>(&mut self, bus: &mut Bus<C, S>, now: Millis)
    where
        C: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.attended.is_some_and(|at| now - at < ATTENDED) {
            return;
        }
        self.attended = Some(now);
        let kept = self.compare(bus, now).await;
        if kept.is_err() {
            self.attended = None;
        }
        if let Ok(false) = kept {
            tracing::warn!(asset = %self.asset, "the charger has lost its settings, as after a reboot; it is told again");
            self.holds = None;
            self.post.forgotten();
        }
        self.say(kept.as_ref().err());
    }

    /// Whether it still holds what it was told.
    async fn compare<C, F, S>(
        &mut self,
        bus: &mut Bus<C, S>,
        now: Millis,
    ) -> Result<bool, WriteError>
    where
        C: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut same = true;
        if self.falls_back {
            let fail_safe = SettingName::FailSafeCurrent;
            same &= !bus.keep(self.unit, fail_safe, self.fallback).await?;
            let watchdog = self.watchdog.unwrap_or(WATCHDOG);
            let name = SettingName::Watchdog;
            same &= !bus.keep(self.unit, name, seconds(watchdog)).await?;
            self.watchdog = Some(watchdog);
            self.post.falls_back(true);
        }
        // Once its lease is over it may have any limit.
        let Some(order) = self.holds.filter(|order| now < order.at + order.lease) else {
            self.holds = None;
            return Ok(true);
        };
        let limit = decimal(order.amperes);
        let name = SettingName::CurrentLimit;
        Ok(same & bus.has(self.unit, name, limit).await?)
    }

    /// Says once when it does not take what it is told, and once when it does again.
    fn say(&mut self, error: Option<&WriteError>) {
        match (error, self.troubled) {
            (Some(error), false) => {
                tracing::warn!(asset = %self.asset, %error, "a charger does not take what it is told");
            }
            (None, true) => {
                tracing::info!(asset = %self.asset, "the charger takes what it is told");
            }
            _ => {}
        }
        self.troubled = error.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{Arc, Mutex},
    };

    use depot_config::devices::DEVICES;
    use modbus::{Device, Framing, Timing};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::control::{Control, Vouched, lock, sample};

    /// Limit, fail-safe current and watchdog of a charger, and what was written to them in turn, by register.
    #[derive(Default)]
    struct Charger {
        registers: [u16; 3],
        written: Vec<(u16, u16)>,
    }

    /// Answers over Modbus TCP; its serial number is 0.
    async fn serve(mut line: DuplexStream, charger: Arc<Mutex<Charger>>) {
        let mut head = [0; 7];
        while line.read_exact(&mut head).await.is_ok() {
            let mut asked = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
            line.read_exact(&mut asked).await.unwrap();
            let word = |at: usize| u16::from_be_bytes([asked[at], asked[at + 1]]);
            let mut answer = vec![asked[0]];
            if asked[0] == 3 {
                answer.push((word(3) * 2) as u8);
                for address in word(1)..word(1) + word(3) {
                    let place = usize::from(address.wrapping_sub(200));
                    let held = lock(&charger).registers.get(place).copied();
                    answer.extend(held.unwrap_or(0).to_be_bytes());
                }
            } else {
                let value = if asked[0] == 6 { word(3) } else { word(6) };
                let mut charger = lock(&charger);
                charger.registers[usize::from(word(1) - 200)] = value;
                charger.written.push((word(1), value));
                answer.extend(&asked[1..5]);
            }
            head[4..6].copy_from_slice(&(answer.len() as u16 + 1).to_be_bytes());
            let answered = [&head[..], &answer].concat();
            line.write_all(&answered).await.unwrap();
        }
    }

    fn device() -> Arc<Device> {
        let map = DEVICES.shipped("patio-virtual-charger").unwrap();
        Arc::new(Device::new(map.unwrap()).unwrap())
    }

    fn control() -> Control {
        let found =
            r#"modbus = { address = "tcp://10.0.0.1", unit = 1, map = "patio-virtual-charger" }"#;
        let devices = HashMap::from([("one".parse().unwrap(), device())]);
        let depot = sample::depot(&[("one", found)]);
        Control::new(depot, Vouched::default(), &devices, 0).unwrap()
    }

    type Opened = std::future::Ready<io::Result<DuplexStream>>;

    /// A line with a charger whose registers are these.
    fn line(
        registers: [u16; 3],
    ) -> (
        Bus<impl FnMut() -> Opened, DuplexStream>,
        Arc<Mutex<Charger>>,
    ) {
        let (near, far) = duplex(1024);
        let charger = Arc::new(Mutex::new(Charger {
            registers,
            ..Charger::default()
        }));
        tokio::spawn(serve(far, Arc::clone(&charger)));
        let mut near = Some(near);
        let mut bus = Bus::new(Framing::Tcp, Timing::tcp(), move || {
            let near = near.take().ok_or(io::ErrorKind::NotConnected);
            std::future::ready(near.map_err(io::Error::from))
        });
        bus.add(1, device(), None).unwrap();
        (bus, charger)
    }

    fn steer(control: &Control) -> Steer {
        let post = control.post(&"one".parse().unwrap()).unwrap();
        let device = device();
        Steer::new("one".parse().unwrap(), post, 0, device.control().unwrap())
    }

    /// An order of 60 s on a new line to a charger that was left with a watchdog of 170 s.
    #[tokio::test(start_paused = true)]
    async fn a_new_line_relies_on_nothing_that_was_told_before() {
        let control = control();
        let report = || control.board.inputs(0, None).stations[0].clone();
        let post = control.post(&"one".parse().unwrap()).unwrap();
        drop(steer(&control));
        post.falls_back(true);
        post.acknowledge(7);
        assert_eq!(report().acknowledged, Some(7));
        // The line is started again.
        let mut steer = steer(&control);
        assert_eq!(report().acknowledged, None);
        assert!(report().never_falls_back);

        let (mut bus, charger) = line([320, 60, 170]);
        let mut order = Order {
            number: 8,
            amperes: 10.0,
            phases: 1,
            at: 0,
            lease: 60_000,
        };
        control.board.tell(0, order);
        steer.carry(&mut bus, 0).await;
        // What an old limit holds for is cut first.
        assert_eq!(lock(&charger).written, [(202, 50), (200, 100)]);
        assert_eq!(report().acknowledged, Some(8));
        assert!(report().never_falls_back);
        steer.attend(&mut bus, 0).await;
        assert!(!report().never_falls_back);
        assert_eq!(lock(&charger).registers, [100, 60, 50]);

        // A longer one comes after the limit that it guards.
        lock(&charger).written.clear();
        order = Order {
            number: 9,
            lease: 180_000,
            ..order
        };
        control.board.tell(0, order);
        steer.carry(&mut bus, 0).await;
        assert_eq!(lock(&charger).written, [(200, 100), (202, 170)]);
        order = Order {
            number: 10,
            lease: 60_000,
            ..order
        };
        control.board.tell(0, order);
        steer.carry(&mut bus, 0).await;
        assert_eq!(
            lock(&charger).written[2..],
            [(202, 50), (200, 100)],
            "a shorter one comes before"
        );
    }

    /// The same with a long lease: what is not known is never made longer before the limit is written.
    #[tokio::test(start_paused = true)]
    async fn a_watchdog_that_is_not_known_is_short_before_it_is_long() {
        let control = control();
        let mut steer = steer(&control);
        let (mut bus, charger) = line([0; 3]);
        let order = Order {
            number: 1,
            amperes: 16.0,
            phases: 1,
            at: 0,
            lease: 180_000,
        };
        control.board.tell(0, order);
        steer.carry(&mut bus, 0).await;
        assert_eq!(lock(&charger).written, [(202, 50), (200, 160), (202, 170)]);
    }
}
