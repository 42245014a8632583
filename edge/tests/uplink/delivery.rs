//! Every block arrives, whatever becomes of packets, and leaves the buffer on the cloud's word alone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rumqttc::{
    AsyncClient, Broker as Address, Event, MqttOptions, Packet, PublishNoticeError, PublishOptions,
};
use shared_protocol::{Class, Stream, Verdict};

use crate::{
    broker::{Broker, Manners, Puback, What},
    cloud, mqtt,
    rig::Rig,
};

/// A broker that takes one message at a time: the next one shows that the gateway has seen the PUBACK of the last.
#[tokio::test]
async fn a_puback_frees_nothing_and_the_clouds_word_does() {
    let rig = Rig::new();
    rig.fill(20).await;
    let held = rig.held().await;
    let cloud = rig.cloud();
    let manners = Manners::limited(&[0x21, 0, 1]);
    let mut broker = Broker::start(vec![manners], None).await;
    let uplink = rig.uplink(broker.port, &cloud);
    let mut arrived = Vec::new();
    for _ in &held {
        arrived.push(cloud::name(&broker.block().await.0.payload));
    }
    rig.buffer.flush().await.unwrap();
    let names = |blocks: &[edge::buffer::StoredBlock]| -> HashSet<_> {
        blocks
            .iter()
            .map(|block| (block.number, block.digest))
            .collect()
    };
    assert_eq!(names(&rig.held().await), names(&held));
    assert_eq!(
        arrived.iter().copied().collect::<HashSet<_>>(),
        names(&held)
    );
    for (number, digest) in arrived {
        let word = cloud.word(number, digest, Verdict::Stored);
        broker.send(mqtt::publish(&cloud.topic(), 1, &word)).await;
    }
    rig.emptied().await;
    let report = uplink.stop().await;
    assert_eq!((report.connections, report.resent), (1, 0), "{report:?}");
}

/// Plays a script to a gateway with so many blocks; all must arrive and the buffer must get empty. Returns how many
/// connections that took.
async fn all_arrive(what: &str, blocks: i64, script: Vec<Manners>) -> u64 {
    let rig = Rig::new();
    rig.fill(blocks).await;
    let expected: HashSet<_> = rig
        .held()
        .await
        .iter()
        .map(|block| (block.number, block.digest))
        .collect();
    let cloud = Arc::new(rig.cloud());
    let broker = Broker::start(script, Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    rig.emptied().await;
    assert_eq!(cloud.blocks(), expected, "{what}");
    let report = uplink.stop().await;
    let acknowledged: u64 = rig
        .balanced()
        .iter()
        .map(|totals| totals.acknowledged)
        .sum();
    assert_eq!(acknowledged, blocks.cast_unsigned(), "{what}");
    report.connections
}

/// In the line of the live blocks stand the newest alone.
#[tokio::test]
async fn what_is_left_of_live_blocks_goes_with_the_bulk() {
    let rig = Rig::new();
    rig.fill(40).await;
    let cloud = Arc::new(rig.cloud());
    let broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    rig.emptied().await;
    uplink.stop().await;
    let seqs = |class| -> Vec<u64> {
        let on = cloud.on(class).into_iter();
        let live = on.filter(|number| number.stream == Stream::Live);
        live.map(|number| number.seq).collect()
    };
    let (newest, left) = (seqs(Class::Live), seqs(Class::Bulk));
    assert_eq!(newest.len() + left.len(), 32, "{newest:?} {left:?}");
    assert!((1..=8).contains(&newest.len()), "{newest:?}");
    assert!(
        left.iter().max() < newest.iter().min(),
        "{newest:?} {left:?}"
    );
}

fn cut(puback: Puback, messages: usize) -> Manners {
    Manners {
        puback,
        cut_after: messages,
        forwards: false,
        ..Manners::default()
    }
}

#[tokio::test]
async fn all_arrive_when_the_link_is_cut_and_the_broker_has_lost_the_session() {
    // Eight messages unacknowledged, then the connection is gone, and nobody knows of them.
    let script = vec![cut(Puback::Never, 9), Manners::default()];
    assert_eq!(all_arrive("cut", 40, script).await, 2);
    // Several times over.
    let mut script = vec![cut(Puback::Never, 3); 3];
    script.push(Manners::default());
    assert_eq!(all_arrive("cut thrice", 40, script).await, 4);
}

#[tokio::test]
async fn all_arrive_when_packet_identifiers_collide_and_the_link_is_cut() {
    // Four may be under way, only the second is acknowledged: the identifiers come round to the first, which is not free.
    let first = Manners {
        connack: mqtt::connack(0, &[0x21, 0, 4]),
        ..cut(Puback::Only(2), 5)
    };
    assert_eq!(
        all_arrive("collision", 20, vec![first, Manners::default()]).await,
        2
    );
}

#[tokio::test]
async fn all_arrive_when_the_broker_is_wiped_right_after_its_pubacks() {
    let script = vec![
        cut(Puback::Each, 15),
        cut(Puback::Each, 15),
        Manners::default(),
    ];
    assert_eq!(all_arrive("wiped", 60, script).await, 3);
}

#[tokio::test]
async fn all_arrive_when_pubacks_come_out_of_order_or_twice() {
    for (what, puback) in [
        ("backwards", Puback::Backwards(7)),
        ("twice and stray", Puback::Twice),
    ] {
        let manners = Manners {
            puback,
            ..Manners::limited(&[0x21, 0, 20])
        };
        assert_eq!(all_arrive(what, 150, vec![manners]).await, 1, "{what}");
    }
}

#[tokio::test]
async fn all_arrive_when_pubacks_get_lost() {
    let manners = Manners {
        puback: Puback::AllBut(3),
        ..Manners::limited(&[0x21, 0, 20])
    };
    // Each lost PUBACK costs a place; a connection with too few is given up.
    let connections = all_arrive("every third lost", 60, vec![manners]).await;
    assert!((2..=3).contains(&connections), "{connections}");
}

#[tokio::test]
async fn all_arrive_when_pubacks_never_come() {
    let manners = Manners {
        puback: Puback::Never,
        ..Manners::default()
    };
    let connections = all_arrive("no PUBACK", 100, vec![manners]).await;
    assert!((2..=3).contains(&connections), "{connections}");
}

/// Publishes twenty messages through the bare client to a broker that reads eight, acknowledges none and cuts the
/// connection; it has no session when the client comes back, which it does by itself. Returns how many messages come
/// then, and what the client says of the others.
async fn bare_client(later: Manners) -> (usize, Vec<Result<(), PublishNoticeError>>) {
    let mut broker = Broker::start(vec![cut(Puback::Never, 8), later], None).await;
    let mut options = MqttOptions::new("bare", Address::tcp("127.0.0.1", broker.port));
    options.set_outgoing_inflight_upper_limit(8);
    let (client, mut event_loop) = AsyncClient::builder(options).capacity(20).build();
    let mut notices = Vec::new();
    for n in 0..20u8 {
        let accepted = client.try_publish_tracked("t", vec![n], PublishOptions::at_least_once());
        notices.push(accepted.expect("the client accepts it"));
    }
    let poll = tokio::spawn(async move {
        let mut connections = 0;
        while connections < 2 {
            if let Ok(Event::Incoming(Packet::ConnAck(_))) = event_loop.poll().await {
                connections += 1;
            }
        }
        // What it still had to send would go out with this one at the latest.
        client
            .publish("t", "last", PublishOptions::at_least_once())
            .await
            .unwrap();
        loop {
            if event_loop.poll().await.is_err() {
                return;
            }
        }
    });
    broker.accepted(2).await;
    let mut came = 0;
    while broker.message().await.0.payload != b"last" {
        came += 1;
    }
    let mut said = Vec::new();
    for notice in notices {
        said.push(notice.wait_completion_async().await);
    }
    poll.abort();
    (came, said)
}

/// Why the client is made new for each connection and trusted with nothing: left to itself it loses every message that it
/// has accepted when the broker lost the session, those that it never sent, too. When this fails, the client has
/// changed, and the uplink may be simplified.
#[tokio::test]
async fn the_bare_client_loses_what_it_has_accepted() {
    let (came, said) = bare_client(Manners::default()).await;
    assert_eq!(came, 0);
    let lost = said
        .iter()
        .filter(|said| **said == Err(PublishNoticeError::SessionReset))
        .count();
    assert_eq!(lost, 20, "{said:?}");
}

/// Why blocks that are too long are not handed to the client: it fails on the same one for ever. It forgets it only
/// because the session is lost.
#[tokio::test]
async fn the_bare_client_ends_its_connection_over_a_message_that_is_too_long() {
    let small = Manners::limited(&[0x27, 0, 0, 0, 100]);
    let mut broker = Broker::start(vec![small], None).await;
    let options = MqttOptions::new("bare", Address::tcp("127.0.0.1", broker.port));
    let (client, mut event_loop) = AsyncClient::builder(options).capacity(20).build();
    client
        .try_publish("t", vec![0; 200], PublishOptions::at_least_once())
        .unwrap();
    let ended = async { while event_loop.poll().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .expect("it passes over the message");
    while !matches!(broker.next().await.what, What::Closed) {}
}
