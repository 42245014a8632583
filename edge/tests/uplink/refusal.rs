//! Brokers that send us away.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    broker::{Broker, Manners, Puback},
    mqtt,
    rig::Rig,
};

/// Times between the first connections to a broker that answers CONNECT with this code. The clock is paused: it runs
/// ahead whenever everybody waits.
async fn waits(code: u8, connections: usize) -> Vec<Duration> {
    let rig = Rig::new();
    let manners = Manners {
        connack: mqtt::connack(code, &[]),
        ..Manners::default()
    };
    let mut broker = Broker::start(vec![manners], None).await;
    let cloud = rig.cloud();
    let uplink = rig.uplink(broker.port, &cloud);
    let mut times: Vec<Instant> = Vec::new();
    for connection in 1..=connections {
        times.push(broker.accepted(connection).await);
    }
    assert!(uplink.report().last_error.is_some());
    uplink.stop().await;
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Between half of what doubles from `first` and all of it, up to `most`.
fn double(waits: &[Duration], first: Duration, most: Duration) {
    let slack = Duration::from_millis(500);
    let mut bound = first;
    for wait in waits {
        assert!(
            *wait >= bound / 2 && *wait <= bound + slack,
            "{wait:?} of {bound:?}: {waits:?}"
        );
        bound = (bound * 2).min(most);
    }
    assert_eq!(bound, most, "too few to see the longest");
    // Jitter of a thousand steps: three at the longest are not alike.
    let [.., a, b, c] = waits else { panic!() };
    assert!(a != b || b != c, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_authorised_comes_back_within_five_minutes_at_most() {
    // Not authorised, bad user name or password, banned.
    for code in [0x87, 0x86, 0x8a] {
        let waits = waits(code, 10).await;
        double(&waits, Duration::from_secs(10), Duration::from_secs(300));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_otherwise_comes_back_within_a_minute_at_most() {
    // Unspecified, server unavailable, server busy, quota exceeded, connection rate exceeded.
    for code in [0x80, 0x88, 0x89, 0x97, 0x9f] {
        let waits = waits(code, 12).await;
        double(&waits, Duration::from_millis(500), Duration::from_secs(60));
    }
}

#[tokio::test(start_paused = true)]
async fn who_meets_a_closed_port_comes_back_within_a_minute_at_most() {
    let rig = Rig::new();
    let broker = Broker::start(vec![Manners::default()], None).await;
    let port = broker.port;
    drop(broker);
    let cloud = rig.cloud();
    let mut uplink = rig.uplink(port, &cloud);
    let start = Instant::now();
    uplink.until(|report| report.last_error.is_some()).await;
    // An hour later it still tries, and has not connected.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(start.elapsed() >= Duration::from_secs(3600));
    let report = uplink.report();
    assert_eq!((report.connections, report.connected), (0, false));
    let broker = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    let begun = Instant::now();
    broker.accept().await.unwrap();
    assert!(
        begun.elapsed() <= Duration::from_secs(61),
        "{:?}",
        begun.elapsed()
    );
    uplink.stop().await;
}

/// How long a gateway stays away that got these bytes after the CONNACK, and what it says.
async fn after(manners: Manners) -> (Duration, String) {
    let rig = Rig::new();
    rig.fill(3).await;
    let cloud = rig.cloud();
    let mut broker = Broker::start(vec![manners, Manners::default()], None).await;
    let mut uplink = rig.uplink(broker.port, &cloud);
    let said = uplink.until(|report| report.last_error.is_some()).await;
    let left = broker.closed(1).await;
    let back = broker.accepted(2).await;
    uplink.stop().await;
    (back - left, said.last_error.unwrap())
}

#[tokio::test]
async fn a_goodbye_is_understood_with_its_reason() {
    let goodbye = |bytes: &[u8]| Manners {
        then: bytes.to_vec(),
        puback: Puback::Never,
        ..Manners::default()
    };
    // Server shutting down with words, server busy without properties, no reason at all: back soon.
    let mut words = vec![0xe0, 10, 0x8b, 8, 0x1f, 0, 5];
    words.extend(b"night");
    for (bytes, expected) in [
        (&words[..], "ServerShuttingDown, night"),
        (&[0xe0, 1, 0x89], "ServerBusy"),
        (&[0xe0, 0], "NormalDisconnection"),
    ] {
        let (away, said) = after(goodbye(bytes)).await;
        assert!(said.contains(expected), "{said}");
        assert!(away < Duration::from_secs(2), "{away:?}");
    }
    // Somebody else has our name; we are no longer wanted; we may not read the cloud's word: back late.
    let unread = Manners {
        suback: Some(0x87),
        ..Manners::default()
    };
    let (taken, sent_away, unread) = tokio::join!(
        after(goodbye(&[0xe0, 1, 0x8e])),
        after(goodbye(&[0xe0, 2, 0x98, 0])),
        after(unread),
    );
    for ((away, said), expected) in [
        (taken, "SessionTakenOver"),
        (sent_away, "AdministrativeAction"),
        (unread, "does not let this gateway read"),
    ] {
        assert!(said.contains(expected), "{said}");
        let (least, most) = (Duration::from_millis(4900), Duration::from_secs(11));
        assert!((least..=most).contains(&away), "{said}: {away:?}");
    }
}

#[tokio::test]
async fn messages_that_the_broker_refuses_are_counted_and_kept() {
    let rig = Rig::new();
    rig.fill(10).await;
    let held = rig.held().await.len();
    let cloud = Arc::new(rig.cloud());
    // Not authorised to publish.
    let manners = Manners {
        puback: Puback::With(0x87),
        forwards: false,
        ..Manners::default()
    };
    let broker = Broker::start(vec![manners], Some(cloud.clone())).await;
    let mut uplink = rig.uplink(broker.port, &cloud);
    // The hello, too.
    let report = uplink
        .until(|report| report.refused_publishes == held as u64 + 1)
        .await;
    assert!(report.last_error.unwrap().contains("NotAuthorized"));
    assert_eq!(report.connections, 1);
    assert_eq!(rig.held().await.len(), held);
    uplink.stop().await;
}
