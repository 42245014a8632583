//! Brokers that take less than we would like to give.

use std::sync::Arc;

use crate::{
    broker::{Broker, Manners},
    mqtt,
    rig::{BULK, LIVE, Rig, noise},
};

/// A CONNACK that says how long packets may be.
fn packets_of(length: u32) -> Manners {
    let mut property = vec![0x27];
    property.extend(length.to_be_bytes());
    Manners::limited(&property)
}

#[tokio::test]
async fn a_block_that_is_too_long_for_the_broker_stays_and_the_others_pass() {
    let rig = Rig::new();
    rig.fill(10).await;
    rig.seal(BULK, noise(1, 1000)).await;
    rig.fill(10).await;
    let long = rig
        .held()
        .await
        .into_iter()
        .max_by_key(|block| block.bytes.len())
        .unwrap();
    assert!(long.bytes.len() > 2000, "{}", long.bytes.len());
    let cloud = Arc::new(rig.cloud());
    let broker = Broker::start(vec![packets_of(2000)], Some(cloud.clone())).await;
    let mut uplink = rig.uplink(broker.port, &cloud);
    uplink.until(|report| report.oversize == 1).await;
    let mut state = rig.buffer.state();
    while rig.held().await.len() > 1 {
        state.changed().await.unwrap();
    }
    // The connection goes on, and what comes now goes out.
    rig.seal(LIVE, [1]).await;
    while rig.held().await.len() > 1 {
        state.changed().await.unwrap();
    }
    let report = uplink.stop().await;
    assert_eq!((report.oversize, report.connections), (1, 1), "{report:?}");
    let held = rig.held().await;
    assert_eq!((held.len(), held[0].number), (1, long.number));
}

/// The limit is exact: a packet of that length passes, one byte less of room keeps it back.
#[tokio::test]
async fn the_limit_is_counted_to_the_byte() {
    for (less, oversize) in [(0, 0), (1, 1)] {
        let rig = Rig::new();
        rig.seal(LIVE, noise(1, 100)).await;
        let block = rig.held().await.pop().unwrap();
        let topic = shared_protocol::topic::up(&rig.gateway, block.number.stream.class());
        let whole = mqtt::publish(&topic, 1, &block.bytes).len();
        let cloud = Arc::new(rig.cloud());
        let manners = packets_of(whole as u32 - less);
        let broker = Broker::start(vec![manners], Some(cloud.clone())).await;
        let mut uplink = rig.uplink(broker.port, &cloud);
        if oversize == 0 {
            rig.emptied().await;
        } else {
            uplink.until(|report| report.oversize > 0).await;
        }
        let report = uplink.stop().await;
        assert_eq!((report.oversize, report.connections), (oversize, 1));
    }
}

#[tokio::test]
async fn a_broker_with_no_room_for_a_subscription_is_left_in_peace() {
    let rig = Rig::new();
    rig.fill(5).await;
    let cloud = Arc::new(rig.cloud());
    let broker = Broker::start(vec![packets_of(20)], Some(cloud.clone())).await;
    let mut uplink = rig.uplink(broker.port, &cloud);
    let report = uplink
        .until(|report| report.last_error.is_some() && report.oversize == 7)
        .await;
    assert!(report.connected, "{report:?}");
    assert!(report.last_error.unwrap().contains("20 bytes"));
    // It has said CONNECT and asks for signs of life, nothing else.
    broker.send(mqtt::publish("t", 9, b"")).await;
    let report = uplink.until(|report| report.refused_messages == 1).await;
    assert_eq!(report.connections, 1);
    uplink.stop().await;
}

#[tokio::test]
async fn a_broker_without_qos_1_gets_messages_at_qos_0() {
    let rig = Rig::new();
    rig.fill(100).await;
    let cloud = Arc::new(rig.cloud());
    let manners = Manners::limited(&[0x24, 0]);
    let mut broker = Broker::start(vec![manners], Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    rig.emptied().await;
    assert_eq!(uplink.stop().await.connections, 1);
    for _ in 0..100 {
        assert_eq!(broker.message().await.0.qos, 0);
    }
}

/// It announces no limit and closes the connection over what is longer: the third time is the last for a while.
#[tokio::test]
async fn a_broker_that_hides_its_limit_gets_all_that_it_takes() {
    let rig = Rig::new();
    rig.seal(BULK, noise(1, 2000)).await;
    rig.fill(60).await;
    let cloud = Arc::new(rig.cloud());
    let manners = Manners {
        hidden_limit: 5000,
        ..Manners::default()
    };
    let broker = Broker::start(vec![manners], Some(cloud.clone())).await;
    let mut uplink = rig.uplink(broker.port, &cloud);
    let report = uplink.until(|report| report.oversize == 1).await;
    // Three strikes and the connection that goes on; how many fell before the block was on them is the machine's
    // affair. After that there is no further one: the last line says so.
    let learned = report.connections;
    assert!(learned >= 4, "{report:?}");
    let mut state = rig.buffer.state();
    while rig.held().await.len() > 1 {
        state.changed().await.unwrap();
    }
    assert!(rig.held().await[0].bytes.len() > 5000);
    assert_eq!(uplink.stop().await.connections, learned);
}
