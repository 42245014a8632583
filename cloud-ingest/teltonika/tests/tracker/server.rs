//! The server, one behaviour at a time.

use std::time::Duration;

use devices::{Kind, Register, command};
use platform::testing::{TestDatabase, on_each_database};
use teltonika::{Arrival, Datagram, Message, MessageCodec, Packet, Stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::world::{IMEI, LONG, World, packet, record, send};

const SAMPLES: &str = "SELECT count(*) FROM telemetry.sample";

/// Whether the other side has hung up.
async fn is_over(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let ended = timeout(LONG, stream.read_to_end(&mut rest)).await;
    ended.is_ok() && rest.is_empty()
}

#[test]
fn records_become_rows_once() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let (mut stream, welcome) = world.dial(IMEI).await;
        assert_eq!(welcome, 1);
        let first = packet([record(0, 80), record(1, 81)]).frame();
        assert_eq!(send(&mut stream, &first).await, Some(2));
        assert_eq!(world.records().await, 2);
        // The acknowledgement was lost; the same comes again, on this connection and on another.
        assert_eq!(send(&mut stream, &first).await, Some(2));
        let (mut stream, _) = world.dial(IMEI).await;
        assert_eq!(send(&mut stream, &first).await, Some(2));
        // Some of it is new, and one record stands there twice.
        let next = packet([record(1, 81), record(2, 82), record(2, 82), record(2, 83)]).frame();
        assert_eq!(send(&mut stream, &next).await, Some(4));
        assert_eq!(world.records().await, 4);
        assert_eq!(world.count(SAMPLES).await, 4);
        let sum = "SELECT sum(displayed.v)::bigint FROM (SELECT state_of_charge_displayed AS v FROM telemetry.sample) AS displayed";
        assert_eq!(world.count(sum).await, (80 + 81 + 82 + 83) * 100);
        let unread = "SELECT occurrences FROM devices.unread WHERE code = 'avl:7000' AND reason = 'unmapped'";
        assert_eq!(world.count(unread).await, 4);
        world.stop().await;
    });
}

#[test]
fn wrong_bytes_are_not_acknowledged() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let right = packet([record(0, 80)]).frame();
        for at in [0, 5, 20, right.len() - 1] {
            let (mut stream, _) = world.dial(IMEI).await;
            let mut wrong = right.clone();
            wrong[at] ^= 0x40;
            stream.write_all(&wrong).await.unwrap();
            stream.shutdown().await.unwrap();
            assert!(is_over(&mut stream).await, "byte {at}");
        }
        assert_eq!(world.records().await, 0);
        let (mut stream, _) = world.dial(IMEI).await;
        assert_eq!(send(&mut stream, &right).await, Some(1));
        world.stop().await;
    });
}

#[test]
fn strangers_are_refused() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let (mut stream, welcome) = world.dial("356307042441099").await;
        assert_eq!(welcome, 0);
        assert!(is_over(&mut stream).await);
        let mut web = TcpStream::connect(world.address).await.unwrap();
        web.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(is_over(&mut web).await);
        // Who was removed is a stranger, at the latest ten seconds later.
        let register = Register::new(world.db.clone(), world.clock.clone());
        register.remove(Kind::Teltonika, IMEI).await.unwrap();
        let (_, welcome) = world.dial(IMEI).await;
        assert_eq!(welcome, 0);
        assert!(
            register
                .find(Kind::Teltonika, IMEI)
                .await
                .unwrap()
                .is_none()
        );
        world.stop().await;
    });
}

#[test]
fn what_cannot_be_true_is_kept_and_does_not_come_again() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let mut early = record(0, 80);
        early.time_ms = 5;
        let mut late = record(1, 80);
        late.time_ms = i64::MAX;
        let charge = record(2, 200);
        let (mut stream, _) = world.dial(IMEI).await;
        let frame = packet([early, late, charge]).frame();
        for _ in 0..2 {
            assert_eq!(send(&mut stream, &frame).await, Some(3));
        }
        assert_eq!(world.records().await, 1);
        assert_eq!(world.count("SELECT count(*) FROM devices.refused").await, 2);
        // The record is stored without the charge of 200 %.
        assert_eq!(world.count(SAMPLES).await, 1);
        let impossible = "SELECT occurrences FROM devices.unread WHERE code = 'avl:411' AND reason = 'impossible'";
        assert_eq!(world.count(impossible).await, 1);
        world.stop().await;
    });
}

#[test]
fn slow_silent_and_old_connections_end() {
    on_each_database(async |database: TestDatabase| {
        let world = World::with(&database, |settings| {
            settings.patience = Duration::from_millis(500);
            settings.silence = Duration::from_secs(600);
            settings.connections = 3;
        })
        .await;
        // Nobody logs in; somebody drips a login; somebody drips a frame.
        let mut mute = TcpStream::connect(world.address).await.unwrap();
        assert!(is_over(&mut mute).await);
        let (mut slow, _) = world.dial(IMEI).await;
        let frame = packet([record(0, 80)]).frame();
        let dripped = async {
            for byte in &frame {
                slow.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            Ok::<_, std::io::Error>(())
        };
        let _ = dripped.await;
        assert!(!matches!(timeout(LONG, slow.read_u8()).await, Ok(Ok(_))));
        assert_eq!(world.records().await, 0);
        // A half-open connection gives way to the new one of the same tracker.
        let (mut old, _) = world.dial(IMEI).await;
        let (mut new, _) = world.dial(IMEI).await;
        assert!(is_over(&mut old).await);
        assert_eq!(send(&mut new, &frame).await, Some(1));
        // Quiet between frames is right.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            send(&mut new, &packet([record(1, 80)]).frame()).await,
            Some(1)
        );
        world.stop().await;
    });
}

#[test]
fn datagrams_are_answered_after_commit() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(world.address).await.unwrap();
        let datagram = |imei: &str| Datagram {
            packet: 0xCAFE,
            avl: 7,
            imei: imei.parse().unwrap(),
            content: packet([record(0, 80), record(1, 81)]),
        };
        let mut wrong = datagram(IMEI).write();
        wrong[4] = 9;
        socket.send(&wrong).await.unwrap();
        socket
            .send(&datagram("356307042441099").write())
            .await
            .unwrap();
        let right = datagram(IMEI).write();
        let mut answer = [0; 64];
        for _ in 0..2 {
            let answered = timeout(LONG, async {
                loop {
                    socket.send(&right).await.unwrap();
                    let received = timeout(Duration::from_secs(2), socket.recv(&mut answer)).await;
                    if let Ok(Ok(length)) = received {
                        return length;
                    }
                }
            });
            let length = answered.await.unwrap();
            assert_eq!(answer[..length], [0, 5, 0xCA, 0xFE, 1, 7, 2]);
        }
        assert_eq!(world.records().await, 2);
        world.stop().await;
    });
}

#[test]
fn commands_reach_their_tracker_and_its_answer_comes_back() {
    on_each_database(async |database: TestDatabase| {
        for codec in [MessageCodec::Twelve, MessageCodec::Fourteen] {
            let world = World::with(&database, |settings| settings.commands = codec).await;
            let now = world.clock.now();
            let valid = Duration::from_secs(600);
            let queued =
                command::send(&world.db, Kind::Teltonika, IMEI, "getinfo", now, valid).await;
            let id = queued.unwrap();
            let (mut stream, _) = world.dial(IMEI).await;
            // Not read by Stream: the server does not log in. A login of our own goes before.
            let mut arrivals = Stream::default();
            arrivals.push(&teltonika::login(IMEI.parse().unwrap()));
            arrivals.next().unwrap();
            let command = timeout(LONG, async {
                loop {
                    if let Some(Arrival::Packet(Packet::Message(message))) =
                        arrivals.next().unwrap()
                    {
                        return message;
                    }
                    let mut piece = [0; 512];
                    let length = stream.read(&mut piece).await.unwrap();
                    assert!(length > 0, "the server hung up");
                    arrivals.push(&piece[..length]);
                }
            });
            let command = command.await.unwrap();
            assert_eq!((command.codec, command.text().as_str()), (codec, "getinfo"));
            assert_eq!(command.imei.is_some(), codec == MessageCodec::Fourteen);
            let answer = Message {
                kind: teltonika::Kind::Answer,
                payload: b"INI:2026/9/21\r\n".to_vec(),
                ..command
            };
            stream
                .write_all(&Packet::Message(answer).frame())
                .await
                .unwrap();
            let done = format!(
                "SELECT count(*) FROM devices.command WHERE id = {id} AND state = 'done' AND answer = 'INI:2026/9/21'"
            );
            world.until(&done, 1).await;
            let expired = command::send(
                &world.db,
                Kind::Teltonika,
                IMEI,
                "x",
                now,
                Duration::from_secs(1),
            )
            .await;
            let later = now.saturating_add(Duration::from_secs(2)).unwrap();
            assert!(command::expire(&world.db, later).await.unwrap() <= 1);
            let state = format!(
                "SELECT count(*) FROM devices.command WHERE id = {} AND state <> 'queued'",
                expired.unwrap()
            );
            world.until(&state, 1).await;
            world.stop().await;
        }
    });
}
