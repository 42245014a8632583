//! Messages of codecs 12, 13 and 14: commands to a device and what it answers (Teltonika's wiki, "Codec 12", "13", "14").

use crate::{CodecError, Imei, bytes::Reader};

/// A codec that carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageCodec {
    /// Codec 12, 0x0C: commands and answers.
    Twelve,
    /// Codec 13, 0x0D: answers with the time at which they were made.
    Thirteen,
    /// Codec 14, 0x0E: commands and answers that name the device.
    Fourteen,
}

impl MessageCodec {
    /// Its number on the wire.
    pub const fn id(self) -> u8 {
        match self {
            Self::Twelve => 0x0C,
            Self::Thirteen => 0x0D,
            Self::Fourteen => 0x0E,
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 5: a command.
    Command,
    /// 6: an answer.
    Answer,
    /// 0x11, codec 14: the device is not the one that the command names.
    Refusal,
    /// Anything else, such as 0x0D for parts of a photo.
    Other(u8),
}

impl Kind {
    /// Its number on the wire.
    pub const fn id(self) -> u8 {
        match self {
            Self::Command => 5,
            Self::Answer => 6,
            Self::Refusal => 0x11,
            Self::Other(id) => id,
        }
    }

    const fn of(id: u8) -> Self {
        match id {
            5 => Self::Command,
            6 => Self::Answer,
            0x11 => Self::Refusal,
            other => Self::Other(other),
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its codec.
    pub codec: MessageCodec,
    /// What it is.
    pub kind: Kind,
    /// Codec 13: when the answer was made, in seconds since 1970.
    pub time: Option<u32>,
    /// Codec 14: for whom, or by whom.
    pub imei: Option<Imei>,
    /// The text, mostly ASCII.
    pub payload: Vec<u8>,
}

impl Message {
    /// A command in codec 12.
    pub fn command(text: &str) -> Self {
        Self {
            codec: MessageCodec::Twelve,
            kind: Kind::Command,
            time: None,
            imei: None,
            payload: text.as_bytes().to_vec(),
        }
    }

    /// A command in codec 14: a device with another IMEI refuses it.
    pub fn command_for(imei: Imei, text: &str) -> Self {
        Self {
            codec: MessageCodec::Fourteen,
            imei: Some(imei),
            ..Self::command(text)
        }
    }

    /// The payload as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).trim_end().to_owned()
    }

    pub(crate) fn read(codec: MessageCodec, reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let before = reader.u8("the number of messages")?;
        let kind = Kind::of(reader.u8("the type of a message")?);
        let mut size = reader.u32("the size of a message")? as usize;
        let (mut time, mut imei) = (None, None);
        match codec {
            MessageCodec::Twelve => {}
            MessageCodec::Thirteen => {
                time = Some(reader.u32("the time of a message")?);
                // Some firmware counts the time, some does not.
                if size == (reader.0.len() + 4).saturating_sub(1) {
                    size = size.saturating_sub(4);
                }
            }
            MessageCodec::Fourteen => {
                let digits = reader.take(8, "the IMEI of a message")?;
                imei = Some(Imei::from_bcd(digits)?);
                size = size.checked_sub(8).ok_or(CodecError::Length {
                    what: "a message with an IMEI",
                    found: size,
                    least: 8,
                    most: crate::frame::MOST_DATA,
                })?;
            }
        }
        let payload = reader.take(size, "a message")?.to_vec();
        let after = reader.u8("the second number of messages")?;
        if before != after {
            return Err(CodecError::Counts {
                what: "messages",
                before: before.into(),
                after: after.into(),
            });
        }
        Ok(Self {
            codec,
            kind,
            time,
            imei,
            payload,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.codec.id(), 1, self.kind.id()]);
        let named = if self.imei.is_some() { 8 } else { 0 };
        out.extend((self.payload.len() as u32 + named).to_be_bytes());
        if let Some(time) = self.time {
            out.extend(time.to_be_bytes());
        }
        if let Some(imei) = &self.imei {
            out.extend(imei.to_bcd());
        }
        out.extend(&self.payload);
        out.push(1);
    }
}
