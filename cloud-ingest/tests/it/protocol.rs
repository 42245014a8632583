//! What a broker sees of us, byte for byte: when it gets acknowledgements, in which order, and with which words.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cloud_ingest::{
    broker::Endpoint,
    ingest::{Parts, Pipeline},
    status::Status,
};
use shared_protocol::{SigningKey, Stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::{
    gateway::Gateway,
    machine::until,
    pipeline::{Memory, ingest_config},
};

const CONNECT: u8 = 1;
const PUBACK: u8 = 4;
const SUBSCRIBE: u8 = 8;
const NOT_AUTHORIZED: u8 = 0x87;

/// A packet: its type and what follows the fixed header.
async fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await.ok()? >> 4;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}

/// PUBLISH with QoS 1 and no properties (MQTT 5, 3.3).
fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    body.extend(id.to_be_bytes());
    body.push(0);
    body.extend(payload);
    let mut bytes = vec![0x32];
    let mut length = body.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(body);
    bytes
}

/// A broker that grants subscriptions with this code, sends these messages to who reads `live` (the first of them before
/// it grants anything), and tells each acknowledgement: number and reason.
async fn broker(code: u8, messages: Vec<Vec<u8>>) -> (SocketAddr, mpsc::Receiver<(u16, u8)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, acknowledged) = mpsc::channel(100);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, code, messages.clone(), seen.clone()));
        }
    });
    (address, acknowledged)
}

async fn serve(
    mut stream: TcpStream,
    code: u8,
    messages: Vec<Vec<u8>>,
    seen: mpsc::Sender<(u16, u8)>,
) {
    let mut live = false;
    while let Some((kind, body)) = packet(&mut stream).await {
        let answer = match kind {
            CONNECT => {
                // Clean start, and a Receive Maximum of 4096 (property 0x21).
                assert_eq!(body[7], 2, "{body:?}");
                assert!(
                    body.windows(3).any(|bytes| bytes == [0x21, 16, 0]),
                    "{body:?}"
                );
                live = body.windows(18).any(|bytes| bytes == b"patio-ingest-live-");
                vec![0x20, 3, 0, 0, 0]
            }
            SUBSCRIBE => {
                let count = body
                    .windows(11)
                    .filter(|bytes| bytes == b"patio/1/+/u")
                    .count();
                let mut granted = vec![0x90, 3 + count as u8, body[0], body[1], 0];
                granted.extend(vec![code; count]);
                let sent = if live { messages.as_slice() } else { &[] };
                let (early, late) = sent.split_at(sent.len().min(1));
                [early.concat(), granted, late.concat()].concat()
            }
            PUBACK => {
                let reason = body.get(2).copied().unwrap_or(0);
                seen.send((u16::from_be_bytes([body[0], body[1]]), reason))
                    .await
                    .unwrap();
                continue;
            }
            _ => continue,
        };
        stream.write_all(&answer).await.unwrap();
    }
}

fn pipeline(
    address: SocketAddr,
    store: &Memory,
    status: &Arc<Status>,
    key: &SigningKey,
) -> Pipeline {
    Pipeline::start(Parts {
        store: store.clone(),
        endpoint: Endpoint::local(address),
        shared_group: None,
        signing: key.clone(),
        config: ingest_config(),
        status: Arc::clone(status),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_come_after_the_commit_in_the_order_of_arrival() {
    let key = SigningKey::generate().unwrap();
    let (store, status) = (Memory::default(), Arc::new(Status::default()));
    store.0.away.store(true, Ordering::Relaxed);
    // The first is of a gateway whose blocks are never stored; the second lane goes on without it.
    let senders = ["never", "a", "b", "a"];
    let messages = (1..).zip(senders).map(|(id, name)| {
        let mut gateway = Gateway::new(name, key.verifying_key());
        gateway.samples(Stream::Live, 3, i64::from(id));
        publish(
            &format!("patio/1/{name}/up/live"),
            id,
            &gateway.last_pending(),
        )
    });
    *store.0.never.lock().unwrap() = Some("never".parse().unwrap());
    let (address, mut acknowledged) = broker(1, messages.collect()).await;
    let running = pipeline(address, &store, &status, &key);
    until("the blocks wait", 10, || async {
        status.waiting_bytes() > 1000
    })
    .await;
    let early = timeout(Duration::from_secs(2), acknowledged.recv()).await;
    assert!(
        early.is_err(),
        "acknowledged before it was stored: {early:?}"
    );
    store.0.away.store(false, Ordering::Relaxed);
    let mut order = Vec::new();
    while order.len() < 4 {
        order.push(
            timeout(Duration::from_secs(10), acknowledged.recv())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    assert_eq!(order, [(1, 0x83), (2, 0), (3, 0), (4, 0)]);
    assert_eq!(store.count(), 3);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_subscription_is_said() {
    let (store, status) = (Memory::default(), Arc::new(Status::default()));
    let (address, _) = broker(NOT_AUTHORIZED, Vec::new()).await;
    let running = pipeline(address, &store, &status, &SigningKey::generate().unwrap());
    let refusal = "the broker refuses the subscription to patio/1/+/up/bulk (NotAuthorized)";
    until("the refusal is known", 10, || async {
        status
            .broker_fault()
            .is_some_and(|fault| fault.contains(refusal))
    })
    .await;
    running.stop(Duration::from_secs(5)).await;
}
