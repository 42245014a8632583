//! One connection of one station: frames in, effects out, in their order.

use std::{
    collections::HashMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use ::ocpp::{CallToken, Effect, Entry, Note, Now, Reading, Station};
use futures::{SinkExt as _, StreamExt as _};
use shared_protocol::{
    AssetKey, Column, Decimal, Encoding, SignalDef, SignalRef, Source, catalogue,
};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::CloseFrame, protocol::frame::coding::CloseCode},
};

use super::{
    Central, Context, Known,
    door::{Guest, Io},
    orders::{self, Order, Reply},
};
use crate::{
    buffer::Sample,
    control::{Leash, Post},
    health::SourceCounts,
    stopped,
    transactions::{BookError, received},
};

/// How often a silent connection is asked whether it is there.
const PING: Duration = Duration::from_secs(60);
/// After so long without a word it is not.
const GONE: Duration = Duration::from_secs(150);
/// How long a frame may take to go out.
const SEND: Duration = Duration::from_secs(20);

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the station has closed it")]
    Closed,
    #[error("the station has connected anew")]
    Replaced,
    #[error("the gateway stops")]
    Stopping,
    #[error("nothing was heard for {} s", GONE.as_secs())]
    Silent,
    #[error("what has to be sent does not go out")]
    Stuck,
    #[error(transparent)]
    WebSocket(#[from] tokio_tungstenite::tungstenite::Error),
    #[error(transparent)]
    Book(#[from] BookError),
    #[error("the buffer has stopped")]
    Buffer,
}

/// Serves a station until its connection ends.
pub(super) async fn run(central: &Central, guest: Guest, context: Context) {
    let seat = central.seat(&guest.id);
    // Whoever has it leaves it: the new connection is the one that the station has.
    seat.leave.send_modify(|count| *count += 1);
    let (put, orders) = mpsc::channel(orders::WAITING);
    let mut left = seat.leave.subscribe();
    left.mark_unchanged();
    let turn = tokio::select! {
        turn = seat.turn.lock() => turn,
        _ = left.changed() => return,
    };
    let id = guest.id.clone();
    let known = central.settings.stations[&id].clone();
    let counts = context.counters.source(known.asset.as_str());
    tracing::info!(station = %id, version = %guest.version, address = %guest.address, "a station has connected");
    let number = central.connections.fetch_add(1, Ordering::Relaxed);
    let memory = {
        let (id, relayed) = (id.clone(), known.relay.is_some());
        let version = guest.version.subprotocol();
        let remembered = central.book(move |book| {
            if relayed {
                book.stands(&id, ("version", version), &serde_json::Value::Null)?;
            }
            book.memory(&id)
        });
        remembered.await
    };
    let end = match memory {
        Err(error) => End::Book(error),
        Ok(memory) => {
            let policy = central.settings.policy.clone();
            let began = Instant::now();
            let now = context.now(began);
            let mut session = Session {
                central,
                station: Station::connected(&id, guest.version, policy, memory, number, now),
                socket: guest.socket,
                id: id.clone(),
                leash: leash(&context, &known, &id),
                orders,
                asked: HashMap::new(),
                known,
                columns: HashMap::new(),
                began,
                counts: counts.clone(),
                context: context.clone(),
            };
            seat.takes_orders(Some(put));
            let end = session.serve(&mut left).await;
            seat.takes_orders(None);
            session.over(&end).await;
            end
        }
    };
    drop(turn);
    match end {
        End::Book(_) | End::Silent | End::Stuck | End::WebSocket(_) => {
            counts.failed();
            tracing::warn!(station = %id, %end, "the connection of a station ends");
        }
        _ => tracing::info!(station = %id, %end, "the connection of a station ends"),
    }
}

struct Session<'a> {
    central: &'a Central,
    station: Station,
    socket: WebSocketStream<Io>,
    id: String,
    known: Known,
    columns: HashMap<(i32, &'static str), Option<u32>>,
    began: Instant,
    counts: std::sync::Arc<SourceCounts>,
    context: Context,
    /// Who tells it its limit, if this gateway holds the depot's.
    leash: Option<Leash>,
    /// What it is to be told for the cloud, and who waits for its answers.
    orders: mpsc::Receiver<Order>,
    asked: HashMap<CallToken, Reply>,
}

/// Who tells a station its limit, if it is one of the depot that this gateway holds.
fn leash(context: &Context, known: &Known, id: &str) -> Option<Leash> {
    let connectors = context.control.as_ref()?.connectors(&known.asset)?;
    Some(Leash::new(id.to_owned(), connectors))
}

/// The next order for a station, if it ever gets any.
async fn ordered(leash: Option<&Leash>) {
    match leash {
        Some(leash) => leash.ordered().await,
        None => std::future::pending().await,
    }
}

impl Session<'_> {
    fn now(&self) -> Now {
        self.context.now(self.began)
    }

    async fn serve(&mut self, left: &mut tokio::sync::watch::Receiver<u64>) -> End {
        let mut heard = Instant::now();
        let mut ping = tokio::time::interval(PING);
        let mut stop = self.context.stop.clone();
        loop {
            let far = Duration::from_secs(3600);
            let due = self
                .station
                .due()
                .map_or(far, |due| due.saturating_sub(self.began.elapsed()));
            let effects = tokio::select! {
                biased;
                () = stopped(&mut stop) => return End::Stopping,
                _ = left.changed() => return End::Replaced,
                frame = self.socket.next() => {
                    heard = Instant::now();
                    match frame {
                        None | Some(Ok(Message::Close(_))) => return End::Closed,
                        Some(Err(error)) => return End::WebSocket(error),
                        Some(Ok(Message::Text(text))) => self.station.frame(self.now(), &text),
                        // Pings are answered by the library. OCPP-J has text frames alone (§4.1); others say nothing.
                        Some(Ok(_)) => continue,
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > GONE {
                        return End::Silent;
                    }
                    if let Err(end) = self.send(Message::Ping(Vec::new().into())).await {
                        return end;
                    }
                    continue;
                }
                () = ordered(self.leash.as_ref()) => {
                    let (now, at) = (self.now(), self.context.clock.now_us() / 1000);
                    let leash = self.leash.as_mut();
                    leash.map_or_else(Vec::new, |leash| leash.carry(&mut self.station, now, at))
                }
                Some(order) = self.orders.recv() => self.obey(order),
                () = tokio::time::sleep(due) => self.station.time(self.now()),
            };
            if let Err(end) = self.carry_out(effects).await {
                return end;
            }
            let (now, at) = (self.now(), self.context.clock.now_us() / 1000);
            let leash = self.leash.as_mut();
            let told = leash.map_or_else(Vec::new, |leash| leash.look(&mut self.station, now, at));
            if let Err(end) = self.carry_out(told).await {
                return end;
            }
        }
    }

    /// Asks the station what the cloud wants, or says why not.
    fn obey(&mut self, order: Order) -> Vec<Effect> {
        let now = self.now();
        let limits = self.context.control.as_ref();
        let post = limits.and_then(|control| control.post(&self.known.asset));
        let called = orders::call(&self.station, &order, post.as_ref().map(Post::fallback))
            .and_then(|call| {
                let called = self.station.call(now, &call);
                let called = called.map_err(|refusal| refusal.to_string())?;
                if let Some(leash) = &mut self.leash {
                    leash.told(called.0, &call);
                }
                Ok(called)
            });
        match called {
            Ok((token, effects)) => {
                self.asked.insert(token, order.reply);
                effects
            }
            Err(reason) => {
                // Whoever asked may have gone.
                let _ = order.reply.send(Err(reason));
                Vec::new()
            }
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), End> {
        for effect in effects {
            match effect {
                Effect::Store(write) => {
                    let (id, asset) = (self.id.clone(), self.known.asset.clone());
                    let received = received(self.now().wall);
                    let relayed = self.known.relay.is_some();
                    let stored = self
                        .central
                        .book(move |book| book.store(&id, &asset, received, &write, relayed));
                    stored.await?;
                    self.central.keeper.wrote();
                }
                Effect::Tell(entry) => {
                    if let Some(leash) = self
                        .leash
                        .as_ref()
                        .filter(|_| entry.kind == "station.booted")
                    {
                        leash.booted(&entry.payload);
                    }
                    let asset = self.known.asset.clone();
                    let received = received(self.now().wall);
                    if self.known.relay.is_some() {
                        self.stands(&entry).await?;
                    }
                    let told = self
                        .central
                        .book(move |book| book.tell(&asset, received, &entry));
                    told.await?;
                    self.central.keeper.wrote();
                }
                Effect::Send(text) => self.send(Message::text(text)).await?,
                Effect::Readings(readings) => self.samples(&readings).await?,
                Effect::Outcome {
                    token,
                    action,
                    result,
                } => {
                    if let Some(reply) = self.asked.remove(&token) {
                        let _ = reply.send(orders::answered(&result));
                    }
                    if let Some(leash) = &mut self.leash {
                        leash.ended(token, &result, self.context.clock.now_us() / 1000);
                    }
                    tracing::debug!(station = %self.id, action, ok = result.is_ok(), "a call to a station has ended");
                }
                Effect::Note(note) => self.note(&note),
            }
        }
        Ok(())
    }

    /// Keeps for another back-office who the station is and how it stands.
    async fn stands(&mut self, entry: &Entry) -> Result<(), BookError> {
        let mut payload = entry.payload.clone();
        if let Some(payload) = payload.as_object_mut() {
            payload.remove("station");
        }
        let (place, action) = match entry.kind {
            "station.booted" => ("boot".to_owned(), "BootNotification"),
            "station.status" => {
                let evse = payload["evseId"].as_i64().unwrap_or(0);
                let connector = &payload["connectorId"];
                (format!("status.{evse}.{connector}"), "StatusNotification")
            }
            _ => return Ok(()),
        };
        let id = self.id.clone();
        let kept = self
            .central
            .book(move |book| book.stands(&id, (&place, action), &payload));
        kept.await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        let sent = tokio::time::timeout(SEND, self.socket.send(message)).await;
        Ok(sent.map_err(|_| End::Stuck)??)
    }

    fn note(&self, note: &Note) {
        match note {
            Note::Violation(_) => tracing::debug!(station = %self.id, %note, "OCPP"),
            _ => tracing::warn!(station = %self.id, %note, "OCPP"),
        }
    }

    /// Readings become samples at the station's own times, corrected by its clock's difference. Nothing is of the future.
    async fn samples(&mut self, readings: &[Reading]) -> Result<(), End> {
        let now_us = self.context.clock.now_us();
        let offset = self.context.clock.wall_offset_us();
        let ahead = self
            .station
            .clock_ahead()
            .unwrap_or(0)
            .saturating_mul(1_000_000);
        if let Some(leash) = &self.leash {
            leash.hear(now_us / 1000, readings);
        }
        let mut samples = Vec::new();
        for reading in readings {
            let Some(column) = self.column(reading.evse, reading.signal) else {
                continue;
            };
            let corrected = reading.time.as_microsecond().saturating_sub(ahead);
            let time_us = offset
                .map_or(now_us, |offset| corrected.saturating_sub(offset))
                .min(now_us);
            let raw = reading.milli;
            samples.push(Sample {
                column,
                time_us: time_us / 1000 * 1000,
                raw,
            });
        }
        let count = samples.len() as u64;
        self.context
            .buffer
            .push(samples)
            .await
            .map_err(|_| End::Buffer)?;
        self.counts.samples.fetch_add(count, Ordering::Relaxed);
        self.counts.works();
        Ok(())
    }

    fn column(&mut self, evse: i32, signal: &'static str) -> Option<u32> {
        let (asset, buffer) = (&self.known.asset, &self.context.buffer);
        let number = || {
            let asset: AssetKey = match evse {
                0 | 1 => asset.clone(),
                n => format!("{asset}.{n}").parse().ok()?,
            };
            let scale = Decimal::new(1, -3).ok()?;
            let def = SignalDef {
                signal: SignalRef::Catalogue(catalogue().by_name(signal)?.id),
                encoding: Encoding::Scaled {
                    scale,
                    offset: Decimal::ZERO,
                },
            };
            let source = Source::Ocpp;
            Some(buffer.columns().number(&Column { asset, source, def }))
        };
        *self.columns.entry((evse, signal)).or_insert_with(number)
    }

    /// Says good-bye, as far as the station still listens.
    async fn over(&mut self, end: &End) {
        let effects = self.station.disconnected(self.now());
        for effect in effects {
            if let Effect::Note(note) = effect {
                self.note(&note);
            }
        }
        let code = match end {
            End::Stopping => CloseCode::Away,
            End::Book(_) => CloseCode::Error,
            _ => CloseCode::Normal,
        };
        let reason = end.to_string().chars().take(100).collect::<String>().into();
        let frame = CloseFrame { code, reason };
        let closing = self.socket.close(Some(frame));
        let _ = tokio::time::timeout(Duration::from_secs(2), closing).await;
    }
}
