//! Where a signal's bits stand in a frame, and taking them out.

use super::{ByteOrder, Signal};

/// The longest data field: CAN FD.
pub(super) const FRAME: usize = 64;

/// A frame's bytes followed by zeros, so that 16 bytes can be read from any of its bytes.
pub(super) type Window = [u8; FRAME + 16];

/// Where a signal's bits stand. Invariant: they end within [`FRAME`] bytes, and `length` is 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    /// Byte where they begin.
    byte: u8,
    /// Bits to drop below the field once 16 bytes from `byte` are read as one integer of the field's byte order.
    shift: u8,
    pub(super) length: u8,
    motorola: bool,
    /// Bytes a frame needs to hold them all.
    pub(super) needs: u8,
}

impl Bits {
    /// `None` if they do not end within [`FRAME`] bytes or are not 1 to 64.
    pub(super) fn new(start: u64, length: u64, order: ByteOrder) -> Option<Self> {
        if !(1..=64).contains(&length) || start >= 8 * FRAME as u64 {
            return None;
        }
        let (first, shift) = match order {
            ByteOrder::Intel => (start, start % 8),
            // Counted from the frame's first bit on the wire.
            ByteOrder::Motorola => {
                let first = start / 8 * 8 + (7 - start % 8);
                (first, 128 - first % 8 - length)
            }
        };
        let needs = (first + length).div_ceil(8);
        (needs <= FRAME as u64).then_some(Self {
            byte: (first / 8) as u8,
            shift: shift as u8,
            length: length as u8,
            motorola: order == ByteOrder::Motorola,
            needs: needs as u8,
        })
    }

    pub(super) fn of(signal: &Signal) -> Option<Self> {
        Self::new(signal.start.into(), signal.length.into(), signal.order)
    }

    /// The bits as an unsigned integer.
    #[inline]
    pub(super) fn take(self, window: &Window) -> u64 {
        let at = usize::from(self.byte);
        let bytes = window[at..]
            .first_chunk::<16>()
            .expect("byte < FRAME and the window is 16 longer");
        let wide = if self.motorola {
            u128::from_be_bytes(*bytes)
        } else {
            u128::from_le_bytes(*bytes)
        };
        (wide >> self.shift) as u64 & (u64::MAX >> (64 - self.length))
    }

    /// Every bit, as bit number of the frame on the wire (byte × 8 + 7 − bit).
    pub(super) fn wire_bits(self) -> impl Iterator<Item = u16> {
        let first = u16::from(self.byte) * 8;
        (0..u16::from(self.length)).map(move |i| {
            if self.motorola {
                first + (128 - u16::from(self.shift) - u16::from(self.length)) + i
            } else {
                let bit = first + u16::from(self.shift) + i;
                bit / 8 * 8 + (7 - bit % 8)
            }
        })
    }
}

/// The lower `length` bits of `raw` as two's complement.
#[inline]
pub(super) fn signed(raw: u64, length: u8) -> i64 {
    let unused = 64 - u32::from(length);
    (raw << unused).cast_signed() >> unused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(start: u64, length: u64, order: ByteOrder, data: &[u8]) -> u64 {
        let mut window = [0; FRAME + 16];
        window[..data.len()].copy_from_slice(data);
        Bits::new(start, length, order).unwrap().take(&window)
    }

    #[test]
    fn known_places() {
        let data = [0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0];
        assert_eq!(take(0, 16, ByteOrder::Intel, &data), 0x3412);
        assert_eq!(take(4, 8, ByteOrder::Intel, &data), 0x41);
        assert_eq!(
            take(0, 64, ByteOrder::Intel, &data),
            u64::from_le_bytes(data)
        );
        assert_eq!(take(7, 16, ByteOrder::Motorola, &data), 0x1234);
        assert_eq!(take(3, 8, ByteOrder::Motorola, &data), 0x23);
        assert_eq!(
            take(7, 64, ByteOrder::Motorola, &data),
            u64::from_be_bytes(data)
        );
        assert_eq!(take(0, 1, ByteOrder::Motorola, &[1]), 1);
        assert_eq!(signed(0x3FF, 10), -1);
        assert_eq!(signed(0x1FF, 10), 511);
    }

    #[test]
    fn the_frame_s_end() {
        assert_eq!(Bits::new(448, 64, ByteOrder::Intel).unwrap().needs, 64);
        assert!(Bits::new(449, 64, ByteOrder::Intel).is_none());
        assert_eq!(Bits::new(455, 64, ByteOrder::Motorola).unwrap().needs, 64);
        assert!(Bits::new(454, 64, ByteOrder::Motorola).is_none());
        assert!(Bits::new(0, 0, ByteOrder::Intel).is_none());
        assert!(Bits::new(0, 65, ByteOrder::Intel).is_none());
        // The last bit of the file format's number range must not overflow.
        assert!(Bits::new(u64::MAX, 64, ByteOrder::Intel).is_none());
    }

    #[test]
    fn wire_bits_are_the_bits_taken() {
        for order in [ByteOrder::Intel, ByteOrder::Motorola] {
            for start in 0..80 {
                for length in 1..=64 {
                    let Some(bits) = Bits::new(start, length, order) else {
                        continue;
                    };
                    let mut window = [0u8; FRAME + 16];
                    for wire in bits.wire_bits() {
                        window[usize::from(wire / 8)] |= 0x80 >> (wire % 8);
                    }
                    assert_eq!(
                        bits.take(&window),
                        u64::MAX >> (64 - length),
                        "{start} {length} {order:?}"
                    );
                    assert_eq!(
                        window.iter().map(|b| b.count_ones()).sum::<u32>(),
                        length as u32
                    );
                }
            }
        }
    }
}
