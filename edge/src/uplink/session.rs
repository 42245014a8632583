//! One connection to the broker, from CONNECT to its end.
//!
//! - A new client connects through the guard; the broker accepts or the connection ends.
//! - We subscribe to the cloud's word and say hello with what is still held.
//! - (4) Blocks go out in the [`Outbox`]'s order, as fast as the [`Pace`] of the link allows.
//! - (5) PUBACKs tell the pace. They free nothing.
//! - (7) The cloud's word, verified, goes to the ledger, and frees places in the outbox.
//! - Commands, verified, go to their desk.
//! - Whatever goes wrong ends the connection; the next one begins again from the ledger.
//!
//! The numbers are those of the way of a sample in ARCHITECTURE.md.

use std::time::Duration;

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rumqttc::{
    AsyncClient, ConnectionError, Event, Packet, PubAckReason, PublishNoticeError, PublishOptions,
    PublishResult, QoS, SubscribeReasonCode,
};
use shared_protocol::{
    Ack, BlockNumber, Class, Command, CommandBody, Hello, OpenError, Verdict,
    envelope::MAX_ENVELOPE, topic,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Options, Report,
    end::End,
    limit::Limit,
    outbox::{Offer, Outbox},
    pace::{Pace, Urgency},
    pipe,
};
use crate::{
    buffer::{Buffer, Settlement, StoredBlock},
    stopped,
    supervise::Beat,
};

/// TCP, TLS and the broker's word of welcome.
const CONNECT_WITHIN: Duration = Duration::from_secs(12);
/// A connection on which nothing comes in for so long, although the broker is asked for a sign of life, is dead.
const SILENCE: Duration = Duration::from_secs(12);
/// Publishes that may wait for the broker's PUBACK, when it does not want fewer.
const MOST_UNACKNOWLEDGED: u16 = 64;
/// How often the cloud is asked what is closed: a database that was restored from a backup is noticed by that. When there are
/// more streams than a hello names, the next ones follow soon.
const HELLO_AGAIN: Duration = Duration::from_secs(60);
/// And that often while the cloud is not heard, so that it is soon known to be back.
const HELLO_IN_THE_DARK: Duration = Duration::from_secs(15);
const HELLO_ON: Duration = Duration::from_secs(2);
/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// Runs one connection; says why it ended and whether it had been a good one.
pub(super) async fn run(
    options: &Options,
    buffer: &Buffer,
    limit: &mut Limit,
    stop: &mut watch::Receiver<bool>,
    report: &watch::Sender<Report>,
    beat: &Beat,
) -> (End, bool) {
    beat.pass().await;
    let (client, event_loop) = match pipe::client(options, MOST_UNACKNOWLEDGED, CONNECT_WITHIN) {
        Ok(client) => client,
        Err(unusable) => return (End::Refused(unusable.to_string()), false),
    };
    // Its own task, for the event loop must not be dropped in the middle of connecting.
    let (events, mut incoming) = mpsc::channel(64);
    // Gone with us, should we be ended from outside.
    let poller = AbortOnDropHandle::new(tokio::spawn(poll(event_loop, events)));
    let began = Instant::now();
    let mut session = Session {
        options,
        buffer,
        client: &client,
        outbox: Outbox::new(began),
        pace: Pace::new(MOST_UNACKNOWLEDGED),
        unacknowledged: FuturesUnordered::new(),
        heard: began,
        subscribed: None,
        qos: QoS::AtLeastOnce,
        largest: limit.longest(began),
        limit,
        welcome: false,
        held_before: i64::MAX,
        hello: 0,
        hello_at: began,
        hello_from: 0,
        again: buffer.state().borrow().again,
        report,
        beat,
    };
    let end = session.run(&mut incoming, stop).await;
    if let End::Closed { too_long, .. } = end {
        let longest = session.pace.longest();
        session.limit.closed(longest, too_long, Instant::now());
    }
    let good = session.welcome || began.elapsed() > GOOD;
    if matches!(end, End::Stop) {
        let _ = client.try_disconnect_now();
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while incoming.recv().await.is_some() {}
        })
        .await;
    }
    poller.abort();
    (end, good)
}

type Events = mpsc::Receiver<Result<Event, ConnectionError>>;

async fn poll(
    mut event_loop: rumqttc::EventLoop,
    events: mpsc::Sender<Result<Event, ConnectionError>>,
) {
    loop {
        let event = event_loop.poll().await;
        let ended = event.is_err();
        if events.send(event).await.is_err() || ended {
            return;
        }
    }
}

type Acknowledged = (u64, Result<PublishResult, PublishNoticeError>);

struct Session<'a> {
    options: &'a Options,
    buffer: &'a Buffer,
    client: &'a AsyncClient,
    outbox: Outbox,
    pace: Pace,
    unacknowledged: FuturesUnordered<BoxFuture<'a, Acknowledged>>,
    heard: Instant,
    /// When we asked for the cloud's word, until the broker has granted it.
    subscribed: Option<Instant>,
    /// The highest quality of service that the broker offers up to 1.
    qos: QoS,
    /// Longest packet that the broker takes.
    largest: usize,
    limit: &'a mut Limit,
    /// The cloud has spoken to us.
    welcome: bool,
    /// The youngest block in the ledger when this connection began: nobody has seen one after it before.
    held_before: i64,
    /// The latest hello, when the next one is due and with which of the streams it begins.
    hello: u64,
    hello_at: Instant,
    hello_from: u32,
    /// How often acknowledged blocks had to be sent again, as far as the outbox knows.
    again: u64,
    report: &'a watch::Sender<Report>,
    beat: &'a Beat,
}

impl Session<'_> {
    async fn run(&mut self, incoming: &mut Events, stop: &mut watch::Receiver<bool>) -> End {
        let end = match self.live(incoming, stop).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let End::Gone(_) = end else { return end };
        let why = async {
            loop {
                if let Err(end) = self.on_event(incoming.recv().await).await {
                    return end;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(1), why)
            .await
            .unwrap_or(end)
    }

    async fn live(
        &mut self,
        incoming: &mut Events,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<std::convert::Infallible, End> {
        self.connect(incoming, stop).await?;
        tracing::info!(
            host = self.options.link.host,
            port = self.options.link.port,
            "connected to the broker"
        );
        self.report.send_modify(|report| {
            report.connected = true;
            report.connections += 1;
        });
        self.greet().await?;
        self.held_before = self.youngest().await?;
        let mut state = self.buffer.state();
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.beat.pass().await;
            tokio::select! {
                // What has been heard counts before how long ago that was.
                biased;
                () = stopped(stop) => return Err(End::Stop),
                event = incoming.recv() => self.on_event(event).await?,
                Some(acknowledged) = self.unacknowledged.next() => self.on_acknowledged(acknowledged)?,
                changed = state.changed() => {
                    changed.map_err(|_| End::Stop)?;
                    self.outbox.news();
                    let again = state.borrow().again;
                    if std::mem::replace(&mut self.again, again) != again {
                        self.outbox.look_again();
                    }
                }
                _ = tick.tick() => self.check()?,
            }
            if Instant::now() >= self.hello_at {
                self.say_hello().await?;
            }
            self.pump().await?;
            let in_flight = self.outbox.in_flight();
            self.report.send_if_modified(|report| {
                std::mem::replace(&mut report.in_flight, in_flight) != in_flight
            });
        }
    }

    /// Waits for the broker's CONNACK.
    async fn connect(
        &mut self,
        incoming: &mut Events,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        let deadline = tokio::time::sleep(CONNECT_WITHIN);
        tokio::pin!(deadline);
        loop {
            self.beat.pass().await;
            tokio::select! {
                event = incoming.recv() => match event {
                    Some(Ok(Event::Incoming(Packet::ConnAck(connack)))) => {
                        self.heard = Instant::now();
                        let limits = connack.properties.as_ref();
                        let slots = limits.and_then(|limits| limits.receive_max).unwrap_or(u16::MAX);
                        self.pace = Pace::new(slots.min(MOST_UNACKNOWLEDGED));
                        if let Some(size) = limits.and_then(|limits| limits.max_packet_size) {
                            self.largest = self.largest.min(size as usize);
                        }
                        if limits.and_then(|limits| limits.max_qos) == Some(0) {
                            self.qos = QoS::AtMostOnce;
                        }
                        return Ok(());
                    }
                    event => self.on_event(event).await?,
                },
                () = &mut deadline => return Err(End::Broken(format!("no CONNACK within {} s", CONNECT_WITHIN.as_secs()))),
                () = stopped(stop) => return Err(End::Stop),
            }
        }
    }

    /// Listens for the cloud's word and says hello with what is still held.
    async fn greet(&mut self) -> Result<(), End> {
        let gateway = &self.options.gateway;
        let filter = topic::all_down(gateway);
        if pipe::subscribe_length(&filter) > self.largest {
            // It stays connected, and quiet: connecting again would not help.
            let why = format!(
                "the broker takes packets of {} bytes at most, which is too short even for a subscription",
                self.largest
            );
            tracing::error!("{why}");
            self.report
                .send_modify(|report| report.last_error = Some(why));
            return Ok(());
        }
        self.client.try_subscribe(filter, QoS::AtLeastOnce)?;
        self.subscribed = Some(Instant::now());
        self.say_hello().await
    }

    /// Tells the cloud what is held of the next few streams, so that it can say what is closed of them.
    async fn say_hello(&mut self) -> Result<(), End> {
        let gateway = &self.options.gateway;
        let held = self.beat.during(self.buffer.held(self.hello_from)).await?;
        self.hello_from = held.next.unwrap_or(0);
        self.hello = held.hello;
        let now = Instant::now();
        self.hello_at = now
            + if held.next.is_some() {
                HELLO_ON
            } else if self.outbox.is_dark(now) {
                HELLO_IN_THE_DARK
            } else {
                HELLO_AGAIN
            };
        let hello = Hello {
            gateway: gateway.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            streams: held.streams,
        };
        if let Some(bytes) = hello.seal(&self.options.key) {
            let topic = topic::hello(gateway);
            if pipe::publish_length(&topic, bytes.len()) <= self.largest {
                self.publish(topic, bytes.into())?;
            }
        }
        Ok(())
    }

    async fn on_event(&mut self, event: Option<Result<Event, ConnectionError>>) -> Result<(), End> {
        match event {
            Some(Ok(Event::Incoming(packet))) => {
                self.heard = Instant::now();
                match packet {
                    Packet::Publish(publish) => {
                        self.on_message(&publish.topic, &publish.payload).await
                    }
                    Packet::SubAck(suback) => self.on_subscribed(&suback.return_codes),
                    _ => Ok(()),
                }
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Err(End::Broken("the client ended without a word".into())),
        }
    }

    fn on_subscribed(&mut self, codes: &[SubscribeReasonCode]) -> Result<(), End> {
        self.subscribed = None;
        match codes {
            [SubscribeReasonCode::Success(_)] => Ok(()),
            codes => Err(End::Refused(format!(
                "the broker does not let this gateway read {} ({codes:?})",
                topic::all_down(&self.options.gateway)
            ))),
        }
    }

    /// Step 5: a message has left the link. That frees nothing in the ledger.
    fn on_acknowledged(&mut self, (name, result): Acknowledged) -> Result<(), End> {
        if let Some(length) = self.pace.taken(name, Instant::now()) {
            self.limit.passed(length);
        }
        match result {
            Ok(PublishResult::Qos1(puback))
                if !matches!(
                    puback.reason,
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers
                ) =>
            {
                let why = format!("the broker refuses a message ({:?})", puback.reason);
                tracing::warn!("{why}; it is sent again later");
                self.report.send_modify(|report| {
                    report.refused_publishes += 1;
                    report.last_error = Some(why);
                });
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(End::broken(error)),
        }
    }

    /// The place of the youngest block in the ledger.
    async fn youngest(&mut self) -> Result<i64, End> {
        let mut youngest = 0;
        for priority in 0..=4 {
            let blocks = self.buffer.to_send(priority, 0, true, 1);
            let blocks = self.beat.during(blocks).await?;
            youngest = blocks.iter().map(|block| block.id).fold(youngest, i64::max);
        }
        Ok(youngest)
    }

    /// Takes what the cloud says, if it is the cloud who says it.
    async fn on_message(&mut self, topic: &[u8], payload: &[u8]) -> Result<(), End> {
        let Options { cloud, gateway, .. } = self.options;
        if topic == topic::command(gateway).as_bytes() {
            match Command::open(payload, cloud, gateway) {
                Ok(command) => self.on_command(command),
                Err(error) => self.ignore(&error),
            }
            return Ok(());
        }
        match Ack::open(payload, cloud, gateway) {
            Ok(ack) => self.on_word(ack).await,
            Err(error) => {
                self.ignore(&error);
                Ok(())
            }
        }
    }

    fn ignore(&self, error: &OpenError) {
        self.report
            .send_modify(|report| report.refused_messages += 1);
        tracing::warn!(%error, "a message that is not the cloud's word is ignored");
    }

    fn on_command(&mut self, command: Command) {
        self.welcome = true;
        self.options.clock.not_before(command.issued_us);
        self.report.send_modify(|report| report.commands += 1);
        if let CommandBody::SendColumns(_) = command.body {
            self.outbox.columns_again();
        }
        if let Err(error) = self.options.commands.try_send(command) {
            tracing::warn!(%error, "a command is not taken; the cloud has to send it again");
        }
    }

    /// Step 7: what the cloud has stored frees its place.
    async fn on_word(&mut self, ack: Ack) -> Result<(), End> {
        self.welcome = true;
        let now = Instant::now();
        self.outbox.cloud_speaks(now);
        self.options.clock.not_before(ack.time_us);
        let mut settlements = Vec::new();
        for answer in ack.answers {
            for &(first, last) in &answer.done {
                self.outbox
                    .answered_range(answer.epoch, answer.stream, (first, last), now);
            }
            // Only the answer to a hello has no verdicts; it names all that is closed.
            if answer.blocks.is_empty() {
                settlements.push(Settlement::Closed {
                    epoch: answer.epoch,
                    stream: answer.stream,
                    done: answer.done,
                    hello: self.hello,
                });
            } else {
                settlements.extend(answer.done.iter().map(|&(first, last)| {
                    Settlement::Range(answer.epoch, answer.stream, first, last)
                }));
            }
            for (seq, digest, verdict) in answer.blocks {
                let number = BlockNumber {
                    epoch: answer.epoch,
                    stream: answer.stream,
                    seq,
                };
                match &verdict {
                    Verdict::ColumnsNeeded(_) => {
                        self.outbox.columns_needed(&number, &digest, now);
                        settlements.push(Settlement::Columns(answer.epoch));
                        continue;
                    }
                    Verdict::Quarantined(why) => {
                        tracing::error!(%number, why, "the cloud cannot use a block and keeps it");
                    }
                    Verdict::Refused(why) => {
                        tracing::error!(%number, why, "the cloud refuses a block; it is kept here");
                    }
                    Verdict::Stored => {}
                }
                // The answer to a block that nobody can have had before tells the time.
                if let Some((id, sent)) = self.outbox.answered(&number, &digest, now)
                    && id > self.held_before
                {
                    let (sent, now) = (sent.into_std(), now.into_std());
                    self.options.clock.cloud_says(ack.time_us, sent, now);
                }
                settlements.push(Settlement::Block(number, digest, verdict));
            }
        }
        Ok(self.beat.during(self.buffer.settle(settlements)).await?)
    }

    /// Finds a dead connection.
    fn check(&mut self) -> Result<(), End> {
        let silence = self.heard.elapsed();
        if silence > SILENCE {
            return Err(End::Broken(format!(
                "nothing heard for {} s",
                silence.as_secs()
            )));
        }
        if self
            .subscribed
            .is_some_and(|since| since.elapsed() > SILENCE)
        {
            return Err(End::Broken("no answer to our subscription".into()));
        }
        if let Some(count) = self.pace.left_lying(Instant::now()) {
            return Err(End::Broken(format!(
                "the broker leaves {count} messages unacknowledged"
            )));
        }
        Ok(())
    }

    /// Step 4: publishes what may go out now.
    async fn pump(&mut self) -> Result<(), End> {
        self.outbox.pass(Instant::now());
        'dearest: loop {
            let now = Instant::now();
            let asks = self
                .outbox
                .asks(|urgency| self.pace.may_send(urgency, now), now);
            for ask in asks {
                // A slow disk is not this loop's fault.
                let blocks = self
                    .buffer
                    .to_send(ask.priority, ask.after, ask.newest, ask.limit);
                let blocks = self.beat.during(blocks).await?;
                let found = blocks.len();
                for block in blocks {
                    let now = Instant::now();
                    if !(self.outbox.has_room(ask.urgency) && self.pace.may_send(ask.urgency, now))
                    {
                        continue 'dearest;
                    }
                    self.offer(&ask, block, now)?;
                }
                self.outbox.exhausted(&ask, found);
                if found > 0 {
                    // What is dearer is asked for again first.
                    continue 'dearest;
                }
            }
            return Ok(());
        }
    }

    fn offer(
        &mut self,
        ask: &super::outbox::Ask,
        block: StoredBlock,
        now: Instant,
    ) -> Result<(), End> {
        // A broker has one line for each class: backlogs must not stand in that of the live blocks.
        let class = match block.number.stream.class() {
            Class::Live if ask.urgency == Urgency::Backlog => Class::Bulk,
            class => class,
        };
        let topic = topic::up(&self.options.gateway, class);
        let length = pipe::publish_length(&topic, block.bytes.len());
        match self.outbox.offer(ask, &block, length <= self.largest, now) {
            Offer::Known => Ok(()),
            Offer::Send { again } => {
                self.report.send_modify(|report| {
                    report.published += 1;
                    report.resent += u64::from(again);
                });
                self.publish(topic, block.bytes.into())
            }
            Offer::TooLong => {
                tracing::error!(
                    number = %block.number,
                    length,
                    largest = self.largest,
                    "a block is longer than the broker takes; raise its maximum packet size to {MAX_ENVELOPE} and some"
                );
                self.report.send_modify(|report| report.oversize += 1);
                Ok(())
            }
        }
    }

    /// Hands a message to the client, which has room for it: the pace allows no more than it keeps.
    fn publish(&mut self, topic: String, payload: bytes::Bytes) -> Result<(), End> {
        let length = pipe::publish_length(&topic, payload.len());
        let options = PublishOptions::new(self.qos);
        let notice = self.client.try_publish_tracked(topic, payload, options)?;
        let name = self.pace.sent(length, Instant::now());
        self.unacknowledged
            .push(Box::pin(async move { (name, notice.wait_async().await) }));
        Ok(())
    }
}
