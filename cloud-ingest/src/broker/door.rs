//! The door of the embedded broker: what a client publishes goes through it no faster than its pace.
//!
//! rumqttd reads whatever comes and keeps a class of blocks in one line; a client that publishes faster than the ingestor
//! reads would stand between all others and push their blocks out. So rumqttd itself listens where only the ingestor looks for
//! it, and everybody else comes through here.
//!
//! 1. A connection begins with CONNECT (MQTT 5, 3.1), which names the client. The pace is that of the name: who comes back
//!    finds what it has left of it, not a new one.
//! 2. Before bytes are passed on they are paid for: each byte out of one purse, each PUBLISH that begins among them out of
//!    another. When a purse is empty nothing is read, and TCP tells the client to wait. Nothing is lost, and nobody is sent away.
//! 3. What the broker says goes back free of charge.
//! 4. Who was kept waiting for more than a tenth of the time is named in the log and counted.
//!
//! Names are believed: whoever reaches this broker may take any. Strangers belong before an external one.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{BufMut as _, BytesMut};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::HashMapStateStore,
};
use rumqttc::{Packet, mqttbytes};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    time::{interval, sleep, timeout},
};

use super::Pace;

/// Type of a packet: MQTT 5, 2.1.2.
const PUBLISH: u8 = 3;
/// Longest CONNECT: the name, a will, and properties.
const MAX_CONNECT: u32 = 16 << 10;
/// Longest name of a client; it is kept for a while, and by rumqttd for ever.
const MAX_NAME: usize = 256;
const CONNECT: Duration = Duration::from_secs(10);
/// What is read at once, and passed on at once.
const CHUNK: usize = 16 << 10;
/// When more messages than this are in it, it is passed on in such pieces: the broker must hear of its client while that waits.
const MANY: usize = 32;
const SMALL: usize = 256;
/// What the kernel may take in of a client that is not read: little, so that its pings are not far behind.
const KERNEL: u32 = 256 << 10;
const BACKLOG: u32 = 1024;
/// What the broker may still say after a client has said all that it had to say.
const FINISH: Duration = Duration::from_secs(5);
/// How often is looked who was kept waiting.
const EVERY: Duration = Duration::from_secs(10);
/// The line on standard output for each of them.
pub const SLOWED: &str = "slowed";

type Limiter = RateLimiter<String, HashMapStateStore<String>, DefaultClock>;

/// What each client may still publish.
#[derive(Debug)]
struct Purses {
    bytes: (Limiter, NonZeroU32),
    messages: (Limiter, NonZeroU32),
    clock: DefaultClock,
    /// How long each has been kept waiting since this was looked at.
    waited: Mutex<HashMap<String, Duration>>,
}

impl Purses {
    fn new(pace: Pace) -> Self {
        let purse = |rate: NonZeroU32| {
            let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(1));
            let quota = Quota::per_second(rate).allow_burst(burst);
            (RateLimiter::hashmap(quota), burst)
        };
        Self {
            bytes: purse(pace.bytes),
            messages: purse(pace.messages),
            clock: DefaultClock::default(),
            waited: Mutex::default(),
        }
    }

    /// Takes this much out of a client's purse, and waits until there is as much.
    async fn pay(&self, of: &(Limiter, NonZeroU32), client: &String, amount: usize) {
        let (limiter, burst) = of;
        let mut left = u32::try_from(amount).unwrap_or(u32::MAX);
        while let Some(part) = NonZeroU32::new(left.min(burst.get())) {
            // No part is more than a purse holds.
            if let Ok(Err(until)) = limiter.check_key_n(client, part) {
                let wait = until.wait_time_from(self.clock.now());
                self.kept_waiting(client, wait);
                sleep(wait).await;
            } else {
                left -= part.get();
            }
        }
    }

    fn kept_waiting(&self, client: &str, wait: Duration) {
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        match waited.get_mut(client) {
            Some(sum) => *sum += wait,
            None => {
                waited.insert(client.to_owned(), wait);
            }
        }
    }

    /// Who was kept waiting for more than a tenth of the time since the last look, and how long.
    fn look(&self) -> Vec<(String, Duration)> {
        for (limiter, _) in [&self.bytes, &self.messages] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waited)
            .into_iter()
            .filter(|(_, wait)| *wait > EVERY / 10)
            .collect()
    }
}

/// Where one packet ends and the next begins, in bytes as they come (MQTT 5, 2.1).
#[derive(Clone, Copy, Debug)]
enum Frames {
    /// The first byte of a packet comes next.
    Type,
    /// The length of its rest: so far, and by how many bits the next byte moves.
    Length(usize, u32),
    /// So many bytes of it are still to come.
    Rest(usize),
}

impl Frames {
    fn rest(length: usize) -> Self {
        match length {
            0 => Self::Type,
            length => Self::Rest(length),
        }
    }

    /// How many PUBLISH packets begin in these bytes. What is none by its length is for the broker to refuse.
    fn publishes(&mut self, mut bytes: &[u8]) -> usize {
        let mut count = 0;
        while let Some((&byte, after)) = bytes.split_first() {
            match *self {
                Self::Type => {
                    count += usize::from(byte >> 4 == PUBLISH);
                    *self = Self::Length(0, 0);
                    bytes = after;
                }
                Self::Length(length, shift) => {
                    let length = length | usize::from(byte & 0x7F) << shift;
                    *self = if byte & 0x80 != 0 && shift < 21 {
                        Self::Length(length, shift + 7)
                    } else {
                        Self::rest(length)
                    };
                    bytes = after;
                }
                Self::Rest(length) => {
                    let here = length.min(bytes.len());
                    *self = Self::rest(length - here);
                    bytes = &bytes[here..];
                }
            }
        }
        count
    }
}

/// Listens for clients.
pub fn listen(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Those who are accepted have it from the listener.
    socket.set_recv_buffer_size(KERNEL)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

/// Lets clients in to the broker at `inner`, at most so many at a time, for ever. `tell`: says on standard output who was slowed.
pub async fn keep(door: TcpListener, inner: SocketAddr, pace: Pace, most: usize, tell: bool) {
    let purses = Arc::new(Purses::new(pace));
    let room = Arc::new(Semaphore::new(most));
    let mut look = interval(EVERY);
    loop {
        let accepted = tokio::select! {
            accepted = door.accept() => accepted,
            _ = look.tick() => {
                name(&purses.look(), tell);
                continue;
            }
        };
        match (accepted, Arc::clone(&room).try_acquire_owned()) {
            (Ok((client, _)), Ok(place)) => {
                let purses = Arc::clone(&purses);
                tokio::spawn(async move {
                    // However it ends, the client sees that its connection has.
                    if let Err(error) = serve(client, inner, &purses).await {
                        tracing::debug!(%error, "a connection ended");
                    }
                    drop(place);
                });
            }
            (Ok(_), Err(_)) => tracing::warn!(most, "no more clients are let in"),
            (Err(error), _) => {
                // Out of files, usually: some will be given back.
                tracing::warn!(%error, "a client is not let in");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn name(slowed: &[(String, Duration)], tell: bool) {
    let mut out = io::stdout().lock();
    for (client, wait) in slowed {
        tracing::warn!(
            client,
            wait_ms = wait.as_millis(),
            "a client publishes faster than mqtt.client_bytes or mqtt.client_messages: it is read more slowly"
        );
        if tell {
            // Whoever listens ends us when it does not any more.
            let _ = writeln!(out, "{SLOWED} {client:?}").and_then(|()| out.flush());
        }
    }
}

async fn serve(mut client: TcpStream, inner: SocketAddr, purses: &Purses) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (name, first) = timeout(CONNECT, introduction(&mut client)).await??;
    let broker = TcpStream::connect(inner).await?;
    broker.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let up = async {
        let passed = async {
            pass(first, &mut from_client, &mut to_broker, &name, purses).await?;
            to_broker.shutdown().await
        };
        let passed = passed.await;
        sleep(FINISH).await;
        passed
    };
    let down = async {
        tokio::io::copy(&mut from_broker, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

/// Reads CONNECT; returns who the client says it is, and all that was read.
async fn introduction(client: &mut TcpStream) -> io::Result<(String, BytesMut)> {
    let mut read = BytesMut::with_capacity(1024);
    loop {
        if client.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Reading a packet takes it away.
        match Packet::read(&mut read.clone(), Some(MAX_CONNECT)) {
            Ok(Packet::Connect(connect, ..)) if connect.client_id.len() <= MAX_NAME => {
                return Ok((connect.client_id, read));
            }
            Err(mqttbytes::Error::InsufficientBytes(_)) => {}
            Ok(_) => {
                return Err(io::Error::other(
                    "it does not begin with CONNECT, or with too long a name",
                ));
            }
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
    }
}

/// Passes on what a client says, until it ends.
async fn pass(
    first: BytesMut,
    client: &mut OwnedReadHalf,
    broker: &mut OwnedWriteHalf,
    name: &String,
    purses: &Purses,
) -> io::Result<()> {
    let mut frames = Frames::Type;
    let mut bytes = first;
    while !bytes.is_empty() {
        let mut ahead = frames;
        let is_many = ahead.publishes(&bytes) > MANY;
        for part in bytes.chunks(if is_many { SMALL } else { CHUNK }) {
            let messages = frames.publishes(part);
            purses.pay(&purses.bytes, name, part.len()).await;
            purses.pay(&purses.messages, name, messages).await;
            broker.write_all(part).await?;
        }
        bytes.clear();
        bytes.reserve(CHUNK);
        client.read_buf(&mut (&mut bytes).limit(CHUNK)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pace(bytes: u32, messages: u32) -> Pace {
        Pace {
            bytes: NonZeroU32::new(bytes).unwrap(),
            messages: NonZeroU32::new(messages).unwrap(),
        }
    }

    fn packet(kind: u8, rest: usize) -> Vec<u8> {
        let mut packet = vec![kind << 4];
        let mut length = rest;
        loop {
            let more = length >= 0x80;
            packet.push((length & 0x7F) as u8 | if more { 0x80 } else { 0 });
            length >>= 7;
            if !more {
                break;
            }
        }
        // Contents that look like the beginning of a PUBLISH.
        packet.extend(std::iter::repeat_n(PUBLISH << 4, rest));
        packet
    }

    proptest! {
        #[test]
        fn packets_are_counted_however_their_bytes_come(
            packets in prop::collection::vec((1u8..=14, prop_oneof![0usize..300, 16_000usize..17_000]), 0..20),
            cuts in prop::collection::vec(1usize..5000, 1..50),
        ) {
            let bytes: Vec<u8> = packets.iter().flat_map(|(kind, rest)| packet(*kind, *rest)).collect();
            let mut frames = Frames::Type;
            let (mut at, mut count) = (0, 0);
            for cut in cuts.iter().cycle() {
                if at == bytes.len() {
                    break;
                }
                let end = (at + cut).min(bytes.len());
                count += frames.publishes(&bytes[at..end]);
                at = end;
            }
            prop_assert_eq!(count, packets.iter().filter(|(kind, _)| *kind == PUBLISH).count());
        }

        #[test]
        fn whatever_comes_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Frames::Type.publishes(&bytes);
        }
    }

    #[tokio::test]
    async fn a_purse_is_each_clients_own_and_outlives_its_connections() {
        let purses = Purses::new(pace(1 << 20, 100));
        let (loud, quiet) = ("loud".to_owned(), "quiet".to_owned());
        let begun = std::time::Instant::now();
        // What is in it at first, and a second's worth.
        purses.pay(&purses.messages, &loud, 200).await;
        purses.pay(&purses.messages, &loud, 100).await;
        assert!(begun.elapsed() >= Duration::from_millis(950));
        purses.pay(&purses.messages, &quiet, 200).await;
        purses.pay(&purses.bytes, &quiet, 2 << 20).await;
        assert!(!purses.waited.lock().unwrap().contains_key("quiet"));
        purses.kept_waiting("loud", EVERY);
        assert_eq!(purses.look().len(), 1);
        assert_eq!(purses.look().len(), 0);
    }
}
