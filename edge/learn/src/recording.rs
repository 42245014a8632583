//! Frames by identifier, windows of bits.

use std::collections::{BTreeMap, BTreeSet};

use isotp::{CanId, Frame};

use crate::standard::is_diagnostic;

/// Order of the bits of a window, as DBC files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// Least significant byte first (Intel, `@1`).
    Little,
    /// Most significant byte first (Motorola, `@0`).
    Big,
}

/// Some of a frame's first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Bits to the right of it: in Intel order from the first byte's bit 0 on, in Motorola order from the last bit of the
    /// eighth byte on.
    pub shift: u8,
    /// Its length in bits, 1 to 32.
    pub length: u8,
    /// Order of its bytes.
    pub order: Order,
}

impl Window {
    /// Its raw value.
    pub fn of(self, bytes: u64) -> u64 {
        let value = match self.order {
            Order::Little => bytes,
            Order::Big => bytes.swap_bytes(),
        };
        value >> self.shift & ((1 << self.length) - 1)
    }

    /// The bits it covers, as a mask over the bytes in Intel order.
    pub fn mask(self) -> u64 {
        let mask = ((1u64 << self.length) - 1) << self.shift;
        match self.order {
            Order::Little => mask,
            Order::Big => mask.swap_bytes(),
        }
    }

    /// The start bit that a DBC file gives it: of the least significant bit in Intel order, of the most significant one in
    /// Motorola order.
    pub fn start(self) -> u8 {
        match self.order {
            Order::Little => self.shift,
            Order::Big => {
                let from_left = 64 - self.shift - self.length;
                from_left / 8 * 8 + 7 - from_left % 8
            }
        }
    }
}

/// The frames of one identifier, all or those of one page of a multiplexed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Page {
    /// Its identifier.
    pub id: CanId,
    /// The first byte that its frames have; `None` for all frames.
    pub first: Option<u8>,
}

/// A recorded bus. Of longer frames only the first eight bytes are looked at.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Instant in microseconds and bytes in Intel order, by identifier.
    frames: BTreeMap<CanId, (u8, Vec<(u64, u64)>)>,
}

/// More values of a first byte are no pages.
const PAGES: usize = 16;

impl Recording {
    /// Adds a frame; instants ascend.
    pub fn add(&mut self, time_us: u64, frame: &Frame) {
        let mut bytes = [0; 8];
        let length = frame.data().len().min(8);
        bytes[..length].copy_from_slice(&frame.data()[..length]);
        let (least, frames) = self.frames.entry(frame.id()).or_insert((8, Vec::new()));
        *least = (*least).min(length as u8);
        frames.push((time_us, u64::from_le_bytes(bytes)));
    }

    /// The identifiers, ascending.
    pub fn ids(&self) -> impl Iterator<Item = CanId> {
        self.frames.keys().copied()
    }

    /// Length of the shortest frame of an identifier, in bytes, at most eight.
    pub fn length(&self, id: CanId) -> usize {
        self.frames
            .get(&id)
            .map_or(0, |(length, _)| usize::from(*length))
    }

    /// The frames of an identifier.
    pub fn frames(&self, id: CanId) -> &[(u64, u64)] {
        self.frames.get(&id).map_or(&[], |(_, frames)| frames)
    }

    /// The frames of a page.
    pub fn page(&self, page: Page) -> Vec<(u64, u64)> {
        let frames = self.frames(page.id).iter();
        let fits = |bytes: u64| page.first.is_none_or(|first| bytes as u8 == first);
        frames.copied().filter(|(_, bytes)| fits(*bytes)).collect()
    }

    /// Every identifier that is no diagnostic one as a whole, and its pages if its first byte takes few values and changes
    /// often.
    pub fn pages(&self) -> Vec<Page> {
        let mut pages = Vec::new();
        let broadcast = self.frames.iter().filter(|(id, _)| !is_diagnostic(**id));
        for (&id, (_, frames)) in broadcast {
            pages.push(Page { id, first: None });
            let firsts: BTreeSet<u8> = frames.iter().map(|(_, bytes)| *bytes as u8).collect();
            let changes = frames
                .windows(2)
                .filter(|pair| pair[0].1 as u8 != pair[1].1 as u8)
                .count();
            if (2..=PAGES).contains(&firsts.len()) && changes * 4 > frames.len() {
                pages.extend(firsts.iter().map(|first| Page {
                    id,
                    first: Some(*first),
                }));
            }
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_dbc_files() {
        let bytes = u64::from_le_bytes([0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0]);
        let window = |shift, length, order| Window {
            shift,
            length,
            order,
        };
        let intel = window(8, 16, Order::Little);
        assert_eq!((intel.of(bytes), intel.start()), (0x5634, 8));
        let motorola = window(40, 16, Order::Big);
        assert_eq!((motorola.of(bytes), motorola.start()), (0x3456, 15));
        assert_eq!((intel.mask(), motorola.mask()), (0xFF_FF00, 0xFF_FF00));
        assert_eq!(window(0, 8, Order::Big).start(), 63);
    }
}
