//! AVL records of codecs 8, 8 Extended and 16 (Teltonika's wiki, "Codec": AVL data, IO element).
//!
//! | | codec 8 | 8 Extended | 16 |
//! |---|---|---|---|
//! | ids | 1 byte | 2 | 2 |
//! | counts | 1 byte | 2 | 1 |
//! | after the event's id | | | generation type, 1 byte |
//! | elements of their own length | | id, length (2 bytes each), bytes | |
//!
//! Older firmware appends a fifth group, of 16 bytes each, to codec 8; the total count of elements tells that it is there.

use crate::{CodecError, bytes::Reader};

/// A codec that carries records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordCodec {
    /// Codec 8, 0x08.
    Eight,
    /// Codec 8 Extended, 0x8E.
    EightExtended,
    /// Codec 16, 0x10.
    Sixteen,
}

impl RecordCodec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Eight, Self::EightExtended, Self::Sixteen];

    /// Its number on the wire.
    pub const fn id(self) -> u8 {
        match self {
            Self::Eight => 0x08,
            Self::EightExtended => 0x8E,
            Self::Sixteen => 0x10,
        }
    }

    const fn wide_ids(self) -> bool {
        !matches!(self, Self::Eight)
    }

    const fn wide_counts(self) -> bool {
        matches!(self, Self::EightExtended)
    }

    /// Bytes of a record without elements.
    const fn least(self) -> usize {
        match self {
            Self::Eight => 30,
            Self::EightExtended => 38,
            Self::Sixteen => 32,
        }
    }
}

/// Where the device was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gnss {
    /// Longitude in 10⁻⁷ degrees, east positive.
    pub longitude: i32,
    /// Latitude in 10⁻⁷ degrees, north positive.
    pub latitude: i32,
    /// Altitude in metres.
    pub altitude: i16,
    /// Heading in degrees from north.
    pub angle: u16,
    /// Satellites in use; 0: the position is the last known one.
    pub satellites: u8,
    /// Speed in km/h.
    pub speed: u16,
}

/// The value of an element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A number of 1, 2, 4 or 8 bytes; whether it is signed says the list of elements, not the wire.
    Number {
        /// Bytes on the wire.
        width: u8,
        /// The bytes as an unsigned number.
        raw: u64,
    },
    /// Bytes of their own length.
    Bytes(Box<[u8]>),
}

/// An IO element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Element {
    /// Its AVL id.
    pub id: u16,
    /// Its value.
    pub value: Value,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// When it was made, in milliseconds since 1970.
    pub time_ms: i64,
    /// 0 low, 1 high, 2 panic.
    pub priority: u8,
    /// Where.
    pub gnss: Gnss,
    /// The element that caused it; 0: none did.
    pub event: u16,
    /// Codec 16: what caused it (0 on exit … 7 periodical).
    pub generation: Option<u8>,
    /// Its elements, in the order of the wire.
    pub elements: Vec<Element>,
}

/// Widths of the groups of numbers, in their order.
const WIDTHS: [u8; 4] = [1, 2, 4, 8];
/// Length of the elements of the fifth group of codec 8.
const LONG: usize = 16;

impl Record {
    pub(crate) fn read(codec: RecordCodec, reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let time_ms = reader.i64("the time of a record")?;
        let priority = reader.u8("the priority of a record")?;
        let gnss = Gnss {
            longitude: reader.u32("the longitude")?.cast_signed(),
            latitude: reader.u32("the latitude")?.cast_signed(),
            altitude: reader.u16("the altitude")?.cast_signed(),
            angle: reader.u16("the angle")?,
            satellites: reader.u8("the number of satellites")?,
            speed: reader.u16("the speed")?,
        };
        let event = id(codec, reader, "the id of the event")?;
        let generation = match codec {
            RecordCodec::Sixteen => Some(reader.u8("the generation type")?),
            _ => None,
        };
        let total = count(codec, reader, "the number of elements")?;
        // An element has at least two bytes, so a count that lies allocates little.
        let mut elements = Vec::with_capacity(total.min(reader.0.len() / 2));
        for width in WIDTHS {
            for _ in 0..count(codec, reader, "the number of elements of a width")? {
                elements.push(Element {
                    id: id(codec, reader, "the id of an element")?,
                    value: Value::Number {
                        width,
                        raw: reader.number(width.into(), "an element")?,
                    },
                });
            }
        }
        if codec == RecordCodec::EightExtended {
            for _ in 0..count(codec, reader, "the number of elements of their own length")? {
                let id = reader.u16("the id of an element")?;
                let length = reader.u16("the length of an element")?;
                let bytes = reader.take(length.into(), "an element of its own length")?;
                let value = Value::Bytes(bytes.into());
                elements.push(Element { id, value });
            }
        } else if codec == RecordCodec::Eight && total > elements.len() {
            for _ in 0..reader.u8("the number of elements of 16 bytes")? {
                let id = id(codec, reader, "the id of an element")?;
                let value = Value::Bytes(reader.take(LONG, "an element of 16 bytes")?.into());
                elements.push(Element { id, value });
            }
        }
        if total != elements.len() {
            return Err(CodecError::Counts {
                what: "elements of a record",
                before: total,
                after: elements.len(),
            });
        }
        Ok(Self {
            time_ms,
            priority,
            gnss,
            event,
            generation,
            elements,
        })
    }

    /// Writes it as a device does. Elements that the codec cannot carry are left out: devices choose their codec by what
    /// they have to say.
    pub fn write(&self, codec: RecordCodec, out: &mut Vec<u8>) {
        out.extend(self.time_ms.to_be_bytes());
        out.push(self.priority);
        out.extend(self.gnss.longitude.to_be_bytes());
        out.extend(self.gnss.latitude.to_be_bytes());
        out.extend(self.gnss.altitude.to_be_bytes());
        out.extend(self.gnss.angle.to_be_bytes());
        out.push(self.gnss.satellites);
        out.extend(self.gnss.speed.to_be_bytes());
        let id = |id: u16, out: &mut Vec<u8>| {
            if codec.wide_ids() {
                out.extend(id.to_be_bytes());
            } else {
                out.push(id as u8);
            }
        };
        let count = |count: usize, out: &mut Vec<u8>| {
            if codec.wide_counts() {
                out.extend((count as u16).to_be_bytes());
            } else {
                out.push(count as u8);
            }
        };
        let fits = |element: &&Element| match (&element.value, codec) {
            (Value::Bytes(bytes), RecordCodec::Eight) => bytes.len() == LONG && element.id < 256,
            (Value::Bytes(_), codec) => codec == RecordCodec::EightExtended,
            (Value::Number { .. }, codec) => codec.wide_ids() || element.id < 256,
        };
        let elements: Vec<&Element> = self.elements.iter().filter(fits).collect();
        id(self.event, out);
        if codec == RecordCodec::Sixteen {
            out.push(self.generation.unwrap_or_default());
        }
        count(elements.len(), out);
        for width in WIDTHS {
            let of_width = |element: &&&Element| matches!(element.value, Value::Number { width: other, .. } if other == width);
            count(elements.iter().filter(of_width).count(), out);
            for element in elements.iter().filter(of_width) {
                if let Value::Number { raw, .. } = element.value {
                    id(element.id, out);
                    out.extend(&raw.to_be_bytes()[8 - usize::from(width)..]);
                }
            }
        }
        let long = || {
            elements.iter().filter_map(|element| match &element.value {
                Value::Bytes(bytes) => Some((element.id, bytes)),
                Value::Number { .. } => None,
            })
        };
        match codec {
            RecordCodec::EightExtended => {
                count(long().count(), out);
                for (id, bytes) in long() {
                    out.extend(id.to_be_bytes());
                    out.extend((bytes.len() as u16).to_be_bytes());
                    out.extend(bytes);
                }
            }
            RecordCodec::Eight if long().count() > 0 => {
                count(long().count(), out);
                for (number, bytes) in long() {
                    id(number, out);
                    out.extend(bytes);
                }
            }
            _ => {}
        }
    }
}

/// The records of a packet: between the codec's id and the second count.
pub(crate) fn read_all(
    codec: RecordCodec,
    reader: &mut Reader<'_>,
) -> Result<Vec<Record>, CodecError> {
    let before = reader.u8("the number of records")?;
    let mut records = Vec::with_capacity(usize::from(before).min(reader.0.len() / codec.least()));
    for _ in 0..before {
        records.push(Record::read(codec, reader)?);
    }
    let after = reader.u8("the second number of records")?;
    if before == after {
        Ok(records)
    } else {
        Err(CodecError::Counts {
            what: "records",
            before: before.into(),
            after: after.into(),
        })
    }
}

fn id(codec: RecordCodec, reader: &mut Reader<'_>, what: &'static str) -> Result<u16, CodecError> {
    if codec.wide_ids() {
        reader.u16(what)
    } else {
        reader.u8(what).map(u16::from)
    }
}

fn count(
    codec: RecordCodec,
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<usize, CodecError> {
    if codec.wide_counts() {
        reader.u16(what).map(usize::from)
    } else {
        reader.u8(what).map(usize::from)
    }
}
