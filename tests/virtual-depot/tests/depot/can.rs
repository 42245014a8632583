//! The socketcand server, spoken to by hand.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use virtual_depot::{ColumnId, Config, Depot, Fault, Handle, Plan, Truth};

use crate::reader::{CanConnection, decoders, parse_frame};

async fn depot(dir: &tempfile::TempDir) -> Handle {
    let mut config = Config::new(dir.path(), 3, 2, 1);
    config.setup.plan = Plan::Driving;
    Depot::start(config).await.unwrap()
}

async fn connect(depot: &Handle) -> TcpStream {
    let interface = &depot.description().cars[0].interface;
    let address = interface
        .strip_prefix("socketcand://")
        .unwrap()
        .split_once('/')
        .unwrap()
        .0;
    TcpStream::connect(address).await.unwrap()
}

async fn hear(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    timeout(Duration::from_secs(2), stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
}

#[tokio::test]
async fn the_protocol_step_by_step() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let mut stream = connect(&depot).await;
    hear(&mut stream, "< hi >").await;
    stream.write_all(b"< rawmode >").await.unwrap();
    hear(&mut stream, "< error unknown command >").await;
    stream.write_all(b"< open car-02 >< ec").await.unwrap();
    hear(&mut stream, "< ok >").await;
    stream.write_all(b"ho >").await.unwrap();
    hear(&mut stream, "< echo >").await;
    // In mode BCM nothing comes of itself.
    let mut byte = [0];
    let silence = timeout(Duration::from_millis(400), stream.read(&mut byte)).await;
    assert!(silence.is_err());
    stream.write_all(b"< rawmode >").await.unwrap();
    hear(&mut stream, "< ok >").await;
    hear(&mut stream, "< frame ").await;
    drop(stream);

    let mut stream = connect(&depot).await;
    stream.write_all(b"< open vcan9 >").await.unwrap();
    hear(&mut stream, "< hi >< error could not open bus >").await;
    assert_eq!(
        stream.read(&mut byte).await.unwrap(),
        0,
        "the connection is closed"
    );
    depot.stop().await.unwrap();
}

#[tokio::test]
async fn frames_of_a_client_reach_the_others_and_not_itself() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let interface = &depot.description().cars[0].interface;
    let mut one = CanConnection::open(interface).await.unwrap();
    let mut two = CanConnection::open(interface).await.unwrap();
    one.say("< send 5A5 2 1 ff >").await.unwrap();
    let heard = async |connection: &mut CanConnection| {
        for _ in 0..60 {
            if connection.next().await.unwrap().starts_with("< frame 5A5 ") {
                return true;
            }
        }
        false
    };
    assert!(heard(&mut two).await);
    assert!(!heard(&mut one).await);
    depot.stop().await.unwrap();
}

#[tokio::test]
async fn only_the_last_client_counts() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let entry = depot.description().cars[0].clone();
    let (decoder, _) = decoders(&entry);
    let mut first = CanConnection::open(&entry.interface).await.unwrap();
    let mut second = CanConnection::open(&entry.interface).await.unwrap();
    let speed = decoder
        .signals()
        .iter()
        .position(|s| s.name == "Speed")
        .unwrap() as u32;
    let read = async |connection: &mut CanConnection| {
        let mut raws = Vec::new();
        while let Ok(text) = connection.next().await {
            let mut readings = Vec::new();
            if let Some(frame) = parse_frame(&text) {
                decoder.decode(frame.id(), frame.data(), &mut readings);
            }
            raws.extend(readings.iter().filter(|r| r.signal == speed).map(|r| r.raw));
        }
        raws
    };
    let run = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        depot.stop().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(read(&mut first), read(&mut second), run);
    assert!(
        one.len() >= two.len() && two.len() >= 18,
        "{} {}",
        one.len(),
        two.len()
    );
    let truth = Truth::read(&dir.path().join("truth.jsonl")).unwrap();
    let column = truth
        .column(&ColumnId::new("car-01", "can", "Vehicle.Speed"))
        .unwrap();
    // What the first saw before the second came is there too: it was the reader then.
    let given: Vec<i64> = column.given.iter().map(|record| record.raw).collect();
    assert!(given.ends_with(&two), "{given:?} {two:?}");
    assert!(given.len() <= one.len());
    assert!(
        column
            .given
            .is_sorted_by_key(|record| (record.wall_us, record.simulated_ms))
    );
}

#[tokio::test]
async fn nobody_listens_nothing_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let connection = CanConnection::open(&depot.description().cars[0].interface)
        .await
        .unwrap();
    drop(connection);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let given = depot.summary().given;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(depot.summary().given, given);
    depot.stop().await.unwrap();
}

#[tokio::test]
async fn lost_and_short_frames_are_withheld() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let entry = depot.description().cars[0].clone();
    let (decoder, _) = decoders(&entry);
    let mut connection = CanConnection::open(&entry.interface).await.unwrap();
    depot.faults().inject("car-01", Fault::FrameLost, 12);
    depot.faults().inject("car-01", Fault::FrameShort, 12);
    let (mut short, mut frames) = (0, 0);
    while frames < 60 {
        let Some(frame) = parse_frame(&connection.next().await.unwrap()) else {
            continue;
        };
        frames += 1;
        let mut readings = Vec::new();
        let outcome = decoder.decode(frame.id(), frame.data(), &mut readings);
        if outcome.missing > 0 {
            short += 1;
            assert_eq!(readings, [], "a short frame has no whole signal");
        }
    }
    assert_eq!(short, 12);
    let summary = depot.stop().await.unwrap();
    assert!(
        summary.faults.contains(&("frame-lost".to_owned(), 12)),
        "{summary}"
    );
    let truth = Truth::read(&dir.path().join("truth.jsonl")).unwrap();
    let withheld: Vec<_> = truth.columns.iter().flat_map(|c| &c.withheld).collect();
    assert!(withheld.len() > 40);
    for name in ["frame-lost", "frame-short"] {
        assert!(
            withheld
                .iter()
                .any(|record| record.withheld.as_deref() == Some(name))
        );
    }
}
