//! A client that publishes whatever it can, as fast as it can, while gateways go on with their work: the memory of the service
//! stays within its bound, and everybody's blocks are stored.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cloud_ingest::broker::Endpoint;
use platform::testing::{TestDatabase, on_each_database};
use rumqttc::{Event, Packet, PublishOptions};
use shared_protocol::{Class, GatewayId, Stream, envelope::MAX_ENVELOPE, topic};
use telemetry::read;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    external::{Mosquitto, mosquitto},
    gateway::{Gateway, connect},
    http::get,
    machine::{free_address, until},
    service::{EMBEDDED, Place, Service},
};

const GATEWAYS: usize = 5;
const BLOCKS: i64 = 3;
const WALL_US: i64 = 1_760_000_000_000_000;
const PATIENCE: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(60);
/// The longest that nearly all blocks of others may take while it lasts: far more than they do, far less than until they would come again twice.
const ANSWERED: Duration = Duration::from_secs(15);
/// Most memory of the service, in kB.
const MOST_KB: u64 = 300 * 1024;

/// What `scripts/mosquitto` says of queues.
const LIMITS: &str = "max_inflight_messages 4096\nmax_queued_messages 50000\nmax_queued_bytes 268435456\nqueue_qos0_messages false\n";

/// Resident memory of a process, in kB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches("kB").trim();
    number.parse().unwrap()
}

/// What one may throw at it: topic, payload.
fn missiles(loud: &mut Gateway, other: &GatewayId) -> Vec<(String, Vec<u8>)> {
    loud.columns();
    loud.noise(Stream::Live, 50_000);
    let big = loud.last_pending();
    let random = |length: usize| {
        (0..length)
            .map(|_| rand::random::<u8>())
            .collect::<Vec<u8>>()
    };
    let own = |class| topic::up(&loud.id, class);
    let mut broken = big.clone();
    broken[100] ^= 1;
    let mut missiles = vec![
        // Its own block, as often as it likes.
        (own(Class::Live), big.clone()),
        (own(Class::Bulk), big.clone()),
        // Something like it.
        (own(Class::Live), broken),
        (own(Class::Critical), random(MAX_ENVELOPE)),
        // Longer than any message may be.
        (own(Class::Live), random(2 * MAX_ENVELOPE - 1000)),
        (own(Class::Bulk), random(MAX_ENVELOPE + 1)),
        (own(Class::Critical), Vec::new()),
        (topic::hello(&loud.id), random(1000)),
        // As if it were another one.
        (topic::up(other, Class::Live), big),
        (topic::up(other, Class::Live), random(200_000)),
    ];
    for number in 0..100 {
        missiles.push((format!("patio/1/nobody-{number}/up/live"), random(10_000)));
    }
    missiles
}

/// Throws until it is told to stop; returns how many and how many bytes the broker has taken from it.
async fn throw(
    endpoint: Endpoint,
    missiles: Vec<(String, Vec<u8>)>,
    stop: Arc<AtomicBool>,
) -> (u64, u64) {
    let (count, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    while !stop.load(Ordering::Relaxed) {
        let Ok((client, mut events)) = connect(&endpoint, "loud-client").await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let sending = async {
            for (number, (topic, payload)) in missiles.iter().cycle().enumerate() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let options = if (number / missiles.len()).is_multiple_of(2) {
                    PublishOptions::at_least_once()
                } else {
                    PublishOptions::at_most_once()
                };
                let length = payload.len() as u64;
                if client
                    .publish(topic.clone(), payload.clone(), options)
                    .await
                    .is_err()
                {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(length, Ordering::Relaxed);
            }
        };
        let polling = async { while events.poll().await.is_ok() {} };
        // Whatever ends the connection, it comes back.
        tokio::select! {
            () = sending => {}
            () = polling => {}
        }
    }
    (count.into_inner(), bytes.into_inner())
}

/// Every gateway sends block after block; returns how long each took to be answered, ascending.
async fn work(
    service: &Service,
    gateways: Vec<Gateway>,
    round: i64,
) -> (Vec<Gateway>, Vec<Duration>) {
    let mut busy = JoinSet::new();
    for mut gateway in gateways {
        let endpoint = service.broker.clone();
        busy.spawn(async move {
            let mut took = Vec::new();
            for block in 0..BLOCKS {
                gateway.samples(
                    Stream::Live,
                    5,
                    WALL_US + (round * BLOCKS + block) * 5_000_000,
                );
                let begun = Instant::now();
                gateway.deliver(&endpoint, PATIENCE, WITHIN).await;
                took.push(begun.elapsed());
            }
            (gateway, took)
        });
    }
    let (mut gateways, mut took) = (Vec::new(), Vec::new());
    while let Some(done) = busy.join_next().await {
        let (gateway, of_one) = done.unwrap();
        gateways.push(gateway);
        took.extend(of_one);
    }
    took.sort_unstable();
    (gateways, took)
}

#[test]
fn a_hostile_flood_costs_the_service_no_memory_and_others_no_block() {
    on_each_database(async |database: TestDatabase| {
        // Who lets strangers in has a broker such as Mosquitto; the embedded one has its turn on plain PostgreSQL.
        let outside = mosquitto().filter(|_| database.label != "plain");
        let listen = free_address();
        let mqtt = match outside {
            Some(_) => format!("[mqtt]\nbroker = \"mqtt://{listen}\"\n"),
            None => EMBEDDED.to_owned(),
        };
        let place = Place::new(&database.url, &mqtt);
        let broker = match &outside {
            Some(program) => {
                Some(Mosquitto::start(program, place.folder.path(), listen, LIMITS).await)
            }
            None => None,
        };
        let service = place.serve();
        let mut gateways = Vec::new();
        for number in 0..GATEWAYS {
            let mut gateway = place.gateway(&format!("honest-{number}"));
            gateway.columns();
            gateway.deliver(&service.broker, PATIENCE, WITHIN).await;
            gateways.push(gateway);
        }
        let mut loud = place.gateway("loud");
        // So long the queue takes a new gateway for a stranger.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let (gateways, calm) = work(&service, gateways, 0).await;
        let missiles = missiles(&mut loud, &gateways[0].id);
        let stop = Arc::new(AtomicBool::new(false));
        let thrower = tokio::spawn(throw(service.broker.clone(), missiles, Arc::clone(&stop)));
        let (pid, watched) = (service.pid(), Arc::clone(&stop));
        let watch = tokio::spawn(async move {
            let mut most = 0;
            while !watched.load(Ordering::Relaxed) {
                most = resident(pid).max(most);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            most
        });
        let begun = Instant::now();
        let (mut gateways, mut flooded) = work(&service, gateways, 1).await;
        let mut rounds = 2;
        while begun.elapsed() < Duration::from_secs(4) {
            let (again, took) = work(&service, gateways, rounds).await;
            gateways = again;
            flooded.extend(took);
            rounds += 1;
        }
        let lasted = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        let (count, bytes) = timeout(WITHIN, thrower).await.unwrap().unwrap();
        let most = watch.await.unwrap();
        flooded.sort_unstable();
        let p99 = |took: &[Duration]| took[(took.len() * 99 / 100).min(took.len() - 1)];
        println!(
            "{}, {}: {count} messages, {} MB in {lasted:.1?}; at most {} MB resident; answers p50 {:.0?} p99 {:.0?}, without the flood \
             {:.0?} {:.0?}",
            database.label,
            if broker.is_some() {
                "Mosquitto"
            } else {
                "the embedded broker"
            },
            bytes >> 20,
            most >> 10,
            flooded[flooded.len() / 2],
            p99(&flooded),
            calm[calm.len() / 2],
            p99(&calm),
        );
        assert!(count > 100, "the flood was none: {count} messages");
        assert!(most <= MOST_KB, "{most} kB are resident");
        assert!(p99(&flooded) <= ANSWERED, "{flooded:?}");
        // All of it is there, once.
        let db = database.connect().await;
        let client = db.system().await.unwrap();
        let honest: Vec<String> = gateways
            .iter()
            .map(|gateway| gateway.id.to_string())
            .collect();
        let names: Vec<&str> = honest.iter().map(String::as_str).collect();
        let ledgers = read::ledger(&client, Some(&names)).await.unwrap();
        let samples: i64 = ledgers
            .iter()
            .filter(|ledger| ledger.stream == "live")
            .map(|ledger| ledger.samples)
            .sum();
        assert_eq!(samples, GATEWAYS as i64 * BLOCKS * rounds * 10);
        let instants: i64 = client
            .query_one(
                "SELECT count(DISTINCT (asset_id, time)) FROM telemetry.sample WHERE asset_id IN
                 (SELECT m.asset_id FROM platform.gateway_asset AS m JOIN platform.gateway AS g ON g.id = m.gateway_id WHERE g.name LIKE 'honest-%')",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(instants, GATEWAYS as i64 * BLOCKS * rounds * 5);
        service.stop();
        drop(broker);
    });
}

/// The embedded broker reads a client no faster than it may publish, loses nothing of it, and says who it is.
#[test]
fn who_publishes_too_fast_is_read_more_slowly_and_named() {
    const MESSAGES: u32 = 60;
    const PER_SECOND: u32 = 10;
    on_each_database(async |database: TestDatabase| {
        let mqtt = format!("{EMBEDDED}client_messages = {PER_SECOND}\n");
        let place = Place::new(&database.url, &mqtt);
        let service = place.serve();
        let mut quiet = place.gateway("quiet");
        let (client, mut events) = connect(&service.broker, "loud-client").await.unwrap();
        let begun = Instant::now();
        let loud = async {
            for _ in 0..MESSAGES {
                client
                    .try_publish("elsewhere", "x", PublishOptions::at_least_once())
                    .unwrap();
            }
            let mut taken = 0;
            while taken < MESSAGES {
                if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
                    taken += 1;
                }
            }
            begun.elapsed()
        };
        let others = async {
            quiet.columns();
            quiet.samples(Stream::Live, 5, WALL_US);
            quiet.deliver(&service.broker, PATIENCE, WITHIN).await;
        };
        let (took, ()) = tokio::join!(timeout(WITHIN, loud), others);
        // Twice a second's worth at once, the rest in its time.
        let least = Duration::from_secs(u64::from(MESSAGES / PER_SECOND - 2));
        let took = took.unwrap();
        assert!(took >= least.mul_f64(0.9), "{took:?}");
        until("it is counted", 60, || async {
            let metrics = get(&service.http, "/metrics").await.body;
            metrics
                .lines()
                .any(|line| line == "patio_broker_slowed_total 1")
        })
        .await;
        let log = service.stop();
        let named: Vec<_> = log
            .lines()
            .filter(|line| line.contains("it is read more slowly"))
            .collect();
        assert!(!named.is_empty(), "{log}");
        assert!(
            named.iter().all(|line| line.contains("loud-client")),
            "{named:?}"
        );
    });
}
