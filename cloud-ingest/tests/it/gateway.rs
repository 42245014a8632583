//! A gateway that does what the protocol asks and no more: seals blocks, sends them until they are acknowledged by the
//! cloud's signature, and forgets them then.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cloud_ingest::broker::Endpoint;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use shared_protocol::{
    Ack, Block, BlockHeader, BlockNumber, Body, Class, Column, Decimal, Digest, Encoding, Epoch,
    GatewayId, Hello, Record, SampleBody, SignalDef, SignalId, SignalRef, SigningKey, Source,
    Stream, StreamState, Verdict, VerifyingKey, topic,
};
use tokio::time::timeout;

/// A connection that the broker has accepted.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    name: &str,
) -> Result<(AsyncClient, EventLoop), String> {
    let address = &endpoint.address;
    let mut options = MqttOptions::new(name, (address.host.clone(), address.port));
    options
        .set_keep_alive(10)
        .set_max_packet_size(Some(4 << 20));
    let (client, mut events) = AsyncClient::builder(options).capacity(1000).build();
    let accepted = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    timeout(Duration::from_secs(5), accepted)
        .await
        .map_err(|e| e.to_string())??;
    Ok((client, events))
}

/// Most blocks that are on their way: who sends faster than is stored only fills queues.
const MOST_IN_FLIGHT: usize = 200;

/// A block that has not been acknowledged.
struct Pending {
    class: Class,
    digest: Digest,
    bytes: Vec<u8>,
    sent: Option<Instant>,
}

/// A gateway.
pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    pub(crate) key: SigningKey,
    cloud: VerifyingKey,
    epoch: Epoch,
    next: BTreeMap<Stream, u64>,
    pending: BTreeMap<(Stream, u64), Pending>,
    /// The verdicts it was told.
    pub(crate) verdicts: Vec<(Stream, u64, Verdict)>,
    /// How often it sent a block.
    pub(crate) sent: usize,
}

impl Gateway {
    pub(crate) fn new(name: &str, cloud: VerifyingKey) -> Self {
        Self {
            id: name.parse().unwrap(),
            key: SigningKey::generate().unwrap(),
            cloud,
            epoch: Epoch {
                counter: 1,
                nonce: rand::random(),
            },
            next: BTreeMap::new(),
            pending: BTreeMap::new(),
            verdicts: Vec::new(),
            sent: 0,
        }
    }

    fn seal(&mut self, stream: Stream, body: Body, wall_us: i64) {
        let next = self.next.entry(stream).or_default();
        let seq = *next;
        *next += 1;
        let header = BlockHeader {
            gateway: self.id.clone(),
            number: BlockNumber {
                epoch: self.epoch,
                stream,
                seq,
            },
            boot: 7,
            wall_offset_us: Some(wall_us),
            samples: body.len() as u32,
            thinned: 0,
            columns: 2,
        };
        let bytes = Block { header, body }.seal(&self.key).unwrap();
        let pending = Pending {
            class: stream.class(),
            digest: Digest::of(&bytes),
            bytes,
            sent: None,
        };
        self.pending.insert((stream, seq), pending);
    }

    /// Two columns of the asset `car-1`: a signal of the catalogue in tenths, and one of its own.
    pub(crate) fn columns(&mut self) {
        let column = |signal, scale: &str| Column {
            asset: "car-1".parse().unwrap(),
            source: Source::Can,
            def: SignalDef {
                signal,
                encoding: Encoding::Scaled {
                    scale: scale.parse().unwrap(),
                    offset: Decimal::ZERO,
                },
            },
        };
        let columns = vec![
            column(SignalRef::Catalogue(SignalId(1)), "0.1"),
            column(
                SignalRef::Named {
                    name: "VCU.Mood".to_owned(),
                    unit: String::new(),
                },
                "1",
            ),
        ];
        let body = Body::Columns { first: 0, columns };
        self.seal(Stream::Columns, body, 0);
    }

    /// A block of so many instants, a second apart, that begins at this wall time.
    pub(crate) fn samples(&mut self, stream: Stream, count: i64, wall_us: i64) {
        let samples =
            (0..count).flat_map(|i| [(0, i * 1_000_000, 500 + i % 300), (1, i * 1_000_000, i)]);
        let body = Body::Samples(SampleBody::from_samples(samples));
        self.seal(stream, body, wall_us);
    }

    /// A block that no compression makes shorter than about 8 bytes times `count`.
    pub(crate) fn noise(&mut self, stream: Stream, count: i64) {
        let samples = (0..count).map(|i| (0, i * 1_000_000, rand::random::<i64>()));
        let body = Body::Samples(SampleBody::from_samples(samples));
        self.seal(stream, body, 0);
    }

    /// A block of records about the asset `charger-1`, received at this wall time: kind and payload of each.
    pub(crate) fn records(&mut self, records: &[(&str, serde_json::Value)], wall_us: i64) {
        let record = |(kind, payload): &(&str, serde_json::Value)| Record {
            time_us: 0,
            asset: Some("charger-1".parse().unwrap()),
            kind: (*kind).to_owned(),
            payload: payload.to_string(),
        };
        let body = Body::Records(records.iter().map(record).collect());
        self.seal(Stream::Transactions, body, wall_us);
    }

    /// The bytes of the last block of its last stream that is not acknowledged.
    pub(crate) fn last_pending(&self) -> Vec<u8> {
        let (_, pending) = self.pending.iter().next_back().unwrap();
        pending.bytes.clone()
    }

    /// How many blocks with samples have been acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        let made: u64 = self
            .next
            .iter()
            .filter(|(stream, _)| **stream != Stream::Columns)
            .map(|(_, next)| next)
            .sum();
        let left = self
            .pending
            .keys()
            .filter(|(stream, _)| *stream != Stream::Columns)
            .count();
        made as usize - left
    }

    /// Delivers for a while, whatever becomes of it.
    pub(crate) async fn deliver_some(&mut self, endpoint: &Endpoint, during: Duration) {
        let deadline = Instant::now() + during;
        // The broker may be killed on the way.
        let _ = timeout(
            during * 2,
            self.session(endpoint, Duration::from_secs(1), deadline),
        )
        .await;
    }

    /// How many blocks have not been acknowledged.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Sends what is pending, and again what is not acknowledged within `patience`, over as many connections as it
    /// takes, until nothing is pending.
    pub(crate) async fn deliver(
        &mut self,
        endpoint: &Endpoint,
        patience: Duration,
        within: Duration,
    ) {
        let deadline = Instant::now() + within;
        while self.pending() > 0 {
            assert!(
                Instant::now() < deadline,
                "{}: {} pending",
                self.id,
                self.pending()
            );
            if self.session(endpoint, patience, deadline).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn session(
        &mut self,
        endpoint: &Endpoint,
        patience: Duration,
        deadline: Instant,
    ) -> Result<(), String> {
        let (client, mut events) = connect(endpoint, self.id.as_str()).await?;
        client
            .try_subscribe(topic::ack(&self.id), QoS::AtLeastOnce)
            .map_err(|e| e.to_string())?;
        for pending in self.pending.values_mut() {
            pending.sent = None;
        }
        let mut ready = false;
        while self.pending() > 0 && Instant::now() < deadline {
            if ready {
                self.publish(&client, patience);
            }
            let Ok(event) = timeout(Duration::from_millis(20), events.poll()).await else {
                continue;
            };
            match event.map_err(|e| e.to_string())? {
                Event::Incoming(Packet::SubAck(_)) => ready = true,
                Event::Incoming(Packet::Publish(publish)) => self.learn(&publish.payload),
                _ => {}
            }
        }
        let _ = client.try_disconnect();
        let _ = timeout(Duration::from_millis(200), async {
            while events.poll().await.is_ok() {}
        })
        .await;
        Ok(())
    }

    fn publish(&mut self, client: &AsyncClient, patience: Duration) {
        let waits = |pending: &Pending| pending.sent.is_some_and(|sent| sent.elapsed() <= patience);
        let waiting = self.pending.values().filter(|one| waits(one)).count();
        let due = self.pending.values_mut().filter(|one| !waits(one));
        for pending in due.take(MOST_IN_FLIGHT.saturating_sub(waiting)) {
            let to = topic::up(&self.id, pending.class);
            let options = PublishOptions::at_least_once();
            if client
                .try_publish(to, pending.bytes.clone(), options)
                .is_err()
            {
                return;
            }
            pending.sent = Some(Instant::now());
            self.sent += 1;
        }
    }

    /// What the cloud says; only a verdict on this number and this content counts.
    fn learn(&mut self, payload: &[u8]) {
        let ack = Ack::open(payload, &self.cloud, &self.id).expect("the cloud's signature");
        for answer in &ack.answers {
            assert_eq!(answer.epoch, self.epoch);
            for (seq, digest, verdict) in &answer.blocks {
                let key = (answer.stream, *seq);
                self.verdicts.push((key.0, key.1, verdict.clone()));
                let meant = self
                    .pending
                    .get(&key)
                    .is_some_and(|pending| pending.digest == *digest);
                match verdict {
                    Verdict::Stored | Verdict::Quarantined(_) if meant => {
                        self.pending.remove(&key);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Its first word, and the cloud's answer.
    pub(crate) async fn hello(&self, endpoint: &Endpoint) -> Ack {
        let streams = self.next.iter().map(|(&stream, &next)| StreamState {
            epoch: self.epoch,
            stream,
            first: 0,
            next,
        });
        let hello = Hello {
            gateway: self.id.clone(),
            version: "test".to_owned(),
            streams: streams.collect(),
        };
        let (client, mut events) = connect(endpoint, self.id.as_str()).await.unwrap();
        client
            .try_subscribe(topic::ack(&self.id), QoS::AtLeastOnce)
            .unwrap();
        let answered = async {
            loop {
                match events.poll().await.unwrap() {
                    Event::Incoming(Packet::SubAck(_)) => {
                        let payload = hello.seal(&self.key).unwrap();
                        let options = PublishOptions::at_least_once();
                        client
                            .try_publish(topic::hello(&self.id), payload, options)
                            .unwrap();
                    }
                    Event::Incoming(Packet::Publish(publish)) => {
                        return Ack::open(&publish.payload, &self.cloud, &self.id).unwrap();
                    }
                    _ => {}
                }
            }
        };
        timeout(Duration::from_secs(10), answered).await.unwrap()
    }
}

/// Publishes raw bytes and waits until the broker has taken them.
pub(crate) async fn publish_raw(endpoint: &Endpoint, messages: &[(String, Vec<u8>)]) {
    let (client, mut events) = connect(endpoint, "stranger").await.unwrap();
    for (topic, payload) in messages {
        client
            .try_publish(
                topic.clone(),
                payload.clone(),
                PublishOptions::at_least_once(),
            )
            .unwrap();
    }
    let mut taken = 0;
    while taken < messages.len() {
        let event = timeout(Duration::from_secs(5), events.poll())
            .await
            .unwrap()
            .unwrap();
        if matches!(event, Event::Incoming(Packet::PubAck(_))) {
            taken += 1;
        }
    }
}
