//! The cloud's commands, through a real broker with the configuration that ships.

use std::{sync::Arc, time::Duration};

use edge::{commands::Desk, supervise::Beat};
use shared_protocol::{
    Body, Command, CommandBody, Record, SigningKey, Stream, block::SealedBlock, topic,
};

use crate::{
    cloud::Cloud,
    mosquitto::{Client, House, program},
    rig::{LIVE, Rig, Uplink},
};

fn command(id: u8, body: CommandBody, rig: &Rig, life_us: i64) -> Command {
    let now = rig.clock.wall_us().expect("this machine has a clock");
    Command {
        gateway: rig.gateway.clone(),
        id: [id; 16],
        issued_us: now,
        expires_us: now + life_us,
        body,
    }
}

/// Takes blocks and answers them until one with records comes.
async fn records(ingestor: &mut Client, cloud: &Cloud) -> Vec<Record> {
    loop {
        let message = ingestor.message().await;
        for word in cloud.hear(&message) {
            ingestor.publish(&cloud.topic(), &word).await.unwrap();
        }
        if message.topic.ends_with("/hello") {
            continue;
        }
        let block = SealedBlock::open(&message.payload).unwrap();
        if let Body::Records(records) = block.content().unwrap() {
            assert_eq!(block.header.number.stream, Stream::Critical);
            return records;
        }
    }
}

/// Answers blocks until the gateway has nothing more to send.
async fn drain(ingestor: &mut Client, cloud: &Cloud, rig: &Rig) {
    while !rig.held().await.is_empty() {
        let some = tokio::time::timeout(Duration::from_millis(200), ingestor.message());
        let Ok(message) = some.await else { continue };
        for word in cloud.hear(&message) {
            ingestor.publish(&cloud.topic(), &word).await.unwrap();
        }
    }
}

fn answer(records: &[Record]) -> (u8, String) {
    let [record] = records else {
        panic!("{records:?}")
    };
    assert_eq!(record.kind, "command.answer");
    let payload: serde_json::Value = serde_json::from_str(&record.payload).unwrap();
    let id = hex::decode(payload["command"].as_str().unwrap()).unwrap();
    (id[0], payload["result"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn commands_are_verified_carried_out_once_and_answered() {
    let Some(program) = program() else { return };
    let house = House::start(program).await;
    let rig = Rig::new();
    rig.seal(LIVE, [1]).await;
    let cloud = Arc::new(rig.cloud());
    let folder = tempfile::tempdir().unwrap();
    let (desk, put) = Desk::new(
        folder.path().to_owned(),
        rig.clock.clone(),
        rig.buffer.clone(),
    );
    tokio::spawn(async move { desk.work(&Beat::free()).await });
    let identity = house.gateways.client(rig.gateway.as_str());
    let mut options = rig.options(house.link(Some(&identity)), &cloud);
    options.commands = put;
    let mut ingestor = house.ingestor().await;
    let mut uplink = Uplink::start(options, rig.buffer.clone());
    let topic = topic::command(&rig.gateway);
    let minute = 60_000_000;

    // Not the cloud's, and not ours: neither is carried out.
    let ping = command(1, CommandBody::Ping, &rig, minute);
    let forged = ping.seal(&SigningKey::from_seed([66; 32])).unwrap();
    // As soon as it listens.
    loop {
        ingestor.publish(&topic, &forged).await.unwrap();
        let refused = uplink.until(|report| report.refused_messages > 0);
        let refused = tokio::time::timeout(Duration::from_millis(500), refused).await;
        if refused.is_ok() {
            break;
        }
    }
    let refused = uplink.report().refused_messages;
    let mut others = ping.clone();
    others.gateway = "depot-2".parse().unwrap();
    let others = others.seal(&cloud.key).unwrap();
    ingestor.publish(&topic, &others).await.unwrap();
    uplink
        .until(|report| report.refused_messages == refused + 1)
        .await;

    // Twice the same: once answered.
    for _ in 0..2 {
        let sealed = ping.seal(&cloud.key).unwrap();
        ingestor.publish(&topic, &sealed).await.unwrap();
    }
    let found = answer(&records(&mut ingestor, &cloud).await);
    assert_eq!(found, (1, "done".to_owned()));
    // Late.
    let late = command(2, CommandBody::Ping, &rig, -1);
    let late = late.seal(&cloud.key).unwrap();
    ingestor.publish(&topic, &late).await.unwrap();
    let found = answer(&records(&mut ingestor, &cloud).await);
    assert_eq!(found, (2, "expired".to_owned()));

    // The definitions of columns, which the cloud has stored, come again.
    drain(&mut ingestor, &cloud, &rig).await;
    let before = cloud.deliveries(Stream::Columns);
    assert!(before > 0);
    let send = command(
        3,
        CommandBody::SendColumns(rig.buffer.epoch()),
        &rig,
        minute,
    );
    let send = send.seal(&cloud.key).unwrap();
    ingestor.publish(&topic, &send).await.unwrap();
    let found = answer(&records(&mut ingestor, &cloud).await);
    assert_eq!(found, (3, "done".to_owned()));
    while cloud.deliveries(Stream::Columns) == before {
        let message = ingestor.message().await;
        for word in cloud.hear(&message) {
            ingestor.publish(&cloud.topic(), &word).await.unwrap();
        }
    }
    let report = uplink.stop().await;
    assert_eq!((report.commands, report.connections), (4, 1));
}
