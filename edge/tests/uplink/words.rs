//! The cloud's word: who is believed, and what each verdict does.

use std::{sync::Arc, time::Duration};

use shared_protocol::{
    Ack, Answer, Command, CommandBody, Digest, Hello, SigningKey, Stream, Verdict,
};

use crate::{
    broker::{Broker, Manners},
    cloud, mqtt,
    rig::{LIVE, Rig},
};

#[tokio::test]
async fn words_that_are_not_the_clouds_for_us_are_counted_and_change_nothing() {
    let rig = Rig::new();
    rig.fill(5).await;
    let cloud = rig.cloud();
    let mut broker = Broker::start(vec![Manners::default()], None).await;
    let mut uplink = rig.uplink(broker.port, &cloud);
    let mut names = Vec::new();
    for _ in 0..7 {
        names.push(cloud::name(&broker.block().await.0.payload));
    }
    let (number, digest) = *names
        .iter()
        .find(|(number, _)| number.stream == Stream::Live)
        .unwrap();
    let answer = Answer {
        epoch: number.epoch,
        stream: number.stream,
        done: vec![(0, 1000)],
        blocks: vec![(number.seq, digest, Verdict::Stored)],
    };
    let good = cloud.ack(answer.clone()).seal(&cloud.key).unwrap();
    let forged = cloud.ack(answer.clone()).seal(&rig.key).unwrap();
    let stranger = Ack {
        gateway: "depot-2".parse().unwrap(),
        ..cloud.ack(answer.clone())
    };
    let hello = Hello {
        gateway: rig.gateway.clone(),
        version: String::new(),
        streams: vec![],
    };
    let command = Command {
        gateway: rig.gateway.clone(),
        id: [0; 16],
        issued_us: 0,
        expires_us: i64::MAX,
        body: CommandBody::Ping,
    };
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    let another = SigningKey::from_seed([9; 32]);
    let wrong = [
        forged,
        cloud.ack(answer.clone()).seal(&another).unwrap(),
        stranger.seal(&cloud.key).unwrap(),
        hello.seal(&cloud.key).unwrap(),
        command.seal(&cloud.key).unwrap(),
        good[..good.len() - 1].to_vec(),
        good[..40].to_vec(),
        flipped,
        longer,
        vec![],
        b"PUBACK".to_vec(),
        rig.held().await[0].bytes.clone(),
    ];
    for word in &wrong {
        broker.send(mqtt::publish(&cloud.topic(), 7, word)).await;
    }
    let count = wrong.len() as u64;
    uplink
        .until(|report| report.refused_messages == count)
        .await;
    // The cloud's own word on another content, another epoch, a number that is not ours.
    let on = |change: fn(&mut Answer)| {
        let mut answer = Answer {
            done: vec![],
            ..answer.clone()
        };
        change(&mut answer);
        cloud.ack(answer).seal(&cloud.key).unwrap()
    };
    for word in [
        on(|answer| answer.blocks[0].1 = Digest([0; 16])),
        on(|answer| answer.epoch.nonce ^= 1),
        on(|answer| answer.stream = Stream::Transactions),
        on(|answer| answer.blocks[0].0 = u64::MAX),
        on(|answer| {
            answer.epoch.counter += 1;
            answer.done = vec![(0, u64::MAX)];
        }),
    ] {
        broker.send(mqtt::publish(&cloud.topic(), 7, &word)).await;
    }
    // One more that is counted shows that all before it have been heard.
    broker.send(mqtt::publish(&cloud.topic(), 7, b"end")).await;
    uplink
        .until(|report| report.refused_messages == count + 1)
        .await;
    rig.buffer.flush().await.unwrap();
    assert_eq!(rig.held().await.len(), 7);
    broker.send(mqtt::publish(&cloud.topic(), 7, &good)).await;
    let mut state = rig.buffer.state();
    while rig
        .held()
        .await
        .iter()
        .any(|block| block.number.stream == Stream::Live)
    {
        state.changed().await.unwrap();
    }
    let report = uplink.stop().await;
    assert_eq!(
        (report.connections, report.refused_messages),
        (1, count + 1)
    );
}

#[tokio::test]
async fn a_range_frees_all_that_it_covers() {
    let rig = Rig::new();
    rig.fill(20).await;
    let cloud = rig.cloud();
    let mut broker = Broker::start(vec![Manners::default()], None).await;
    let uplink = rig.uplink(broker.port, &cloud);
    for _ in 0..23 {
        broker.block().await;
    }
    let epoch = rig.buffer.epoch();
    let answers = Stream::ALL.map(|stream| Answer {
        epoch,
        stream,
        done: vec![(0, 0), (1, 500)],
        blocks: vec![],
    });
    let ack = Ack {
        answers: answers.into(),
        ..cloud.ack(Answer {
            epoch,
            stream: Stream::Live,
            done: vec![],
            blocks: vec![],
        })
    };
    let word = ack.seal(&cloud.key).unwrap();
    broker.send(mqtt::publish(&cloud.topic(), 7, &word)).await;
    rig.emptied().await;
    assert_eq!(uplink.stop().await.in_flight, 0);
}

#[tokio::test]
async fn columns_that_the_cloud_needs_are_sent_again_and_then_the_block() {
    let rig = Rig::new();
    rig.seal(LIVE, [1]).await;
    // It lost the columns: it has taken them once, and cannot open the block until they have come a second time.
    let columns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = columns.clone();
    let cloud = Arc::new(rig.cloud().judging(move |number, _| {
        use std::sync::atomic::Ordering::SeqCst;
        if number.stream == Stream::Columns {
            counted.fetch_add(1, SeqCst);
            return Some(Verdict::Stored);
        }
        Some(if counted.load(SeqCst) < 2 {
            Verdict::ColumnsNeeded(0)
        } else {
            Verdict::Stored
        })
    }));
    let mut broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    rig.emptied().await;
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(cloud::name(&broker.block().await.0.payload).0.stream);
    }
    assert_eq!(
        order,
        [Stream::Columns, Stream::Live, Stream::Columns, Stream::Live]
    );
    assert_eq!(columns.load(std::sync::atomic::Ordering::SeqCst), 2);
    uplink.stop().await;
}

#[tokio::test]
async fn a_refused_block_is_kept_and_never_sent_again() {
    let rig = Rig::new();
    rig.fill(10).await;
    let cloud = Arc::new(rig.cloud().judging(|number, _| {
        Some(match number.stream {
            Stream::Live => Verdict::Refused("unknown gateway".into()),
            Stream::Critical => Verdict::Quarantined("impossible".into()),
            _ => Verdict::Stored,
        })
    }));
    // The second connection is a new start of everything that the uplink remembers.
    let script = vec![
        Manners {
            cut_after: 15,
            ..Manners::default()
        },
        Manners::default(),
    ];
    let mut broker = Broker::start(script, Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    rig.emptied().await;
    // Hello, three blocks of columns and ten of samples; the next one ends the first connection.
    rig.seal(LIVE, [99]).await;
    broker.accepted(2).await;
    rig.emptied().await;
    uplink.stop().await;
    let totals = rig.balanced();
    let of = |stream| {
        totals
            .iter()
            .find(|totals| totals.stream == stream)
            .unwrap()
    };
    let live = of(Stream::Live);
    assert_eq!((live.buffered, live.acknowledged), (9, 0), "{live:?}");
    assert_eq!(
        (
            of(Stream::Critical).buffered,
            of(Stream::Critical).acknowledged
        ),
        (0, 1)
    );
    // Only the last one may have come twice: its answer was cut off with the connection.
    let deliveries = cloud.deliveries(Stream::Live);
    assert!((9..=10).contains(&deliveries), "{deliveries}");
    assert_eq!(cloud.deliveries(Stream::Critical), 1);
}

#[tokio::test]
async fn an_unanswered_block_is_sent_again_after_ten_seconds_on_the_same_connection() {
    let rig = Rig::new();
    rig.seal(LIVE, [1]).await;
    let cloud = Arc::new(rig.cloud().judging(|number, times| {
        (number.stream == Stream::Columns || times == 2).then_some(Verdict::Stored)
    }));
    let mut broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    let mut times = Vec::new();
    while times.len() < 2 {
        let (message, connection, at) = broker.block().await;
        assert_eq!(connection, 1);
        // The second time it is what is left of live blocks, which goes with the bulk.
        let wanted = ["/live", "/bulk"][times.len()];
        if message.topic.ends_with(wanted) {
            times.push(at);
        }
    }
    let after = times[1] - times[0];
    println!("sent again after {:.2} s", after.as_secs_f32());
    assert!(
        (Duration::from_millis(9_900)..Duration::from_secs(12)).contains(&after),
        "{after:?}"
    );
    rig.emptied().await;
    assert_eq!(uplink.stop().await.resent, 1);
}

#[tokio::test]
async fn each_connection_begins_with_a_hello_that_says_what_is_held() {
    let rig = Rig::new();
    rig.fill(4).await;
    let cloud = Arc::new(rig.cloud().judging(|_, _| None));
    let cut = Manners {
        cut_after: 4,
        ..Manners::default()
    };
    let script = vec![cut.clone(), cut, Manners::default()];
    let mut broker = Broker::start(script, Some(cloud.clone())).await;
    let uplink = rig.uplink(broker.port, &cloud);
    let mut hellos = Vec::new();
    while hellos.len() < 3 {
        let (message, connection, _) = broker.message().await;
        if message.topic == format!("patio/1/{}/up/hello", rig.gateway) {
            hellos.push(connection);
        } else {
            assert_eq!(hellos.last(), Some(&connection), "a block before the hello");
        }
    }
    assert_eq!(hellos, [1, 2, 3]);
    uplink.stop().await;
    for hello in cloud.hellos() {
        assert_eq!(hello.gateway, rig.gateway);
        assert_eq!(hello.version, env!("CARGO_PKG_VERSION"));
        let held: Vec<_> = hello
            .streams
            .iter()
            .map(|state| (state.epoch, state.stream, state.first, state.next))
            .collect();
        let epoch = rig.buffer.epoch();
        for expected in [
            (epoch, Stream::Columns, 0, 2),
            (epoch, Stream::Critical, 0, 1),
            (epoch, Stream::Live, 0, 3),
        ] {
            assert!(held.contains(&expected), "{expected:?} in {held:?}");
        }
    }
}
