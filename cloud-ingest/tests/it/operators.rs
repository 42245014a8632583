//! What people do by hand: commands to gateways, and what was quarantined.

use std::time::Duration;

use platform::testing::{TestDatabase, on_each_database};
use rumqttc::{Event, Packet, QoS};
use shared_protocol::{Class, Command, CommandBody, Stream, topic};
use telemetry::read;
use tokio::time::timeout;

use crate::{
    gateway::{Gateway, connect, publish_raw},
    machine::{program, until},
    service::{EMBEDDED, Place},
};

const WALL_US: i64 = 1_760_000_000_000_000;

#[test]
fn a_command_arrives_signed_and_is_listed() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let gateway = place.gateway("depot-1");
        let (client, mut events) = connect(&service.broker, "ear").await.unwrap();
        client
            .subscribe(topic::command(&gateway.id), QoS::AtLeastOnce)
            .await
            .unwrap();
        while !matches!(
            events.poll().await.unwrap(),
            Event::Incoming(Packet::SubAck(_))
        ) {}
        let id = place.run(&["command", "send", "--gateway", "depot-1", "ping"]);
        let heard = async {
            loop {
                if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                    return publish.payload;
                }
            }
        };
        let payload = timeout(Duration::from_secs(20), heard).await.unwrap();
        let command = Command::open(&payload, &place.cloud, &gateway.id).unwrap();
        assert_eq!(command.body, CommandBody::Ping);
        let name = format!("{:032x}", u128::from_be_bytes(command.id));
        assert_eq!(name, id.trim());
        let list = place.run(&["command", "list", "--gateway", "depot-1"]);
        assert!(list.contains(&name) && list.contains("sent"), "{list}");
        let refused = program()
            .args(["command", "send", "--gateway", "depot-1", "reboot"])
            .args(["--database", &place.database])
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(2));
        service.stop();
    });
}

#[test]
fn what_was_quarantined_is_exported_and_readmitted() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        // Columns and a block of a gateway that nobody has registered yet.
        let mut gateway = Gateway::new("depot-late", place.cloud);
        let live = topic::up(&gateway.id, Class::Live);
        gateway.columns();
        let columns = gateway.last_pending();
        gateway.samples(Stream::Live, 5, WALL_US);
        let block = gateway.last_pending();
        let db = database.connect().await;
        let client = db.system().await.unwrap();
        for (count, payload) in [(1, &columns), (2, &block)] {
            publish_raw(&service.broker, &[(live.clone(), payload.clone())]).await;
            until("it is kept", 20, || async {
                let kept = read::quarantine(&client, None, 10).await.unwrap();
                kept.len() == count
            })
            .await;
        }
        let file = place.folder.path().join("payload");
        let path = file.to_str().unwrap();
        place.run(&["quarantine", "export", "2", "--out", path]);
        assert_eq!(std::fs::read(&file).unwrap(), block);
        let key = gateway.key.verifying_key().to_string();
        place.run(&["gateway", "add", "--id", "depot-late", "--public-key", &key]);
        for id in ["1", "2"] {
            let said = place.run(&["quarantine", "readmit", id]);
            assert!(said.starts_with("stored: "), "{said}");
            let again = place.run(&["quarantine", "readmit", id]);
            assert_eq!(again.trim(), "stored already");
        }
        let counts = read::counts(&client, None).await.unwrap();
        let stored: i64 = counts.iter().map(|count| count.samples).sum();
        assert_eq!(stored, 10);
        let shown = place.run(&["quarantine", "show", "2"]);
        assert!(!shown.contains("readmitted   no"), "{shown}");
        service.stop();
    });
}
