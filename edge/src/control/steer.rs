//! A charger on a Modbus line is told: its limit, the current to which it falls back, and after which time it does.

use std::{future::Future, io};

use load_manager::Millis;
use modbus::{Bus, SettingName, WriteError, device::ResolvedControl};
use shared_protocol::{AssetKey, Decimal};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Order, Post};

/// How often a charger's settings are compared with what they have to be: one that was rebooted has lost them.
const ATTENDED: Millis = 10_000;
/// Its watchdog before anything was ordered, in s.
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
    /// Its watchdog, in s.
    watchdog: i64,
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
    /// For the charger with this number on its bus.
    pub fn new(asset: AssetKey, post: Post, unit: usize, control: &ResolvedControl) -> Self {
        Self {
            asset,
            fallback: decimal(post.fallback()),
            post,
            unit,
            falls_back: falls_back(control),
            watchdog: WATCHDOG,
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
        let change = self.falls_back && wanted != self.watchdog;
        if change && wanted < self.watchdog {
            self.set_watchdog(bus, wanted).await?;
        }
        bus.write(self.unit, SettingName::CurrentLimit, limit)
            .await?;
        if change && wanted > self.watchdog {
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
        bus.write(self.unit, name, seconds(wanted)).await?;
        self.watchdog = wanted;
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
            let watchdog = seconds(self.watchdog);
            same &= !bus.keep(self.unit, SettingName::Watchdog, watchdog).await?;
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
