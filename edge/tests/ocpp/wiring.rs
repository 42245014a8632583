//! A whole gateway with a central system in it, from its configuration on.

use std::net::SocketAddr;

use edge::gateway::{Around, StartError, start};
use firmware_config::gateway::Gateway;
use serde_json::json;
use shared_protocol::SigningKey;

use crate::rig::Station;

/// Starts a gateway on a port that was free a moment ago.
fn started(folder: &std::path::Path) -> (edge::gateway::Running, SocketAddr) {
    let key = SigningKey::from_seed([5; 32]);
    std::fs::write(folder.join("gateway.key"), key.to_hex()).unwrap();
    let password = hex::encode(crate::rig::digest(b"secret"));
    for _ in 0..20 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let text = format!(
            "[gateway]\nid = \"gw-1\"\nkey = \"gateway.key\"\ndata = \"data\"\n\n\
             [cloud]\nbroker = \"mqtt://127.0.0.1:1\"\npublic_key = \"{}\"\n\n\
             [stations]\nlisten = \"{address}\"\ninsecure_stations = true\n\n\
             [[stations.station]]\nid = \"CP-1\"\nasset = \"charger-1\"\npassword_sha256 = \"{password}\"\n\n\
             [[stations.token]]\nid = \"card\"\n",
            key.verifying_key()
        );
        let path = folder.join("gateway.toml");
        std::fs::write(&path, text).unwrap();
        match start(Gateway::read(&path).unwrap(), &Around::default()) {
            Ok(running) => return (running, address),
            Err(StartError::Stations { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    panic!("no port is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_serves_stations_and_remembers_them() {
    let folder = tempfile::tempdir().unwrap();
    let begin = json!({"connectorId": 1, "idTag": "CARD", "meterStart": 7, "timestamp": "2026-05-04T10:00:00Z"});
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let (running, address) = started(folder.path());
        let mut station = Station::connect(address).await.unwrap();
        let answer = station.ask("StartTransaction", &begin).await.unwrap();
        assert_eq!(answer["idTagInfo"]["status"], "Accepted");
        numbers.push(answer["transactionId"].as_i64().unwrap());
        let loops = running.status().loops;
        for name in ["stations", "stations:records"] {
            assert!(loops.iter().any(|one| one.name == name), "{name}");
        }
        running.stop().await;
    }
    assert_eq!(
        numbers[0], numbers[1],
        "the same start before and after the gateway's"
    );
}
