//! Protocol control information: what the first bytes of a frame say (ISO 15765-2:2016 §9.4, §9.6), and how frames
//! are filled up (§10.4.2).

use crate::config::{Config, StMin};
use crate::error::IgnoredFrame;
use crate::frame::{CanId, Frame, round_up_to_dlc};

/// The filler where a frame must be filled up and the configuration names none (§10.4.2).
const FILLER: u8 = 0xCC;

/// The longest message whose length fits in twelve bits (§9.6.3).
const TWELVE_BITS: u32 = 0xFFF;

/// `FS` of a flow control frame (§9.6.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlowStatus {
    ContinueToSend,
    Wait,
    Overflow,
    Reserved(u8),
}

/// A flow control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowControl {
    pub(crate) status: FlowStatus,
    pub(crate) block_size: u8,
    pub(crate) st_min: StMin,
}

/// What a frame says, its address byte taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pdu<'f> {
    Single(&'f [u8]),
    /// `data` is shorter than `announced`.
    First {
        announced: u32,
        data: &'f [u8],
    },
    Consecutive {
        number: u8,
        data: &'f [u8],
    },
    FlowControl(FlowControl),
}

/// Reads `body`, the N_PDU of a frame of `can_dl` data bytes.
pub(crate) fn decode(body: &[u8], can_dl: usize) -> Result<Pdu<'_>, IgnoredFrame> {
    let (&first, rest) = body.split_first().ok_or(IgnoredFrame::TooShort)?;
    let low = first & 0x0F;
    match first >> 4 {
        0 => decode_single(low, rest, can_dl),
        1 => decode_first(low, rest, can_dl),
        2 => Ok(Pdu::Consecutive {
            number: low,
            data: rest,
        }),
        3 => {
            let &[block_size, st_min, ..] = rest else {
                return Err(IgnoredFrame::TooShort);
            };
            let status = match low {
                0 => FlowStatus::ContinueToSend,
                1 => FlowStatus::Wait,
                2 => FlowStatus::Overflow,
                other => FlowStatus::Reserved(other),
            };
            Ok(Pdu::FlowControl(FlowControl {
                status,
                block_size,
                st_min: StMin(st_min),
            }))
        }
        other => Err(IgnoredFrame::UnknownType(other)),
    }
}

fn decode_single(low: u8, rest: &[u8], can_dl: usize) -> Result<Pdu<'_>, IgnoredFrame> {
    let (length, data) = if can_dl <= 8 {
        (low, rest)
    } else if low == 0 {
        let (&length, data) = rest.split_first().ok_or(IgnoredFrame::TooShort)?;
        (length, data)
    } else {
        return Err(IgnoredFrame::MissingEscape);
    };
    if length == 0 {
        return Err(IgnoredFrame::SingleFrameLength(length));
    }
    data.get(..usize::from(length))
        .map(Pdu::Single)
        .ok_or(IgnoredFrame::SingleFrameLength(length))
}

/// The standard ignores `FF_DL` below what needs segmentation. ECUs exist that segment seven bytes, and other
/// receivers take them; so the only bound here is that something must be left for a consecutive frame.
fn decode_first(low: u8, rest: &[u8], can_dl: usize) -> Result<Pdu<'_>, IgnoredFrame> {
    if can_dl < 8 || round_up_to_dlc(can_dl) != Some(can_dl) {
        return Err(IgnoredFrame::FirstFrameDataLength(can_dl as u8));
    }
    let (&second, data) = rest.split_first().ok_or(IgnoredFrame::TooShort)?;
    let short = u32::from(low) << 8 | u32::from(second);
    let (announced, data) = if short == 0 {
        let (length, data) = data
            .split_first_chunk::<4>()
            .ok_or(IgnoredFrame::TooShort)?;
        let long = u32::from_be_bytes(*length);
        if long <= TWELVE_BITS {
            return Err(IgnoredFrame::FirstFrameLength(long));
        }
        (long, data)
    } else {
        (short, data)
    };
    if announced as usize <= data.len() {
        return Err(IgnoredFrame::FirstFrameLength(announced));
    }
    Ok(Pdu::First { announced, data })
}

/// How one side's frames look: address byte, longest length, padding.
#[derive(Clone, Debug)]
pub(crate) struct Framing {
    pub(crate) id: CanId,
    pub(crate) prefix: Option<u8>,
    fd: bool,
    tx_data_length: usize,
    min_length: usize,
    filler: u8,
}

impl Framing {
    /// The caller has checked `config`.
    pub(crate) fn new(config: &Config) -> Self {
        let fill_classic = config.tx_data_length == 8 && config.padding.is_some();
        Self {
            id: config.address.tx_id(),
            prefix: config.address.tx_prefix(),
            fd: config.fd,
            tx_data_length: usize::from(config.tx_data_length),
            min_length: config
                .min_length
                .map_or(if fill_classic { 8 } else { 0 }, usize::from),
            filler: config.padding.unwrap_or(FILLER),
        }
    }

    /// The longest payload of a single frame (§9.6.2).
    pub(crate) fn single_limit(&self) -> usize {
        let pci = if self.tx_data_length > 8 { 2 } else { 1 };
        self.tx_data_length - pci - self.prefix_length()
    }

    /// A single frame. `payload` has between 1 and [`single_limit`](Self::single_limit) bytes.
    pub(crate) fn single(&self, payload: &[u8]) -> Frame {
        let length = payload.len() as u8;
        let short = self.prefix_length() + 1 + payload.len();
        if self.padded(short) <= 8 {
            self.frame(&[length], payload)
        } else {
            self.frame(&[0, length], payload)
        }
    }

    /// A first frame, and how much of `payload` it carries. `payload` does not fit in a single frame.
    pub(crate) fn first(&self, payload: &[u8]) -> (Frame, usize) {
        let length = payload.len() as u32;
        let bytes = length.to_be_bytes();
        let long = [0x10, 0, bytes[0], bytes[1], bytes[2], bytes[3]];
        let short = [0x10 | bytes[2], bytes[3]];
        let pci = if length > TWELVE_BITS {
            &long[..]
        } else {
            &short[..]
        };
        let carried = self.tx_data_length - self.prefix_length() - pci.len();
        (self.frame(pci, &payload[..carried]), carried)
    }

    /// A consecutive frame with as much of `rest` as it can carry, and how much that is.
    pub(crate) fn consecutive(&self, number: u8, rest: &[u8]) -> (Frame, usize) {
        let carried = rest
            .len()
            .min(self.tx_data_length - self.prefix_length() - 1);
        (
            self.frame(&[0x20 | number & 0x0F], &rest[..carried]),
            carried,
        )
    }

    /// A flow control frame.
    pub(crate) fn flow_control(&self, flow: FlowControl) -> Frame {
        let status = match flow.status {
            FlowStatus::ContinueToSend => 0,
            FlowStatus::Wait => 1,
            FlowStatus::Overflow => 2,
            FlowStatus::Reserved(other) => other & 0x0F,
        };
        self.frame(&[0x30 | status, flow.block_size, flow.st_min.0], &[])
    }

    fn prefix_length(&self) -> usize {
        usize::from(self.prefix.is_some())
    }

    /// The length of the frame that carries `used` bytes.
    fn padded(&self, used: usize) -> usize {
        round_up_to_dlc(used.max(self.min_length))
            .expect("a checked configuration has no frame above 64 bytes")
    }

    fn frame(&self, pci: &[u8], data: &[u8]) -> Frame {
        let mut bytes = [0; 64];
        let mut used = 0;
        for part in [self.prefix.as_slice(), pci, data] {
            bytes[used..used + part.len()].copy_from_slice(part);
            used += part.len();
        }
        Frame::filled(
            self.id,
            self.fd,
            &bytes[..used],
            self.padded(used),
            self.filler,
        )
    }
}
