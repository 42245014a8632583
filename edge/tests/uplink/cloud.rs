//! An ingestor behind the broker: opens blocks, remembers them, and signs its word with a key of its own.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
};

use shared_protocol::{
    Ack, Answer, BlockHeader, BlockNumber, Body, Class, Digest, GatewayId, Hello, SigningKey,
    Stream, Verdict, VerifyingKey, block::SealedBlock, topic,
};

use crate::mqtt::Message;

/// What it says of a block: its number and how many times it has come; `None` is silence.
pub(crate) type Judge = Box<dyn Fn(&BlockNumber, usize) -> Option<Verdict> + Send + Sync>;

pub(crate) struct Cloud {
    pub(crate) key: SigningKey,
    gateway: GatewayId,
    gateway_key: VerifyingKey,
    judge: Mutex<Judge>,
    /// What time it is, in microseconds since 1970.
    time: fn() -> i64,
    seen: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    deliveries: HashMap<(BlockNumber, Digest), usize>,
    hellos: Vec<Hello>,
    headers: Vec<BlockHeader>,
    topics: Vec<(BlockNumber, String)>,
}

impl Cloud {
    /// One that has stored everything it hears.
    pub(crate) fn new(gateway: &GatewayId, gateway_key: VerifyingKey) -> Self {
        Self {
            key: SigningKey::from_seed([77; 32]),
            gateway: gateway.clone(),
            gateway_key,
            judge: Mutex::new(Box::new(|_, _| Some(Verdict::Stored))),
            time: || 0,
            seen: Mutex::default(),
        }
    }

    /// It has a clock.
    pub(crate) fn knowing(self, time: fn() -> i64) -> Self {
        Self { time, ..self }
    }

    pub(crate) fn judging(
        self,
        judge: impl Fn(&BlockNumber, usize) -> Option<Verdict> + Send + Sync + 'static,
    ) -> Self {
        *self.judge.lock().unwrap() = Box::new(judge);
        self
    }

    /// Where its word is published.
    pub(crate) fn topic(&self) -> String {
        topic::ack(&self.gateway)
    }

    /// Hears a message; returns what it says to it.
    pub(crate) fn hear(&self, message: &Message) -> Vec<Vec<u8>> {
        let mut seen = self.seen.lock().unwrap();
        if message.topic.ends_with("/hello") {
            let hello = Hello::open(&message.payload, &self.gateway_key).unwrap();
            seen.hellos.push(hello);
            return Vec::new();
        }
        let block = SealedBlock::open(&message.payload).unwrap();
        block.verify(&self.gateway_key).unwrap();
        let number = block.header.number;
        // What is left of live blocks goes with the bulk.
        let class = number.stream.class();
        let classes = [class, Class::Bulk];
        let classes = &classes[..if class == Class::Live { 2 } else { 1 }];
        let is_right = |class: &Class| message.topic == topic::up(&self.gateway, *class);
        assert!(
            classes.iter().any(is_right),
            "{number} on {}",
            message.topic
        );
        seen.topics.push((number, message.topic.clone()));
        let times = seen.deliveries.entry((number, block.digest)).or_default();
        *times += 1;
        let verdict = (self.judge.lock().unwrap())(&number, *times);
        seen.headers.push(block.header);
        verdict
            .map(|verdict| self.word(number, block.digest, verdict))
            .into_iter()
            .collect()
    }

    /// Its signed word on one content.
    pub(crate) fn word(&self, number: BlockNumber, digest: Digest, verdict: Verdict) -> Vec<u8> {
        self.ack(Answer {
            epoch: number.epoch,
            stream: number.stream,
            done: vec![],
            blocks: vec![(number.seq, digest, verdict)],
        })
        .seal(&self.key)
        .unwrap()
    }

    /// Its word, not signed yet.
    pub(crate) fn ack(&self, answer: Answer) -> Ack {
        Ack {
            gateway: self.gateway.clone(),
            time_us: (self.time)(),
            answers: vec![answer],
        }
    }

    /// The different blocks that have come.
    pub(crate) fn blocks(&self) -> HashSet<(BlockNumber, Digest)> {
        self.seen
            .lock()
            .unwrap()
            .deliveries
            .keys()
            .copied()
            .collect()
    }

    /// How often blocks of a stream have come.
    pub(crate) fn deliveries(&self, stream: Stream) -> usize {
        let seen = self.seen.lock().unwrap();
        let of_stream = seen
            .deliveries
            .iter()
            .filter(|((number, _), _)| number.stream == stream);
        of_stream.map(|(_, times)| times).sum()
    }

    /// The numbers of blocks that came on the topic of a class, in the order in which they came.
    pub(crate) fn on(&self, class: Class) -> Vec<BlockNumber> {
        let topic = topic::up(&self.gateway, class);
        let seen = self.seen.lock().unwrap();
        let on = seen.topics.iter().filter(|(_, other)| *other == topic);
        on.map(|(number, _)| *number).collect()
    }

    pub(crate) fn hellos(&self) -> Vec<Hello> {
        self.seen.lock().unwrap().hellos.clone()
    }

    /// The headers of all blocks, in the order in which they came.
    pub(crate) fn headers(&self) -> Vec<BlockHeader> {
        self.seen.lock().unwrap().headers.clone()
    }
}

/// The raw values of a block of samples.
pub(crate) fn values(payload: &[u8]) -> Vec<i64> {
    match SealedBlock::open(payload).unwrap().content().unwrap() {
        Body::Samples(samples) => samples.iter().map(|(_, _, raw)| raw).collect(),
        _ => Vec::new(),
    }
}

/// Number and digest of a block.
pub(crate) fn name(payload: &[u8]) -> (BlockNumber, Digest) {
    let block = SealedBlock::open(payload).unwrap();
    (block.header.number, block.digest)
}
