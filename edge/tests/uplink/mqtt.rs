//! As much of MQTT 5 as a scripted broker needs.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

pub(crate) const CONNECT: u8 = 1;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const DISCONNECT: u8 = 14;

/// A packet as it came: first byte and what follows the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) first: u8,
    pub(crate) body: Vec<u8>,
}

/// The parts of a PUBLISH.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) id: u16,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    pub(crate) fn kind(&self) -> u8 {
        self.first >> 4
    }

    pub(crate) fn two(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.body[at], self.body[at + 1]])
    }

    /// All of its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        packet(self.first, &self.body)
    }

    /// Reads a PUBLISH whose properties are shorter than 128 bytes.
    pub(crate) fn message(&self) -> Message {
        let qos = self.first >> 1 & 3;
        let end = 2 + usize::from(self.two(0));
        let topic = String::from_utf8(self.body[2..end].to_vec()).unwrap();
        let (id, end) = if qos > 0 {
            (self.two(end), end + 2)
        } else {
            (0, end)
        };
        let payload = self.body[end + 1 + usize::from(self.body[end])..].to_vec();
        Message {
            topic,
            qos,
            id,
            payload,
        }
    }
}

/// The next packet; an error when the connection has ended.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Packet> {
    let first = stream.read_u8().await?;
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Packet { first, body })
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let more = length >= 0x80;
        bytes.push((length & 0x7f) as u8 | if more { 0x80 } else { 0 });
        length >>= 7;
        if !more {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// A CONNACK with this reason code and these properties.
pub(crate) fn connack(code: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![0, code, properties.len() as u8];
    body.extend(properties);
    packet(0x20, &body)
}

/// Without a reason code when that is 0 (MQTT 5, 3.4.2.1).
pub(crate) fn puback(id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let body = [high, low, code];
    packet(0x40, if code == 0 { &body[..2] } else { &body })
}

pub(crate) fn suback(id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    packet(0x90, &[high, low, 0, code])
}

pub(crate) fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    body.extend(id.to_be_bytes());
    body.push(0);
    body.extend(payload);
    packet(0x32, &body)
}
