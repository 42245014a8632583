//! A bus: its clients, its ECUs, and who is given what.
//!
//! Each bus has one task, which knows its clients and its ECUs. A frame goes to every client in raw mode except the one
//! that sent it. The **reader** of a bus is the client that went into raw mode last: what is written to its connection
//! is written into the truth; others only look on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use isotp::{Frame, uds::Dtc};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use super::{
    broadcast::Broadcasted,
    ecu::{Ecu, Said},
};
use crate::{car::Activity, depot::Shared, truth::Sample};

/// So many events wait for a bus.
const BUS_QUEUE: usize = 256;

/// A frame on a bus.
#[derive(Clone, Debug)]
pub(super) struct OnBus {
    pub(super) frame: Frame,
    pub(super) wall_us: i64,
    pub(super) simulated_ms: i64,
    /// What a reader gets by it.
    pub(super) samples: Vec<Sample>,
}

/// What a client is to be told.
#[derive(Debug)]
pub(super) enum ToClient {
    Text(&'static str),
    Frames {
        frames: Arc<Vec<OnBus>>,
        /// Whether this client is the reader.
        counts: bool,
    },
    Close,
}

/// What happens on a bus.
#[derive(Debug)]
pub(super) enum Event {
    Tick(Vec<Broadcasted>),
    Raw {
        client: u64,
        to: mpsc::Sender<ToClient>,
    },
    Left(u64),
    Frame {
        from: u64,
        frame: Frame,
    },
    DropReader,
    /// The car's first ECU stores a trouble code.
    Store(Dtc),
    /// Which trouble codes the car's ECUs have.
    Codes(oneshot::Sender<Vec<Dtc>>),
}

/// The way to a bus.
#[derive(Clone, Debug)]
pub struct BusHandle {
    pub(super) events: mpsc::Sender<Event>,
    listeners: Arc<AtomicUsize>,
}

impl BusHandle {
    /// Whether anybody listens. Frames that nobody hears need not be made.
    pub fn is_heard(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Frames that the car's computers send. If the bus is too busy they are lost, and not given.
    pub fn broadcast(&self, frames: Vec<Broadcasted>) {
        if self.events.try_send(Event::Tick(frames)).is_err() {
            tracing::warn!("a bus is too busy: frames are lost");
        }
    }

    /// Has the car's first ECU store a trouble code.
    pub async fn store(&self, dtc: Dtc) {
        // A stopped bus has no codes.
        let _ = self.events.send(Event::Store(dtc)).await;
    }

    /// The trouble codes that the car's ECUs have.
    pub async fn codes(&self) -> Vec<Dtc> {
        let (answer, answered) = oneshot::channel();
        let _ = self.events.send(Event::Codes(answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Closes the connection of the reader.
    pub fn drop_reader(&self) {
        // When the queue is full the bus has worse problems.
        let _ = self.events.try_send(Event::DropReader);
    }
}

/// Starts the bus of car number `car`.
pub fn start_bus(shared: &Arc<Shared>, car: usize, ecus: Vec<Ecu>) -> BusHandle {
    let (events, inbox) = mpsc::channel(BUS_QUEUE);
    let listeners = Arc::new(AtomicUsize::new(0));
    let bus = Bus {
        shared: Arc::clone(shared),
        car,
        ecus,
        clients: Vec::new(),
        listeners: Arc::clone(&listeners),
    };
    shared.tasks.spawn(bus.run(inbox));
    BusHandle { events, listeners }
}

struct Bus {
    shared: Arc<Shared>,
    car: usize,
    ecus: Vec<Ecu>,
    /// In the order in which they went into raw mode; the last is the reader.
    clients: Vec<(u64, mpsc::Sender<ToClient>)>,
    listeners: Arc<AtomicUsize>,
}

impl Bus {
    async fn run(mut self, mut inbox: mpsc::Receiver<Event>) {
        let stop = self.shared.stop.clone();
        loop {
            let deadline = self.ecus.iter().filter_map(Ecu::next_deadline).min();
            let deadline = deadline.map(|at| self.shared.started + at);
            let wake = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                event = inbox.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => return,
                },
                () = wake => {}
            }
            self.serve_ecus();
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Tick(frames) => self.on_tick(frames),
            Event::Raw { client, to } => {
                self.clients.retain(|(known, _)| *known != client);
                self.clients.push((client, to));
            }
            Event::Left(client) => {
                if self
                    .clients
                    .last()
                    .is_some_and(|(reader, _)| *reader == client)
                {
                    self.ecus.iter_mut().for_each(Ecu::abort);
                }
                self.clients.retain(|(known, _)| *known != client);
            }
            Event::Frame { from, frame } => {
                let now = self.shared.started.elapsed();
                let others = vec![self.on_bus(frame, Vec::new())];
                self.give(others, Some(from));
                for ecu in &mut self.ecus {
                    ecu.on_frame(now, &frame);
                }
            }
            Event::Store(dtc) => {
                if let Some(ecu) = self.ecus.first_mut() {
                    ecu.store(dtc);
                }
            }
            Event::Codes(answer) => {
                // Whoever asked may be gone.
                let _ = answer.send(self.ecus.iter().flat_map(Ecu::codes).collect());
            }
            Event::DropReader => {
                self.ecus.iter_mut().for_each(Ecu::abort);
                if let Some((_, to)) = self.clients.pop() {
                    // A client that does not read is closed by its own time limit.
                    let _ = to.try_send(ToClient::Close);
                }
            }
        }
        self.listeners.store(self.clients.len(), Ordering::Relaxed);
    }

    fn on_tick(&mut self, frames: Vec<Broadcasted>) {
        if self.clients.is_empty() {
            return;
        }
        let now = self.shared.simulated_ms();
        let mut given = Vec::new();
        for Broadcasted {
            frame,
            mut samples,
            fault,
        } in frames
        {
            if let Some(fault) = fault {
                self.shared.log.withheld(now, &samples, fault);
                samples.clear();
            }
            given.extend(frame.map(|frame| self.on_bus(frame, samples)));
        }
        self.give(given, None);
    }

    fn serve_ecus(&mut self) {
        let now = self.shared.started.elapsed();
        let mut frames = Vec::new();
        {
            let world = self.shared.world();
            let car = &world.cars[self.car];
            let silent = car.activity == Activity::Asleep || !self.shared.is_producing();
            for ecu in &mut self.ecus {
                if silent {
                    ecu.abort();
                }
                while let Some(said) = ecu.poll(now, car, &self.shared.faults) {
                    frames.push(said);
                }
            }
        }
        let simulated_ms = self.shared.simulated_ms();
        let mut given = Vec::new();
        for said in frames {
            match said {
                Said::Frame { frame, samples } => given.push(self.on_bus(frame, samples)),
                Said::Withheld { fault, samples } => {
                    self.shared.log.withheld(simulated_ms, &samples, fault);
                }
            }
        }
        self.give(given, None);
    }

    fn on_bus(&self, frame: Frame, samples: Vec<Sample>) -> OnBus {
        OnBus {
            frame,
            wall_us: jiff::Timestamp::now().as_microsecond(),
            simulated_ms: self.shared.simulated_ms(),
            samples,
        }
    }

    fn give(&self, frames: Vec<OnBus>, except: Option<u64>) {
        if frames.is_empty() {
            return;
        }
        let frames = Arc::new(frames);
        for (index, (client, to)) in self.clients.iter().enumerate() {
            if Some(*client) == except {
                continue;
            }
            let message = ToClient::Frames {
                frames: Arc::clone(&frames),
                counts: index + 1 == self.clients.len(),
            };
            if to.try_send(message).is_err() {
                tracing::warn!(client, "a client does not read: frames are dropped");
            }
        }
    }
}
