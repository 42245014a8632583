//! A broker that does as it is told.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};

use crate::{
    cloud::Cloud,
    mqtt::{self, Message, Packet},
};

/// A gateway stays away no longer than five minutes, which pass in no time where the clock is paused.
const LONGEST: Duration = Duration::from_secs(320);

/// When it acknowledges a message.
#[derive(Clone, Debug)]
pub(crate) enum Puback {
    Each,
    Never,
    /// Every message but each of this number.
    AllBut(usize),
    /// When so many have come, the last first.
    Backwards(usize),
    /// Each twice, and one that nobody sent.
    Twice,
    /// Only this identifier.
    Only(u16),
    /// With this reason code.
    With(u8),
}

/// How it behaves on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// What it answers to CONNECT; nothing when empty.
    pub(crate) connack: Vec<u8>,
    /// The reason code of its SUBACK; `None`: it sends none.
    pub(crate) suback: Option<u8>,
    pub(crate) puback: Puback,
    /// Whether messages reach the cloud.
    pub(crate) forwards: bool,
    /// The connection is cut after so many messages.
    pub(crate) cut_after: usize,
    /// It cuts the connection, and says nothing, when a message is longer.
    pub(crate) hidden_limit: usize,
    /// It reads nothing any more after so many messages.
    pub(crate) stop_reading_after: usize,
    /// Whether it answers to PINGREQ.
    pub(crate) pings: bool,
    /// Sent after the CONNACK.
    pub(crate) then: Vec<u8>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            connack: mqtt::connack(0, &[]),
            suback: Some(1),
            puback: Puback::Each,
            forwards: true,
            cut_after: usize::MAX,
            hidden_limit: usize::MAX,
            stop_reading_after: usize::MAX,
            pings: true,
            then: Vec::new(),
        }
    }
}

impl Manners {
    /// What its CONNACK says, when that is the first property in it.
    fn receive_maximum(&self) -> usize {
        match self.connack[..] {
            [_, _, _, _, _, 0x21, high, low, ..] => u16::from_be_bytes([high, low]).into(),
            _ => usize::from(u16::MAX),
        }
    }

    /// With these properties in the CONNACK.
    pub(crate) fn limited(properties: &[u8]) -> Self {
        Self {
            connack: mqtt::connack(0, properties),
            ..Self::default()
        }
    }
}

/// What it has seen, and when; connections are counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) connection: usize,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Accepted,
    Message(Message),
    Closed,
    /// The gateway does what the broker has forbidden.
    Violation(String),
}

/// Raw bytes to whoever is connected.
type Line = Arc<Mutex<Option<mpsc::Sender<Vec<u8>>>>>;

/// The broker; it ends when it is dropped.
pub(crate) struct Broker {
    pub(crate) port: u16,
    seen: mpsc::Receiver<Seen>,
    line: Line,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Broker {
    /// Behaves on each connection as the script says, after its end as its last entry says.
    pub(crate) async fn start(script: Vec<Manners>, cloud: Option<Arc<Cloud>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (report, seen) = mpsc::channel(100_000);
        let line = Line::default();
        let task = tokio::spawn(accept(listener, script, cloud, report, line.clone()));
        Self {
            port,
            seen,
            line,
            task,
        }
    }

    /// The next thing that it sees.
    pub(crate) async fn next(&mut self) -> Seen {
        let seen = tokio::time::timeout(LONGEST, self.seen.recv());
        let seen = seen.await.expect("nothing happens any more").unwrap();
        if let What::Violation(what) = &seen.what {
            panic!("{what}");
        }
        seen
    }

    /// The next message, and on which connection and when it came.
    pub(crate) async fn message(&mut self) -> (Message, usize, Instant) {
        loop {
            let seen = self.next().await;
            if let What::Message(message) = seen.what {
                return (message, seen.connection, seen.at);
            }
        }
    }

    /// The next message that is not a hello.
    pub(crate) async fn block(&mut self) -> (Message, usize, Instant) {
        loop {
            let message = self.message().await;
            if !message.0.topic.ends_with("/hello") {
                return message;
            }
        }
    }

    /// Waits for the connection of this number.
    pub(crate) async fn accepted(&mut self, connection: usize) -> Instant {
        loop {
            let seen = self.next().await;
            if matches!(seen.what, What::Accepted) && seen.connection == connection {
                return seen.at;
            }
        }
    }

    /// Waits for the end of the connection of this number.
    pub(crate) async fn closed(&mut self, connection: usize) -> Instant {
        loop {
            let seen = self.next().await;
            if matches!(seen.what, What::Closed) && seen.connection == connection {
                return seen.at;
            }
        }
    }

    /// Sends bytes to whoever is connected.
    pub(crate) async fn send(&self, bytes: Vec<u8>) {
        let line = self.line.lock().unwrap().clone();
        line.expect("nobody is connected")
            .send(bytes)
            .await
            .unwrap();
    }
}

async fn accept(
    listener: TcpListener,
    script: Vec<Manners>,
    cloud: Option<Arc<Cloud>>,
    report: mpsc::Sender<Seen>,
    line: Line,
) {
    for connection in 1.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (report, line, cloud) = (report.clone(), line.clone(), cloud.clone());
        let manners = script[(connection - 1).min(script.len() - 1)].clone();
        tokio::spawn(async move {
            let tell = |what| {
                let seen = Seen {
                    at: Instant::now(),
                    connection,
                    what,
                };
                // Nobody listens any more when the broker is dropped.
                let told = report.try_send(seen);
                assert!(
                    !matches!(told, Err(TrySendError::Full(_))),
                    "too much to tell"
                );
            };
            tell(What::Accepted);
            serve(stream, &manners, cloud.as_deref(), &line, &tell).await;
            tell(What::Closed);
        });
    }
}

async fn serve(
    stream: TcpStream,
    manners: &Manners,
    cloud: Option<&Cloud>,
    line: &Line,
    tell: &impl Fn(What),
) {
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let (to_write, mut writing) = mpsc::channel::<Vec<u8>>(10_000);
    let write = tokio::spawn(async move {
        while let Some(bytes) = writing.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut place = Place {
        manners,
        cloud,
        to_write: to_write.clone(),
        waiting: Vec::new(),
        unacknowledged: HashSet::new(),
        messages: 0,
        next_id: 0,
    };
    *line.lock().unwrap() = Some(to_write);
    while let Ok(packet) = mqtt::read(&mut reader).await {
        if !place.handle(&packet, tell).await {
            break;
        }
        if place.messages >= manners.stop_reading_after {
            // The socket stays open and nobody reads it; the gateway must find out by itself.
            tell(What::Closed);
            std::future::pending::<()>().await;
        }
    }
    write.abort();
}

struct Place<'a> {
    manners: &'a Manners,
    cloud: Option<&'a Cloud>,
    to_write: mpsc::Sender<Vec<u8>>,
    /// What it acknowledges later.
    waiting: Vec<u16>,
    /// Identifiers that the gateway must not use again yet.
    unacknowledged: HashSet<u16>,
    messages: usize,
    next_id: u16,
}

impl Place<'_> {
    /// Whether the connection goes on.
    async fn handle(&mut self, packet: &Packet, tell: &impl Fn(What)) -> bool {
        match packet.kind() {
            mqtt::CONNECT => {
                self.write(self.manners.connack.clone()).await;
                self.write(self.manners.then.clone()).await;
            }
            mqtt::SUBSCRIBE => {
                if let Some(code) = self.manners.suback {
                    self.write(mqtt::suback(packet.two(0), code)).await;
                }
            }
            mqtt::PUBLISH => {
                let message = packet.message();
                if message.payload.len() > self.manners.hidden_limit {
                    return false;
                }
                self.messages += 1;
                tell(What::Message(message.clone()));
                if message.qos > 0 {
                    if !self.unacknowledged.insert(message.id) {
                        tell(What::Violation(format!("{} is in use", message.id)));
                    }
                    if self.unacknowledged.len() > self.manners.receive_maximum() {
                        tell(What::Violation("more than the receive maximum".into()));
                    }
                    self.acknowledge(message.id).await;
                }
                if let (true, Some(cloud)) = (self.manners.forwards, self.cloud) {
                    for word in cloud.hear(&message) {
                        self.next_id = self.next_id % u16::MAX + 1;
                        let topic = cloud.topic();
                        self.write(mqtt::publish(&topic, self.next_id, &word)).await;
                    }
                }
                return self.messages < self.manners.cut_after;
            }
            mqtt::PINGREQ if self.manners.pings => self.write(vec![0xd0, 0]).await,
            mqtt::DISCONNECT => return false,
            _ => {}
        }
        true
    }

    async fn acknowledge(&mut self, id: u16) {
        let when = |now: bool| if now { vec![id] } else { vec![] };
        let mut code = 0;
        let ids = match &self.manners.puback {
            Puback::Each => when(true),
            Puback::Never => when(false),
            Puback::AllBut(number) => when(!self.messages.is_multiple_of(*number)),
            Puback::Only(only) => when(id == *only),
            Puback::Backwards(number) => {
                self.waiting.push(id);
                if self.waiting.len() < *number {
                    return;
                }
                self.waiting.drain(..).rev().collect()
            }
            Puback::Twice => vec![id, id, 60_000],
            Puback::With(reason) => {
                code = *reason;
                when(true)
            }
        };
        for id in ids {
            self.unacknowledged.remove(&id);
            self.write(mqtt::puback(id, code)).await;
        }
    }

    async fn write(&self, bytes: Vec<u8>) {
        // A writer that is gone has found the connection closed; so will the reader.
        let _ = self.to_write.send(bytes).await;
    }
}
