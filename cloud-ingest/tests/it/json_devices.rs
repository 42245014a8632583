//! Devices that speak JSON: killed services, resends, other packings, and what is no message.

use std::time::{Duration, Instant};

use cloud_ingest::{broker::Endpoint, rooms};
use devices::{Digest, Kind, Record, Register, Sink, Stored, json};
use jiff::{Timestamp, ToSpan as _};
use platform::{
    Clock,
    testing::{TestDatabase, budget, on_each_database},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rumqttc::{AsyncClient, Event, EventLoop, Packet, PublishOptions, QoS};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    external::{Mosquitto, mosquitto},
    gateway::connect,
    machine::{free_address, signal, until},
    service::{Place, Service},
};

const DEVICES: usize = 3;
const RECORDS: usize = 60;
/// How long an answer is waited for before the same is sent again.
const PATIENCE: Duration = Duration::from_secs(3);
/// 2026-01-01.
const BEGIN_MS: i64 = 1_767_225_600_000;

fn key(device: usize) -> String {
    format!("van-{device}")
}

/// Every record has an odometer of its own, by which it is found again.
fn record(device: usize, at: usize, random: &mut StdRng) -> Value {
    let ms = BEGIN_MS + 1000 * at as i64;
    let time = if random.random_bool(0.5) {
        json!(ms)
    } else {
        json!(Timestamp::from_millisecond(ms).unwrap().to_string())
    };
    let odometer = json!(1000 * device + at);
    let signals = if random.random_bool(0.5) {
        json!({"odometer": odometer, "what": 1})
    } else {
        json!({"what": 1, "odometer": odometer})
    };
    json!({"time": time, "signals": signals})
}

struct Line {
    client: AsyncClient,
    events: EventLoop,
    key: String,
}

impl Line {
    async fn dial(endpoint: &Endpoint, key: &str) -> Result<Self, String> {
        let (client, mut events) = connect(endpoint, key).await?;
        client
            .subscribe(json::answer_topic(key), QoS::AtLeastOnce)
            .await
            .map_err(|error| error.to_string())?;
        let granted = async {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::SubAck(_))) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        timeout(PATIENCE, granted)
            .await
            .map_err(|error| error.to_string())??;
        let key = key.to_owned();
        Ok(Self {
            client,
            events,
            key,
        })
    }

    async fn publish(&self, payload: impl Into<Vec<u8>>) -> Result<(), String> {
        let topic = json::topic(&self.key);
        let options = PublishOptions::at_least_once();
        let sent = self.client.publish(topic, payload.into(), options).await;
        sent.map_err(|error| error.to_string())
    }

    /// Publishes, and waits until the broker has it.
    async fn hand_over(&mut self, payload: impl Into<Vec<u8>>) {
        self.publish(payload).await.unwrap();
        let taken = async {
            while !matches!(
                self.events.poll().await.unwrap(),
                Event::Incoming(Packet::PubAck(_))
            ) {}
        };
        timeout(Duration::from_secs(15), taken).await.unwrap();
    }

    /// The next answer.
    async fn answer(&mut self) -> Result<Value, String> {
        let heard = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        return serde_json::from_slice(&publish.payload)
                            .map_err(|error| error.to_string());
                    }
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        timeout(PATIENCE, heard)
            .await
            .map_err(|error| error.to_string())?
    }
}

/// Sends from the beginning of the rest until something goes wrong; returns how many records were answered.
async fn session(
    endpoint: &Endpoint,
    device: usize,
    mut done: usize,
    random: &mut StdRng,
) -> usize {
    let Ok(mut line) = Line::dial(endpoint, &key(device)).await else {
        return done;
    };
    while done < RECORDS {
        let count = random.random_range(1..=(RECORDS - done).min(7));
        // What was answered before may come again, too.
        let first = done - random.random_range(0..=done.min(2));
        let records: Vec<Value> = (first..done + count)
            .map(|at| record(device, at, random))
            .collect();
        let id = format!("{}", random.random::<u64>());
        let message = json!({"id": id, "records": records}).to_string();
        for _ in 0..random.random_range(1..3) {
            if line.publish(message.clone()).await.is_err() {
                return done;
            }
        }
        loop {
            match line.answer().await {
                Ok(answer) if answer["id"] == json!(id) => break,
                // Of what was sent twice.
                Ok(_) => {}
                Err(_) => return done,
            }
        }
        done += count;
        if random.random_bool(0.1) {
            return done;
        }
    }
    done
}

async fn drain(endpoint: Endpoint, device: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut done = 0;
    while done < RECORDS {
        done = session(&endpoint, device, done, &mut random).await;
        sleep(Duration::from_millis(50)).await;
    }
}

fn place(database: &TestDatabase) -> Place {
    let listen = free_address();
    Place::new(
        &database.url,
        &format!("[mqtt]\nlisten = \"{listen}\"\n[json]\nenabled = true\n"),
    )
}

fn restarted(place: &Place, service: Service) -> Service {
    signal(service.pid(), "KILL");
    drop(service);
    place.serve()
}

#[test]
fn each_record_is_stored_once_whatever_is_killed() {
    let fixed = std::env::var("PATIO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    on_each_database(move |database: TestDatabase| async move {
        let begun = Instant::now();
        let place = place(&database);
        let mut service = place.serve();
        for device in 0..DEVICES {
            place.run(&["device", "add", "--kind", "json", &key(device)]);
        }
        let db = database.connect().await;
        let (mut seeds, mut kills) = (0, 0);
        while seeds == 0 || begun.elapsed() < budget() / 2 {
            let seed: u64 = fixed.unwrap_or_else(rand::random);
            let mut random = StdRng::seed_from_u64(seed);
            let devices: Vec<_> = (0..DEVICES)
                .map(|device| tokio::spawn(drain(service.broker.clone(), device, random.random())))
                .collect();
            while !devices.iter().all(tokio::task::JoinHandle::is_finished)
                && kills < 2 * (seeds + 1)
            {
                sleep(Duration::from_millis(random.random_range(100..1000))).await;
                service = restarted(&place, service);
                kills += 1;
            }
            for device in devices {
                let drained = timeout(Duration::from_secs(120), device).await;
                assert!(
                    drained.is_ok_and(|ended| ended.is_ok()),
                    "a device is not rid of its records: PATIO_SEED={seed}"
                );
            }
            let client = db.system().await.unwrap();
            let sql = "SELECT d.key, s.time, s.odometer::bigint AS steps FROM telemetry.sample AS s
                       JOIN devices.device AS d ON d.asset_id = s.asset_id WHERE s.odometer IS NOT NULL";
            let signal = shared_protocol::catalogue()
                .by_name("Vehicle.TraveledDistance")
                .unwrap();
            let sql = sql.replace("s.odometer", &format!("s.\"{}\"", signal.column));
            let rows = client.query(&sql, &[]).await.unwrap();
            let mut found: Vec<(String, i64, i64)> = rows
                .iter()
                .map(|row| {
                    let time: Timestamp = row.get("time");
                    (row.get("key"), time.as_millisecond(), row.get("steps"))
                })
                .collect();
            found.sort_unstable();
            let truth = (0..DEVICES).flat_map(|device| {
                (0..RECORDS).map(move |at| {
                    let km = shared_protocol::Decimal::new((1000 * device + at) as i64, 0).unwrap();
                    let steps = (km.to_f64() / signal.resolution.to_f64()).round() as i64;
                    (key(device), BEGIN_MS + 1000 * at as i64, steps)
                })
            });
            let mut truth: Vec<_> = truth.collect();
            truth.sort_unstable();
            assert_eq!(found, truth, "PATIO_SEED={seed}");
            client
                .batch_execute("DELETE FROM telemetry.sample; DELETE FROM telemetry.taken; UPDATE devices.device SET records = 0")
                .await
                .unwrap();
            seeds += 1;
        }
        println!("{seeds} seeds, {kills} kills on {}", database.label);
        let listed = place.run(&["device", "list"]);
        assert!(listed.contains("what × unmapped"), "{listed}");
        service.stop();
    });
}

#[test]
fn what_is_no_message_is_answered_kept_and_delays_nobody() {
    on_each_database(async |database: TestDatabase| {
        let place = place(&database);
        let service = place.serve();
        place.run(&["device", "add", "--kind", "json", "good"]);
        place.run(&["device", "add", "--kind", "json", "bad"]);
        let mut good = Line::dial(&service.broker, "good").await.unwrap();
        let mut bad = Line::dial(&service.broker, "bad").await.unwrap();
        let db = database.connect().await;
        let client = db.system().await.unwrap();
        let deep = "[".repeat(5000);
        let cases: [(Vec<u8>, &str); 6] = [
            (b"\xFF\x00 nothing".to_vec(), "it is no JSON"),
            (Vec::new(), "it is no JSON"),
            (deep.into_bytes(), "recursion limit"),
            (vec![b' '; json::LONGEST + 1], "at most 65536 are read"),
            (
                br#"{"id": "7", "records": [{"time": 1}]}"#.to_vec(),
                "records[0].signals: expected 1 to 200",
            ),
            (
                br#"{"time": "yesterday", "signals": {"soc": 1}}"#.to_vec(),
                "records[0].time: expected",
            ),
        ];
        for (number, (payload, reason)) in cases.iter().enumerate() {
            // Twice: it is kept once.
            for _ in 0..2 {
                bad.publish(payload.clone()).await.unwrap();
                let answer = bad.answer().await.unwrap();
                assert!(
                    answer["error"]
                        .as_str()
                        .is_some_and(|error| error.contains(reason)),
                    "{answer}"
                );
                assert_eq!(answer["records"], 0);
            }
            let kept: i64 = client
                .query_one(
                    "SELECT count(*) FROM devices.refused WHERE reason = 'unreadable'",
                    &[],
                )
                .await
                .unwrap()
                .get(0);
            assert_eq!(kept as usize, number + 1);
        }
        // Somebody whom nobody knows, and topics that are none, are not answered and do no harm.
        let stranger = Line::dial(&service.broker, "stranger").await.unwrap();
        stranger.publish("{}").await.unwrap();
        good.publish(r#"{"id": "a", "records": [{"time": 1767225600000, "signals": {"soc": {"value": 50, "unit": "percent"}}}]}"#)
            .await
            .unwrap();
        assert_eq!(
            good.answer().await.unwrap(),
            json!({"id": "a", "records": 1})
        );
        until("the value is shown", 15, || async {
            let latest = service.get("/v1/devices").await;
            latest.body.contains("\"good\"")
        })
        .await;
        service.stop();
    });
}

/// A device says everything once: what had not been committed when the service was killed, and what came while it was away, an
/// external broker gives to the next one.
#[test]
fn a_broker_keeps_what_is_not_committed() {
    let Some(program) = mosquitto() else {
        eprintln!("skipped: no mosquitto");
        return;
    };
    on_each_database(move |database: TestDatabase| {
        let program = program.clone();
        async move {
            let listen = free_address();
            let mqtt = format!("[mqtt]\nbroker = \"mqtt://{listen}\"\n[json]\nenabled = true\n");
            let place = Place::new(&database.url, &mqtt);
            let broker = Mosquitto::start(&program, place.folder.path(), listen, "").await;
            let service = place.serve();
            place.run(&["device", "add", "--kind", "json", "van"]);
            let mut line = Line::dial(&Endpoint::local(listen), "van").await.unwrap();
            let message = |at: i64| {
                json!({"time": BEGIN_MS + 1000 * at, "signals": {"odometer": at}}).to_string()
            };
            // From the first answer on the broker knows the service.
            let deadline = Instant::now() + Duration::from_secs(60);
            loop {
                line.publish(message(0)).await.unwrap();
                if line.answer().await.is_ok() {
                    break;
                }
                assert!(Instant::now() < deadline, "nobody answers");
            }
            let db = database.connect().await;
            let client = db.system().await.unwrap();
            let mut owner = db.owner().await.unwrap();
            let nobody_stores = owner.transaction().await.unwrap();
            nobody_stores
                .batch_execute("LOCK TABLE telemetry.taken IN EXCLUSIVE MODE")
                .await
                .unwrap();
            line.hand_over(message(1)).await;
            until("it is about to be stored", 30, || async {
                let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'telemetry.taken'::regclass";
                client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
            })
            .await;
            signal(service.pid(), "KILL");
            drop(service);
            line.hand_over(message(2)).await;
            drop(line);
            nobody_stores.rollback().await.unwrap();
            let service = place.serve();
            until("all of it is stored", 60, || async {
                let sql = "SELECT records FROM devices.device WHERE key = 'van'";
                client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 3
            })
            .await;
            let sql = "SELECT count(*) FROM telemetry.sample";
            let rows: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
            assert_eq!(rows, 3);
            service.stop();
            drop(broker);
        }
    });
}

/// After digests were forgotten, what they stood for is refused, and kept.
#[test]
fn what_was_forgotten_is_not_stored_again() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        rooms::prepare(&db).await.unwrap();
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let (clock, hand) = Clock::by_hand(begin);
        telemetry::prepare_storage(&db, begin).await.unwrap();
        let register = Register::new(db.clone(), clock.clone());
        platform::Register::new(db.clone(), clock.clone())
            .add_organization("acme")
            .await
            .unwrap();
        register.add("acme", Kind::Json, "van", None).await.unwrap();
        let device = register.find(Kind::Json, "van").await.unwrap().unwrap();
        let sink = Sink::new(db.clone(), clock.clone());
        let speed = devices::signal(
            "Vehicle.Speed",
            "km/h",
            shared_protocol::Decimal::ONE,
            shared_protocol::Decimal::ZERO,
        );
        let speed = std::sync::Arc::new(speed.unwrap());
        let record = |time: Timestamp| Record {
            device: device.clone(),
            time,
            digest: Digest::of(time.to_string().as_bytes()),
            values: vec![("speed".to_owned(), speed.clone(), 1)],
            unread: Vec::new(),
            payload: vec![1],
        };
        let stored = |new, again, refused| Stored {
            new,
            again,
            refused,
        };
        let client = db.system().await.unwrap();
        let count = async |sql: &str| -> i64 { client.query_one(sql, &[]).await.unwrap().get(0) };
        // From a day ahead to a month before.
        let records: Vec<Record> = (-30..=1)
            .map(|day| record(begin + (24 * day).hours()))
            .collect();
        assert_eq!(sink.store(&records, None).await.unwrap(), stored(32, 0, 0));
        hand.advance(Duration::from_secs(59 * 86_400));
        telemetry::retain(&db, clock.now()).await.unwrap();
        assert_eq!(sink.store(&records, None).await.unwrap(), stored(0, 32, 0));
        // Nothing was forgotten yet: what is old may come.
        let late = [record(begin - 2000.hours())];
        assert_eq!(sink.store(&late, None).await.unwrap(), stored(1, 0, 0));
        hand.advance(Duration::from_secs(2 * 86_400));
        telemetry::retain(&db, clock.now()).await.unwrap();
        assert_eq!(count("SELECT count(*) FROM telemetry.taken").await, 1);
        let samples = count("SELECT count(*) FROM telemetry.sample").await;
        assert_eq!(samples, 33);
        for again in [0, 32] {
            let refused = 32 - again;
            assert_eq!(
                sink.store(&records, None).await.unwrap(),
                stored(0, again, refused)
            );
        }
        assert_eq!(
            count("SELECT count(*) FROM telemetry.sample").await,
            samples
        );
        assert_eq!(
            count("SELECT count(*) FROM devices.refused WHERE reason = 'too_old'").await,
            32
        );
        // Another period changes nothing of what is gone already.
        client
            .execute(
                "UPDATE telemetry.retention SET keep = '400 days' WHERE what = 'taken'",
                &[],
            )
            .await
            .unwrap();
        telemetry::retain(&db, clock.now()).await.unwrap();
        let other = [record(begin - 1.hour())];
        assert_eq!(sink.store(&other, None).await.unwrap(), stored(0, 0, 1));
        let fresh = [record(clock.now() - 240.hours())];
        assert_eq!(sink.store(&fresh, None).await.unwrap(), stored(1, 0, 0));
    });
}
