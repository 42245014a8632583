//! Recorded cases of what a broker may and may not send to a client: the gateway closes the connection, or goes on.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    cloud::Cloud,
    mqtt::{self, Packet},
    rig::Rig,
};

/// For each step of a case; nothing that the gateway does here takes as long.
const STEP: Duration = Duration::from_secs(5);

#[derive(Debug, serde::Deserialize)]
struct Case {
    file: String,
    group: String,
    name: String,
    ver: u8,
    /// Whether the broker waits for CONNECT, and answers it.
    connect: bool,
    connack: bool,
    /// Whether the client must have closed the connection in the end.
    expect_disconnect: bool,
    /// What the client is told to do, which a gateway is not.
    command: Option<String>,
    msgs: Vec<Step>,
}

#[derive(Debug, serde::Deserialize)]
struct Step {
    #[serde(rename = "type")]
    kind: String,
    hex: String,
}

fn data() -> PathBuf {
    std::env::var_os("PATIO_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    )
}

#[tokio::test]
async fn real_data_mqtt_client_cases() {
    let path = data().join("mqtt/client_cases.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no {}", path.display());
        return;
    };
    let cases: Vec<Case> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let all = cases.len();
    let (cases, older): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.ver == 5);
    let (cases, told): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|case| case.command.is_none());
    println!(
        "{all} cases; left out: {} of MQTT 3, which the gateway does not speak, {} that tell the client to do what a gateway never does",
        older.len(),
        told.len()
    );
    // Where the broker does not wait for CONNECT it has to be quick: a few at a time.
    let (waiting, hasty): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.connect);
    let mut played = play_all(hasty, 4).await;
    played.extend(play_all(waiting, 64).await);
    let mut agree = 0;
    for (case, outcome) in &played {
        match outcome {
            Ok(()) => agree += 1,
            Err(why) => println!("{} | {} | {}: {why}", case.file, case.group, case.name),
        }
    }
    println!("{agree} of {} agree", played.len());
    assert!(!played.is_empty());
    assert_eq!(agree, played.len());
}

async fn play_all(cases: Vec<Case>, at_once: usize) -> Vec<(Case, Result<(), String>)> {
    let rig = Arc::new(Rig::new());
    let cloud = Arc::new(rig.cloud());
    futures::stream::iter(cases)
        .map(|case| {
            let (rig, cloud) = (rig.clone(), cloud.clone());
            async move {
                let outcome = play(&case, &rig, &cloud).await;
                (case, outcome)
            }
        })
        .buffer_unordered(at_once)
        .collect()
        .await
}

async fn play(case: &Case, rig: &Rig, cloud: &Cloud) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let uplink = rig.uplink(port, cloud);
    let (stream, _) = timeout(STEP, listener.accept())
        .await
        .map_err(|_| "it does not connect")?
        .unwrap();
    // It may come back as soon as it likes: nobody is there.
    drop(listener);
    let outcome = Peer { stream }.play(case).await;
    uplink.stop().await;
    outcome
}

struct Peer {
    stream: TcpStream,
}

/// What the gateway says on its own account: its subscription, its hello, its pings, and CONNECT where nobody has waited
/// for it.
fn is_own(packet: &Packet) -> bool {
    match packet.kind() {
        mqtt::CONNECT | mqtt::SUBSCRIBE | mqtt::PINGREQ => true,
        mqtt::PUBLISH => packet.message().topic.starts_with("patio/1/"),
        _ => false,
    }
}

impl Peer {
    async fn play(mut self, case: &Case) -> Result<(), String> {
        if case.connect {
            let first = timeout(STEP, mqtt::read(&mut self.stream)).await;
            if !matches!(&first, Ok(Ok(packet)) if packet.kind() == mqtt::CONNECT) {
                return Err(format!("{first:x?} instead of CONNECT"));
            }
        }
        if case.connack {
            // Receive maximum 20.
            self.write(&mqtt::connack(0, &[0x21, 0, 20])).await;
        }
        for step in &case.msgs {
            let bytes = hex::decode(&step.hex).unwrap();
            match step.kind.as_str() {
                "send" => self.write(&bytes).await,
                "recv" => self.expect(&bytes).await?,
                other => panic!("{other}"),
            }
        }
        if case.expect_disconnect {
            self.closed().await
        } else {
            self.write(&mqtt::publish("alive check", u16::MAX, b""))
                .await;
            self.expect(&mqtt::puback(u16::MAX, 0)).await
        }
    }

    /// A gateway that has closed the connection in the meantime is found out by reading.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next packet that is not the gateway's own affair; `None` when it has closed the connection.
    async fn read(&mut self) -> Result<Option<Packet>, String> {
        loop {
            match timeout(STEP, mqtt::read(&mut self.stream)).await {
                Err(_) => return Err("it neither speaks nor closes".into()),
                Ok(Err(_)) => return Ok(None),
                Ok(Ok(packet)) if is_own(&packet) => {}
                Ok(Ok(packet)) => return Ok(Some(packet)),
            }
        }
    }

    async fn expect(&mut self, bytes: &[u8]) -> Result<(), String> {
        match self.read().await? {
            None => Err("it closes".into()),
            Some(packet) if packet.bytes() == bytes => Ok(()),
            Some(packet) => Err(format!(
                "it says {}, not {}",
                hex::encode(packet.bytes()),
                hex::encode(bytes)
            )),
        }
    }

    async fn closed(&mut self) -> Result<(), String> {
        loop {
            match self.read().await {
                Ok(None) => return Ok(()),
                Ok(Some(packet)) if packet.kind() == mqtt::DISCONNECT => {}
                Ok(Some(packet)) => {
                    return Err(format!("it answers {}", hex::encode(packet.bytes())));
                }
                Err(_) => return Err("it does not close".into()),
            }
        }
    }
}
