//! Trackers dial a server that is killed at random. They keep what was not acknowledged, send it again, cut and merge
//! segments, and hang up before and after acknowledgements. In the end each record is stored exactly once.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use platform::{
    Db,
    testing::{TestDatabase, budget, on_each_database},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use teltonika::{Datagram, Element, Gnss, Packet, Record, RecordCodec, Value, login};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::{sleep, timeout},
};

use crate::{
    machine::{free_address, signal},
    service::{EMBEDDED, Place, Service},
};

const TRACKERS: usize = 4;
const RECORDS: usize = 60;
/// How long an acknowledgement is waited for before the same is sent again.
const PATIENCE: Duration = Duration::from_secs(5);
/// 2026-01-01.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// The records of a tracker: every one has an odometer of its own, by which it is found again.
fn records(tracker: usize) -> Vec<Record> {
    let record = |at: usize| Record {
        time_ms: BEGIN_MS + 1000 * at as i64,
        priority: 0,
        gnss: Gnss::default(),
        event: 0,
        generation: None,
        elements: vec![Element {
            id: 389,
            value: Value::Number {
                width: 4,
                raw: (1000 * tracker + at) as u64,
            },
        }],
    };
    (0..RECORDS).map(record).collect()
}

fn imei(tracker: usize) -> String {
    format!("3563070424410{tracker:02}")
}

/// Sends bytes in segments of random lengths.
async fn cut(stream: &mut TcpStream, mut bytes: &[u8], random: &mut StdRng) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let length = random.random_range(1..=bytes.len().min(400));
        stream.write_all(&bytes[..length]).await?;
        bytes = &bytes[length..];
        if random.random_bool(0.3) {
            sleep(Duration::from_millis(random.random_range(0..5))).await;
        }
    }
    Ok(())
}

/// One connection: returns how many records were acknowledged from the beginning of `rest`. Whatever ends it, the tracker
/// dials again.
async fn session(
    address: SocketAddr,
    imei: &str,
    rest: &[Record],
    random: &mut StdRng,
) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    let codec = RecordCodec::ALL[random.random_range(0..RecordCodec::ALL.len())];
    // Codec 8 has ids of one byte, the odometer's has two.
    let codec = if codec == RecordCodec::Eight {
        RecordCodec::EightExtended
    } else {
        codec
    };
    let mut begin = login(imei.parse().unwrap());
    if random.random_bool(0.2) {
        begin.push(0xFF);
    }
    let count = random.random_range(1..=rest.len().min(7));
    let records: Vec<Record> = rest[..count]
        .iter()
        .cloned()
        .map(|record| of_codec(record, codec))
        .collect();
    let frame = Packet::Records(codec, records).frame();
    let merged = random.random_bool(0.3);
    if merged {
        // Login and records in one go, before the server has said that it knows us.
        begin.extend(&frame);
    }
    cut(&mut stream, &begin, random).await?;
    let welcome = timeout(PATIENCE, stream.read_u8()).await??;
    assert_eq!(welcome, 1, "the register knows every tracker");
    if random.random_bool(0.1) && !merged {
        return Ok(0);
    }
    if !merged {
        cut(&mut stream, &frame, random).await?;
    }
    if random.random_bool(0.15) {
        // It hangs up before the acknowledgement, and does not know that it was stored.
        return Ok(0);
    }
    let taken = timeout(PATIENCE, stream.read_u32()).await?? as usize;
    assert_eq!(taken, count);
    if random.random_bool(0.15) {
        // The acknowledgement comes a second time for what is sent a second time.
        cut(&mut stream, &frame, random).await?;
        assert_eq!(timeout(PATIENCE, stream.read_u32()).await?? as usize, count);
    }
    Ok(taken)
}

/// Codecs 8 and 8 Extended say no generation; so that a record stays the same, none says any but 0.
fn of_codec(mut record: Record, codec: RecordCodec) -> Record {
    record.generation = (codec == RecordCodec::Sixteen).then_some(0);
    record
}

/// The same over UDP: one datagram, and its answer.
async fn datagram(
    address: SocketAddr,
    imei: &str,
    rest: &[Record],
    random: &mut StdRng,
) -> std::io::Result<usize> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(address).await?;
    let count = random.random_range(1..=rest.len().min(5));
    let datagram = Datagram {
        packet: random.random(),
        avl: random.random(),
        imei: imei.parse().unwrap(),
        content: Packet::Records(RecordCodec::EightExtended, rest[..count].to_vec()),
    };
    socket.send(&datagram.write()).await?;
    let mut answer = [0; 16];
    let length = timeout(Duration::from_secs(1), socket.recv(&mut answer)).await??;
    assert_eq!(answer[..length], datagram.answer(count as u8));
    Ok(count)
}

/// A tracker until all of its records are acknowledged.
async fn drain(address: SocketAddr, tracker: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (imei, records) = (imei(tracker), records(tracker));
    let mut done = 0;
    while done < records.len() {
        let rest = &records[done..];
        // One tracker in two speaks UDP.
        let taken = if tracker.is_multiple_of(2) {
            session(address, &imei, rest, &mut random).await
        } else {
            datagram(address, &imei, rest, &mut random).await
        };
        match taken {
            Ok(taken) => done += taken,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn restarted(place: &Place, service: Service) -> Service {
    signal(service.pid(), "KILL");
    drop(service);
    place.serve()
}

/// Every record of every tracker is there once.
async fn compare(db: &Db, seed: u64) {
    let client = db.system().await.unwrap();
    let sql = "SELECT d.key, s.time, s.odometer::bigint AS steps FROM telemetry.sample AS s
               JOIN devices.device AS d ON d.asset_id = s.asset_id WHERE s.odometer IS NOT NULL ORDER BY 1, 2, 3";
    let column = &telemetry::layout::layout()
        .slots
        .iter()
        .find(|slot| slot.signal.name == "Vehicle.TraveledDistance")
        .unwrap()
        .signal;
    let sql = sql.replace("s.odometer", &format!("s.\"{}\"", column.column));
    let mut found: Vec<(String, i64, i64)> = client
        .query(&sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| {
            let time: jiff::Timestamp = row.get("time");
            // Steps of 0.1 km.
            (
                row.get("key"),
                time.as_millisecond(),
                row.get::<_, i64>("steps") / 10,
            )
        })
        .collect();
    found.sort_unstable();
    let mut truth: Vec<(String, i64, i64)> = (0..TRACKERS)
        .flat_map(|tracker| {
            (0..RECORDS).map(move |at| {
                (
                    imei(tracker),
                    BEGIN_MS + 1000 * at as i64,
                    (1000 * tracker + at) as i64,
                )
            })
        })
        .collect();
    truth.sort_unstable();
    assert_eq!(found, truth, "PATIO_SEED={seed}");
    let counted = "SELECT sum(records)::bigint FROM devices.device";
    let counted: i64 = client.query_one(counted, &[]).await.unwrap().get(0);
    assert_eq!(counted as usize, truth.len(), "PATIO_SEED={seed}");
}

#[test]
fn each_record_is_stored_once_whatever_is_killed() {
    let fixed = std::env::var("PATIO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    on_each_database(move |database: TestDatabase| async move {
        let begun = Instant::now();
        let address = free_address();
        let place = Place::new(
            &database.url,
            &format!("{EMBEDDED}[teltonika]\nlisten = \"{address}\"\n"),
        );
        let mut service = place.serve();
        for tracker in 0..TRACKERS {
            place.run(&["device", "add", "--kind", "teltonika", &imei(tracker)]);
        }
        let db = database.connect().await;
        let (mut seeds, mut kills) = (0, 0);
        while seeds == 0 || begun.elapsed() < budget() {
            let seed: u64 = fixed.unwrap_or_else(rand::random);
            let mut random = StdRng::seed_from_u64(seed);
            let trackers: Vec<_> = (0..TRACKERS)
                .map(|tracker| tokio::spawn(drain(address, tracker, random.random())))
                .collect();
            while !trackers.iter().all(tokio::task::JoinHandle::is_finished)
                && kills < 3 * (seeds + 1)
            {
                sleep(Duration::from_millis(random.random_range(100..1200))).await;
                service = restarted(&place, service);
                kills += 1;
            }
            for tracker in trackers {
                let drained = timeout(Duration::from_secs(120), tracker).await;
                assert!(
                    drained.is_ok_and(|ended| ended.is_ok()),
                    "a tracker is not rid of its records: PATIO_SEED={seed}"
                );
            }
            compare(&db, seed).await;
            let client = db.system().await.unwrap();
            client
                .batch_execute("DELETE FROM telemetry.sample; DELETE FROM telemetry.taken; UPDATE devices.device SET records = 0")
                .await
                .unwrap();
            seeds += 1;
        }
        println!("{seeds} seeds, {kills} kills on {}", database.label);
        service.stop();
    });
}
