//! Devices that speak JSON over MQTT: one connection, one worker, an answer after COMMIT.
//!
//! What a device has published the broker acknowledges to it at once, and that means: in somebody's memory. The word that it
//! is stored is the answer on the device's own topic. Whatever ends a connection, database or process, the device that got no
//! answer sends again, and its records are known by their content.
//!
//! Not every device does. So an external broker is asked to keep our session: what comes while we are away, or had not been
//! committed when we went, it gives us when we are back. Where several ingestors share the work the others take it at once, and a
//! session that waits for one of them would only hold its part up. The embedded broker goes when we go, and keeps nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::devices::{
    Device, Kind, Register, Sink,
    json::{self, List},
};
use bytes::Bytes;
use rumqttc::{Event, Packet, PubAckReason, Publish, PublishOptions};
use serde::Serialize;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Stop,
    link::{self, Ended},
    session,
    ticket::{Inbox, Ticket},
};
use crate::{broker::Endpoint, status::Status};

/// The connection's name in metrics, logs and client id.
const NAME: &str = "json";
/// Messages that wait; what comes beyond is put off.
const WAITING: usize = 256;
/// Messages of one device that wait; what it sends beyond is put off until it is sent again.
const WAITING_OF_ONE: usize = 16;
/// Messages of one transaction.
const BATCH: usize = 64;
/// How long the broker may take to take an answer.
const ANSWER: Duration = Duration::from_secs(1);
/// How long what is in hand may take when it is time to stop.
const FINISH: Duration = Duration::from_secs(10);

/// Takes what devices publish.
#[derive(Clone, Debug)]
pub struct JsonDevices {
    /// Where it goes.
    pub sink: Sink,
    /// What names mean.
    pub list: Arc<List>,
    /// Where it comes from.
    pub endpoint: Endpoint,
    /// Name of the shared subscription.
    pub shared_group: Option<String>,
    /// The name by which the broker keeps our session, the same after every start; `None`: it need not.
    pub session: Option<String>,
    /// What health and metrics read.
    pub status: Arc<Status>,
}

/// A message that waits.
struct Item {
    key: String,
    payload: Bytes,
    ticket: Ticket,
}

/// The answer to a message: all of it has been dealt with, for good.
#[derive(Serialize)]
struct Answer<'a> {
    /// What the message calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// How many records it had that are stored, now or before.
    records: usize,
    /// Why none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// How many messages of each device wait.
type Crowd = Mutex<HashMap<String, usize>>;

fn leave(crowd: &Crowd, key: &str) {
    let mut crowd = crowd.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(count) = crowd.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            crowd.remove(key);
        }
    }
}

impl JsonDevices {
    /// Reads until it is time to stop.
    pub async fn run(self, stop: CancellationToken) {
        let stop = Stop {
            reading: stop.clone(),
            links: stop,
        };
        let instance = self
            .session
            .clone()
            .unwrap_or_else(|| format!("{:08x}", rand::random::<u32>()));
        let register = Register::new(self.sink.db().clone(), self.sink.clock().clone());
        link::repeat(&self.status, NAME, &stop, || {
            Box::pin(self.session(&instance, &register, &stop))
        })
        .await;
    }

    async fn session(&self, instance: &str, register: &Register, stop: &Stop) -> Result<(), Ended> {
        let filter = match &self.shared_group {
            Some(group) => format!("$share/{group}/{}", json::ALL),
            None => json::ALL.to_owned(),
        };
        let opened = async {
            let mut options = link::options(&self.endpoint, NAME, instance, link::ANSWERS);
            if self.session.is_some() {
                session::resume(&mut options);
            }
            let (client, mut events) = link::connect(options).await?;
            let early = link::subscribe(&client, &mut events, &[filter]).await?;
            Ok::<_, Ended>((client, events, early))
        };
        let Some(opened) = stop.reading.run_until_cancelled(opened).await else {
            return Ok(());
        };
        let (client, mut events, early) = opened?;
        self.status.link_up(NAME);
        let inbox = Inbox::new(client);
        let crowd = Arc::new(Crowd::default());
        let (sender, waiting) = mpsc::channel(WAITING);
        // It ends with the session, whatever ends that.
        let mut worker = tokio::task::JoinSet::new();
        let (me, register) = (self.clone(), register.clone());
        let (at, around) = (Arc::clone(&inbox), Arc::clone(&crowd));
        worker.spawn(async move { me.work(waiting, &register, &at, &around).await });
        for publish in early {
            receive(&publish, &inbox, &sender, &crowd);
        }
        let ended = loop {
            tokio::select! {
                () = stop.reading.cancelled() => break Ok(()),
                () = inbox.broken.cancelled() => break Err(Ended::Unacknowledged),
                _ = worker.join_next() => break Err(Ended::Request("what waits is not worked on".to_owned())),
                event = events.poll() => match event {
                    Ok(Event::Incoming(Packet::Publish(publish))) => receive(&publish, &inbox, &sender, &crowd),
                    Ok(_) => {}
                    Err(error) => break Err(error.into()),
                },
            }
        };
        if ended.is_ok() {
            // What is in hand is finished and answered; what is not is sent again.
            drop(sender);
            let finished = async {
                loop {
                    tokio::select! {
                        _ = worker.join_next() => return,
                        event = events.poll() => if event.is_err() { return },
                    }
                }
            };
            let _ = timeout(FINISH, finished).await;
            link::close(&inbox.client, events).await;
        }
        ended
    }

    /// Stores what waits, as many at a time as there are.
    async fn work(
        &self,
        mut waiting: mpsc::Receiver<Item>,
        register: &Register,
        inbox: &Inbox,
        crowd: &Crowd,
    ) {
        let mut items = Vec::new();
        while waiting.recv_many(&mut items, BATCH).await > 0 {
            self.store(&items, register, inbox).await;
            for item in items.drain(..) {
                leave(crowd, &item.key);
            }
        }
    }

    async fn store(&self, items: &[Item], register: &Register, inbox: &Inbox) {
        let mut read = Vec::new();
        for item in items {
            let device = match register.find(Kind::Json, &item.key).await {
                Ok(Some(device)) => device,
                Ok(None) => {
                    // There is nobody to be answered.
                    tracing::debug!(key = item.key, "a device that nobody knows publishes JSON");
                    item.ticket.settle(PubAckReason::NotAuthorized);
                    continue;
                }
                Err(error) => {
                    put_off(item, &error.to_string());
                    continue;
                }
            };
            match json::read(&item.payload, &device, &self.list) {
                Ok(message) => read.push((item, message)),
                Err(error) => self.refuse(item, &device, &error, inbox).await,
            }
        }
        let records = |read: &[(&Item, json::Message)]| {
            let all = read.iter().flat_map(|(_, message)| &message.records);
            all.cloned().collect::<Vec<_>>()
        };
        if read.is_empty() {
            return;
        }
        if self.sink.store(&records(&read), None).await.is_ok() {
            self.status.committed();
            for (item, message) in &read {
                self.stored(item, message, inbox).await;
            }
            return;
        }
        // One of them may be to blame: each for itself.
        for one in read.chunks(1) {
            let (item, message) = &one[0];
            match self.sink.store(&records(one), None).await {
                Ok(_) => self.stored(item, message, inbox).await,
                Err(error) => put_off(item, &error.to_string()),
            }
        }
    }

    /// It is stored: the device hears it, then the broker.
    async fn stored(&self, item: &Item, message: &json::Message, inbox: &Inbox) {
        let answer = Answer {
            id: message.id.as_deref(),
            records: message.records.len(),
            error: None,
        };
        self.answer(&item.key, &answer, inbox).await;
        item.ticket.settle(PubAckReason::Success);
    }

    /// It cannot be read: it is kept with the reason, which the device hears.
    async fn refuse(&self, item: &Item, device: &Device, error: &json::Unreadable, inbox: &Inbox) {
        let said = error.to_string();
        let kept = &item.payload[..item.payload.len().min(json::LONGEST)];
        if let Err(trouble) = self.sink.refuse(device, kept, &said).await {
            return put_off(item, &trouble.to_string());
        }
        let answer = Answer {
            id: error.id.as_deref(),
            records: 0,
            error: Some(said),
        };
        self.answer(&item.key, &answer, inbox).await;
        item.ticket.settle(PubAckReason::Success);
    }

    async fn answer(&self, key: &str, answer: &Answer<'_>, inbox: &Inbox) {
        let text = serde_json::to_vec(answer).unwrap_or_default();
        let published = inbox.client.publish(
            json::answer_topic(key),
            text,
            PublishOptions::at_least_once(),
        );
        // A device without an answer sends again, and is answered then.
        if !matches!(timeout(ANSWER, published).await, Ok(Ok(()))) {
            tracing::debug!(device = key, "an answer was not sent");
        }
    }
}

/// Takes a message in, or puts it off: its device has enough waiting already.
fn receive(publish: &Publish, inbox: &Arc<Inbox>, to: &mpsc::Sender<Item>, crowd: &Crowd) {
    let ticket = inbox.ticket(publish);
    let topic = String::from_utf8_lossy(&publish.topic);
    let Some(key) = json::key(&topic) else {
        return ticket.settle(PubAckReason::TopicNameInvalid);
    };
    {
        let mut crowd = crowd.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = crowd.entry(key.to_owned()).or_insert(0);
        if *waiting >= WAITING_OF_ONE {
            return ticket.settle(PubAckReason::QuotaExceeded);
        }
        *waiting += 1;
    }
    // One byte more than is read is enough to see that it is too long; the rest is not kept.
    let end = publish.payload.len().min(json::LONGEST + 1);
    let item = Item {
        key: key.to_owned(),
        payload: Bytes::copy_from_slice(&publish.payload[..end]),
        ticket,
    };
    if let Err(error) = to.try_send(item) {
        let item = error.into_inner();
        leave(crowd, &item.key);
        item.ticket.settle(PubAckReason::QuotaExceeded);
    }
}

/// It is not stored: nobody answers, and the device sends it again.
fn put_off(item: &Item, reason: &str) {
    tracing::warn!(
        device = item.key,
        reason,
        "what a device published is not stored yet"
    );
    item.ticket
        .settle(PubAckReason::ImplementationSpecificError);
}
