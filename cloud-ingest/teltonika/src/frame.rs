//! Packets and their frames: TCP streams and UDP datagrams (Teltonika's wiki, "Codec": communication with the server).
//!
//! ```text
//! TCP login    u16 length, IMEI in ASCII                                  answer: 01 or 00
//! TCP frame    u32 0, u32 length, data, u32 CRC-16/IBM of the data         answer to records: u32 how many
//! TCP ping     FF                                                          no answer
//! UDP          u16 length, u16 packet, 01, u8 AVL packet, u16 length, IMEI, data
//!              answer: u16 5, u16 packet, 01, u8 AVL packet, u8 how many records
//! data         codec, count, records or a message, count
//! ```

use crate::{
    CodecError, Imei,
    bytes::Reader,
    crc::crc16,
    message::{Message, MessageCodec},
    record::{self, Record, RecordCodec},
};

/// Longest data of a frame, in bytes. Devices send at most 1,280 of records; parts of photos are longer.
pub const MOST_DATA: usize = 16 * 1024;
/// Shortest data: codec, two counts.
const LEAST_DATA: usize = 3;
/// Preamble and length.
const HEAD: usize = 8;
const CRC: usize = 4;
/// An IMEI's length on the wire.
const IMEI: usize = 15;

/// What the data of a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Records, which the server acknowledges by their number.
    Records(RecordCodec, Vec<Record>),
    /// A message, which has no acknowledgement.
    Message(Message),
}

impl Packet {
    /// Reads the data of a frame.
    pub fn read(data: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader(data);
        let codec = reader.u8("the codec's number")?;
        let packet = match codec {
            0x08 | 0x8E | 0x10 => {
                let codec = match codec {
                    0x08 => RecordCodec::Eight,
                    0x8E => RecordCodec::EightExtended,
                    _ => RecordCodec::Sixteen,
                };
                Self::Records(codec, record::read_all(codec, &mut reader)?)
            }
            0x0C => Self::Message(Message::read(MessageCodec::Twelve, &mut reader)?),
            0x0D => Self::Message(Message::read(MessageCodec::Thirteen, &mut reader)?),
            0x0E => Self::Message(Message::read(MessageCodec::Fourteen, &mut reader)?),
            other => return Err(CodecError::Codec(other)),
        };
        if reader.0.is_empty() {
            Ok(packet)
        } else {
            Err(CodecError::Trailing(reader.0.len()))
        }
    }

    /// The data of a frame. At most 255 records.
    pub fn data(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Records(codec, records) => {
                let records = &records[..records.len().min(255)];
                out.extend([codec.id(), records.len() as u8]);
                for record in records {
                    record.write(*codec, &mut out);
                }
                out.push(records.len() as u8);
            }
            Self::Message(message) => message.write(&mut out),
        }
        out
    }

    /// A frame for TCP.
    pub fn frame(&self) -> Vec<u8> {
        let data = self.data();
        let mut out = vec![0; 4];
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(&data);
        out.extend(u32::from(crc16(&data)).to_be_bytes());
        out
    }
}

/// The login of a TCP connection, as a device sends it.
pub fn login(imei: Imei) -> Vec<u8> {
    let mut out = (IMEI as u16).to_be_bytes().to_vec();
    out.extend(imei.as_str().as_bytes());
    out
}

/// What a TCP stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Who is there; the first of all.
    Login(Imei),
    /// A sign of life.
    Ping,
    /// A frame.
    Packet(Packet),
}

/// Takes a TCP stream apart, however it is cut into segments. After an error the stream is out of step: nothing more can
/// be read of it.
#[derive(Debug, Default)]
pub struct Stream {
    buffer: Vec<u8>,
    /// What of the buffer is done with.
    done: usize,
    known: bool,
}

impl Stream {
    /// Adds bytes. Whoever takes all arrivals out before it adds more holds at most one frame and what it adds.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done > 0 {
            self.buffer.drain(..self.done);
            self.done = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a login or a frame has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.done < self.buffer.len()
    }

    /// Takes out what comes next; `None`: more bytes are needed.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and it can go on after None"
    )]
    pub fn next(&mut self) -> Result<Option<Arrival>, CodecError> {
        let rest = &self.buffer[self.done..];
        let Some(&first) = rest.first() else {
            return Ok(None);
        };
        let (arrival, taken) = if self.known {
            if first == 0xFF {
                (Arrival::Ping, 1)
            } else {
                match frame(rest)? {
                    Some((packet, taken)) => (Arrival::Packet(packet), taken),
                    None => return Ok(None),
                }
            }
        } else {
            match read_login(rest)? {
                Some((imei, taken)) => (Arrival::Login(imei), taken),
                None => return Ok(None),
            }
        };
        self.known = true;
        self.done += taken;
        Ok(Some(arrival))
    }
}

fn length(
    what: &'static str,
    found: usize,
    least: usize,
    most: usize,
) -> Result<usize, CodecError> {
    if (least..=most).contains(&found) {
        Ok(found)
    } else {
        Err(CodecError::Length {
            what,
            found,
            least,
            most,
        })
    }
}

fn read_login(bytes: &[u8]) -> Result<Option<(Imei, usize)>, CodecError> {
    let mut reader = Reader(bytes);
    let Ok(found) = reader.u16("the length of the IMEI") else {
        return Ok(None);
    };
    length("an IMEI", found.into(), IMEI, IMEI)?;
    match reader.take(IMEI, "the IMEI") {
        Ok(digits) => Ok(Some((Imei::read(digits)?, 2 + IMEI))),
        Err(_) => Ok(None),
    }
}

/// The first frame of bytes, and how many it takes; `None`: it is not whole yet.
fn frame(bytes: &[u8]) -> Result<Option<(Packet, usize)>, CodecError> {
    let mut reader = Reader(bytes);
    let Ok(preamble) = reader.u32("the preamble") else {
        return Ok(None);
    };
    if preamble != 0 {
        return Err(CodecError::Preamble(preamble));
    }
    let Ok(found) = reader.u32("the length") else {
        return Ok(None);
    };
    let size = length("the data of a frame", found as usize, LEAST_DATA, MOST_DATA)?;
    let (Ok(data), Ok(found)) = (reader.take(size, "the data"), reader.u32("the CRC")) else {
        return Ok(None);
    };
    let computed = crc16(data);
    if found != u32::from(computed) {
        return Err(CodecError::Crc { computed, found });
    }
    Ok(Some((Packet::read(data)?, HEAD + size + CRC)))
}

/// A UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Number of the packet in the channel.
    pub packet: u16,
    /// Number of the AVL packet.
    pub avl: u8,
    /// By whom.
    pub imei: Imei,
    /// What it carries.
    pub content: Packet,
}

impl Datagram {
    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader(bytes);
        let found = usize::from(reader.u16("the length of the datagram")?);
        let there = reader.0.len();
        length("a datagram", found, there, there)?;
        let packet = reader.u16("the packet's number")?;
        match reader.u8("the fixed byte")? {
            1 => {}
            other => return Err(CodecError::Datagram(other)),
        }
        let avl = reader.u8("the AVL packet's number")?;
        let size = usize::from(reader.u16("the length of the IMEI")?);
        let imei = Imei::read(reader.take(size, "the IMEI")?)?;
        let content = Packet::read(reader.0)?;
        Ok(Self {
            packet,
            avl,
            imei,
            content,
        })
    }

    /// Writes it, as a device does.
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![0; 2];
        out.extend(self.packet.to_be_bytes());
        out.extend([1, self.avl]);
        out.extend(login(self.imei));
        out.extend(self.content.data());
        let length = (out.len() - 2) as u16;
        out[..2].copy_from_slice(&length.to_be_bytes());
        out
    }

    /// The answer that says how many records were taken.
    pub fn answer(&self, records: u8) -> [u8; 7] {
        let [high, low] = self.packet.to_be_bytes();
        [0, 5, high, low, 1, self.avl, records]
    }
}
