//! Parameter identifiers of services 01, 02 and 09: which are supported, and how long each is (SAE J1979 / ISO 15031-5).

/// The data bytes of PIDs of service 01. Left out: 06 to 09 and 55 to 58, whose length depends on the engine.
const LENGTHS: &[(u8, u8, u8)] = &[
    (0x00, 0x01, 4),
    (0x02, 0x03, 2),
    (0x04, 0x05, 1),
    (0x0A, 0x0B, 1),
    (0x0C, 0x0C, 2),
    (0x0D, 0x0F, 1),
    (0x10, 0x10, 2),
    (0x11, 0x13, 1),
    (0x14, 0x1B, 2),
    (0x1C, 0x1E, 1),
    (0x1F, 0x1F, 2),
    (0x20, 0x20, 4),
    (0x21, 0x23, 2),
    (0x24, 0x2B, 4),
    (0x2C, 0x30, 1),
    (0x31, 0x32, 2),
    (0x33, 0x33, 1),
    (0x34, 0x3B, 4),
    (0x3C, 0x3F, 2),
    (0x40, 0x41, 4),
    (0x42, 0x44, 2),
    (0x45, 0x4C, 1),
    (0x4D, 0x4E, 2),
    (0x4F, 0x50, 4),
    (0x51, 0x52, 1),
    (0x53, 0x54, 2),
    (0x59, 0x59, 2),
    (0x5A, 0x5C, 1),
    (0x5D, 0x5E, 2),
    (0x5F, 0x5F, 1),
    (0x60, 0x60, 4),
    (0x61, 0x62, 1),
    (0x63, 0x63, 2),
    (0x64, 0x64, 5),
    (0x80, 0x80, 4),
    (0xA0, 0xA0, 4),
    (0xA6, 0xA6, 4),
    (0xC0, 0xC0, 4),
    (0xE0, 0xE0, 4),
];

/// How many data bytes a PID of service 01 has, where the standard fixes it; needed to take an answer with several
/// PIDs apart.
pub fn pid_length(pid: u8) -> Option<usize> {
    LENGTHS
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&pid))
        .map(|(_, _, length)| usize::from(*length))
}

/// A bitmap of supported identifiers: the answer to PID (or `InfoType`) 00, 20, 40, … E0, about the 32 that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedIds {
    base: u8,
    bits: u32,
}

impl SupportedIds {
    /// `base` is the identifier asked for; `None` if it is none of 00, 20, … E0.
    pub const fn new(base: u8, bytes: [u8; 4]) -> Option<Self> {
        if base.is_multiple_of(0x20) {
            Some(Self {
                base,
                bits: u32::from_be_bytes(bytes),
            })
        } else {
            None
        }
    }

    /// The bitmap that starts at `base`, of those of `ids` that fall in its range.
    pub fn of(base: u8, ids: impl IntoIterator<Item = u8>) -> Option<Self> {
        let none = Self::new(base, [0; 4])?;
        let in_range = ids
            .into_iter()
            .filter_map(|id| id.checked_sub(base).filter(|n| (1..=32).contains(n)));
        Some(in_range.fold(none, |map, n| Self {
            bits: map.bits | 1 << (32 - n),
            ..map
        }))
    }

    /// Whether `id` is supported; `None` if this bitmap does not speak of it.
    pub fn contains(self, id: u8) -> Option<bool> {
        let n = id.checked_sub(self.base).filter(|n| (1..=32).contains(n))?;
        Some(self.bits >> (32 - n) & 1 != 0)
    }

    /// The supported identifiers, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (1..=32)
            .filter_map(move |n| self.base.checked_add(n))
            .filter(move |&id| self.contains(id) == Some(true))
    }

    /// The identifier of the next bitmap, if there is one.
    pub fn next(self) -> Option<u8> {
        self.base
            .checked_add(0x20)
            .filter(|&id| self.contains(id) == Some(true))
    }

    /// The four bytes as they stand in the answer.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.bits.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_count_from_the_most_significant_bit() {
        let map = SupportedIds::new(0, [0x80, 0, 0, 0x01]).unwrap();
        assert_eq!(map.iter().collect::<Vec<_>>(), [0x01, 0x20]);
        assert_eq!(
            (map.next(), map.contains(2), map.contains(0x21)),
            (Some(0x20), Some(false), None)
        );
        let last = SupportedIds::new(0xE0, [0xFF; 4]).unwrap();
        assert_eq!((last.iter().count(), last.next()), (31, None));
        assert_eq!(SupportedIds::new(1, [0; 4]), None);
        let of = SupportedIds::of(0x20, [0x01, 0x20, 0x21, 0x40, 0x41]).unwrap();
        assert_eq!(of.to_bytes(), [0x80, 0, 0, 0x01]);
    }

    #[test]
    fn length_ranges_do_not_overlap() {
        assert!(
            LENGTHS
                .iter()
                .all(|(first, last, length)| first <= last && (1..=5).contains(length))
        );
        assert!(LENGTHS.windows(2).all(|w| w[0].1 < w[1].0));
        assert_eq!(
            (pid_length(0x0C), pid_length(0x06), pid_length(0xA6)),
            (Some(2), None, Some(4))
        );
    }
}
