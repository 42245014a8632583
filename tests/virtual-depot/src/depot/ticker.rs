//! The tick that drives a depot.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::Shared;
use crate::{
    bus::{
        broadcast::Broadcast,
        model::{Model, TICK_MS},
        server::BusHandle,
    },
    faults::Fault,
    yard::name,
};

/// Between two steps of the depot.
const TICK: Duration = Duration::from_millis(TICK_MS);

/// How long a station that reboots is gone, and a frozen meter stands still, in s of wall time.
pub(super) const REBOOT_SECONDS: f64 = 4.0;
const FREEZE_SECONDS: f64 = 8.0;

/// Steps the world and lets the cars speak.
pub(super) struct Ticker {
    pub(super) shared: Arc<Shared>,
    pub(super) model: Arc<Model>,
    pub(super) buses: Vec<BusHandle>,
    /// `None`: through its dongle nobody hears what it says of itself.
    pub(super) broadcasts: Vec<Option<Broadcast>>,
    /// Keys of the stations.
    pub(super) stations: Vec<String>,
}

impl Ticker {
    pub(super) async fn run(mut self) {
        let mut ticks = interval(TICK);
        // A tick that the machine had no time for is left out: readers are not flooded with what is past.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut tick = 0;
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if self.shared.is_producing() {
                tick += 1;
                self.tick(tick);
            }
            if tick % 10 == 0 {
                self.shared.log.flush();
            }
        }
    }

    fn tick(&mut self, tick: u64) {
        let faults = &self.shared.faults;
        let share = TICK.as_secs_f64();
        let mut world = self.shared.world();
        for (index, asset) in self.stations.iter().enumerate() {
            if faults.strikes(asset, Fault::Reboot, share) {
                world.chargers[index].reboot(REBOOT_SECONDS);
            }
        }
        if faults.strikes("meter-01", Fault::Freeze, share) {
            world.meter.freeze(FREEZE_SECONDS);
        }
        world.step(TICK);
        let simulated_ms = (world.seconds() * 1000.0) as i64;
        self.shared
            .simulated_ms
            .store(simulated_ms, Ordering::Relaxed);
        let mut spoken = Vec::new();
        for (index, broadcast) in self.broadcasts.iter_mut().enumerate() {
            if let Some(broadcast) = broadcast
                && self.buses[index].is_heard()
            {
                let frames = broadcast.tick(tick, &self.model, &world.cars[index], faults);
                if !frames.is_empty() {
                    spoken.push((index, frames));
                }
            }
        }
        drop(world);
        for (index, frames) in spoken {
            self.buses[index].broadcast(frames);
        }
        for (index, bus) in self.buses.iter().enumerate() {
            let asset = || name("car", index, self.buses.len());
            if bus.is_heard() && faults.strikes(&asset(), Fault::BusDrop, share) {
                bus.drop_reader();
            }
        }
    }
}
