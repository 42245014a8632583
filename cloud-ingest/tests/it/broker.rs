//! The embedded broker and who looks after it.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use cloud_ingest::{
    broker::{Endpoint, Pace, child, probe::probe, supervisor::Supervisor},
    status::Status,
};
use rumqttc::{Event, Packet, PublishOptions, QoS};

use crate::{
    gateway::connect,
    machine::{broker_pid, free_address, program, run, signal, stderr, until},
};

/// Starts `cloud-ingest broker` and waits until it says that it is ready.
fn start(args: &[&str]) -> (Child, String) {
    let mut child = program()
        .arg("broker")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line)
}

pub(crate) fn supervisor(listen: SocketAddr, status: &Arc<Status>) -> Supervisor {
    Supervisor {
        program: env!("CARGO_BIN_EXE_cloud-ingest").into(),
        listen,
        inner: child::inner_address().unwrap(),
        pace: Pace::DEFAULT,
        log_level: "error".to_owned(),
        log_format: "text".to_owned(),
        status: Arc::clone(status),
    }
}

#[test]
fn it_ends_with_its_standard_input() {
    let (mut child, line) = start(&["--listen", "127.0.0.1:0", "--until-stdin-closes"]);
    assert!(line.starts_with("ready broker=mqtt://127.0.0.1:"), "{line}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_ends_when_it_is_told_to() {
    let (mut child, _line) = start(&["--listen", "127.0.0.1:0"]);
    // Without a parent to follow, a closed standard input means nothing.
    drop(child.stdin.take());
    std::thread::park_timeout(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_occupied_port_is_said_and_nothing_is_started() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = other.local_addr().unwrap().to_string();
    let output = run(&["broker", "--listen", &listen]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        format!(
            "[mqtt] listen: cannot listen on {listen}: another program listens there: stop it, or choose another port\n"
        )
    );
}

#[test]
fn listening_for_others_has_to_be_said_in_words() {
    let output = run(&["broker", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--trusted-network if you mean it"),
        "{}",
        stderr(&output)
    );
    let (child, line) = start(&[
        "--listen",
        "0.0.0.0:0",
        "--trusted-network",
        "--until-stdin-closes",
    ]);
    assert!(line.starts_with("ready broker=mqtt://0.0.0.0:"), "{line}");
    drop(child);
}

/// However the broker dies, a new one answers at the same address.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_broker_is_replaced() {
    let listen = free_address();
    let status = Arc::new(Status::default());
    let running = supervisor(listen, &status).start().await.unwrap();
    for death in ["KILL", "STOP", "poison"] {
        until("a broker", 20, || async {
            probe(listen, Duration::from_secs(1)).await.is_ok()
        })
        .await;
        let pid = broker_pid(listen).unwrap();
        if death == "poison" {
            // rumqttd 0.20 cuts the first byte off every topic: a letter of two bytes is the end of its router.
            let (client, mut events) = connect(&Endpoint::local(listen), "poisoner").await.unwrap();
            client.try_subscribe("#", QoS::AtLeastOnce).unwrap();
            let gone = async {
                while let Ok(event) = events.poll().await {
                    if matches!(event, Event::Incoming(Packet::SubAck(_))) {
                        client
                            .try_publish("ñ", "x", PublishOptions::at_least_once())
                            .unwrap();
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), gone)
                .await
                .unwrap();
        } else {
            signal(pid, death);
        }
        until(&format!("another broker after {death}"), 30, || async {
            broker_pid(listen).is_some_and(|now| now != pid)
                && probe(listen, Duration::from_secs(1)).await.is_ok()
        })
        .await;
    }
    running.stop().await;
    until("no broker", 5, || async { broker_pid(listen).is_none() }).await;
}
