//! A line with every fault that a line can have. Every word that is read carries the number of the request that it was read
//! for, so that a value of another request is a wrong value.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use modbus::{Framing, device::Place};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, duplex, split},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::support::{Asked, Random, asked, read_answer, rtu_frame, rtu_request};

/// Where the identity of every simulated unit stands.
pub(crate) const IDENTITY: u16 = 900;

/// Requests in the order in which units got them: number, unit, place.
pub(crate) type Log = Arc<Mutex<Vec<(u8, Place)>>>;

/// How bad a line is: one in so many answers has this fault; 0 is never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) late: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) damaged: u64,
    pub(crate) exception: u64,
    /// Longest delay of a late answer.
    pub(crate) latest: u64,
    /// How often an answer is repeated at most.
    pub(crate) most: usize,
}

impl Faults {
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut one_in = || [0, 4, 10, 30, 100][random.below(5) as usize];
        let (late, lost, repeated, damaged, exception) =
            (one_in(), one_in(), one_in(), one_in(), one_in());
        Self {
            late,
            lost,
            repeated,
            damaged,
            exception,
            latest: [150, 400, 3000][random.below(3) as usize],
            most: usize::MAX,
        }
    }
}

/// The two words of the value at an even address: the number of the request, and the address.
fn word(address: u16, number: usize) -> u16 {
    let value = (number as u32) << 8 | u32::from((address / 2) & 0xff);
    if address.is_multiple_of(2) {
        (value >> 16) as u16
    } else {
        value as u16
    }
}

pub(crate) fn truth(address: u16, number: usize) -> i64 {
    i64::from(u32::from(word(address, number)) << 16 | u32::from(word(address + 1, number)))
}

fn answer(unit: u8, place: Place, number: usize) -> Vec<u8> {
    let words: Vec<u16> = (0..place.count)
        .map(|at| match place.address + at {
            IDENTITY => 0,
            address if address == IDENTITY + 1 => 0x1000 + u16::from(unit),
            address => word(address, number),
        })
        .collect();
    read_answer(place.table, &words)
}

/// One of the ways in which an RTU frame arrives wrong: all of them are seen by unit, function, length, or for certain by the CRC.
fn damage(random: &mut Random, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = rtu_frame(unit, pdu);
    let bits = frame.len() as u64 * 8;
    match random.below(4) {
        0 => {
            let (unit, pdu) = forge(random, unit, pdu);
            frame = rtu_frame(unit, &pdu);
        }
        1 => {
            for _ in 0..=random.below(3) {
                let bit = random.below(bits);
                frame[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
        }
        2 => {
            // A burst of up to 16 bits in the order of transmission: least significant first.
            let first = random.below(bits - 16);
            let pattern = random.next() as u16 | 1;
            for bit in (0..16)
                .filter(|at| pattern >> at & 1 == 1)
                .map(|at| first + at)
            {
                frame[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
        }
        _ => frame = mangle(random, frame),
    }
    frame
}

/// A sound frame that is the answer to something else: another unit (none that is on the line), function or length.
fn forge(random: &mut Random, unit: u8, pdu: &[u8]) -> (u8, Vec<u8>) {
    match random.below(3) {
        0 => (unit ^ (16 + random.below(200) as u8), pdu.to_vec()),
        1 => (unit, [&[pdu[0] ^ 1], &pdu[1..]].concat()),
        _ => {
            let more = random.one_in(2);
            let words = if more {
                [&pdu[2..], &[0x12, 0x34]].concat()
            } else {
                pdu[2..pdu.len() - 2].to_vec()
            };
            (unit, [&[pdu[0], words.len() as u8], &words[..]].concat())
        }
    }
}

/// Bytes are missing at the end, or there are more before or after.
fn mangle(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    let noise: Vec<u8> = (0..=random.below(6)).map(|_| random.next() as u8).collect();
    match random.below(3) {
        0 => {
            frame.truncate(random.below(frame.len() as u64) as usize);
            frame
        }
        1 => [frame, noise].concat(),
        _ => [noise, frame].concat(),
    }
}

fn mbap_frame(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = (pdu.len() + 1) as u16;
    [
        &transaction.to_be_bytes()[..],
        &[0, 0],
        &length.to_be_bytes(),
        &[unit],
        pdu,
    ]
    .concat()
}

/// A request with the connection and the transaction that it came by.
struct Request {
    connection: usize,
    transaction: u16,
    unit: u8,
    asked: Asked,
}

async fn mbap_request(line: &mut (impl AsyncRead + Unpin)) -> Option<(u16, u8, Asked)> {
    let mut head = [0; 7];
    line.read_exact(&mut head).await.ok()?;
    let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
    line.read_exact(&mut pdu).await.ok()?;
    Some((u16::from_be_bytes([head[0], head[1]]), head[6], asked(&pdu)))
}

async fn listen(
    framing: Framing,
    connection: usize,
    mut from: ReadHalf<DuplexStream>,
    requests: mpsc::Sender<Request>,
) {
    loop {
        let request = if framing == Framing::Rtu {
            rtu_request(&mut from)
                .await
                .map(|(unit, asked)| (0, unit, asked))
        } else {
            mbap_request(&mut from).await
        };
        let Some((transaction, unit, asked)) = request else {
            return;
        };
        if requests
            .send(Request {
                connection,
                transaction,
                unit,
                asked,
            })
            .await
            .is_err()
        {
            return;
        }
    }
}

/// An answer on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    at: Instant,
    sent: usize,
    connection: usize,
    transaction: u16,
    unit: u8,
    pdu: Vec<u8>,
    is_damaged: bool,
}

/// All units of a line, over all its connections. Each answers in the order of its requests; what lies between is up to the faults.
///
/// Over RTU and behind a gateway answers survive a new connection. A gateway gives every second answer the number of the
/// newest request, as one does that was late itself; a device on TCP answers to the connection that asked.
struct Units {
    framing: Framing,
    faults: Faults,
    random: Random,
    log: Log,
    pending: BinaryHeap<Reverse<Pending>>,
    free: HashMap<u8, Instant>,
    sent: usize,
    newest: u16,
}

impl Units {
    async fn run(mut self, mut lines: mpsc::Receiver<DuplexStream>) {
        let (sender, mut requests) = mpsc::channel(64);
        let (mut writer, mut connection) = (None, 0);
        loop {
            let next = self.pending.peek().map_or_else(
                || Instant::now() + Duration::from_hours(1),
                |Reverse(next)| next.at,
            );
            tokio::select! {
                line = lines.recv() => {
                    let Some(line) = line else { return };
                    connection += 1;
                    let (from, to) = split(line);
                    writer = Some(to);
                    tokio::spawn(listen(self.framing, connection, from, sender.clone()));
                }
                request = requests.recv() => {
                    let Some(request) = request else { return };
                    self.take(&request);
                }
                () = sleep_until(next) => {
                    let Some(Reverse(next)) = self.pending.pop() else { continue };
                    let lost = self.framing == Framing::Tcp && next.connection != connection;
                    let frame = self.frame(&next);
                    // The other side may have closed the connection: then the answer is lost too.
                    if let Some(to) = writer.as_mut().filter(|_| !lost) && to.write_all(&frame).await.is_err() {
                        writer = None;
                    }
                }
            }
        }
    }

    fn happens(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.random.one_in(one_in)
    }

    fn take(&mut self, request: &Request) {
        let Asked::Read {
            table,
            address,
            count,
        } = request.asked
        else {
            panic!("nothing is written here")
        };
        let (unit, place) = (
            request.unit,
            Place {
                table,
                address,
                count,
            },
        );
        self.newest = request.transaction;
        let number = {
            let mut log = self.log.lock().unwrap();
            log.push((unit, place));
            log.len()
        };
        let mut delay = 5 + self.random.below(20);
        if self.happens(self.faults.late) {
            delay += self.random.below(self.faults.latest);
        }
        // In order: never before the answer to the request before, however late that is.
        let now = Instant::now();
        let mut at =
            (now + Duration::from_millis(delay)).max(self.free.get(&unit).copied().unwrap_or(now));
        let mut pdu = answer(unit, place, number);
        if self.happens(self.faults.exception) {
            pdu = vec![pdu[0] | 0x80, 1 + self.random.below(6) as u8];
        }
        let is_damaged = self.happens(self.faults.damaged) && pdu[0] < 0x80;
        if is_damaged || !self.happens(self.faults.lost) {
            self.send(at, request, &pdu, is_damaged);
        }
        let mut repeats = 0;
        while repeats < self.faults.most && self.happens(self.faults.repeated) {
            repeats += 1;
            at += Duration::from_millis(self.random.below(self.faults.latest));
            self.send(at, request, &pdu, false);
        }
        self.free.insert(unit, at);
    }

    fn send(&mut self, at: Instant, request: &Request, pdu: &[u8], is_damaged: bool) {
        self.sent += 1;
        let Request {
            connection,
            transaction,
            unit,
            ..
        } = *request;
        self.pending.push(Reverse(Pending {
            at,
            sent: self.sent,
            connection,
            transaction,
            unit,
            pdu: pdu.to_vec(),
            is_damaged,
        }));
    }

    fn frame(&mut self, pending: &Pending) -> Vec<u8> {
        let Pending {
            transaction,
            unit,
            pdu,
            is_damaged,
            ..
        } = pending;
        if self.framing == Framing::Rtu {
            return if *is_damaged {
                damage(&mut self.random, *unit, pdu)
            } else {
                rtu_frame(*unit, pdu)
            };
        }
        let mistaken = self.framing == Framing::TcpGateway && self.random.one_in(2);
        let transaction = if mistaken { self.newest } else { *transaction };
        if !is_damaged {
            return mbap_frame(transaction, *unit, pdu);
        }
        match self.random.below(3) {
            0 => {
                let (unit, pdu) = forge(&mut self.random, *unit, pdu);
                mbap_frame(transaction, unit, &pdu)
            }
            1 => mbap_frame(
                transaction.wrapping_sub(1 + self.random.below(9) as u16),
                *unit,
                pdu,
            ),
            _ => mangle(&mut self.random, mbap_frame(transaction, *unit, pdu)),
        }
    }
}

/// Starts the units of a line, and gives what opens the line.
pub(crate) fn start(
    framing: Framing,
    faults: Faults,
    random: Random,
    log: &Log,
) -> impl FnMut() -> BoxFuture<io::Result<DuplexStream>> + use<> {
    let (opened, lines) = mpsc::channel(4);
    let log = Arc::clone(log);
    let (pending, free) = (BinaryHeap::new(), HashMap::new());
    tokio::spawn(
        Units {
            framing,
            faults,
            random,
            log,
            pending,
            free,
            sent: 0,
            newest: 0,
        }
        .run(lines),
    );
    move || {
        let opened = opened.clone();
        Box::pin(async move {
            let (near, far) = duplex(4096);
            opened.send(far).await.map_err(io::Error::other)?;
            Ok(near)
        })
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
