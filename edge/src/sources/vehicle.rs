//! One vehicle on one CAN bus: broadcast frames decoded by its DBC files, ECUs asked by its profile.

use std::{sync::Arc, time::Duration};

use firmware_config::gateway::Interface;
use shared_protocol::{AssetKey, Source};
use vehicles::{Reading, dbc::Decoder, diagnostic::Table};

use super::{
    Context, Emitter,
    can::{Bus, BusError, Received},
    obd::{Output, Poller},
    state::Watch,
};
use crate::{
    buffer::Stopped,
    health::SourceCounts,
    stopped,
    supervise::Beat,
    uplink::{Backoff, jitter},
};

/// A vehicle and how it is read.
#[derive(Debug)]
pub struct Vehicle {
    /// Its key.
    pub asset: AssetKey,
    /// Its bus.
    pub interface: Interface,
    /// Decoders of broadcast frames.
    pub decoders: Vec<Decoder>,
    /// What to ask its ECUs; `None` only listens.
    pub diagnostics: Option<Table>,
}

/// Reads one vehicle until the gateway stops or, for a recording, it has ended.
pub async fn run(vehicle: Arc<Vehicle>, context: Context, beat: Beat) {
    let mut stop = context.stop.clone();
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let poller = vehicle.diagnostics.clone().map(|table| {
        let (poller, left_out) = Poller::new(table);
        for why in left_out {
            tracing::warn!(asset = %vehicle.asset, why, "diagnostics");
        }
        poller
    });
    let mut reader = Reader {
        can: (0..vehicle.decoders.len())
            .map(|_| Emitter::new(&context, vehicle.asset.clone(), Source::Can))
            .collect(),
        obd: Emitter::new(&context, vehicle.asset.clone(), Source::Obd),
        counts: context.counters.source(vehicle.asset.as_str()),
        vehicle,
        poller,
        watch: Watch::default(),
        readings: Vec::new(),
        beat,
    };
    loop {
        let ended = tokio::select! {
            ended = reader.session(&context, &mut backoff) => ended,
            () = stopped(&mut stop) => return,
        };
        if matches!(ended, BusError::End) {
            tracing::info!(asset = %reader.vehicle.asset, "the recording has ended");
            return;
        }
        reader.counts.failed();
        let wait = backoff.wait(jitter());
        tracing::warn!(asset = %reader.vehicle.asset, reason = %ended, retry_s = wait.as_secs_f32(), "no CAN bus");
        tokio::select! {
            () = reader.beat.during(tokio::time::sleep(wait)) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

struct Reader {
    vehicle: Arc<Vehicle>,
    counts: Arc<SourceCounts>,
    can: Vec<Emitter>,
    obd: Emitter,
    poller: Option<Poller>,
    watch: Watch,
    readings: Vec<Reading>,
    beat: Beat,
}

impl Reader {
    /// Reads the bus until it fails.
    async fn session(&mut self, context: &Context, backoff: &mut Backoff) -> BusError {
        let vehicle = self.vehicle.clone();
        let interface = &vehicle.interface;
        self.beat.pass().await;
        let mut bus = match Bus::open(interface, context.clock.clone()).await {
            Ok(bus) => bus,
            Err(error) => return error,
        };
        if self.poller.is_none() {
            // Who asks has to hear the whole bus: that it talks by itself is what allows asking.
            let ids: Vec<_> = vehicle.decoders.iter().flat_map(Decoder::ids).collect();
            if let Err(error) = bus.listen_to(&ids) {
                return error;
            }
        }
        tracing::info!(asset = %vehicle.asset, ?interface, "CAN bus open");
        loop {
            let now = micros(context.clock.now_us());
            if let Err(error) = self.ask(&mut bus, now, context).await {
                return error;
            }
            let deadline = self
                .poller
                .as_ref()
                .and_then(|poller| poller.next_deadline(now, self.watch.state(now)));
            // The vehicle's state changes with time alone, too.
            let deadline = deadline
                .unwrap_or(Duration::MAX)
                .min(now + Duration::from_secs(1));
            let wake = context.clock.instant(deadline.as_micros() as i64);
            let received = tokio::select! {
                received = self.beat.during(bus.receive()) => received,
                () = tokio::time::sleep_until(wake.into()), if self.poller.is_some() => continue,
            };
            match received {
                Ok(received) => {
                    backoff.reset();
                    self.counts.works();
                    if self.take(received, context).await.is_err() {
                        return BusError::Peer("the buffer has stopped".into());
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// Decodes a frame and passes it to the poller.
    async fn take(&mut self, received: Received, context: &Context) -> Result<(), Stopped> {
        let now = micros(received.time_us);
        let frame = &received.frame;
        let ours = self
            .poller
            .as_mut()
            .is_some_and(|poller| poller.on_frame(now, frame));
        if !ours {
            self.watch.heard(now);
        }
        let mut samples = Vec::new();
        for (decoder, emitter) in self.vehicle.decoders.iter().zip(&mut self.can) {
            self.readings.clear();
            decoder.decode(frame.id(), frame.data(), &mut self.readings);
            for reading in &self.readings {
                let def = &decoder.signals()[reading.signal as usize].def;
                self.watch.value(now, def, reading.raw);
                let signal = reading.signal as usize;
                samples.extend(emitter.sample(signal, def, received.time_us, reading.raw));
            }
        }
        context.push(samples, &self.counts, &self.beat).await
    }

    /// Does what the poller wants.
    async fn ask(
        &mut self,
        bus: &mut Bus,
        now: Duration,
        context: &Context,
    ) -> Result<(), BusError> {
        let Some(poller) = &mut self.poller else {
            return Ok(());
        };
        self.beat.pass().await;
        while let Some(output) = poller.poll(now, self.watch.state(now)) {
            match output {
                Output::Transmit(frame) => bus.send(&frame).await?,
                Output::Failed { command, why } => {
                    tracing::debug!(asset = %self.vehicle.asset, command, why, "a diagnostic request failed");
                }
                Output::Readings(readings) => {
                    let time_us = context.clock.tick_us();
                    let mut samples = Vec::with_capacity(readings.len());
                    for reading in readings {
                        let def = &poller.table().signals()[reading.signal as usize].def;
                        self.watch.value(now, def, reading.raw);
                        let signal = reading.signal as usize;
                        samples.extend(self.obd.sample(signal, def, time_us, reading.raw));
                    }
                    let stopped = context.push(samples, &self.counts, &self.beat).await;
                    stopped.map_err(|error| BusError::Peer(error.to_string()))?;
                }
            }
        }
        Ok(())
    }
}

fn micros(time_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(time_us).unwrap_or(0))
}
