//! Streams of bits, most significant first, and the codes that samples are packed with.

/// Writes bits.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// The bits that do not fill a byte yet, and how many they are.
    rest: u64,
    held: u32,
}

/// Quotients of Rice codes up to here are written in unary; a longer one is written out as the number itself.
const LONGEST_UNARY: u64 = 24;

impl Writer {
    /// Appends the lowest `count` bits of `value`, at most 56.
    fn put_short(&mut self, value: u64, count: u32) {
        self.rest = self.rest << count | value & ((1 << count) - 1);
        self.held += count;
        while self.held >= 8 {
            self.held -= 8;
            self.bytes.push((self.rest >> self.held) as u8);
        }
    }

    /// Appends the lowest `count` bits of `value`, at most 64.
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.put_short(value >> 32, count - 32);
        }
        self.put_short(value, count.min(32));
    }

    /// A number from 0, short when it is small (Elias gamma of `value + 1`); at most 2^63.
    pub(crate) fn put_gamma(&mut self, value: u64) {
        let length = (value + 1).ilog2();
        self.put(0, length);
        self.put(value + 1, length + 1);
    }

    /// A number whose `shift` lowest bits are noise.
    pub(crate) fn put_rice(&mut self, value: u64, shift: u32) {
        let quotient = value >> shift;
        if quotient < LONGEST_UNARY {
            self.put((1 << (quotient + 1)) - 2, quotient as u32 + 1);
            self.put(value, shift);
        } else {
            self.put((1 << LONGEST_UNARY) - 1, LONGEST_UNARY as u32);
            self.put(value, 64);
        }
    }

    /// A signed number of any size: how many bits, then the bits (zigzag).
    pub(crate) fn put_whole(&mut self, value: i64) {
        let value = zigzag(value);
        let length = 64 - value.leading_zeros();
        // 63 stands for all 64 bits.
        let length = if length >= 63 { 64 } else { length };
        self.put(u64::from(length.min(63)), 6);
        self.put(value, length);
    }

    /// The bytes; the last one is filled up with zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.held > 0 {
            self.put_short(0, 8 - self.held);
        }
        self.bytes
    }
}

/// How many bits [`Writer::put_rice`] takes.
pub(crate) const fn rice_length(value: u64, shift: u32) -> u64 {
    let quotient = value >> shift;
    if quotient < LONGEST_UNARY {
        quotient + 1 + shift as u64
    } else {
        LONGEST_UNARY + 64
    }
}

/// Reads bits; `None` when they have come to their end.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    rest: u64,
    held: u32,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            rest: 0,
            held: 0,
        }
    }

    /// Holds at least 56 bits, as long as there are so many.
    #[inline]
    fn fill(&mut self) {
        if let Some(next) = self.bytes.first_chunk::<8>() {
            let bits = (63 - self.held.min(63)) / 8 * 8;
            if bits > 0 {
                self.rest = self.rest << bits | u64::from_be_bytes(*next) >> (64 - bits);
                self.held += bits;
                self.bytes = &self.bytes[bits as usize / 8..];
            }
            return;
        }
        while self.held <= 56 {
            let Some((&byte, bytes)) = self.bytes.split_first() else {
                return;
            };
            self.bytes = bytes;
            self.rest = self.rest << 8 | u64::from(byte);
            self.held += 8;
        }
    }

    /// How many of the next bits, at most so many, are equal to the first ones of `like` (all zeros, or all ones), and takes these.
    #[inline]
    fn take_run(&mut self, like: u64, most: u32) -> Option<u32> {
        let mut run = 0;
        loop {
            if self.held == 0 {
                self.fill();
                if self.held == 0 {
                    return None;
                }
            }
            let next = (self.rest << (64 - self.held)) ^ like;
            let same = next.leading_zeros().min(self.held).min(most - run);
            run += same;
            self.held -= same;
            if self.held > 0 || run == most {
                return Some(run);
            }
        }
    }

    /// At most 56 bits.
    #[inline]
    fn take_short(&mut self, count: u32) -> Option<u64> {
        if self.held < count {
            self.fill();
        }
        self.held = self.held.checked_sub(count)?;
        Some(self.rest >> self.held & ((1 << count) - 1))
    }

    /// At most 64 bits.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        if count > 32 {
            let high = self.take_short(count - 32)?;
            return Some(high << 32 | self.take_short(32)?);
        }
        self.take_short(count)
    }

    pub(crate) fn take_gamma(&mut self) -> Option<u64> {
        let length = self.take_run(0, 64)?;
        // What ends the run.
        self.take_short(1).filter(|_| length < 64)?;
        Some((1 << length | self.take(length)?) - 1)
    }

    #[inline]
    pub(crate) fn take_rice(&mut self, shift: u32) -> Option<u64> {
        let quotient = u64::from(self.take_run(u64::MAX, LONGEST_UNARY as u32)?);
        if quotient == LONGEST_UNARY {
            return self.take(64);
        }
        // What ends the run.
        self.take_short(1)?;
        // A shift of 63 leaves one bit for the quotient: what is beyond cannot have been written.
        let value = quotient.checked_shl(shift)?;
        (value >> shift == quotient).then_some(value | self.take(shift)?)
    }

    pub(crate) fn take_whole(&mut self) -> Option<i64> {
        let length = match self.take(6)? as u32 {
            63 => 64,
            length => length,
        };
        self.take(length).map(unzigzag)
    }

    /// Takes these bits, so many, and the [`Reader::take_whole`] after them, when it is these bits that come next and all of it is at
    /// hand; else nothing is taken.
    #[inline]
    pub(crate) fn take_whole_after(&mut self, bits: u64, count: u32) -> Option<i64> {
        if self.held < 56 {
            self.fill();
        }
        let left = self.held.checked_sub(count + 6)?;
        let next = self.rest >> left;
        if next >> 6 & ((1 << count) - 1) != bits {
            return None;
        }
        // 63 stands for more than is ever held.
        let length = (next & 63) as u32;
        let left = left.checked_sub(length)?;
        self.held = left;
        Some(unzigzag(self.rest >> left & ((1 << length) - 1)))
    }

    /// Whether nothing is left but the zeros that fill up the last byte.
    pub(crate) fn at_end(&mut self) -> bool {
        self.fill();
        self.bytes.is_empty() && self.held < 8 && self.rest & ((1 << self.held) - 1) == 0
    }
}

/// Small numbers of either sign become small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// What [`zigzag`] came from.
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(values in proptest::collection::vec((any::<i64>(), 0u32..64, 0u32..64), 0..60)) {
            let mut writer = Writer::default();
            let small = |value: i64, bits: u32| value.cast_unsigned() >> bits;
            let mut length = 0;
            for &(value, shift, bits) in &values {
                writer.put_whole(value);
                writer.put_gamma(small(value, bits.max(1)));
                writer.put_rice(small(value, bits), shift);
                length += rice_length(small(value, bits), shift);
                writer.put(small(value, bits), 64 - bits);
            }
            let bytes = writer.finish();
            prop_assert!(bytes.len() as u64 * 8 >= length);
            let mut reader = Reader::new(&bytes);
            for &(value, shift, bits) in &values {
                prop_assert_eq!(reader.take_whole(), Some(value));
                prop_assert_eq!(reader.take_gamma(), Some(small(value, bits.max(1))));
                prop_assert_eq!(reader.take_rice(shift), Some(small(value, bits)));
                prop_assert_eq!(reader.take(64 - bits), Some(small(value, bits)));
            }
            prop_assert!(reader.at_end());
        }
    }

    proptest! {
        #[test]
        fn several_at_once_are_the_same(values in proptest::collection::vec((any::<i64>(), 0u32..64, any::<bool>()), 0..60)) {
            let mut writer = Writer::default();
            for &(value, bits, is_other) in &values {
                writer.put(if is_other { 0b101 } else { 0b110 }, 3);
                writer.put_whole(value >> bits);
            }
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            for &(value, bits, is_other) in &values {
                let found = match reader.take_whole_after(0b110, 3) {
                    Some(value) => {
                        prop_assert!(!is_other);
                        Some(value)
                    }
                    None => {
                        prop_assert_eq!(reader.take(3), Some(if is_other { 0b101 } else { 0b110 }));
                        reader.take_whole()
                    }
                };
                prop_assert_eq!(found, Some(value >> bits));
            }
            prop_assert!(reader.at_end());
        }
    }

    #[test]
    fn the_end_is_noticed() {
        let mut reader = Reader::new(&[0xff]);
        assert!(!reader.at_end());
        assert_eq!((reader.take(9), reader.take_rice(3)), (None, None));
        assert_eq!(Reader::new(&[0; 20]).take_gamma(), None);
        assert!(Reader::new(&[]).at_end());
    }
}
