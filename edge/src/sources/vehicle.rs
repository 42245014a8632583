//! One vehicle on one CAN bus: broadcast frames decoded by its DBC files, ECUs asked by its profile.

use std::{sync::Arc, time::Duration};

use firmware_config::gateway::Interface;
use isotp::uds::Vin;
use serde_json::{Value, json};
use shared_protocol::{AssetKey, Record, Source};
use vehicles::{Reading, dbc::Decoder, diagnostic::Table};

use super::{
    Context, Emitter, Letterbox,
    can::{Bus, BusError, Heard, Received},
    dongles::{Dongles, Lease},
    duty::{Kept, News},
    obd::{Output, Poller},
    orders::Order,
    state::Watch,
};
use crate::{
    buffer::Stopped,
    health::SourceCounts,
    stopped,
    supervise::Beat,
    uplink::{Backoff, jitter},
};

/// An adapter is set to a request before it sends it, waits for other answers before it shows one, and may be on a Wi-Fi.
pub(super) const ADAPTER: Duration = Duration::from_secs(3);

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
    /// Its VIN: another vehicle on its bus or adapter is not taken for it.
    pub vin: Option<Vin>,
    /// Where it finds what it is ordered to do.
    pub orders: Letterbox,
    /// Where its dongle is looked for, if its interface is one.
    pub dongles: Option<Arc<Dongles>>,
}

/// Reads one vehicle until the gateway stops or, for a recording, it has ended.
pub async fn run(vehicle: Arc<Vehicle>, context: Context, beat: Beat) {
    let mut stop = context.stop.clone();
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let poller = vehicle.diagnostics.clone().map(|table| {
        let late = match vehicle.interface {
            Interface::Elm327 { .. } | Interface::Dongle { .. } => ADAPTER,
            _ => Duration::ZERO,
        };
        let (mut poller, left_out) = Poller::new(table, late);
        if vehicle.vin.is_some() {
            poller.identify_first();
        }
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
        present: None,
        order: None,
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
        // What was under way is not known; whoever ordered it is told so.
        reader.order = None;
        if let Some(poller) = &mut reader.poller {
            poller.stop_clearing();
        }
        if let Some(vin) = reader.present.take() {
            let what = serde_json::json!({ "vin": vin.to_string(), "why": ended.to_string() });
            if reader
                .record(&context, "vehicle.left", &what)
                .await
                .is_err()
            {
                return;
            }
        }
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
    /// Who it said it is.
    present: Option<Vin>,
    /// What it was ordered to do.
    order: Option<Order>,
    readings: Vec<Reading>,
    beat: Beat,
}

impl Reader {
    /// Reads the bus until it fails.
    async fn session(&mut self, context: &Context, backoff: &mut Backoff) -> BusError {
        let vehicle = self.vehicle.clone();
        self.beat.pass().await;
        // Its dongle is its own until the session ends.
        let lease = match (&vehicle.dongles, vehicle.vin) {
            (Some(dongles), Some(vin)) => Some(self.beat.during(dongles.clone().find(vin)).await),
            _ => None,
        };
        let found = lease.as_ref().map(Lease::interface);
        let interface = found.as_ref().unwrap_or(&vehicle.interface);
        let mut bus = match Bus::open(interface, context.clock.clone()).await {
            Ok(bus) => bus,
            Err(error) => return error,
        };
        if let Some(poller) = &mut self.poller {
            bus.know(&poller.routes());
            poller.woke();
        } else {
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
                heard = self.beat.during(bus.hear()) => heard,
                () = tokio::time::sleep_until(wake.into()) => continue,
            };
            match received {
                Ok(heard) => {
                    backoff.reset();
                    self.counts.works();
                    let taken = match heard {
                        Heard::Frame(received) => {
                            self.take(received, bus.hears_all(), context).await
                        }
                        Heard::Voltage {
                            time_us,
                            millivolts,
                        } => {
                            let woke = self.watch.voltage(micros(time_us), millivolts);
                            self.woke(woke);
                            Ok(())
                        }
                    };
                    if taken.is_err() {
                        return BusError::Peer("the buffer has stopped".into());
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// Decodes a frame and passes it to the poller.
    async fn take(
        &mut self,
        received: Received,
        hears_all: bool,
        context: &Context,
    ) -> Result<(), Stopped> {
        let now = micros(received.time_us);
        let frame = &received.frame;
        let ours = self
            .poller
            .as_mut()
            .is_some_and(|poller| poller.on_frame(now, frame));
        if !ours && hears_all {
            let woke = self.watch.heard(now);
            self.woke(woke);
        }
        let mut samples = Vec::new();
        for (decoder, emitter) in self.vehicle.decoders.iter().zip(&mut self.can) {
            self.readings.clear();
            let outcome = decoder.decode(frame.id(), frame.data(), &mut self.readings);
            self.counts.missing(outcome.missing.into());
            for reading in &self.readings {
                let def = &decoder.signals()[reading.signal as usize].def;
                self.watch.value(now, def, reading.raw);
                let signal = reading.signal as usize;
                samples.extend(emitter.sample(signal, def, received.time_us, reading.raw));
            }
        }
        context.push(samples, &self.counts, &self.beat).await
    }

    /// Whoever woke up may be another one.
    fn woke(&mut self, woke: bool) {
        if woke && let Some(poller) = &mut self.poller {
            poller.woke();
        }
    }

    async fn record(
        &self,
        context: &Context,
        kind: &str,
        payload: &serde_json::Value,
    ) -> Result<(), Stopped> {
        let record = Record {
            time_us: context.clock.tick_us(),
            asset: Some(self.vehicle.asset.clone()),
            kind: kind.to_owned(),
            payload: payload.to_string(),
        };
        self.beat.during(context.buffer.record(record)).await
    }

    /// What was found out goes to the critical stream; a vehicle that is another one ends the session.
    async fn news(&mut self, news: News, context: &Context) -> Result<(), BusError> {
        let text = |ecu: Option<isotp::CanId>| ecu.map(|id| id.to_string());
        let mut records = Vec::new();
        match news {
            News::Vin(vin) => {
                if let Some(own) = self.vehicle.vin.filter(|own| *own != vin) {
                    return Err(BusError::Peer(format!(
                        "the vehicle says that it is {vin}, not {own}: another one is connected, or `vin` is wrong"
                    )));
                }
                if self.present.replace(vin) != Some(vin) {
                    records.push(("vehicle.vin", json!({ "vin": vin.to_string() })));
                }
            }
            News::Codes(codes) => records.extend(codes.iter().map(|code| {
                let what = json!({
                    "ecu": text(code.ecu),
                    "code": code.dtc.to_string(),
                    "list": code.list,
                    "status": code.status.map(|status| status.0),
                });
                ("vehicle.dtc", what)
            })),
            News::Kept { ecu, dtc, what } => {
                let (kind, name, kept) = match what {
                    Kept::Snapshot(record) => {
                        ("vehicle.dtc.snapshot", "record", hex::encode(record).into())
                    }
                    Kept::Extended(record) => {
                        ("vehicle.dtc.extended", "record", hex::encode(record).into())
                    }
                    Kept::Frame(values) => {
                        let values = values.into_iter();
                        let values = values
                            .map(|(pid, value)| (format!("{pid:02X}"), hex::encode(value).into()));
                        (
                            "vehicle.dtc.snapshot",
                            "pids",
                            Value::Object(values.collect()),
                        )
                    }
                };
                let what = json!({ "ecu": text(ecu), "code": dtc.to_string(), name: kept });
                records.push((kind, what));
            }
        }
        for (kind, payload) in records {
            let recorded = self.record(context, kind, &payload).await;
            recorded.map_err(|error| BusError::Peer(error.to_string()))?;
        }
        Ok(())
    }

    /// Takes an order, and carries it out as soon as the vehicle has stood still for a minute. If it moves meanwhile, what
    /// is left is not done.
    fn attend(&mut self, now: Duration) {
        let Some(poller) = &mut self.poller else {
            if let Some(order) = self.vehicle.orders.take() {
                order.answer(Err("the gateway only listens to this vehicle".to_owned()));
            }
            return;
        };
        if let Some(order) = self.vehicle.orders.take() {
            poller.stop_clearing();
            self.order = Some(order);
        }
        self.order = self.order.take().filter(Order::is_wanted);
        self.watch.attend(self.order.is_some());
        poller.attend(self.order.is_some());
        match (self.watch.stands(now), poller.is_clearing()) {
            (true, false) if self.order.is_some() => poller.clear_codes(),
            (false, true) => {
                poller.stop_clearing();
                if let Some(order) = self.order.take() {
                    let why = "the vehicle does not stand still any more: not all is done";
                    order.answer(Err(why.to_owned()));
                }
            }
            _ if self.order.is_none() => poller.stop_clearing(),
            _ => {}
        }
    }

    /// Codes were cleared, or not.
    async fn cleared(
        &mut self,
        result: Result<usize, String>,
        context: &Context,
    ) -> Result<(), BusError> {
        tracing::info!(asset = %self.vehicle.asset, ?result, "clearing trouble codes");
        let what = match &result {
            Ok(ecus) => json!({ "ecus": ecus }),
            Err(why) => json!({ "why": why }),
        };
        let recorded = self.record(context, "vehicle.dtc.cleared", &what).await;
        recorded.map_err(|error| BusError::Peer(error.to_string()))?;
        if let Some(order) = self.order.take() {
            order.answer(result.map(drop));
        }
        Ok(())
    }

    /// Does what the poller wants.
    async fn ask(
        &mut self,
        bus: &mut Bus,
        now: Duration,
        context: &Context,
    ) -> Result<(), BusError> {
        self.beat.pass().await;
        self.attend(now);
        while let Some(poller) = &mut self.poller
            && let Some(output) = poller.poll(now, self.watch.state(now))
        {
            match output {
                Output::Transmit(frame) => match bus.send(&frame).await {
                    // Its asker's time runs out; others go on.
                    Err(BusError::Refused(why)) => {
                        tracing::warn!(asset = %self.vehicle.asset, why, "a request is not sent");
                    }
                    sent => sent?,
                },
                Output::News(news) => self.news(news, context).await?,
                Output::Cleared(result) => self.cleared(result, context).await?,
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
        if let Some(poller) = &mut self.poller {
            self.counts.missing(poller.missing());
        }
        Ok(())
    }
}

pub(super) fn micros(time_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(time_us).unwrap_or(0))
}
