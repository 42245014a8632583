//! A central system on this machine, and a station that talks to it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use edge::{
    buffer::{Buffer, Options},
    clock::Clock,
    sources::{
        Context,
        ocpp::{Central, Door, Keys, Known, Settings, relay, run},
    },
    supervise::Beat,
    transactions::Bookkeeper,
};
use futures::{SinkExt as _, StreamExt as _};
use ocpp::{AuthList, Policy, Token};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared_protocol::{Body, Record, SigningKey, block::SealedBlock};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::HeaderValue},
};

/// No wait for something that has to happen is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn known(password: Option<&str>, certificate: Option<[u8; 32]>) -> Known {
    Known {
        asset: "charger-1".parse().unwrap(),
        password: password.map(|text| digest(text.as_bytes())),
        certificate,
        relay: None,
    }
}

/// A gateway's part that serves stations.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) buffer: Buffer,
    pub(crate) central: Arc<Central>,
    pub(crate) clock: Arc<Clock>,
    tasks: Vec<JoinHandle<()>>,
    _stop: watch::Sender<bool>,
}

impl Gateway {
    pub(crate) async fn start(folder: &Path, keys: Option<&Keys>, station: Known) -> Self {
        let clock = Arc::new(Clock::start().unwrap());
        let wall = clock.standing();
        let began = Instant::now();
        // The folder is free when what worked in it has ended.
        let (central, keeper, buffer) = loop {
            let stations = HashMap::from([("CP-1".to_owned(), station.clone())]);
            let door = Door::new(keys, true, &stations, clock.clone()).unwrap();
            let mut tokens = AuthList::default();
            let token = Token {
                blocked: false,
                expires: None,
                group: None,
            };
            tokens.set("CARD", token);
            let policy = Policy {
                heartbeat: Duration::from_secs(60),
                tokens: Arc::new(tokens),
            };
            let settings = Settings { stations, policy };
            let options = Options {
                folder: folder.to_owned(),
                quota: 64 << 20,
                gateway: "gw-1".parse().unwrap(),
                key: SigningKey::from_seed([5; 32]),
            };
            if let Ok(keeper) = Bookkeeper::new(folder)
                && let Ok(buffer) = Buffer::open(options, clock.clone())
            {
                let keeper = Arc::new(keeper);
                break (Central::new(settings, door, keeper.clone()), keeper, buffer);
            }
            assert!(
                began.elapsed() < PATIENCE,
                "the folder stays in use: {wall:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let context = Context {
            buffer: buffer.clone(),
            clock: clock.clone(),
            stop: stopping,
            counters: Arc::default(),
            control: None,
            keeper: None,
        };
        let central = Arc::new(central);
        let tasks = vec![
            tokio::spawn(keeper.carry(context.clone(), Beat::free())),
            tokio::spawn(run(
                central.clone(),
                listener,
                context.clone(),
                Beat::free(),
            )),
        ];
        let relays = central.relayed().into_iter();
        let relays = relays
            .map(|id| tokio::spawn(relay(central.clone(), id, context.clone(), Beat::free())));
        let tasks = tasks.into_iter().chain(relays).collect();
        Self {
            address,
            buffer,
            central,
            clock,
            tasks,
            _stop: stop,
        }
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) async fn kill(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
        let _ = self.buffer.stop().await;
    }

    /// All records about stations that the buffer holds, oldest first; those of transactions, whose stream is their own, first.
    pub(crate) async fn records(&self) -> Vec<Record> {
        let mut found = records_of(&self.buffer, 1).await;
        found.extend(records_of(&self.buffer, 2).await);
        found
    }
}

/// The records of one priority that a buffer holds, oldest first.
pub(crate) async fn records_of(buffer: &Buffer, priority: u8) -> Vec<Record> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let blocks = buffer.to_send(priority, after, false, 100);
        let blocks = blocks.await.unwrap();
        let Some(last) = blocks.last() else {
            return found;
        };
        after = last.id;
        for block in blocks {
            let block = SealedBlock::open(&block.bytes).unwrap();
            if let Body::Records(records) = block.content().unwrap() {
                found.extend(records);
            }
        }
    }
}

/// The request of a handshake.
pub(crate) fn request(
    path: &str,
    versions: &str,
    password: Option<(&str, &str)>,
) -> tungstenite::handshake::client::Request {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let mut request = format!("ws://localhost{path}")
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_str(versions).unwrap(),
    );
    if let Some((name, password)) = password {
        let coded = BASE64_STANDARD.encode(format!("{name}:{password}"));
        headers.insert("Authorization", format!("Basic {coded}").parse().unwrap());
    }
    request
}

/// A station with a connection.
pub(crate) struct Station {
    socket: WebSocketStream<TcpStream>,
    number: u64,
    /// What it was called, oldest first.
    pub(crate) calls: Vec<(String, Value)>,
    /// The status with which it answers.
    pub(crate) status: &'static str,
    /// What it rejects in any case.
    pub(crate) rejects: Option<&'static str>,
}

impl Station {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, tungstenite::Error> {
        Self::speaking(address, "ocpp1.6").await
    }

    /// With the subprotocol of another version.
    pub(crate) async fn speaking(
        address: SocketAddr,
        version: &str,
    ) -> Result<Self, tungstenite::Error> {
        let stream = TcpStream::connect(address).await?;
        let request = request("/ocpp/CP-1", version, Some(("CP-1", "secret")));
        let (socket, _) = client_async(request, stream).await?;
        Ok(Self {
            socket,
            number: 0,
            calls: Vec::new(),
            status: "Accepted",
            rejects: None,
        })
    }

    pub(crate) async fn send(
        &mut self,
        action: &str,
        payload: &Value,
    ) -> Result<String, tungstenite::Error> {
        self.number += 1;
        let id = self.number.to_string();
        let frame = json!([2, id, action, payload]).to_string();
        self.socket.send(Message::text(frame)).await?;
        Ok(id)
    }

    /// Sends a request and waits for its answer; `None` when the connection is lost.
    pub(crate) async fn ask(&mut self, action: &str, payload: &Value) -> Option<Value> {
        let id = self.send(action, payload).await.ok()?;
        loop {
            let frame = self.heard().await?;
            if frame[1] == json!(id) {
                assert_eq!(frame[0], json!(3), "{frame}");
                return Some(frame[2].clone());
            }
        }
    }

    /// Hears one frame, and leaves a call without an answer.
    pub(crate) async fn overhear(&mut self) {
        let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        if let Ok(Some(Ok(Message::Text(text)))) = frame {
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame[0] == json!(2) {
                let action = frame[2].as_str().unwrap().to_owned();
                self.calls.push((action, frame[3].clone()));
            }
        }
    }

    /// Listens until it was called what it waits for.
    pub(crate) async fn listen(&mut self, wanted: impl Fn(&[(String, Value)]) -> bool) {
        while !wanted(&self.calls) {
            let heard = self.heard().await;
            assert!(heard.is_some(), "the connection is lost: {:?}", self.calls);
        }
    }

    /// The next frame that is no call; calls are answered.
    async fn heard(&mut self) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next());
            let Message::Text(text) = frame.await.ok()??.ok()? else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame[0] != json!(2) {
                return Some(frame);
            }
            let action = frame[2].as_str().unwrap().to_owned();
            let rejects = self.rejects == Some(action.as_str());
            let status = if rejects { "Rejected" } else { self.status };
            self.calls.push((action, frame[3].clone()));
            let answer = json!([3, frame[1], { "status": status }]).to_string();
            self.socket.send(Message::text(answer)).await.ok()?;
            return Some(Value::Null);
        }
    }
}
