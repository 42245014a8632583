//! Connections of the socketcand protocol.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    server::{BusHandle, Event, OnBus, ToClient},
    socketcand::{self, Command, Parser},
};
use crate::depot::Shared;

/// So many messages wait for a client before frames are dropped, as the kernel does it.
const CLIENT_QUEUE: usize = 256;

/// How long a client may leave its connection unread before it is closed.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// How long a closed connection waits for the other side to close it too.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Accepts connections until the depot stops.
pub async fn serve(shared: Arc<Shared>, listener: TcpListener, buses: BTreeMap<String, BusHandle>) {
    let buses = Arc::new(buses);
    let mut client = 0;
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                client += 1;
                let connection = Connection {
                    shared: Arc::clone(&shared),
                    buses: Arc::clone(&buses),
                    client,
                    closed: shared.stop.child_token(),
                };
                shared.tasks.spawn(connection.run(stream));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to a bus could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    buses: Arc<BTreeMap<String, BusHandle>>,
    client: u64,
    /// When it is over, for whatever reason.
    closed: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Without it frames would wait for each other's acknowledgements.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let (mut from, to) = stream.into_split();
        let (queue, texts) = mpsc::channel(CLIENT_QUEUE);
        let writer = Writer {
            shared: Arc::clone(&self.shared),
            to,
            closed: self.closed.clone(),
        };
        let writer = tokio::spawn(writer.run(texts));
        let mut bus = None;
        let spoken = self.listen(&mut from, &queue, &mut bus).await;
        if let Err(error) = spoken {
            tracing::debug!(client = self.client, %error, "a connection to a bus ended");
        }
        if let Some(bus) = bus {
            // A stopped bus needs no goodbye.
            let _ = bus.events.send(Event::Left(self.client)).await;
        }
        drop(queue);
        let _ = writer.await;
        // Closing with unread bytes would reset the connection and take from the client what was already given.
        let _ = timeout(CLOSE_LIMIT, drain(&mut from)).await;
    }

    async fn listen(
        &self,
        from: &mut OwnedReadHalf,
        queue: &mpsc::Sender<ToClient>,
        bus: &mut Option<BusHandle>,
    ) -> io::Result<()> {
        let say = |text| {
            queue
                .try_send(ToClient::Text(text))
                .map_err(io::Error::other)
        };
        say(socketcand::HI)?;
        let mut parser = Parser::default();
        let mut bytes = [0; 2048];
        loop {
            let count = tokio::select! {
                () = self.closed.cancelled() => return Ok(()),
                count = from.read(&mut bytes) => count?,
            };
            if count == 0 {
                return Ok(());
            }
            parser.push(&bytes[..count]);
            while let Some(command) = parser.command().map_err(io::Error::other)? {
                match (command, &*bus) {
                    (Command::Open(name), None) => match self.buses.get(&name) {
                        Some(known) => {
                            *bus = Some(known.clone());
                            say(socketcand::OK)?;
                        }
                        None => {
                            say(socketcand::NO_BUS)?;
                            return Ok(());
                        }
                    },
                    (Command::RawMode, Some(bus)) => {
                        say(socketcand::OK)?;
                        let (client, to) = (self.client, queue.clone());
                        let raw = bus.events.send(Event::Raw { client, to });
                        raw.await.map_err(io::Error::other)?;
                    }
                    (Command::BcmMode, Some(bus)) => {
                        let left = bus.events.send(Event::Left(self.client));
                        left.await.map_err(io::Error::other)?;
                        say(socketcand::OK)?;
                    }
                    (Command::Echo, Some(_)) => say("< echo >")?,
                    (Command::Send(frame), Some(bus)) => {
                        let from = self.client;
                        let sent = bus.events.send(Event::Frame { from, frame });
                        sent.await.map_err(io::Error::other)?;
                    }
                    (command, _) => {
                        tracing::debug!(client = self.client, ?command, "unknown here");
                        say(socketcand::UNKNOWN)?;
                    }
                }
            }
        }
    }
}

async fn drain(from: &mut OwnedReadHalf) {
    let mut bytes = [0; 1024];
    while matches!(from.read(&mut bytes).await, Ok(count) if count > 0) {}
}

struct Writer {
    shared: Arc<Shared>,
    to: OwnedWriteHalf,
    closed: CancellationToken,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<ToClient>) {
        let _closes_when_done = self.closed.clone().drop_guard();
        loop {
            let message = tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return,
                message = queue.recv() => message,
            };
            let written = match message {
                Some(ToClient::Text(text)) => self.write(text.as_bytes()).await.1,
                Some(ToClient::Frames { frames, counts }) => self.frames(&frames, counts).await,
                Some(ToClient::Close) | None => break,
            };
            if let Err(error) = written {
                tracing::debug!(%error, "a client of a bus does not take more");
                return;
            }
        }
        // The client reads to the end what was given to it.
        let _ = self.to.shutdown().await;
    }

    /// Writes frames, and the truth about those that were written whole.
    async fn frames(&mut self, frames: &[OnBus], counts: bool) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let _pass = shared.gate.read().await;
        if !shared.is_producing() {
            return Ok(());
        }
        let mut text = String::with_capacity(frames.len() * 56);
        let mut ends = Vec::with_capacity(frames.len());
        for on_bus in frames {
            socketcand::write_frame(&mut text, &on_bus.frame, on_bus.wall_us);
            ends.push(text.len());
        }
        let (bytes, written) = self.write(text.as_bytes()).await;
        if counts {
            for (on_bus, end) in frames.iter().zip(ends) {
                if end <= bytes {
                    shared.log.given(on_bus.simulated_ms, &on_bus.samples);
                }
            }
        }
        written
    }

    /// Writes; how many bytes went, and whether all did in time.
    async fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut done = 0;
        let all = async {
            while done < bytes.len() {
                match self.to.write(&bytes[done..]).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => done += count,
                }
            }
            Ok(())
        };
        let written = timeout(WRITE_LIMIT, all).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        (done, written)
    }
}
