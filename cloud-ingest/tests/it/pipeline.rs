//! The pipeline between a real broker and a store that does what a test wants.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cloud_ingest::{
    broker::{Endpoint, supervisor::Running},
    config,
    ingest::{
        Parts, Pipeline,
        store::{Delivery, Done, Greeting, Store},
    },
    status::Status,
};
use shared_protocol::{
    Ack, Answer, Digest, GatewayId, Hello, SigningKey, Stream, Verdict, block::SealedBlock,
};

use crate::{
    broker::supervisor,
    gateway::{Gateway, publish_raw},
    machine::{broker_pid, free_address, signal, until},
};

/// A store in memory: believes everybody, keeps each block once.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Arc<Inside>);

#[derive(Default)]
pub(crate) struct Inside {
    /// Digest of each block's number.
    blocks: Mutex<HashMap<(GatewayId, String), Digest>>,
    /// In which order gateways' blocks came.
    order: Mutex<Vec<GatewayId>>,
    /// Payloads that are no blocks.
    junk: AtomicUsize,
    /// Whose blocks are being written.
    writing: Mutex<HashSet<GatewayId>>,
    pub(crate) away: AtomicBool,
    slow: AtomicBool,
    /// Blocks of this gateway are never stored.
    pub(crate) never: Mutex<Option<GatewayId>>,
}

impl Memory {
    pub(crate) fn count(&self) -> usize {
        self.0.blocks.lock().unwrap().len()
    }

    fn put(&self, delivery: &Delivery) -> (bool, Option<Ack>) {
        let Ok(block) = SealedBlock::open(&delivery.payload) else {
            self.0.junk.fetch_add(1, Ordering::Relaxed);
            return (true, None);
        };
        let (gateway, number) = (block.header.gateway.clone(), block.header.number);
        if self.0.never.lock().unwrap().as_ref() == Some(&gateway) {
            return (false, None);
        }
        self.0.order.lock().unwrap().push(gateway.clone());
        let key = (gateway.clone(), number.to_string());
        self.0.blocks.lock().unwrap().insert(key, block.digest);
        let answer = Answer {
            epoch: number.epoch,
            stream: number.stream,
            done: vec![(number.seq, number.seq)],
            blocks: vec![(number.seq, block.digest, Verdict::Stored)],
        };
        let ack = Ack {
            gateway,
            time_us: 0,
            answers: vec![answer],
        };
        (true, Some(ack))
    }
}

impl Store for Memory {
    async fn ingest(&self, deliveries: Vec<Delivery>) -> Done {
        let mut mine = HashSet::new();
        for delivery in &deliveries {
            if let Ok(block) = SealedBlock::open(&delivery.payload) {
                mine.insert(block.header.gateway);
            }
        }
        let fresh = |gateway: &GatewayId| self.0.writing.lock().unwrap().insert(gateway.clone());
        assert!(
            mine.iter().all(fresh),
            "a gateway's blocks are in two transactions"
        );
        if self.0.slow.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let mut done = Done::default();
        for delivery in &deliveries {
            let (settled, answer) = if self.0.away.load(Ordering::Relaxed) {
                (false, None)
            } else {
                self.put(delivery)
            };
            done.settled.push(settled);
            done.answers.extend(answer);
        }
        self.0
            .writing
            .lock()
            .unwrap()
            .retain(|gateway| !mine.contains(gateway));
        done
    }

    async fn hello(&self, payload: &[u8]) -> Greeting {
        if self.0.away.load(Ordering::Relaxed) {
            return Greeting::Later;
        }
        match Hello::claimed_gateway(payload) {
            Ok(gateway) => Greeting::Answer(Ack {
                gateway,
                time_us: 42,
                answers: Vec::new(),
            }),
            Err(error) => Greeting::Ignored(error.to_string()),
        }
    }

    async fn alive(&self) -> bool {
        !self.0.away.load(Ordering::Relaxed)
    }
}

/// A broker, a pipeline and a store.
struct House {
    listen: SocketAddr,
    endpoint: Endpoint,
    store: Memory,
    status: Arc<Status>,
    key: SigningKey,
    pipeline: Pipeline,
    broker: Running,
}

pub(crate) fn ingest_config() -> config::Ingest {
    config::Ingest {
        batch: 64,
        batch_wait: Duration::from_millis(5),
        workers: 2,
        queue: 16 << 20,
        queue_per_gateway: 4 << 20,
    }
}

async fn house(config: config::Ingest) -> House {
    let listen = free_address();
    let (status, store) = (Arc::new(Status::default()), Memory::default());
    let broker = supervisor(listen, &status).start().await.unwrap();
    let key = SigningKey::generate().unwrap();
    let endpoint = Endpoint::local(listen);
    let pipeline = Pipeline::start(Parts {
        store: store.clone(),
        endpoint: endpoint.clone(),
        shared_group: None,
        signing: key.clone(),
        config,
        status: Arc::clone(&status),
    });
    until("all connections", 10, || async { status.connected(4) }).await;
    House {
        listen,
        endpoint,
        store,
        status,
        key,
        pipeline,
        broker,
    }
}

impl House {
    fn gateway(&self, name: &str) -> Gateway {
        Gateway::new(name, self.key.verifying_key())
    }

    async fn close(self) {
        let begun = Instant::now();
        self.pipeline.stop(Duration::from_secs(5)).await;
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "stopping takes {:?}",
            begun.elapsed()
        );
        self.broker.stop().await;
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_every_class_are_stored_and_answered() {
    let house = house(ingest_config()).await;
    let mut gateway = house.gateway("depot-1");
    gateway.columns();
    for stream in [
        Stream::Critical,
        Stream::Live,
        Stream::Bulk,
        Stream::Transactions,
    ] {
        for _ in 0..100 {
            gateway.samples(stream, 5, 0);
        }
    }
    gateway.deliver(&house.endpoint, PATIENCE, WITHIN).await;
    assert_eq!(house.store.count(), 401);
    assert_eq!(gateway.sent, 401, "nothing had to be sent twice");
    assert_eq!(gateway.hello(&house.endpoint).await.time_us, 42);
    assert!(house.status.commit_age().unwrap() < Duration::from_secs(10));
    house.close().await;
}

/// The broker is killed again and again in the middle of traffic; what was not acknowledged is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn no_block_is_lost_with_the_broker() {
    let house = house(ingest_config()).await;
    let mut gateways: Vec<Gateway> = (0..3)
        .map(|n| house.gateway(&format!("depot-{n}")))
        .collect();
    for gateway in &mut gateways {
        for n in 0..1000 {
            gateway.samples(
                if n % 2 == 0 {
                    Stream::Live
                } else {
                    Stream::Bulk
                },
                20,
                0,
            );
        }
    }
    house.store.0.slow.store(true, Ordering::Relaxed);
    let killer = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            if let Some(pid) = broker_pid(house.listen) {
                signal(pid, "KILL");
            }
        }
    };
    let patience = Duration::from_secs(1);
    let delivered = futures::future::join_all(
        gateways
            .iter_mut()
            .map(|gateway| gateway.deliver(&house.endpoint, patience, WITHIN)),
    );
    tokio::join!(killer, delivered);
    assert_eq!(house.store.count(), 3000);
    let sent: usize = gateways.iter().map(|gateway| gateway.sent).sum();
    assert!(sent > 3000, "the broker was killed in the middle");
    until("the connections are back", 20, || async {
        house.status.broker_fault().is_none()
    })
    .await;
    house.close().await;
}

/// While the database is away nothing is acknowledged and memory stays bounded; when it is back all of it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_costs_nothing_but_time() {
    let mut config = ingest_config();
    config.queue = 4 << 20;
    config.queue_per_gateway = 3 << 20;
    let house = house(config).await;
    house.store.0.away.store(true, Ordering::Relaxed);
    let mut gateways: Vec<Gateway> = (0..3)
        .map(|n| house.gateway(&format!("depot-{n}")))
        .collect();
    for gateway in &mut gateways {
        // Over the bound of a gateway, and all together far over the bound of all.
        for n in 0..40 {
            gateway.noise(
                if n % 2 == 0 {
                    Stream::Live
                } else {
                    Stream::Bulk
                },
                15_000,
            );
        }
    }
    let watcher = async {
        let (begun, mut closed) = (Instant::now(), false);
        while begun.elapsed() < Duration::from_secs(9) {
            assert!(
                house.status.waiting_bytes() <= 4 << 20,
                "{}",
                house.status.waiting_bytes()
            );
            house.status.tick();
            closed |= house
                .status
                .broker_fault()
                .is_some_and(|fault| fault.contains("no room in memory"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(closed, "reading stopped");
        assert_eq!(house.store.count(), 0);
        assert!(house.status.waiting_bytes() > 3 << 20);
        house.store.0.away.store(false, Ordering::Relaxed);
    };
    let delivered = futures::future::join_all(
        gateways
            .iter_mut()
            .map(|gateway| gateway.deliver(&house.endpoint, PATIENCE, WITHIN)),
    );
    tokio::join!(watcher, delivered);
    assert_eq!(house.store.count(), 120);
    until("nothing waits", 5, || async {
        house.status.waiting_bytes() == 0
    })
    .await;
    house.close().await;
}

/// A gateway over its bound is put off, and the others are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_over_its_bound_is_put_off() {
    let mut config = ingest_config();
    config.queue_per_gateway = 3 << 20;
    let house = house(config).await;
    house.store.0.away.store(true, Ordering::Relaxed);
    let (mut greedy, mut modest) = (house.gateway("greedy"), house.gateway("modest"));
    for _ in 0..60 {
        greedy.noise(Stream::Live, 15_000);
    }
    modest.noise(Stream::Live, 15_000);
    let endpoint = house.endpoint.clone();
    let modest_first = async {
        until("the greedy one is put off", 10, || async {
            house.status.waiting_bytes() > 2 << 20
        })
        .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(
            house.status.waiting_bytes() < 4 << 20,
            "{}",
            house.status.waiting_bytes()
        );
        house.store.0.away.store(false, Ordering::Relaxed);
        modest
            .deliver(&endpoint, Duration::from_secs(20), Duration::from_secs(10))
            .await;
    };
    tokio::join!(greedy.deliver(&endpoint, PATIENCE, WITHIN), modest_first);
    assert_eq!(house.store.count(), 61);
    assert!(greedy.sent > 60, "some had to be sent again");
    assert_eq!(house.status.broker_fault(), None);
    house.close().await;
}

/// What is never stored delays nobody: the others' blocks on the same connection go on, and so does it when it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_not_stored_does_not_hold_up_the_next() {
    let house = house(ingest_config()).await;
    let (mut stuck, mut other) = (house.gateway("stuck"), house.gateway("other"));
    *house.store.0.never.lock().unwrap() = Some(stuck.id.clone());
    for _ in 0..150 {
        stuck.samples(Stream::Live, 3, 0);
        other.samples(Stream::Live, 3, 0);
    }
    let endpoint = house.endpoint.clone();
    let rest = async {
        other
            .deliver(&endpoint, PATIENCE, Duration::from_secs(20))
            .await;
        assert_eq!(house.store.count(), 150);
        *house.store.0.never.lock().unwrap() = None;
    };
    tokio::join!(stuck.deliver(&endpoint, PATIENCE, WITHIN), rest);
    assert_eq!(house.store.count(), 300);
    house.close().await;
}

/// Junk of every size reaches the store, which keeps it, and good blocks pass.
#[tokio::test(flavor = "multi_thread")]
async fn junk_delays_nobody() {
    let house = house(ingest_config()).await;
    let mut gateway = house.gateway("depot-1");
    gateway.samples(Stream::Live, 3, 0);
    gateway.deliver(&house.endpoint, PATIENCE, WITHIN).await;
    let live = "patio/1/depot-1/up/live".to_owned();
    let junk = vec![
        (live.clone(), Vec::new()),
        (live.clone(), b"{\"soc\": 80}".to_vec()),
        (live.clone(), vec![7; 600 * 1024]),
        (live, vec![7; 1 << 20]),
        ("patio/1/No Body/up/bulk".to_owned(), vec![1; 100]),
        ("patio/1/ñ/up/bulk".to_owned(), vec![2; 100]),
    ];
    publish_raw(&house.endpoint, &junk).await;
    gateway.samples(Stream::Live, 3, 0);
    gateway
        .deliver(&house.endpoint, PATIENCE, Duration::from_secs(10))
        .await;
    until("all junk is kept", 5, || async {
        house.store.0.junk.load(Ordering::Relaxed) == junk.len()
    })
    .await;
    assert_eq!((house.store.count(), gateway.sent), (2, 2));
    house.close().await;
}

/// A gateway with an hour of backlog does not make another one's live block wait for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_does_not_drown_the_others() {
    let mut config = ingest_config();
    config.batch = 10;
    config.workers = 1;
    let house = house(config).await;
    house.store.0.slow.store(true, Ordering::Relaxed);
    let (mut flood, mut calm) = (house.gateway("flood"), house.gateway("calm"));
    for _ in 0..1000 {
        flood.samples(Stream::Bulk, 10, 0);
    }
    for _ in 0..20 {
        calm.samples(Stream::Live, 10, 0);
    }
    let endpoint = house.endpoint.clone();
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        calm.deliver(&endpoint, PATIENCE, WITHIN).await;
        begun.elapsed()
    };
    let (took, ()) = tokio::join!(
        later,
        flood.deliver(&endpoint, Duration::from_secs(20), WITHIN)
    );
    assert!(
        took < Duration::from_secs(1),
        "the calm one waited {took:?}"
    );
    let order = house.store.0.order.lock().unwrap().clone();
    let last_calm = order
        .iter()
        .rposition(|gateway| *gateway == calm.id)
        .unwrap();
    assert!(
        last_calm < order.len() / 2,
        "{last_calm} of {}",
        order.len()
    );
    house.close().await;
}
