//! Connections on which nothing moves any more.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    broker::{Broker, Manners, Puback},
    link::Link,
    rig::{BULK, LIVE, Rig, noise},
};

const FOUND_WITHIN: Duration = Duration::from_secs(15);

/// How long after it went dead a connection to this broker was given up for the next one.
async fn found(manners: Manners, blocks: i64) -> Duration {
    let rig = Rig::new();
    rig.fill(blocks).await;
    let cloud = Arc::new(rig.cloud());
    let stops_reading = manners.stop_reading_after < usize::MAX;
    let mut broker = Broker::start(vec![manners, Manners::default()], Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    let dead_since = if stops_reading {
        broker.closed(1).await
    } else {
        broker.accepted(1).await
    };
    broker.accepted(2).await;
    let found = Instant::now() - dead_since;
    // And all is well after that.
    rig.emptied().await;
    assert_eq!(uplink.stop().await.last_error.as_deref(), Some("stopping"));
    found
}

#[tokio::test]
async fn a_dead_connection_is_found_within_fifteen_seconds() {
    let no_connack = Manners {
        connack: vec![],
        ..Manners::default()
    };
    let silent = Manners {
        puback: Puback::Never,
        suback: None,
        pings: false,
        forwards: false,
        ..Manners::default()
    };
    let stops_reading = Manners {
        stop_reading_after: 4,
        ..Manners::default()
    };
    let no_suback = Manners {
        suback: None,
        forwards: false,
        ..Manners::default()
    };
    let no_puback = Manners {
        puback: Puback::Never,
        forwards: false,
        ..Manners::limited(&[0x21, 0, 2])
    };
    let found = tokio::join!(
        found(no_connack, 3),
        found(silent, 3),
        found(stops_reading, 50),
        found(no_suback, 3),
        found(no_puback, 9),
    );
    let found = [
        ("accepts and says nothing", found.0),
        ("says nothing after the CONNACK", found.1),
        ("stops reading", found.2),
        ("never answers the subscription", found.3),
        ("never acknowledges", found.4),
    ];
    for (what, after) in found {
        println!(
            "a broker that {what}: found after {:.1} s",
            after.as_secs_f32()
        );
    }
    for (what, after) in found {
        // What comes after is the first back-off.
        assert!(after <= FOUND_WITHIN, "{what}: {after:?}");
    }
}

/// The kernel's buffers are full and the client waits in the middle of a write.
#[tokio::test]
async fn a_broker_that_stops_reading_in_the_middle_of_a_block_is_found() {
    let rig = Rig::new();
    for seed in 0..8 {
        rig.seal(BULK, noise(seed, 25_000)).await;
    }
    let bytes: usize = rig.held().await.iter().map(|block| block.bytes.len()).sum();
    assert!(bytes > 1_000_000, "{bytes}");
    let listener = tokio::net::TcpSocket::new_v4().unwrap();
    // Little room on the broker's side.
    listener.set_recv_buffer_size(4096).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(8).unwrap();
    let port = listener.local_addr().unwrap().port();
    let cloud = rig.cloud();
    let uplink = rig.uplink(port, &cloud);
    let (mut first, _) = listener.accept().await.unwrap();
    crate::mqtt::read(&mut first).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut first, &crate::mqtt::connack(0, &[]))
        .await
        .unwrap();
    let dead_since = Instant::now();
    let again = tokio::time::timeout(Duration::from_secs(60), listener.accept());
    again.await.expect("it never gives up").unwrap();
    let found = dead_since.elapsed();
    println!(
        "a broker that stops reading within a block: found after {:.1} s",
        found.as_secs_f32()
    );
    assert!(found <= FOUND_WITHIN, "{found:?}");
    uplink.stop().await;
}

/// The way to the broker swallows everything from one moment on, and closes nothing.
#[tokio::test]
async fn a_black_hole_on_the_way_is_found() {
    let rig = Rig::new();
    let cloud = Arc::new(rig.cloud());
    let broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let link = Link::to(broker.port).await;
    let mut uplink = rig.uplink(link.port, &cloud);
    uplink.until(|report| report.connected).await;
    rig.seal(LIVE, [1]).await;
    rig.emptied().await;
    link.becomes_a_hole();
    let dead_since = Instant::now();
    rig.seal(LIVE, [2]).await;
    uplink.until(|report| !report.connected).await;
    let found = dead_since.elapsed();
    println!("a black hole: found after {:.1} s", found.as_secs_f32());
    assert!(found <= FOUND_WITHIN, "{found:?}");
    while link.connections() < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    uplink.stop().await;
}
